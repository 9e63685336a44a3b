//! Memory for a domain's devices, as drivers ask for it.

use outrigger_hal::{DmaMemory, DmaPool, DmaSegment, DmaView, PAGE_SIZE};
use outrigger_ring::SharedPages;

use super::{Domain, FakePages, Quiet};

impl DmaPool for Domain {
    type Memory = FakePages;
    fn page(&self) -> Option<DmaMemory<Self::Memory>> {
        self.pool_page().map(|(memory, page)| DmaMemory { memory, page })
    }
}

/// Its caches are coherent: cleaning has nothing to do.
impl DmaView for Domain {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        self.dma_view(segment)
            .copy_out(place(segment, at, words.len()), words);
    }
    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        self.dma_view(segment)
            .copy_in(place(segment, at, words.len()), words);
    }
    fn clean(&self, _: DmaSegment) {}
    fn clean_and_invalidate(&self, _: DmaSegment) {}
}

impl DmaPool for Quiet {
    type Memory = FakePages;
    fn page(&self) -> Option<DmaMemory<Self::Memory>> {
        self.with(Domain::page)
    }
}

impl DmaView for Quiet {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        self.with(|domain| domain.copy_out(segment, at, words));
    }
    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        self.with(|domain| domain.copy_in(segment, at, words));
    }
    fn clean(&self, _: DmaSegment) {}
    fn clean_and_invalidate(&self, _: DmaSegment) {}
}

fn place(segment: DmaSegment, at: u32, words: usize) -> usize {
    assert!(
        at as usize + 4 * words <= segment.len as usize,
        "words within the segment"
    );
    segment.addr.bits() as usize % PAGE_SIZE + at as usize
}
