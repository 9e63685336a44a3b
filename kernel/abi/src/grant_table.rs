//! `grant_table.h`: granting pages to other domains, and mapping and copying what they granted.
//!
//! Version 1 tables only: Xen on Arm has no other.

use crate::xen::Domid;

/// Index of an entry in a domain's grant table (`grant_ref_t`).
pub type GrantRef = u32;

/// What Xen calls a mapping of a grant (`grant_handle_t`).
pub type GrantHandle = u32;

/// Entries at the front of the table that the tool stack may have filled.
pub const GNTTAB_NR_RESERVED_ENTRIES: GrantRef = 8;
/// Of these, the console's.
pub const GNTTAB_RESERVED_CONSOLE: GrantRef = 0;
/// Of these, XenStore's.
pub const GNTTAB_RESERVED_XENSTORE: GrantRef = 1;

// Entry types.
/// Grants nothing.
pub const GTF_invalid: u16 = 0;
/// `domid` may map and copy `frame`.
pub const GTF_permit_access: u16 = 1;
/// `domid` may transfer a page (PV only).
pub const GTF_accept_transfer: u16 = 2;
/// `domid` may copy through another domain's grant (version 2 only).
pub const GTF_transitive: u16 = 3;
/// The bits that hold the type.
pub const GTF_type_mask: u16 = 3;
/// Read access only. Set by the granter.
pub const GTF_readonly: u16 = 1 << 2;
/// In use for reading. Set and cleared by Xen.
pub const GTF_reading: u16 = 1 << 3;
/// In use for writing. Set and cleared by Xen.
pub const GTF_writing: u16 = 1 << 4;

// Operations: `HYPERVISOR_grant_table_op(cmd, array, count)`.
/// Maps grants: [`GnttabMapGrantRef`].
pub const GNTTABOP_map_grant_ref: u32 = 0;
/// Unmaps them: [`GnttabUnmapGrantRef`].
pub const GNTTABOP_unmap_grant_ref: u32 = 1;
/// Grows the table: [`GnttabSetupTable`].
pub const GNTTABOP_setup_table: u32 = 2;
/// Copies bytes from, to or between grants: [`GnttabCopy`].
pub const GNTTABOP_copy: u32 = 5;
/// Asks for the table's size and limit: [`GnttabQuerySize`].
pub const GNTTABOP_query_size: u32 = 6;
/// Chooses the version of the table: [`GnttabSetVersion`].
pub const GNTTABOP_set_version: u32 = 8;
/// Asks for the version of the table: [`GnttabGetVersion`].
pub const GNTTABOP_get_version: u32 = 10;
/// Maintains the data cache on a part of one page: [`GnttabCacheFlush`]. Arm only.
pub const GNTTABOP_cache_flush: u32 = 12;

// `gnttab_map_grant_ref.flags`.
/// Map for devices. Refused on Arm, where `dev_bus_addr` comes with [`GNTMAP_host_map`].
pub const GNTMAP_device_map: u32 = 1 << 0;
/// Map for the CPU, at `host_addr`.
pub const GNTMAP_host_map: u32 = 1 << 1;
/// Map for reading only.
pub const GNTMAP_readonly: u32 = 1 << 2;
/// PV: user mode of the guest may access the mapping.
pub const GNTMAP_application_map: u32 = 1 << 3;
/// PV: `host_addr` is the machine address of the page table entry to write.
pub const GNTMAP_contains_pte: u32 = 1 << 4;

// `gnttab_copy.flags`.
/// The source is a grant; otherwise a frame of the caller's own.
pub const GNTCOPY_source_gref: u16 = 1 << 0;
/// The destination is a grant; otherwise a frame of the caller's own.
pub const GNTCOPY_dest_gref: u16 = 1 << 1;

// `gnttab_cache_flush.op`.
/// Clean.
pub const GNTTAB_CACHE_CLEAN: u32 = 1 << 0;
/// Invalidate.
pub const GNTTAB_CACHE_INVAL: u32 = 1 << 1;
/// `a` is a grant reference of the caller's, not an address.
pub const GNTTAB_CACHE_SOURCE_GREF: u32 = 1 << 31;

// `status` of each operation.
/// Done.
pub const GNTST_okay: i16 = 0;
/// No more particular reason.
pub const GNTST_general_error: i16 = -1;
/// No such domain.
pub const GNTST_bad_domain: i16 = -2;
/// No such reference, or not of that kind.
pub const GNTST_bad_gntref: i16 = -3;
/// No such handle.
pub const GNTST_bad_handle: i16 = -4;
/// Nothing can be mapped, or is mapped, at that address.
pub const GNTST_bad_virt_addr: i16 = -5;
/// Nothing is mapped at that device address.
pub const GNTST_bad_dev_addr: i16 = -6;
/// The IOMMU is full.
pub const GNTST_no_device_space: i16 = -7;
/// Not allowed: the entry, or a security module, says so.
pub const GNTST_permission_denied: i16 = -8;
/// Not a page that this can be done with.
pub const GNTST_bad_page: i16 = -9;
/// A copy would leave its page.
pub const GNTST_bad_copy_arg: i16 = -10;
/// The page's address is too large.
pub const GNTST_address_too_big: i16 = -11;
/// Not now: the page is being fetched; try again.
pub const GNTST_eagain: i16 = -12;
/// Out of handles or other space of the caller's.
pub const GNTST_no_space: i16 = -13;

layout! {
    /// `struct grant_entry_v1`: an entry of the table, shared with Xen. To grant: write `domid` and `frame`,
    /// a barrier, then `flags`. To revoke: compare-and-swap `flags` to 0 while neither `GTF_reading` nor
    /// `GTF_writing`.
    #[derive(Default)]
    struct GrantEntryV1[8] {
        /// `GTF_*`, written by both sides.
        0 flags: u16,
        /// To whom.
        2 domid: Domid,
        /// Guest frame number of the granted page.
        4 frame: u32,
    }

    /// `struct gnttab_map_grant_ref`: maps one grant of another domain, or of the caller's own (its real
    /// domid).
    #[derive(Default)]
    struct GnttabMapGrantRef[32] {
        /// Where: a guest-physical address on Arm and HVM, a virtual one in PV; page-aligned, in bytes.
        0 host_addr: u64,
        /// `GNTMAP_*`.
        8 flags: u32,
        /// Which grant.
        12 r#ref: GrantRef,
        /// Whose; `DOMID_SELF` is refused.
        16 dom: Domid,
        /// Out: `GNTST_*`.
        18 status: i16,
        /// Out: for unmapping.
        20 handle: GrantHandle,
        /// Out: the page's machine address on Arm, in bytes.
        24 dev_bus_addr: u64,
    }

    /// `struct gnttab_unmap_grant_ref`.
    #[derive(Default)]
    struct GnttabUnmapGrantRef[24] {
        /// As it was mapped; 0 leaves the CPU's mapping.
        0 host_addr: u64,
        /// Device mapping to undo; 0 for none.
        8 dev_bus_addr: u64,
        /// What mapping returned.
        16 handle: GrantHandle,
        /// Out: `GNTST_*`.
        20 status: i16,
    }

    /// `struct gnttab_setup_table`.
    #[derive(Default)]
    struct GnttabSetupTable[24] {
        /// `DOMID_SELF`.
        0 dom: Domid,
        /// Frames that the table shall at least have.
        4 nr_frames: u32,
        /// Out: `GNTST_*`.
        8 status: i16,
        /// Handle of an array of `nr_frames` frame numbers to be filled in.
        16 frame_list: u64,
    }

    /// `struct gnttab_copy_ptr`: one end of a copy.
    #[derive(Default)]
    struct GnttabCopyPtr[16] {
        /// `u.ref` (low 32 bits) or `u.gmfn`, as the flags say.
        0 u: u64,
        /// Whose; `DOMID_SELF` for own frames.
        8 domid: Domid,
        /// Where in the page, in bytes.
        10 offset: u16,
    }

    /// `struct gnttab_copy`: neither end may cross its page.
    #[derive(Default)]
    struct GnttabCopy[40] {
        /// From.
        0 source: GnttabCopyPtr,
        /// To.
        16 dest: GnttabCopyPtr,
        /// Bytes.
        32 len: u16,
        /// `GNTCOPY_*`.
        34 flags: u16,
        /// Out: `GNTST_*`.
        36 status: i16,
    }

    /// `struct gnttab_query_size`.
    #[derive(Default)]
    struct GnttabQuerySize[16] {
        /// `DOMID_SELF`.
        0 dom: Domid,
        /// Out: frames that the table has.
        4 nr_frames: u32,
        /// Out: frames that it may have.
        8 max_nr_frames: u32,
        /// Out: `GNTST_*`.
        12 status: i16,
    }

    /// `struct gnttab_set_version`.
    #[derive(Default)]
    struct GnttabSetVersion[4] {
        /// In: the wanted one. Out: the one in effect.
        0 version: u32,
    }

    /// `struct gnttab_get_version`.
    #[derive(Default)]
    struct GnttabGetVersion[8] {
        /// `DOMID_SELF`.
        0 dom: Domid,
        /// Unused.
        2 pad: u16,
        /// Out.
        4 version: u32,
    }

    /// `struct gnttab_cache_flush`.
    #[derive(Default)]
    struct GnttabCacheFlush[16] {
        /// `a.dev_bus_addr`, the page's machine address, or `a.ref` (low 32 bits), as `op` says.
        0 a: u64,
        /// Where in the page, in bytes.
        8 offset: u16,
        /// How much of it, in bytes.
        10 length: u16,
        /// `GNTTAB_CACHE_*`.
        12 op: u32,
    }
}
