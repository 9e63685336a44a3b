//! `xen.h`: hypercall numbers, special domain ids, and the page that every domain shares with Xen.

/// A domain's number (`domid_t`).
pub type Domid = u16;

/// A frame number of 4 KiB pages (`xen_pfn_t`).
pub type XenPfn = u64;

// Hypercall numbers (x16 on Arm, rax on x86).
/// See [`crate::memory`].
pub const __HYPERVISOR_memory_op: u64 = 12;
/// Several calls in one: an array of [`MulticallEntry`].
pub const __HYPERVISOR_multicall: u64 = 13;
/// Sets the one-shot timer of a PV vCPU (nanoseconds of system time); not on Arm.
pub const __HYPERVISOR_set_timer_op: u64 = 15;
/// See [`crate::version`].
pub const __HYPERVISOR_xen_version: u64 = 17;
/// Xen's own console: `CONSOLEIO_*`. Guests may write to it in debug builds of Xen only.
pub const __HYPERVISOR_console_io: u64 = 18;
/// See [`crate::grant_table`].
pub const __HYPERVISOR_grant_table_op: u64 = 20;
/// See [`crate::vcpu`].
pub const __HYPERVISOR_vcpu_op: u64 = 24;
/// See [`crate::sched`].
pub const __HYPERVISOR_sched_op: u64 = 29;
/// See [`crate::event_channel`].
pub const __HYPERVISOR_event_channel_op: u64 = 32;
/// Physical devices and interrupts of PV guests; nearly nothing of it on Arm.
pub const __HYPERVISOR_physdev_op: u64 = 33;
/// See [`crate::hvm`].
pub const __HYPERVISOR_hvm_op: u64 = 34;

/// `console_io`: write `count` bytes.
pub const CONSOLEIO_write: u32 = 0;
/// `console_io`: read at most `count` bytes.
pub const CONSOLEIO_read: u32 = 1;

// Virtual interrupts that an unprivileged domain may bind.
/// Timebase update or timeout, one a vCPU.
pub const VIRQ_TIMER: u32 = 0;
/// A request to dump debug information (`xl debug-keys`, `xl sysrq`), one a vCPU.
pub const VIRQ_DEBUG: u32 = 1;

/// The first id that no ordinary domain has.
pub const DOMID_FIRST_RESERVED: Domid = 0x7FF0;
/// The caller itself, where a call allows it (mapping a grant does not).
pub const DOMID_SELF: Domid = 0x7FF0;
/// Owner of I/O memory.
pub const DOMID_IO: Domid = 0x7FF1;
/// Owner of Xen's own pages that it shares.
pub const DOMID_XEN: Domid = 0x7FF2;
/// Owner of pages shared copy-on-write.
pub const DOMID_COW: Domid = 0x7FF3;
/// Nobody.
pub const DOMID_INVALID: Domid = 0x7FF4;
/// The idle domain.
pub const DOMID_IDLE: Domid = 0x7FFF;
/// The bits that an id may have.
pub const DOMID_MASK: Domid = 0x7FFF;

layout! {
    /// `struct multicall_entry`: one call of a [`__HYPERVISOR_multicall`].
    #[derive(Default)]
    struct MulticallEntry[64] {
        /// Hypercall number.
        0 op: u64,
        /// Out: what the call returned.
        8 result: u64,
        /// Arguments.
        16 args: [u64; 6],
    }

    /// `struct vcpu_time_info`: Xen's clock for one vCPU, guarded by `version` like a sequence lock. x86 only
    /// in practice; Arm guests use the generic timer.
    #[derive(Default)]
    struct VcpuTimeInfo[32] {
        /// Odd while Xen writes; unchanged across a consistent read.
        0 version: u32,
        /// Unused.
        4 pad0: u32,
        /// TSC at the last update, in ticks.
        8 tsc_timestamp: u64,
        /// Time since boot at the last update, in nanoseconds.
        16 system_time: u64,
        /// Nanoseconds = ((ticks << `tsc_shift`) * this) >> 32.
        24 tsc_to_system_mul: u32,
        /// Left shift of ticks before the multiplication; right if negative.
        28 tsc_shift: i8,
        /// `XEN_PVCLOCK_*` bits.
        29 flags: u8,
        /// Unused.
        30 pad1: [u8; 2],
    }
}

/// `struct vcpu_info`: event delivery and clock of one vCPU, `A` being the architecture's `arch_vcpu_info`.
///
/// [`crate::arch_arm::VcpuInfo`] is Arm's, with its layout asserted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuInfo<A> {
    /// Xen sets it when an event became pending; the guest clears it before it looks.
    pub evtchn_upcall_pending: u8,
    /// x86 PV: masks the upcall. Unused on Arm, where the interrupt controller masks it.
    pub evtchn_upcall_mask: u8,
    /// Which words of [`SharedInfo::evtchn_pending`] to look at, a bit a word.
    pub evtchn_pending_sel: u64,
    /// The architecture's part.
    pub arch: A,
    /// The clock.
    pub time: VcpuTimeInfo,
}

/// `struct shared_info`: the page shared with Xen, `V` being the legacy array of [`VcpuInfo`] and `S` the
/// architecture's `arch_shared_info`.
///
/// [`crate::arch_arm::SharedInfo`] is Arm's, with its layout asserted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedInfo<V, S> {
    /// The first vCPUs; on Arm all of them must register their own (`VCPUOP_register_vcpu_info`) instead.
    pub vcpu_info: V,
    /// 2-level events: a bit a port, set by Xen, cleared by the guest.
    pub evtchn_pending: [u64; 64],
    /// 2-level events: a bit a port, set and cleared by the guest. An event that arrives masked makes no
    /// upcall.
    pub evtchn_mask: [u64; 64],
    /// Guards the wall clock as [`VcpuTimeInfo::version`] guards the clock.
    pub wc_version: u32,
    /// Wall clock at system time 0: seconds since 1970, low word.
    pub wc_sec: u32,
    /// Its nanoseconds.
    pub wc_nsec: u32,
    /// High word of its seconds.
    pub wc_sec_hi: u32,
    /// The architecture's part.
    pub arch: S,
}

/// `vcpu_time_info.flags`: TSCs of all vCPUs agree.
pub const XEN_PVCLOCK_TSC_STABLE_BIT: u8 = 1 << 0;
/// `vcpu_time_info.flags`: the guest was stopped in between.
pub const XEN_PVCLOCK_GUEST_STOPPED: u8 = 1 << 1;
