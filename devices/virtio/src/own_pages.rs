//! The pages that a driver has already, as a pool: for bringing its device up again in the same memory.

use core::cell::RefCell;

use alloc::vec::Vec;

use outrigger_devices::{DmaMemory, DmaPool};
use outrigger_ring::SharedPages;

/// Pages that are handed out again, zeroed. Only for a device that has been reset, or is before the first page is taken.
#[derive(Debug)]
pub struct OwnPages<M>(RefCell<Vec<DmaMemory<M>>>);

impl<M> OwnPages<M> {
    /// A pool of these pages.
    pub fn new(pages: Vec<DmaMemory<M>>) -> Self {
        Self(RefCell::new(pages))
    }
}

impl<M: SharedPages + Clone> DmaPool for OwnPages<M> {
    type Memory = M;

    fn page(&self) -> Option<DmaMemory<M>> {
        let page = self.0.borrow_mut().pop()?;
        for at in (0..page.memory.len()).step_by(8) {
            page.memory.store_u64(at, 0);
        }
        Some(page)
    }
}
