//! Time in a test.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use outrigger_hal::{Clock, Instant};

/// A clock that moves by a microsecond whenever somebody looks, by 50 whenever somebody who waits gives a sign of life, and
/// otherwise when the test says so.
#[derive(Clone, Debug, Default)]
pub struct TestClock(Rc<Cell<u64>>);

impl TestClock {
    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.peek().after(by).0);
    }

    /// Moves it to `at`, if that is later than now.
    pub fn advance_to(&self, at: Instant) {
        self.0.set(self.0.get().max(at.0));
    }

    /// The time, without moving it.
    pub fn peek(&self) -> Instant {
        Instant(self.0.get())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.advance(Duration::from_micros(1));
        self.peek()
    }

    fn still_alive(&self) {
        self.advance(Duration::from_micros(50));
    }
}
