//! Down, whoever had it up.

use outrigger_devices::RegisterIo;

use crate::register::{CLOCK, clock};

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
