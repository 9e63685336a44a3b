//! How often something that a guest can cause may happen.

use core::time::Duration;

use outrigger_xen::Instant;

/// A token bucket: `burst` at once, then one each `interval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    burst: u32,
    interval: Duration,
    left: u32,
    since: Instant,
}

impl Pace {
    pub fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self {
            burst,
            interval,
            left: burst,
            since: now,
        }
    }

    /// Takes one, or tells when there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let gained = now.since(self.since).as_nanos() / self.interval.as_nanos();
        if gained >= u128::from(self.burst - self.left) {
            self.left = self.burst;
            self.since = now;
        } else if let Ok(gained) = u32::try_from(gained) {
            self.left += gained;
            self.since = self.since.after(self.interval * gained);
        }
        self.left = self.left.checked_sub(1).ok_or(self.since.after(self.interval))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_an_interval() {
        let mut pace = Pace::new(3, Duration::from_nanos(10), Instant(100));
        for _ in 0..3 {
            assert_eq!(pace.take(Instant(105)), Ok(()));
        }
        assert_eq!(pace.take(Instant(105)), Err(Instant(115)));
        assert_eq!(pace.take(Instant(115)), Ok(()));
        assert_eq!(pace.take(Instant(124)), Err(Instant(125)));
        assert_eq!(pace.take(Instant(135)), Ok(()));
        assert_eq!(pace.take(Instant(135)), Ok(()));
        assert_eq!(pace.take(Instant(136)), Err(Instant(145)));
        assert_eq!(pace.take(Instant(u64::MAX)), Ok(()));
    }
}
