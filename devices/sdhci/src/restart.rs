//! Up again after a fault, in the same memory.

use outrigger_devices::{DmaPool, DmaView, RegisterIo};
use outrigger_ring::SharedPages;
use outrigger_xen::Clock;

use crate::device::bring_up;
use crate::engine::Engine;
use crate::host::Host;
use crate::{ProbeError, Sdhci};

impl<R, P, C> Sdhci<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    /// Brings controller and card up from the start, in the memory they have: after a quiesce or a fault, or with another
    /// card in the slot. Requests in flight are forgotten; limits may be others than before.
    ///
    /// # Errors
    /// As [`probe`](Self::probe).
    pub fn restart(self) -> Result<Self, ProbeError> {
        let (engine, options) = self.into_parts();
        let Engine {
            host, path, table, ..
        } = engine;
        let (io, clock, chip) = host.into_parts();
        let mut host = Host::find(io, clock, chip)?;
        let card = bring_up(&mut host, &options)?;
        Ok(Self::assemble(host, card, path, table, options))
    }
}
