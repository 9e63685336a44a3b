//! How much may pass.

use core::time::Duration;

use outrigger_xen::Instant;

/// Smallest burst that a rate limit lets through, in bytes: two packets of the largest kind, as Linux has it.
const BURST_MIN: u64 = 131_072;

/// A token bucket that may be overdrawn by one packet, whose length is known only after it was taken; what was overdrawn
/// is missing later, so that the average holds.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Tokens that come each `interval`.
    gain: u64,
    interval: Duration,
    /// Most tokens at once.
    burst: u64,
    left: i64,
    since: Instant,
}

impl Bucket {
    /// `gain` tokens each `interval`, and at most `burst` at once, which is how many there are at first.
    pub fn new(gain: u64, interval: Duration, burst: u64, now: Instant) -> Self {
        let most = i64::MAX.unsigned_abs() / 2;
        Self {
            gain: gain.clamp(1, most),
            interval: interval.max(Duration::from_micros(1)),
            burst: burst.clamp(1, most),
            left: burst.clamp(1, most).cast_signed(),
            since: now,
        }
    }

    /// From libxl's `rate`: `bytes,microseconds`. `None`: it is no such thing.
    pub fn parse(rate: &str, now: Instant) -> Option<Self> {
        let (bytes, usecs) = rate.split_once(',')?;
        let (bytes, usecs): (u64, u64) = (bytes.trim().parse().ok()?, usecs.trim().parse().ok()?);
        (bytes > 0 && usecs > 0)
            .then(|| Self::new(bytes, Duration::from_micros(usecs), bytes.max(BURST_MIN), now))
    }

    fn refill(&mut self, now: Instant) {
        let intervals = now.since(self.since).as_nanos() / self.interval.as_nanos();
        if intervals == 0 {
            return;
        }
        let gained = intervals.saturating_mul(self.gain.into());
        let room = u128::from((self.burst.cast_signed() - self.left).unsigned_abs());
        if gained >= room {
            self.left = self.burst.cast_signed();
            self.since = now;
        } else {
            // Less than the room, which fits.
            self.left += gained as i64;
            let nanos = intervals.saturating_mul(self.interval.as_nanos());
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.since = self.since.after(Duration::from_nanos(nanos));
        }
    }

    /// Whether anything may pass now; if not, when.
    ///
    /// # Errors
    /// The moment from which on something may.
    pub fn check(&mut self, now: Instant) -> Result<(), Instant> {
        if self.left > 0 {
            return Ok(());
        }
        self.refill(now);
        if self.left > 0 {
            return Ok(());
        }
        let missing = self.left.unsigned_abs() + 1;
        let intervals = u32::try_from(missing.div_ceil(self.gain)).unwrap_or(u32::MAX);
        Err(self.since.after(self.interval.saturating_mul(intervals)))
    }

    /// That much passed.
    pub fn spend(&mut self, tokens: u64) {
        self.left = self
            .left
            .saturating_sub(i64::try_from(tokens).unwrap_or(i64::MAX));
    }

    /// One token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let may = self.check(now).is_ok();
        if may {
            self.spend(1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_holds_whatever_the_packets() {
        for size in [60, 1514, 65_535] {
            // 10 MB/s, refilled every 50 ms, as xl's `rate=10MB/s` comes.
            let mut bucket = Bucket::parse("524288,50000", Instant(0)).unwrap();
            let (mut now, mut passed) = (Instant(0), 0u64);
            while now < Instant(10_000_000_000) {
                match bucket.check(now) {
                    Ok(()) => {
                        bucket.spend(size);
                        passed += size;
                    }
                    Err(later) => {
                        assert!(later > now, "time goes on");
                        now = later;
                    }
                }
            }
            let ideal = 524_288 * 20 * 10;
            assert!(
                passed.abs_diff(ideal) < ideal / 50,
                "{passed} of {ideal} with {size}"
            );
        }
    }

    #[test]
    fn nonsense_is_no_rate() {
        for rate in [
            "",
            "1",
            "0,1",
            "1,0",
            "-1,5",
            "1,2,3",
            "a,b",
            "99999999999999999999,1",
        ] {
            assert!(Bucket::parse(rate, Instant(0)).is_none(), "{rate}");
        }
        let mut bucket = Bucket::parse("18446744073709551615,18446744073709551615", Instant(0)).unwrap();
        bucket.spend(u64::MAX);
        bucket.spend(u64::MAX);
        assert!(bucket.check(Instant(u64::MAX - 1)).is_err());
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(1, Duration::from_millis(1), 3, Instant(0));
        let taken = (0..10).filter(|_| bucket.take(Instant(0))).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(Instant(999_999)));
        assert!(bucket.take(Instant(1_000_000)));
        assert!(!bucket.take(Instant(1_500_000)));
    }
}
