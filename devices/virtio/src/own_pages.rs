//! The pages that a driver has taken, as a pool: for bringing its device up again in the same memory.

use core::cell::{Cell, RefCell};

use alloc::vec::Vec;

use outrigger_devices::{DmaMemory, DmaPool};
use outrigger_ring::SharedPages;

/// The pages of one driver. The first time they come from the domain's pool; after [`begin_again`](Self::begin_again) the
/// same ones are handed out anew, zeroed, in the same order, and no others.
#[derive(Debug)]
pub struct OwnPages<M> {
    pages: RefCell<Vec<DmaMemory<M>>>,
    /// How many of them are in use.
    used: Cell<usize>,
}

impl<M> Default for OwnPages<M> {
    fn default() -> Self {
        Self {
            pages: RefCell::default(),
            used: Cell::new(0),
        }
    }
}

impl<M: SharedPages + Clone> OwnPages<M> {
    /// A pool that takes what it hands out from `pool`, and keeps it.
    pub fn growing<'a, P: DmaPool<Memory = M>>(&'a self, pool: &'a P) -> Growing<'a, P> {
        Growing { own: self, pool }
    }

    /// All pages are free again. Only for a device that has been reset.
    pub fn begin_again(&self) {
        self.used.set(0);
    }
}

impl<M: SharedPages + Clone> DmaPool for OwnPages<M> {
    type Memory = M;

    fn page(&self) -> Option<DmaMemory<M>> {
        let page = self.pages.borrow().get(self.used.get())?.clone();
        self.used.set(self.used.get() + 1);
        for at in (0..page.memory.len()).step_by(8) {
            page.memory.store_u64(at, 0);
        }
        Some(page)
    }
}

/// As [`OwnPages::growing`] makes it.
pub struct Growing<'a, P: DmaPool> {
    own: &'a OwnPages<P::Memory>,
    pool: &'a P,
}

impl<P: DmaPool> DmaPool for Growing<'_, P> {
    type Memory = P::Memory;

    fn page(&self) -> Option<DmaMemory<P::Memory>> {
        let page = self.pool.page()?;
        self.own.pages.borrow_mut().push(page.clone());
        self.own.used.set(self.own.used.get() + 1);
        Some(page)
    }
}
