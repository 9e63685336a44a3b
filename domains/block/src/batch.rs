//! What a turn works with, and what it may do.

use alloc::vec::Vec;

use outrigger_blkif::Segment;
use outrigger_xen::{DmaMap, GrantError, GrantTable, MapRequest};

use crate::gather::{Mapped, SEGMENT_BUDGET};
use crate::view::MAX_INDIRECT_SEGMENTS;

/// So a turn's requests have at most this many.
pub(crate) const TURN_SEGMENTS: usize = SEGMENT_BUDGET + MAX_INDIRECT_SEGMENTS;

/// Pages that a turn maps for requests, those of all rings together, and pages that it unmaps: 4 MiB each.
/// What is more waits for the next turn. A ring maps half of that, and less where many want some; but at
/// least what one request may need.
const TURN_PAGES: usize = 2 * SEGMENT_BUDGET;

/// Scratch memory that all rings share, one after the other.
pub(crate) struct Batch {
    pub requests: Vec<MapRequest>,
    pub results: Vec<Result<DmaMap, GrantError>>,
    /// What became of the requests that [`Gather::map`] dealt with.
    pub outcomes: Vec<Mapped>,
    /// The segments of one indirect request, as words.
    pub words: Vec<u32>,
    pub unmapping: Vec<DmaMap>,
    /// Pages that this turn may still map.
    pub maps_left: usize,
    /// The same for the ring that has its turn.
    pub ring_left: usize,
    /// Some ring had to wait for the next turn because of that.
    pub is_short: bool,
    /// Pages that this turn may still unmap, but for the last request's.
    pub unmaps_left: usize,
}

impl Batch {
    pub fn new() -> Self {
        Self {
            requests: Vec::with_capacity(TURN_SEGMENTS),
            results: Vec::with_capacity(TURN_SEGMENTS),
            outcomes: Vec::with_capacity(TURN_SEGMENTS),
            words: alloc::vec![0; Segment::WORDS * MAX_INDIRECT_SEGMENTS],
            unmapping: Vec::with_capacity(2 * TURN_SEGMENTS),
            maps_left: TURN_PAGES,
            ring_left: SEGMENT_BUDGET,
            is_short: false,
            unmaps_left: TURN_PAGES,
        }
    }

    /// A turn begins.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.maps_left = TURN_PAGES;
        self.is_short = false;
        self.unmaps_left = TURN_PAGES;
    }

    /// One of `rings` rings has its turn.
    #[inline]
    pub fn begin_ring(&mut self, rings: usize) {
        self.ring_left = (TURN_PAGES / rings.max(1)).clamp(MAX_INDIRECT_SEGMENTS, SEGMENT_BUDGET);
    }

    /// Unmaps all that was given up since, in batches. To be called before any response of those requests is
    /// written.
    #[inline]
    pub fn unmap<H: GrantTable>(&mut self, hv: &H) {
        if !self.unmapping.is_empty() {
            hv.unmap_for_dma(&mut self.unmapping);
        }
    }
}
