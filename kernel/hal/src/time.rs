//! Time.

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
