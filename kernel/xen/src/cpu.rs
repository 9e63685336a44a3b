//! Waiting.

use outrigger_hal::{Instant, IrqSet};

/// What ended a wait. More than one may be set, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// An event channel became pending.
    pub events: bool,
    /// The device interrupts that fired, by the number they were bound with.
    pub devices: IrqSet,
    /// The deadline passed.
    pub timer: bool,
}

/// The one virtual CPU, which runs to completion with interrupts masked and looks for them only here.
pub trait Cpu {
    /// Ends the interrupts that the last wait took, then sleeps until an interrupt or `deadline` (`None`: for ever).
    /// An interrupt that came since the last wait ends it at once, so nothing is missed between a last look and the
    /// sleep. A deadline that has passed only collects what is there.
    fn wait(&mut self, deadline: Option<Instant>) -> Wake;

    /// From now on more than 50 ms between two waits, without a sign of life ([`Clock::still_alive`]), are a fault that ends
    /// in a restart in place. A processor without a watchdog takes no notice.
    fn be_watched(&mut self) {}
}
