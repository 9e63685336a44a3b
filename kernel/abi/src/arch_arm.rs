//! `arch-arm.h`: the hypercall instruction, the guest's starting state and the machine that `libxl` builds.
//!
//! The memory map (`GUEST_*`) is not ABI: a guest must read its device tree. It is here for tests and for
//! tools.

use core::mem::offset_of;

use crate::xen;

/// The immediate of `hvc` that makes a hypercall: number in x16, arguments in x0 to x4, result in x0.
pub const XEN_HYPERCALL_TAG: u16 = 0xEA1;

/// How many vCPUs have a place in `shared_info`.
pub const XEN_LEGACY_MAX_VCPUS: usize = 1;

/// `struct arch_vcpu_info`: empty on Arm.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchVcpuInfo {}

/// `struct arch_shared_info`: empty on Arm.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchSharedInfo {}

/// `struct vcpu_info` on Arm.
pub type VcpuInfo = xen::VcpuInfo<ArchVcpuInfo>;

/// `struct shared_info` on Arm.
pub type SharedInfo = xen::SharedInfo<[VcpuInfo; XEN_LEGACY_MAX_VCPUS], ArchSharedInfo>;

const _: () = {
    assert!(size_of::<VcpuInfo>() == 48);
    assert!(offset_of!(VcpuInfo, evtchn_upcall_pending) == 0);
    assert!(offset_of!(VcpuInfo, evtchn_pending_sel) == 8);
    assert!(offset_of!(VcpuInfo, time) == 16);
    assert!(size_of::<SharedInfo>() == 1088);
    assert!(offset_of!(SharedInfo, evtchn_pending) == 48);
    assert!(offset_of!(SharedInfo, evtchn_mask) == 560);
    assert!(offset_of!(SharedInfo, wc_version) == 1072);
};

// PSR bits.
/// Fast interrupts masked.
pub const PSR_FIQ_MASK: u32 = 1 << 6;
/// Interrupts masked.
pub const PSR_IRQ_MASK: u32 = 1 << 7;
/// Asynchronous aborts masked.
pub const PSR_ABT_MASK: u32 = 1 << 8;
/// Debug exceptions masked.
pub const PSR_DBG_MASK: u32 = 1 << 9;
/// EL1 with its own stack pointer.
pub const PSR_MODE_EL1h: u32 = 0x05;
/// EL1 with EL0's stack pointer.
pub const PSR_MODE_EL1t: u32 = 0x04;
/// EL0.
pub const PSR_MODE_EL0t: u32 = 0x00;
/// `SCTLR_EL1` that a guest starts with: MMU and caches off.
pub const SCTLR_GUEST_INIT: u64 = 0x00c5_0078;

// The guest-physical memory map, in bytes.
/// GICv2 distributor.
pub const GUEST_GICD_BASE: u64 = 0x0300_1000;
/// Its size.
pub const GUEST_GICD_SIZE: u64 = 0x1000;
/// GICv2 CPU interface.
pub const GUEST_GICC_BASE: u64 = 0x0300_2000;
/// Its size.
pub const GUEST_GICC_SIZE: u64 = 0x2000;
/// GICv3 distributor.
pub const GUEST_GICV3_GICD_BASE: u64 = 0x0300_1000;
/// Its size.
pub const GUEST_GICV3_GICD_SIZE: u64 = 0x1_0000;
/// GICv3 redistributors.
pub const GUEST_GICV3_GICR0_BASE: u64 = 0x0302_0000;
/// Their size.
pub const GUEST_GICV3_GICR0_SIZE: u64 = 0x0100_0000;
/// Window for the grant table (and what else the guest puts there).
pub const GUEST_GNTTAB_BASE: u64 = 0x3800_0000;
/// Its size.
pub const GUEST_GNTTAB_SIZE: u64 = 0x0100_0000;
/// Pages that the tool stack puts there: console, XenStore and others.
pub const GUEST_MAGIC_BASE: u64 = 0x3900_0000;
/// Their size.
pub const GUEST_MAGIC_SIZE: u64 = 0x0100_0000;
/// First bank of RAM.
pub const GUEST_RAM0_BASE: u64 = 0x4000_0000;
/// Its largest size.
pub const GUEST_RAM0_SIZE: u64 = 0xc000_0000;
/// Second bank of RAM.
pub const GUEST_RAM1_BASE: u64 = 0x02_0000_0000;
/// Its largest size.
pub const GUEST_RAM1_SIZE: u64 = 0xfe_0000_0000;

// Interrupts, as INTIDs.
/// Virtual timer.
pub const GUEST_TIMER_VIRT_PPI: u32 = 27;
/// Secure physical timer.
pub const GUEST_TIMER_PHYS_S_PPI: u32 = 29;
/// Physical timer.
pub const GUEST_TIMER_PHYS_NS_PPI: u32 = 30;
/// Event channel upcall.
pub const GUEST_EVTCHN_PPI: u32 = 31;
