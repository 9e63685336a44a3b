//! A virtual disk, as one ring sees it.

use outrigger_blkif::{DataOp, Refusal};
use outrigger_devices::BlockLimits;

use crate::slice::Slice;

/// Most segments of an indirect request that are ever offered; one indirect page holds them.
pub(crate) const MAX_INDIRECT_SEGMENTS: usize = 256;

/// What a request may do, and where its sectors are on the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskView {
    /// The part of the device that is served.
    pub slice: Slice,
    pub read_only: bool,
    /// Most segments a device request.
    pub max_segments: usize,
    /// Most segments an indirect request.
    pub max_indirect: usize,
    /// Most sectors a device discard, a multiple of the block; 0 if discards are not served.
    pub max_discard: u32,
    /// The logical block in sectors, less one.
    block_mask: u32,
}

impl DiskView {
    pub fn new(slice: Slice, read_only: bool, discard: bool, limits: &BlockLimits) -> Self {
        let read_only = read_only || limits.read_only;
        let block_mask = (limits.logical_block_size / 512).max(1) - 1;
        Self {
            slice,
            read_only,
            max_segments: limits.max_segments.max(1),
            // A request that the device cannot take whole is split.
            max_indirect: MAX_INDIRECT_SEGMENTS,
            max_discard: if read_only || !discard {
                0
            } else {
                limits.max_discard_sectors & !block_mask
            },
            block_mask,
        }
    }

    /// Checks a read or write of `sectors` sectors in all, whose segments' lengths were `or`ed into `lengths`; gives the
    /// first sector on the device.
    #[inline]
    pub fn check_data(&self, op: DataOp, sector: u64, sectors: u32, lengths: u32) -> Result<u64, Refusal> {
        if op == DataOp::Write && self.read_only {
            return Err(Refusal::ReadOnly);
        }
        // Each part that a request may be split into must be aligned, so each segment is.
        if (sector as u32 | lengths) & self.block_mask != 0 {
            return Err(Refusal::Misaligned);
        }
        self.slice
            .locate(sector, sectors.into())
            .ok_or(Refusal::OutOfRange)
    }

    /// Checks a discard; gives the first sector on the device.
    pub fn check_discard(&self, sector: u64, sectors: u64) -> Result<u64, Refusal> {
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if self.max_discard == 0 {
            return Err(Refusal::Unsupported);
        }
        // Each part is counted.
        if sectors == 0 || sectors.div_ceil(self.max_discard.into()) > u32::MAX.into() {
            return Err(Refusal::SegmentCount);
        }
        if (sector as u32 | sectors as u32) & self.block_mask != 0 {
            return Err(Refusal::Misaligned);
        }
        self.slice.locate(sector, sectors).ok_or(Refusal::OutOfRange)
    }

    /// How many device requests `segments` segments take.
    #[inline]
    pub fn parts(&self, segments: usize) -> u32 {
        if segments <= self.max_segments {
            1
        } else {
            // At most 256.
            segments.div_ceil(self.max_segments) as u32
        }
    }
}
