//! Up again after a fault, in the same memory.

use core::cell::RefCell;

use alloc::vec::Vec;

use outrigger_devices::{DmaMemory, DmaPool, RegisterIo};
use outrigger_ring::SharedPages;

use crate::device::Parts;
use crate::{ProbeError, VirtioNet};

impl<R: RegisterIo, M: SharedPages + Clone> VirtioNet<R, M> {
    /// Brings the card up from the start, in the memory it has: for one that was quiesced or found faulty. Frames and
    /// buffers in flight are forgotten; limits may be others than before.
    ///
    /// # Errors
    /// As [`probe`](Self::probe), and [`ProbeError::NoMemory`] if it now wants more memory than before.
    pub fn restart(self) -> Result<Self, ProbeError> {
        let Parts {
            transport,
            pairs,
            control,
            buffers,
            options,
        } = self.into_parts();
        let mut pages = Vec::new();
        for pair in pairs {
            pages.extend(pair.receive.into_pages());
            pages.extend(pair.transmit.into_pages());
        }
        pages.extend(control.into_iter().flat_map(|queue| queue.into_pages()));
        // Probing resets the card before it takes the first page.
        Self::probe(
            transport.into_inner(),
            &OwnPages(RefCell::new(pages)),
            buffers,
            options,
        )
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
