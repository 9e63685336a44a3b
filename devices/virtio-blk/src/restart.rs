//! Up again after a fault, in the same memory.

use outrigger_devices::RegisterIo;
use outrigger_ring::SharedPages;
use outrigger_virtio::OwnPages;

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
        Self::probe(transport.into_inner(), &OwnPages::new(pages), options)
    }
}
