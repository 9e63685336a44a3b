//! Up again after a fault, in the same memory; and down, whoever had it up.

use outrigger_devices::{DmaPool, DmaView, RegisterIo};
use outrigger_ring::SharedPages;
use outrigger_xen::Clock;

use crate::device::bring_up;
use crate::engine::Engine;
use crate::host::Host;
use crate::register::{CLOCK, clock};
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

/// A reset is over after so many looks, or never: microseconds each.
const LOOKS: u32 = 100_000;

/// Resets the controller behind `io`, whatever an earlier life of the domain has left it at: no DMA and no interrupt after this
/// returns.
pub fn stop(io: &impl RegisterIo) {
    io.write_u32(CLOCK, clock::RESET_ALL);
    for _ in 0..LOOKS {
        if io.read_u32(CLOCK) & clock::RESET_ALL == 0 {
            return;
        }
    }
    log::error!("sdhci: the controller does not even reset");
}
