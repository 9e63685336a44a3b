//! `io/blkif.h`: block devices. All sectors are of 512 bytes, whatever the node `sector-size` says.
//!
//! A backend takes requests out of shared memory word by word, in the layout of the frontend's ABI (the node
//! `protocol`): [`layout`] has the offsets. The structures themselves are the 64-bit ones, and [`x86_32`]'s.

use core::mem::offset_of;

use crate::grant_table::GrantRef;

// `operation`.
/// Reads.
pub const BLKIF_OP_READ: u8 = 0;
/// Writes.
pub const BLKIF_OP_WRITE: u8 = 1;
/// Writes after all earlier writes are done and before any later one begins.
pub const BLKIF_OP_WRITE_BARRIER: u8 = 2;
/// Makes what was written durable.
pub const BLKIF_OP_FLUSH_DISKCACHE: u8 = 3;
/// Never sent by public frontends.
pub const BLKIF_OP_RESERVED_1: u8 = 4;
/// Gives up the content of sectors: [`BlkifRequestDiscard`].
pub const BLKIF_OP_DISCARD: u8 = 5;
/// A read or write with its segments in other pages: [`BlkifRequestIndirect`].
pub const BLKIF_OP_INDIRECT: u8 = 6;

/// Segments in the request itself.
pub const BLKIF_MAX_SEGMENTS_PER_REQUEST: usize = 11;
/// Pages of segments of an indirect request.
pub const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8;
/// Segments that a page holds (4096 / 8).
pub const SEGMENTS_PER_INDIRECT_PAGE: usize = 512;

/// `blkif_request_discard.flag`: leave no copy of the old content.
pub const BLKIF_DISCARD_SECURE: u8 = 1 << 0;

// `status`.
/// Done.
pub const BLKIF_RSP_OKAY: i16 = 0;
/// Failed.
pub const BLKIF_RSP_ERROR: i16 = -1;
/// No such operation here.
pub const BLKIF_RSP_EOPNOTSUPP: i16 = -2;

// The node `info`, a bit set.
/// A CD-ROM.
pub const VDISK_CDROM: u32 = 0x1;
/// Removable.
pub const VDISK_REMOVABLE: u32 = 0x2;
/// Read-only.
pub const VDISK_READONLY: u32 = 0x4;

layout! {
    /// `struct blkif_request_segment`: a part of one granted page; the same in every ABI.
    #[derive(Default)]
    struct BlkifRequestSegment[8] {
        /// The page.
        0 gref: GrantRef,
        /// First sector in it, 0 to 7.
        4 first_sect: u8,
        /// Last sector in it, included.
        5 last_sect: u8,
    }

    /// `struct blkif_request`: READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE. The largest, hence the slot's
    /// size.
    #[derive(Default)]
    struct BlkifRequest[112] {
        /// `BLKIF_OP_*`.
        0 operation: u8,
        /// How many of `seg` count.
        1 nr_segments: u8,
        /// The virtual device, as the frontend knows it.
        2 handle: u16,
        /// The frontend's own, echoed in the response.
        8 id: u64,
        /// First sector on the disk.
        16 sector_number: u64,
        /// Where the data is.
        24 seg: [BlkifRequestSegment; BLKIF_MAX_SEGMENTS_PER_REQUEST],
    }

    /// `struct blkif_request_discard`.
    #[derive(Default)]
    struct BlkifRequestDiscard[32] {
        /// [`BLKIF_OP_DISCARD`].
        0 operation: u8,
        /// 0 or [`BLKIF_DISCARD_SECURE`].
        1 flag: u8,
        /// The virtual device.
        2 handle: u16,
        /// Echoed in the response.
        8 id: u64,
        /// First sector.
        16 sector_number: u64,
        /// How many.
        24 nr_sectors: u64,
    }

    /// `struct blkif_request_indirect`.
    #[derive(Default)]
    struct BlkifRequestIndirect[64] {
        /// [`BLKIF_OP_INDIRECT`].
        0 operation: u8,
        /// [`BLKIF_OP_READ`] or [`BLKIF_OP_WRITE`]; the response echoes this one.
        1 indirect_op: u8,
        /// Segments in all pages.
        2 nr_segments: u16,
        /// Echoed in the response.
        8 id: u64,
        /// First sector on the disk.
        16 sector_number: u64,
        /// The virtual device.
        24 handle: u16,
        /// Pages of [`BlkifRequestSegment`], as many as `nr_segments` needs.
        28 indirect_grefs: [GrantRef; BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST],
    }

    /// `struct blkif_response`.
    #[derive(Default)]
    struct BlkifResponse[16] {
        /// The request's.
        0 id: u64,
        /// The request's.
        8 operation: u8,
        /// `BLKIF_RSP_*`.
        10 status: i16,
    }
}

/// The structures of the x86-32 ABI: 64-bit fields are aligned to 4 bytes. The segment is the same.
pub mod x86_32 {
    use super::{BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST, BLKIF_MAX_SEGMENTS_PER_REQUEST};
    use super::{BlkifRequestSegment, GrantRef};

    /// See [`super::BlkifRequest`].
    #[repr(C, packed(4))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the 64-bit structure documents them")]
    pub struct BlkifRequest {
        pub operation: u8,
        pub nr_segments: u8,
        pub handle: u16,
        pub id: u64,
        pub sector_number: u64,
        pub seg: [BlkifRequestSegment; BLKIF_MAX_SEGMENTS_PER_REQUEST],
    }

    /// See [`super::BlkifRequestDiscard`].
    #[repr(C, packed(4))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the 64-bit structure documents them")]
    pub struct BlkifRequestDiscard {
        pub operation: u8,
        pub flag: u8,
        pub handle: u16,
        pub id: u64,
        pub sector_number: u64,
        pub nr_sectors: u64,
    }

    /// See [`super::BlkifRequestIndirect`].
    #[repr(C, packed(4))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the 64-bit structure documents them")]
    pub struct BlkifRequestIndirect {
        pub operation: u8,
        pub indirect_op: u8,
        pub nr_segments: u16,
        pub id: u64,
        pub sector_number: u64,
        pub handle: u16,
        pub indirect_grefs: [GrantRef; BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST],
        pub pad: u64,
    }

    /// See [`super::BlkifResponse`].
    #[repr(C, packed(4))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the 64-bit structure documents them")]
    pub struct BlkifResponse {
        pub id: u64,
        pub operation: u8,
        pub status: i16,
    }
}

/// Offsets in a slot of the request ring, in bytes, for one ABI. All are multiples of 4 but those of
/// [`layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLayout {
    /// Bytes of a slot.
    pub size: usize,
    /// `id`, 8 bytes; the same in all three kinds of request.
    pub id: usize,
    /// `sector_number`, 8 bytes; the same in all three kinds of request.
    pub sector_number: usize,
    /// READ and its like: `seg[0]`; the others follow, 8 bytes each ([`layout::SEGMENT_SIZE`]).
    pub seg0: usize,
    /// DISCARD: `nr_sectors`, 8 bytes.
    pub nr_sectors: usize,
    /// INDIRECT: `handle`, 2 bytes.
    pub indirect_handle: usize,
    /// INDIRECT: `indirect_grefs[0]`; the others follow, 4 bytes each.
    pub indirect_grefs: usize,
}

/// Offsets of a response, in bytes: the same in every ABI, at the beginning of a slot of
/// [`RequestLayout::size`].
pub mod response {
    /// `id`, 8 bytes.
    pub const ID: usize = 0;
    /// `operation`, 1 byte; the byte after it is padding.
    pub const OPERATION: usize = 8;
    /// `status`, 2 bytes, signed.
    pub const STATUS: usize = 10;
    /// What must be written of it; the 64-bit ABIs' structure has 4 more bytes of padding.
    pub const SIZE: usize = 12;
}

/// The layout of requests in each ABI, and what is the same in all.
pub mod layout {
    use super::RequestLayout;

    /// `operation`, 1 byte.
    pub const OPERATION: usize = 0;
    /// READ and its like: `nr_segments`, 1 byte.
    pub const NR_SEGMENTS: usize = 1;
    /// READ and its like, DISCARD: `handle`, 2 bytes.
    pub const HANDLE: usize = 2;
    /// DISCARD: `flag`, 1 byte.
    pub const DISCARD_FLAG: usize = 1;
    /// INDIRECT: `indirect_op`, 1 byte.
    pub const INDIRECT_OP: usize = 1;
    /// INDIRECT: `nr_segments`, 2 bytes.
    pub const INDIRECT_NR_SEGMENTS: usize = 2;
    /// A segment, in a request as in an indirect page.
    pub const SEGMENT_SIZE: usize = 8;
    /// In a segment: `gref`, 4 bytes.
    pub const SEGMENT_GREF: usize = 0;
    /// In a segment: `first_sect`, 1 byte.
    pub const SEGMENT_FIRST_SECT: usize = 4;
    /// In a segment: `last_sect`, 1 byte.
    pub const SEGMENT_LAST_SECT: usize = 5;

    /// `x86_32-abi`.
    pub const X86_32: RequestLayout = RequestLayout {
        size: 108,
        id: 4,
        sector_number: 12,
        seg0: 20,
        nr_sectors: 20,
        indirect_handle: 20,
        indirect_grefs: 24,
    };

    /// `x86_64-abi`.
    pub const X86_64: RequestLayout = RequestLayout {
        size: 112,
        id: 8,
        sector_number: 16,
        seg0: 24,
        nr_sectors: 24,
        indirect_handle: 24,
        indirect_grefs: 28,
    };

    /// `arm-abi`.
    pub const ARM: RequestLayout = X86_64;
}

/// The offsets above are those of the structures. `$layout` is what they must be in the ABI of `$path`.
macro_rules! assert_offsets {
    ($layout:expr, $($path:tt)*) => {
        const _: () = {
            use $($path)*::{BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifResponse};
            assert!(size_of::<BlkifRequest>() == $layout.size);
            assert!(offset_of!(BlkifRequest, operation) == layout::OPERATION);
            assert!(offset_of!(BlkifRequest, nr_segments) == layout::NR_SEGMENTS);
            assert!(offset_of!(BlkifRequest, handle) == layout::HANDLE);
            assert!(offset_of!(BlkifRequest, id) == $layout.id);
            assert!(offset_of!(BlkifRequest, sector_number) == $layout.sector_number);
            assert!(offset_of!(BlkifRequest, seg) == $layout.seg0);
            assert!(offset_of!(BlkifRequestDiscard, operation) == layout::OPERATION);
            assert!(offset_of!(BlkifRequestDiscard, flag) == layout::DISCARD_FLAG);
            assert!(offset_of!(BlkifRequestDiscard, handle) == layout::HANDLE);
            assert!(offset_of!(BlkifRequestDiscard, id) == $layout.id);
            assert!(offset_of!(BlkifRequestDiscard, sector_number) == $layout.sector_number);
            assert!(offset_of!(BlkifRequestDiscard, nr_sectors) == $layout.nr_sectors);
            assert!(offset_of!(BlkifRequestIndirect, operation) == layout::OPERATION);
            assert!(offset_of!(BlkifRequestIndirect, indirect_op) == layout::INDIRECT_OP);
            assert!(offset_of!(BlkifRequestIndirect, nr_segments) == layout::INDIRECT_NR_SEGMENTS);
            assert!(offset_of!(BlkifRequestIndirect, id) == $layout.id);
            assert!(offset_of!(BlkifRequestIndirect, sector_number) == $layout.sector_number);
            assert!(offset_of!(BlkifRequestIndirect, handle) == $layout.indirect_handle);
            assert!(offset_of!(BlkifRequestIndirect, indirect_grefs) == $layout.indirect_grefs);
            assert!(size_of::<BlkifRequestIndirect>() == 64);
            assert!(offset_of!(BlkifResponse, id) == response::ID);
            assert!(offset_of!(BlkifResponse, operation) == response::OPERATION);
            assert!(offset_of!(BlkifResponse, status) == response::STATUS);
        };
    };
}

assert_offsets!(layout::ARM, crate::io::blkif);
assert_offsets!(layout::X86_64, crate::io::blkif);
assert_offsets!(layout::X86_32, crate::io::blkif::x86_32);

const _: () = {
    assert!(size_of::<BlkifRequestSegment>() == layout::SEGMENT_SIZE);
    assert!(offset_of!(BlkifRequestSegment, gref) == layout::SEGMENT_GREF);
    assert!(offset_of!(BlkifRequestSegment, first_sect) == layout::SEGMENT_FIRST_SECT);
    assert!(offset_of!(BlkifRequestSegment, last_sect) == layout::SEGMENT_LAST_SECT);
    assert!(SEGMENTS_PER_INDIRECT_PAGE * layout::SEGMENT_SIZE == 4096);
    assert!(size_of::<x86_32::BlkifResponse>() == response::SIZE);
};
