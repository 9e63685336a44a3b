//! Up again after a fault, in the same memory.

use alloc::vec::Vec;

use outrigger_devices::RegisterIo;
use outrigger_ring::SharedPages;
use outrigger_virtio::OwnPages;

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
        Self::probe(transport.into_inner(), &OwnPages::new(pages), buffers, options)
    }
}
