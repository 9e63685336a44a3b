//! The DMA pool: the domain's own pages, with the addresses a device knows them by.
//!
//! Without an IOMMU those are machine addresses, asked of Xen by self-grant, a few dozen pages a hypercall. A board whose
//! devices do not reach all memory, or see it through an IOMMU, is decided here and nowhere else.

use core::cell::RefCell;

use alloc::vec::Vec;
use outrigger_devices::{DmaMemory, DmaPool};

use crate::Shared;
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
