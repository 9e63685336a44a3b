//! What `kernel/abi` says of the hypercall interface.

use xen_unikernel_abi as abi;

use crate::facts::{Facts, constants, structure};

/// All that is the same on Arm and x86-64.
pub fn common(facts: &mut Facts) {
    xen(facts);
    grant_table(facts);
    event_channel(facts);
    memory(facts);
    hvm(facts);
    sched(facts);
    vcpu(facts);
    version(facts);
    features(facts);
    errno(facts);
}

/// What Arm adds.
pub fn arm64(facts: &mut Facts) {
    use abi::arch_arm::*;
    // The C name of the second byte depends on the architecture.
    structure!(facts, VcpuInfo, "vcpu_info", {
        evtchn_upcall_pending, evtchn_upcall_mask as "pad0", evtchn_pending_sel, arch, time
    });
    structure!(facts, SharedInfo, "shared_info", {
        vcpu_info, evtchn_pending, evtchn_mask, wc_version, wc_sec, wc_nsec, wc_sec_hi, arch
    });
    structure!(facts, ArchVcpuInfo, "arch_vcpu_info", {});
    structure!(facts, ArchSharedInfo, "arch_shared_info", {});
    constants!(facts, {
        XEN_HYPERCALL_TAG, XEN_LEGACY_MAX_VCPUS, PSR_FIQ_MASK, PSR_IRQ_MASK, PSR_ABT_MASK, PSR_DBG_MASK,
        PSR_MODE_EL1h, PSR_MODE_EL1t, PSR_MODE_EL0t, SCTLR_GUEST_INIT, GUEST_GICD_BASE,
        GUEST_GICD_SIZE, GUEST_GICC_BASE, GUEST_GICC_SIZE, GUEST_GICV3_GICD_BASE, GUEST_GICV3_GICD_SIZE,
        GUEST_GICV3_GICR0_BASE, GUEST_GICV3_GICR0_SIZE, GUEST_GNTTAB_BASE, GUEST_GNTTAB_SIZE,
        GUEST_MAGIC_BASE, GUEST_MAGIC_SIZE, GUEST_RAM0_BASE, GUEST_RAM0_SIZE, GUEST_RAM1_BASE,
        GUEST_RAM1_SIZE, GUEST_TIMER_VIRT_PPI, GUEST_TIMER_PHYS_S_PPI, GUEST_TIMER_PHYS_NS_PPI,
        GUEST_EVTCHN_PPI,
    });
}

fn xen(facts: &mut Facts) {
    use abi::xen::*;
    structure!(facts, MulticallEntry, "multicall_entry", { op, result, args });
    structure!(facts, VcpuTimeInfo, "vcpu_time_info", {
        version, pad0, tsc_timestamp, system_time, tsc_to_system_mul, tsc_shift, flags, pad1
    });
    constants!(facts, {
        __HYPERVISOR_memory_op, __HYPERVISOR_multicall, __HYPERVISOR_set_timer_op,
        __HYPERVISOR_xen_version, __HYPERVISOR_console_io, __HYPERVISOR_grant_table_op,
        __HYPERVISOR_vcpu_op, __HYPERVISOR_sched_op, __HYPERVISOR_event_channel_op,
        __HYPERVISOR_physdev_op, __HYPERVISOR_hvm_op, CONSOLEIO_write, CONSOLEIO_read, VIRQ_TIMER,
        VIRQ_DEBUG, DOMID_FIRST_RESERVED, DOMID_SELF, DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID,
        DOMID_IDLE, DOMID_MASK, XEN_PVCLOCK_TSC_STABLE_BIT, XEN_PVCLOCK_GUEST_STOPPED,
    });
}

fn grant_table(facts: &mut Facts) {
    use abi::grant_table::*;
    structure!(facts, GrantEntryV1, "grant_entry_v1", { flags, domid, frame });
    structure!(facts, GnttabMapGrantRef, "gnttab_map_grant_ref", {
        host_addr, flags, r#ref, dom, status, handle, dev_bus_addr
    });
    structure!(facts, GnttabUnmapGrantRef, "gnttab_unmap_grant_ref", {
        host_addr, dev_bus_addr, handle, status
    });
    structure!(facts, GnttabSetupTable, "gnttab_setup_table", { dom, nr_frames, status, frame_list });
    structure!(facts, GnttabCopyPtr, "gnttab_copy_ptr", { u, domid, offset });
    structure!(facts, GnttabCopy, "gnttab_copy", { source, dest, len, flags, status });
    structure!(facts, GnttabQuerySize, "gnttab_query_size", { dom, nr_frames, max_nr_frames, status });
    structure!(facts, GnttabSetVersion, "gnttab_set_version", { version });
    structure!(facts, GnttabGetVersion, "gnttab_get_version", { dom, pad, version });
    structure!(facts, GnttabCacheFlush, "gnttab_cache_flush", { a, offset, length, op });
    constants!(facts, {
        GNTTAB_NR_RESERVED_ENTRIES, GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE, GTF_invalid,
        GTF_permit_access, GTF_accept_transfer, GTF_transitive, GTF_type_mask, GTF_readonly, GTF_reading,
        GTF_writing, GNTTABOP_map_grant_ref, GNTTABOP_unmap_grant_ref, GNTTABOP_setup_table, GNTTABOP_copy,
        GNTTABOP_query_size, GNTTABOP_set_version, GNTTABOP_get_version, GNTTABOP_cache_flush,
        GNTMAP_device_map, GNTMAP_host_map, GNTMAP_readonly, GNTMAP_application_map, GNTMAP_contains_pte,
        GNTCOPY_source_gref, GNTCOPY_dest_gref, GNTTAB_CACHE_CLEAN, GNTTAB_CACHE_INVAL,
        GNTTAB_CACHE_SOURCE_GREF, GNTST_okay, GNTST_general_error, GNTST_bad_domain, GNTST_bad_gntref,
        GNTST_bad_handle, GNTST_bad_virt_addr, GNTST_bad_dev_addr, GNTST_no_device_space,
        GNTST_permission_denied, GNTST_bad_page, GNTST_bad_copy_arg, GNTST_address_too_big, GNTST_eagain,
        GNTST_no_space,
    });
}

fn event_channel(facts: &mut Facts) {
    use abi::event_channel::*;
    structure!(facts, EvtchnAllocUnbound, "evtchn_alloc_unbound", { dom, remote_dom, port });
    structure!(facts, EvtchnBindInterdomain, "evtchn_bind_interdomain", {
        remote_dom, remote_port, local_port
    });
    structure!(facts, EvtchnBindVirq, "evtchn_bind_virq", { virq, vcpu, port });
    structure!(facts, EvtchnBindPirq, "evtchn_bind_pirq", { pirq, flags, port });
    structure!(facts, EvtchnBindIpi, "evtchn_bind_ipi", { vcpu, port });
    structure!(facts, EvtchnClose, "evtchn_close", { port });
    structure!(facts, EvtchnSend, "evtchn_send", { port });
    structure!(facts, EvtchnStatus, "evtchn_status", { dom, port, status, vcpu, u });
    structure!(facts, EvtchnBindVcpu, "evtchn_bind_vcpu", { port, vcpu });
    structure!(facts, EvtchnUnmask, "evtchn_unmask", { port });
    structure!(facts, EvtchnReset, "evtchn_reset", { dom });
    structure!(facts, EvtchnInitControl, "evtchn_init_control", {
        control_gfn, offset, vcpu, link_bits, _pad
    });
    structure!(facts, EvtchnExpandArray, "evtchn_expand_array", { array_gfn });
    structure!(facts, EvtchnSetPriority, "evtchn_set_priority", { port, priority });
    structure!(facts, EvtchnFifoControlBlock, "evtchn_fifo_control_block", { ready, _rsvd, head });
    constants!(facts, {
        EVTCHNOP_bind_interdomain, EVTCHNOP_bind_virq, EVTCHNOP_bind_pirq, EVTCHNOP_close, EVTCHNOP_send,
        EVTCHNOP_status, EVTCHNOP_alloc_unbound, EVTCHNOP_bind_ipi, EVTCHNOP_bind_vcpu, EVTCHNOP_unmask,
        EVTCHNOP_reset, EVTCHNOP_init_control, EVTCHNOP_expand_array, EVTCHNOP_set_priority,
        BIND_PIRQ__WILL_SHARE, EVTCHNSTAT_closed, EVTCHNSTAT_unbound, EVTCHNSTAT_interdomain,
        EVTCHNSTAT_pirq, EVTCHNSTAT_virq, EVTCHNSTAT_ipi, EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_PRIORITY_MAX,
        EVTCHN_FIFO_PRIORITY_DEFAULT, EVTCHN_FIFO_PRIORITY_MIN, EVTCHN_FIFO_MAX_QUEUES,
        EVTCHN_FIFO_PENDING, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_BUSY,
        EVTCHN_FIFO_LINK_BITS, EVTCHN_FIFO_LINK_MASK, EVTCHN_FIFO_NR_CHANNELS,
    });
}

fn memory(facts: &mut Facts) {
    use abi::memory::*;
    structure!(facts, XenMemoryReservation, "xen_memory_reservation", {
        extent_start, nr_extents, extent_order, mem_flags, domid
    });
    structure!(facts, XenMemoryDomain, "xen_memory_domain", { domid });
    structure!(facts, XenAddToPhysmap, "xen_add_to_physmap", { domid, size, space, idx, gpfn });
    structure!(facts, XenAddToPhysmapBatch, "xen_add_to_physmap_batch", {
        domid, space, size, u, idxs, gpfns, errs
    });
    structure!(facts, XenRemoveFromPhysmap, "xen_remove_from_physmap", { domid, gpfn });
    structure!(facts, XenMemoryMap, "xen_memory_map", { nr_entries, buffer });
    constants!(facts, {
        XENMEM_decrease_reservation, XENMEM_current_reservation, XENMEM_maximum_reservation,
        XENMEM_populate_physmap, XENMEM_add_to_physmap, XENMEM_memory_map, XENMEM_maximum_gpfn,
        XENMEM_remove_from_physmap, XENMEM_add_to_physmap_batch, XENMAPSPACE_shared_info,
        XENMAPSPACE_grant_table, XENMAPSPACE_gmfn, XENMAPSPACE_gmfn_range, XENMAPSPACE_gmfn_foreign,
        XENMAPSPACE_dev_mmio, XENMAPIDX_grant_table_status,
    });
}

fn hvm(facts: &mut Facts) {
    use abi::hvm::*;
    structure!(facts, XenHvmParam, "xen_hvm_param", { domid, pad, index, value });
    constants!(facts, {
        HVMOP_set_param, HVMOP_get_param, HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_STORE_PFN,
        HVM_PARAM_STORE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN, HVM_NR_PARAMS,
    });
}

fn sched(facts: &mut Facts) {
    use abi::sched::*;
    structure!(facts, SchedShutdown, "sched_shutdown", { reason });
    structure!(facts, SchedPoll, "sched_poll", { ports, nr_ports, timeout });
    structure!(facts, SchedRemoteShutdown, "sched_remote_shutdown", { domain_id, reason });
    structure!(facts, SchedWatchdog, "sched_watchdog", { id, timeout });
    constants!(facts, {
        SCHEDOP_yield, SCHEDOP_block, SCHEDOP_shutdown, SCHEDOP_poll, SCHEDOP_remote_shutdown,
        SCHEDOP_shutdown_code, SCHEDOP_watchdog, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_suspend,
        SHUTDOWN_crash, SHUTDOWN_watchdog, SHUTDOWN_soft_reset,
    });
}

fn vcpu(facts: &mut Facts) {
    use abi::vcpu::*;
    structure!(facts, VcpuRegisterVcpuInfo, "vcpu_register_vcpu_info", { mfn, offset, rsvd });
    structure!(facts, VcpuRunstateInfo, "vcpu_runstate_info", { state, state_entry_time, time });
    structure!(
        facts,
        VcpuRegisterRunstateMemoryArea,
        "vcpu_register_runstate_memory_area",
        { addr }
    );
    constants!(facts, {
        VCPUOP_register_runstate_memory_area, VCPUOP_register_vcpu_info, RUNSTATE_running,
        RUNSTATE_runnable, RUNSTATE_blocked, RUNSTATE_offline,
    });
}

fn version(facts: &mut Facts) {
    use abi::version::*;
    structure!(facts, XenFeatureInfo, "xen_feature_info", { submap_idx, submap });
    constants!(facts, {
        XENVER_version, XENVER_extraversion, XENVER_get_features, XENVER_pagesize,
    });
}

fn features(facts: &mut Facts) {
    use abi::features::*;
    constants!(facts, {
        XENFEAT_auto_translated_physmap, XENFEAT_gnttab_map_avail_bits, XENFEAT_hvm_callback_vector,
        XENFEAT_hvm_safe_pvclock, XENFEAT_hvm_pirqs, XENFEAT_dom0,
        XENFEAT_not_direct_mapped, XENFEAT_direct_mapped, XENFEAT_NR_SUBMAPS,
    });
}

fn errno(facts: &mut Facts) {
    use abi::errno::*;
    constants!(facts, {
        XEN_EPERM, XEN_ENOENT, XEN_ESRCH, XEN_EIO, XEN_ENXIO, XEN_E2BIG, XEN_EAGAIN, XEN_ENOMEM,
        XEN_EACCES, XEN_EFAULT, XEN_EBUSY, XEN_EEXIST, XEN_EXDEV, XEN_ENODEV, XEN_ENOTDIR, XEN_EISDIR,
        XEN_EINVAL, XEN_ENOSPC, XEN_EROFS, XEN_ERANGE, XEN_ENOSYS, XEN_ENOTEMPTY, XEN_ENODATA,
        XEN_EOVERFLOW, XEN_EOPNOTSUPP, XEN_EISCONN, XEN_ENOTCONN, XEN_ETIMEDOUT,
    });
}
