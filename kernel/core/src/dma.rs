//! The DMA pool: the domain's own pages, with the addresses a device knows them by.
//!
//! Without an IOMMU those are machine addresses, asked of Xen by self-grant, a few dozen pages a hypercall. A board whose
//! devices do not reach all memory, or see it through an IOMMU, is decided here and nowhere else.

use core::cell::RefCell;

use alloc::vec::Vec;
use core::ops::Range;
use outrigger_hal::{DmaMemory, DmaPage, DmaPool, DmaReach, DmaSegment, DmaView, PAGE_SIZE};
use outrigger_ring::SharedPages;

use crate::Shared;
use crate::arch::current::cache;
use crate::hypercalls::exchange_page;
use crate::pages::Pages;
use crate::survivors::addresses::Addresses;
use crate::xen::Xen;

/// Pages looked up at a time.
const BATCH: usize = 64;

/// Hands out pages that a device may reach.
pub struct Pool {
    xen: &'static Xen,
    pages: &'static Pages,
    addresses: Addresses<Shared>,
    ready: RefCell<Vec<DmaMemory<Shared>>>,
}

impl Pool {
    pub(crate) fn new(xen: &'static Xen, pages: &'static Pages, addresses: Addresses<Shared>) -> Self {
        Self {
            xen,
            pages,
            addresses,
            ready: RefCell::new(Vec::with_capacity(BATCH)),
        }
    }
}

impl DmaPool for Pool {
    type Memory = Shared;

    fn page(&self) -> Option<DmaMemory<Shared>> {
        let mut ready = self.ready.borrow_mut();
        if ready.is_empty() {
            let mut batch: Vec<(Shared, Option<u64>)> = Vec::with_capacity(BATCH);
            batch.extend(core::iter::from_fn(|| self.pages.take()).take(BATCH).map(|page| {
                let known = self.addresses.get(page.gfn());
                (page, known)
            }));
            let unknown: Vec<Shared> = batch
                .iter()
                .filter(|(_, known)| known.is_none())
                .map(|(page, _)| page.clone())
                .collect();
            let mut told = Vec::with_capacity(unknown.len());
            self.xen
                .grants
                .bus_addresses(self.xen.domid, &unknown, |page| told.push(page));
            let mut told = told.into_iter();
            // The next to be handed out is the last.
            ready.extend(batch.into_iter().map(|(memory, known)| {
                let page = match known {
                    Some(frame) => DmaPage::mint(frame * PAGE_SIZE as u64, memory.gfn()),
                    None => {
                        let page = told.next().expect("one address a page");
                        self.addresses
                            .set(memory.gfn(), page.at(0).bits() / PAGE_SIZE as u64);
                        page
                    }
                };
                DmaMemory { memory, page }
            }));
            ready.reverse();
        }
        ready.pop()
    }

    /// A page that is out of reach is exchanged with Xen for one that is not: Xen gives domains memory from the top, where
    /// devices of few address bits do not reach.
    fn page_within(&self, reach: &DmaReach) -> Option<DmaMemory<Shared>> {
        let DmaMemory { memory, page } = self.page()?;
        if reach.holds(page) {
            return Some(DmaMemory { memory, page });
        }
        if reach.start != 0 || reach.end < PAGE_SIZE as u64 {
            return None;
        }
        // SAFETY: it was handed out to us just now, and nobody has seen it.
        let exchanged = unsafe { exchange_page(memory.gfn(), reach.end.ilog2()) };
        if let Err(errno) = exchanged {
            log::warn!(
                "Xen has no memory that a device with {} bits reaches: {errno:?}",
                reach.end.ilog2()
            );
            return None;
        }
        let mut found = None;
        self.xen
            .grants
            .bus_addresses(self.xen.domid, core::slice::from_ref(&memory), |page| {
                found = Some(page)
            });
        let page = found.filter(|page| reach.holds(*page))?;
        (0..PAGE_SIZE).step_by(8).for_each(|at| memory.store_u64(at, 0));
        Some(DmaMemory { memory, page })
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
