//! How often something may be done.

use outrigger_xen::Instant;

/// So many times a second, and no more.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    most: u32,
    done: u32,
    second: u64,
}

impl Pace {
    /// At most so many times in one second.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            done: 0,
            second: 0,
        }
    }

    /// Whether it may be done now; it counts as done then.
    pub fn take(&mut self, now: Instant) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            (self.second, self.done) = (second, 0);
        }
        let may = self.done < self.most;
        self.done += u32::from(may);
        may
    }
}
