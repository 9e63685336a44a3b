//! Up again after a fault, in the same memory.

use core::cell::RefCell;

use alloc::vec::Vec;

use outrigger_devices::{DmaMemory, DmaPool, RegisterIo};
use outrigger_ring::SharedPages;

use crate::{ProbeError, VirtioBlk};

impl<R: RegisterIo, M: SharedPages + Clone> VirtioBlk<R, M> {
    /// Brings the device up from the start, in the memory it has: for a device that was quiesced or found faulty.
    /// Requests in flight are forgotten; limits may be others than before.
    ///
    /// # Errors
    /// As [`probe`](Self::probe), and [`ProbeError::NoMemory`] if it now wants more memory than before.
    pub fn restart(self) -> Result<Self, ProbeError> {
        let (transport, queues, options) = self.into_parts();
        let pages = queues.into_iter().flat_map(|queue| queue.into_pages()).collect();
        // Probing resets the device before it takes the first page.
        Self::probe(transport.into_inner(), &OwnPages(RefCell::new(pages)), options)
    }
}

struct OwnPages<M>(RefCell<Vec<DmaMemory<M>>>);

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
