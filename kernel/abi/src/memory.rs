//! `memory.h`: the guest's physical address space.

use crate::xen::{Domid, XenPfn};

// Operations: `HYPERVISOR_memory_op(cmd, &argument)`.
/// Gives pages back to Xen: [`XenMemoryReservation`]; returns how many extents were done.
pub const XENMEM_decrease_reservation: u32 = 1;
/// How many pages the domain has: [`XenMemoryDomain`]; returns pages.
pub const XENMEM_current_reservation: u32 = 3;
/// How many pages it may have: [`XenMemoryDomain`]; returns pages.
pub const XENMEM_maximum_reservation: u32 = 4;
/// Puts RAM at guest frames: [`XenMemoryReservation`]; returns how many extents were done.
pub const XENMEM_populate_physmap: u32 = 6;
/// Puts one of Xen's pages at a guest frame: [`XenAddToPhysmap`].
pub const XENMEM_add_to_physmap: u32 = 7;
/// The machine's memory map (x86): [`XenMemoryMap`].
pub const XENMEM_memory_map: u32 = 9;
/// The highest guest frame: [`XenMemoryDomain`]; returns it.
pub const XENMEM_maximum_gpfn: u32 = 14;
/// Takes a page out of the address space: [`XenRemoveFromPhysmap`].
pub const XENMEM_remove_from_physmap: u32 = 15;
/// As [`XENMEM_add_to_physmap`], for several pages: [`XenAddToPhysmapBatch`].
pub const XENMEM_add_to_physmap_batch: u32 = 23;

// `space` of `add_to_physmap`.
/// The shared info page; `idx` is 0.
pub const XENMAPSPACE_shared_info: u32 = 0;
/// The domain's grant table; `idx` is the frame in it. Grows the table.
pub const XENMAPSPACE_grant_table: u32 = 1;
/// A frame of the domain's own.
pub const XENMAPSPACE_gmfn: u32 = 2;
/// A range of them.
pub const XENMAPSPACE_gmfn_range: u32 = 3;
/// Another domain's frame (batch only).
pub const XENMAPSPACE_gmfn_foreign: u32 = 4;
/// A device's registers (Arm, batch only).
pub const XENMAPSPACE_dev_mmio: u32 = 5;

/// Flag of `idx` with [`XENMAPSPACE_grant_table`]: the status frames of a version 2 table.
pub const XENMAPIDX_grant_table_status: u64 = 0x8000_0000;

/// `mem_flags`: RAM under machine addresses of at most so many bits.
#[allow(non_snake_case)]
#[must_use]
pub const fn XENMEMF_address_bits(bits: u32) -> u32 {
    bits & 0xff
}

layout! {
    /// `struct xen_memory_reservation`.
    #[derive(Default)]
    struct XenMemoryReservation[32] {
        /// Handle of an array of frame numbers.
        0 extent_start: u64,
        /// How many.
        8 nr_extents: u64,
        /// Pages an extent, as a power of two.
        16 extent_order: u32,
        /// 0: anywhere.
        20 mem_flags: u32,
        /// `DOMID_SELF`.
        24 domid: Domid,
    }

    /// `struct xen_memory_domain`.
    #[derive(Default)]
    struct XenMemoryDomain[2] {
        /// `DOMID_SELF`.
        0 domid: Domid,
    }

    /// `struct xen_add_to_physmap`.
    #[derive(Default)]
    struct XenAddToPhysmap[24] {
        /// `DOMID_SELF`.
        0 domid: Domid,
        /// Pages, with [`XENMAPSPACE_gmfn_range`].
        2 size: u16,
        /// `XENMAPSPACE_*`.
        4 space: u32,
        /// Which page of that space.
        8 idx: u64,
        /// Guest frame where it shall be.
        16 gpfn: XenPfn,
    }

    /// `struct xen_add_to_physmap_batch`.
    #[derive(Default)]
    struct XenAddToPhysmapBatch[32] {
        /// `DOMID_SELF`.
        0 domid: Domid,
        /// `XENMAPSPACE_*`.
        2 space: u16,
        /// Pages.
        4 size: u16,
        /// `u.foreign_domid` with [`XENMAPSPACE_gmfn_foreign`], 0 otherwise.
        6 u: u16,
        /// Handle of an array of `size` indices (`u64`).
        8 idxs: u64,
        /// Handle of an array of `size` guest frames (`u64`).
        16 gpfns: u64,
        /// Handle of an array of `size` results (`i32`), filled in.
        24 errs: u64,
    }

    /// `struct xen_remove_from_physmap`.
    #[derive(Default)]
    struct XenRemoveFromPhysmap[16] {
        /// `DOMID_SELF`.
        0 domid: Domid,
        /// Which guest frame.
        8 gpfn: XenPfn,
    }

    /// `struct xen_memory_map`.
    #[derive(Default)]
    struct XenMemoryMap[16] {
        /// In: entries that the buffer has room for. Out: entries of the map.
        0 nr_entries: u32,
        /// Handle of the buffer.
        8 buffer: u64,
    }
}
