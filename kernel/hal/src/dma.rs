//! Memory that a driver shares with its device.

use outrigger_ring::SharedPages;

use crate::{DmaPage, DmaReach, DmaSegment};

/// One zeroed page, for the CPU and for the device.
#[derive(Clone, Debug)]
pub struct DmaMemory<M> {
    /// The CPU's view, exactly one page.
    pub memory: M,
    /// The device's view.
    pub page: DmaPage,
}

/// Where drivers get their descriptor rings and buffers. A page at a time: consecutive pages need not be contiguous on
/// the bus, and what needs more than a page in one piece must be laid out otherwise.
pub trait DmaPool {
    /// The CPU's view of a page. The device is the other party that writes it.
    type Memory: SharedPages + Clone;

    /// One zeroed page; `None` when there is none left. For start-up, never the data path.
    fn page(&self) -> Option<DmaMemory<Self::Memory>>;

    /// As [`page`](Self::page), for a device that does not reach all memory: `None` also if no page within its reach can
    /// be found.
    fn page_within(&self, reach: &DmaReach) -> Option<DmaMemory<Self::Memory>> {
        self.page().filter(|memory| reach.holds(memory.page))
    }
}

/// The CPU's hand on memory that is a device's, be it a page of the pool or a guest's: for devices that have no DMA, do
/// not reach the memory, or do not see the caches.
pub trait DmaView {
    /// Copies whole words out of a segment. Its address, and `at` (in bytes from its start), are multiples of 4.
    ///
    /// # Panics
    /// Bytes outside the segment are our own bug, and so is a segment that is not mapped any more.
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]);

    /// Copies whole words in. As [`copy_out`](Self::copy_out).
    ///
    /// # Panics
    /// As [`copy_out`](Self::copy_out), and if the segment is mapped for reading only.
    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]);

    /// Writes what the caches hold of the segment to memory (to the point of coherency), where the device reads it.
    fn clean(&self, segment: DmaSegment);

    /// Writes back and then drops what the caches hold of the segment, so that nothing of theirs overwrites what the device
    /// writes, and the CPU's next load sees it. Whole cache lines, but neighbours in them lose nothing.
    fn clean_and_invalidate(&self, segment: DmaSegment);
}

/// A pool may be lent.
impl<D: DmaPool> DmaPool for &D {
    type Memory = D::Memory;
    fn page(&self) -> Option<DmaMemory<Self::Memory>> {
        (**self).page()
    }
    fn page_within(&self, reach: &DmaReach) -> Option<DmaMemory<Self::Memory>> {
        (**self).page_within(reach)
    }
}

/// So may a view.
impl<D: DmaView> DmaView for &D {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        (**self).copy_out(segment, at, words);
    }
    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        (**self).copy_in(segment, at, words);
    }
    fn clean(&self, segment: DmaSegment) {
        (**self).clean(segment);
    }
    fn clean_and_invalidate(&self, segment: DmaSegment) {
        (**self).clean_and_invalidate(segment);
    }
}
