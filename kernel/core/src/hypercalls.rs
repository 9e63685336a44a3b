//! The hypercalls that the domain makes, each as a function that says in types what it passes.

use core::ffi::c_void;
use core::ptr::from_mut;

use outrigger_xen::{DomId, Port};
use xen_unikernel_abi::event_channel::{
    EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain, EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_unmask,
    EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnClose, EvtchnSend, EvtchnUnmask,
};
use xen_unikernel_abi::grant_table::{GnttabCopy, GnttabMapGrantRef, GnttabUnmapGrantRef};
use xen_unikernel_abi::hvm::{HVMOP_get_param, XenHvmParam};
use xen_unikernel_abi::memory::{
    XENMEM_add_to_physmap, XENMEM_decrease_reservation, XENMEM_populate_physmap, XENMEMF_address_bits,
    XenAddToPhysmap, XenMemoryReservation,
};
use xen_unikernel_abi::sched::{SCHEDOP_shutdown, SCHEDOP_yield, SchedShutdown};
use xen_unikernel_abi::vcpu::{
    VCPUOP_register_runstate_memory_area, VCPUOP_register_vcpu_info, VcpuRegisterRunstateMemoryArea,
    VcpuRegisterVcpuInfo,
};
use xen_unikernel_abi::xen::{
    __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op, __HYPERVISOR_hvm_op, __HYPERVISOR_memory_op,
    __HYPERVISOR_sched_op, __HYPERVISOR_vcpu_op, DOMID_SELF,
};

use crate::arch::current::hypercall;

/// Xen's negative errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i64);

/// A call `op` of the family `number` on one argument structure.
fn with<T>(number: u64, op: u32, argument: &mut T) -> Result<(), Errno> {
    let pointer = from_mut(argument).cast::<c_void>() as u64;
    // SAFETY: every caller in this file pairs the operation with its structure, which lives and is ours during the call;
    // the memory operations among them are vouched for where they are called.
    let result = unsafe { hypercall(number, [u64::from(op), pointer, 0, 0, 0]) };
    if result < 0 { Err(Errno(result)) } else { Ok(()) }
}

#[inline]
pub(crate) fn evtchn_send(port: Port) {
    // Fails only if the port is closed or its other end gone: then there is nobody to tell.
    let _ = with(
        __HYPERVISOR_event_channel_op,
        EVTCHNOP_send,
        &mut EvtchnSend { port: port.0 },
    );
}

pub(crate) fn evtchn_unmask(port: Port) {
    let _ = with(
        __HYPERVISOR_event_channel_op,
        EVTCHNOP_unmask,
        &mut EvtchnUnmask { port: port.0 },
    );
}

pub(crate) fn evtchn_close(port: Port) {
    // Fails only if it is closed already.
    let _ = with(
        __HYPERVISOR_event_channel_op,
        EVTCHNOP_close,
        &mut EvtchnClose { port: port.0 },
    );
}

/// Xen writes the local port into `bind`.
pub(crate) fn evtchn_bind_interdomain(bind: &mut EvtchnBindInterdomain) -> Result<(), Errno> {
    with(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, bind)
}

/// A port that `remote` may bind to.
pub(crate) fn evtchn_alloc_unbound(remote: DomId) -> Result<Port, Errno> {
    let mut alloc = EvtchnAllocUnbound {
        dom: DOMID_SELF,
        remote_dom: remote.0,
        ..Default::default()
    };
    with(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &mut alloc)?;
    Ok(Port(alloc.port))
}

/// Structures of which a grant table operation takes an array.
pub(crate) trait GrantOp {}
impl GrantOp for GnttabMapGrantRef {}
impl GrantOp for GnttabUnmapGrantRef {}
impl GrantOp for GnttabCopy {}

/// A batch of grant table operations; each has its own status.
pub(crate) fn grant_table_op<T: GrantOp>(op: u32, batch: &mut [T]) {
    if batch.is_empty() {
        return;
    }
    let args = [u64::from(op), batch.as_mut_ptr() as u64, batch.len() as u64, 0, 0];
    // SAFETY: the array lives and is ours during the call. What a mapping maps lies in a window of addresses that holds
    // nothing of Rust's (`grant.rs`).
    let result = unsafe { hypercall(__HYPERVISOR_grant_table_op, args) };
    assert!(
        result == 0,
        "grant table operation {op} failed as a whole: {result}"
    );
}

/// An HVM parameter of this domain (`HVM_PARAM_*`).
pub(crate) fn hvm_param(index: u32) -> Result<u64, Errno> {
    let mut param = XenHvmParam {
        domid: DOMID_SELF,
        index,
        ..Default::default()
    };
    with(__HYPERVISOR_hvm_op, HVMOP_get_param, &mut param)?;
    Ok(param.value)
}

/// Lets page `index` of Xen's `space` (`XENMAPSPACE_*`) appear at guest frame `gpfn`.
///
/// # Safety
/// Rust owns nothing at that frame.
pub(crate) unsafe fn add_to_physmap(space: u32, index: u64, gpfn: u64) -> Result<(), Errno> {
    let mut add = XenAddToPhysmap {
        domid: DOMID_SELF,
        space,
        idx: index,
        gpfn,
        ..Default::default()
    };
    with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &mut add)
}

/// Gives the RAM at guest frame `gfn` back to Xen for other RAM there, whose machine address has at most `bits` bits. If there
/// is none, any RAM.
///
/// # Safety
/// Nobody uses the page; its contents are lost.
pub(crate) unsafe fn exchange_page(gfn: u64, bits: u32) -> Result<(), Errno> {
    for (op, mem_flags) in [
        (XENMEM_decrease_reservation, 0),
        (XENMEM_populate_physmap, XENMEMF_address_bits(bits)),
        (XENMEM_populate_physmap, 0),
    ] {
        let frame = gfn;
        let reservation = XenMemoryReservation {
            extent_start: (&raw const frame) as u64,
            nr_extents: 1,
            mem_flags,
            domid: DOMID_SELF,
            ..Default::default()
        };
        let args = [u64::from(op), (&raw const reservation) as u64, 0, 0, 0];
        // SAFETY: both live during the call, and Xen writes to neither; nobody uses the page (the caller's promise).
        let done = unsafe { hypercall(__HYPERVISOR_memory_op, args) };
        match (op == XENMEM_decrease_reservation, done == 1) {
            (true, false) => return Err(Errno(done)),
            (false, true) => return Ok(()),
            (true, true) | (false, false) => {}
        }
    }
    // A hole where RAM was, which nobody uses; the caller must not either.
    Err(Errno(-xen_unikernel_abi::errno::XEN_ENOMEM))
}

/// Moves processor 0's `vcpu_info` to `offset` within guest frame `mfn`.
pub(crate) fn register_vcpu_info(mfn: u64, offset: u32) -> Result<(), Errno> {
    let mut info = VcpuRegisterVcpuInfo {
        mfn,
        offset,
        ..Default::default()
    };
    vcpu_op(VCPUOP_register_vcpu_info, &mut info)
}

/// Has Xen keep processor 0's time accounts (`struct vcpu_runstate_info`) at the virtual address `addr`.
pub(crate) fn register_runstate(addr: u64) -> Result<(), Errno> {
    let mut area = VcpuRegisterRunstateMemoryArea { addr };
    vcpu_op(VCPUOP_register_runstate_memory_area, &mut area)
}

fn vcpu_op<T>(op: u32, argument: &mut T) -> Result<(), Errno> {
    let args = [u64::from(op), 0, from_mut(argument) as u64, 0, 0];
    // SAFETY: both callers pair the operation with its structure, which lives during the call; the page that
    // it names is given to Xen for good by their callers, who have it as shared pages.
    let result = unsafe { hypercall(__HYPERVISOR_vcpu_op, args) };
    if result < 0 { Err(Errno(result)) } else { Ok(()) }
}

/// Lets other domains run first.
pub(crate) fn yield_processor() {
    let _ = with(__HYPERVISOR_sched_op, SCHEDOP_yield, &mut ());
}

/// Ends the domain (`SHUTDOWN_*`). Returns only if Xen refuses.
pub(crate) fn shutdown(reason: u32) {
    let _ = with(
        __HYPERVISOR_sched_op,
        SCHEDOP_shutdown,
        &mut SchedShutdown { reason },
    );
}
