//! Time, and waiting for it or for anything else.

use core::time::Duration;

/// A moment: nanoseconds of the domain's own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `after` later, or the end of time.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long since `earlier`; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A monotonic clock.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;

    /// A sign of life for the watchdog, from a loop that waits for something and has a bound of its own.
    fn still_alive(&self) {}
}

/// A clock may be lent.
impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }
    fn still_alive(&self) {
        (**self).still_alive();
    }
}

/// What ended a wait. More than one may be set, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// An event channel became pending.
    pub events: bool,
    /// The device interrupts that fired, by the number they were bound with.
    pub devices: u32,
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
