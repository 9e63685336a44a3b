//! A second beginning.

use outrigger_devices::{DeviceFault, Health, RegisterIo};
use outrigger_ring::SharedPages;
use outrigger_virtio::OwnPages;

use crate::device::bring_up;
use crate::{ProbeError, VirtioBlk};

impl<R: RegisterIo, M: SharedPages + Clone> VirtioBlk<R, M> {
    /// Brings the device up from the start, in the memory it has.
    pub(crate) fn begin_again(&mut self) -> Result<(), DeviceFault> {
        if !self.stop(Health::Quiesced) {
            return Err(DeviceFault("it cannot be reset"));
        }
        let queues = core::mem::take(&mut self.queues);
        let pages = queues.into_iter().flat_map(|queue| queue.into_pages()).collect();
        match bring_up(&self.transport, &OwnPages::new(pages), self.options) {
            Ok((limits, queues)) => {
                self.limits = limits;
                self.queues = queues;
                self.health = Health::Serving;
                Ok(())
            }
            Err(error) => Err(self.lost(&error)),
        }
    }

    #[cold]
    fn lost(&mut self, error: &ProbeError) -> DeviceFault {
        log::error!("virtio-blk: after a reset: {error}");
        self.stop(Health::Quiesced);
        DeviceFault("it does not come back from a reset")
    }
}
