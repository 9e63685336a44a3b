//! The DMA pool: the domain's own pages, with the addresses a device knows them by.
//!
//! Without an IOMMU those are machine addresses, asked of Xen by self-grant, a few dozen pages a hypercall. A board whose
//! devices do not reach all memory, or see it through an IOMMU, is decided here and nowhere else.

use core::cell::RefCell;

use alloc::vec::Vec;
use core::ops::Range;
use outrigger_devices::{DmaMemory, DmaPool, DmaSegment, DmaView, PAGE_SIZE};
use outrigger_ring::SharedPages;

use crate::Shared;
use crate::arch::current::cache;
use crate::pages::Pages;
use crate::xen::Xen;

/// Pages looked up at a time.
const BATCH: usize = 64;

/// Hands out pages that a device may reach.
pub struct Pool {
    xen: &'static Xen,
    pages: &'static Pages,
    ready: RefCell<Vec<DmaMemory<Shared>>>,
}

impl Pool {
    pub(crate) fn new(xen: &'static Xen, pages: &'static Pages) -> Self {
        Self {
            xen,
            pages,
            ready: RefCell::new(Vec::with_capacity(BATCH)),
        }
    }
}

impl DmaPool for Pool {
    type Memory = Shared;

    fn page(&self) -> Option<DmaMemory<Shared>> {
        let mut ready = self.ready.borrow_mut();
        if ready.is_empty() {
            let batch: Vec<Shared> = core::iter::from_fn(|| self.pages.take()).take(BATCH).collect();
            let mut memories = batch.iter();
            self.xen.grants.bus_addresses(self.xen.domid, &batch, |page| {
                let memory = memories.next().expect("one address a page").clone();
                ready.push(DmaMemory { memory, page });
            });
            ready.reverse();
        }
        ready.pop()
    }
}

/// The frame that a segment lies in, and its first byte there.
fn frame(segment: DmaSegment) -> (Shared, usize) {
    let base = segment.gfn as usize * PAGE_SIZE;
    // SAFETY: a segment's frame is a page of the pool, or one of the window where granted pages are mapped, which stage 1
    // maps for every domain with a device that needs this. Where neither holds, the access faults.
    let page = unsafe { Shared::new(base, PAGE_SIZE) };
    (page, segment.addr.bits() as usize % PAGE_SIZE)
}

fn bytes(segment: DmaSegment) -> Range<usize> {
    let start = segment.gfn as usize * PAGE_SIZE + segment.addr.bits() as usize % PAGE_SIZE;
    start..start + segment.len as usize
}

impl DmaView for Pool {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        let (page, start) = frame(segment);
        page.copy_out(start + at as usize, words);
    }

    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        let (page, start) = frame(segment);
        page.copy_in(start + at as usize, words);
    }

    fn clean(&self, segment: DmaSegment) {
        cache::clean(bytes(segment));
    }

    fn clean_and_invalidate(&self, segment: DmaSegment) {
        cache::clean_and_invalidate(bytes(segment));
    }
}
