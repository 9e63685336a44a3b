//! How long somebody may keep us waiting, in time in which this domain was there to be answered.

use core::time::Duration;

use crate::Instant;

/// A limit on how long to wait for something. It is looked at about once a second, and a look counts a second
/// at most: what is beyond that the domain has not run (it was paused, its processor was given to others, the
/// host was asleep), so nobody can have failed to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    left: Duration,
    looked: Instant,
}

impl Patience {
    /// How often to look, and what a look counts at most.
    const STEP: Duration = Duration::from_secs(1);

    /// From now on, for so long.
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self {
            left: limit,
            looked: now,
        }
    }

    /// When to look next.
    pub fn next(&self) -> Instant {
        self.looked.after(self.left.min(Self::STEP))
    }

    /// A look, after all answers that are there were taken: true if it is exhausted.
    pub fn look(&mut self, now: Instant) -> bool {
        self.left = self.left.saturating_sub(now.since(self.looked).min(Self::STEP));
        self.looked = now;
        self.left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Instant {
        Instant(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn it_ends_after_that_time() {
        let mut patience = Patience::new(Duration::from_millis(2500), Instant(7));
        let mut looks = 0;
        let mut now = patience.next();
        while !patience.look(now) {
            looks += 1;
            now = patience.next();
        }
        assert_eq!((looks, now), (2, Instant(7).after(Duration::from_millis(2500))));
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut patience = Patience::new(Duration::from_secs(3), seconds(0));
        assert!(!patience.look(seconds(1)));
        assert!(!patience.look(seconds(1000)), "the domain was paused");
        assert_eq!(patience.next(), seconds(1001));
        assert!(patience.look(seconds(1001)));
    }

    #[test]
    fn a_look_too_early_counts_what_it_is() {
        let mut patience = Patience::new(Duration::from_secs(1), seconds(0));
        for tenths in 1..10 {
            assert!(!patience.look(Instant(tenths * 100_000_000)));
        }
        assert!(patience.look(seconds(1)));
    }
}
