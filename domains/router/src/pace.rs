//! How often something may be done.

use alloc::boxed::Box;

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

/// The same for each guest, by its number.
pub struct Paces(Box<[Pace; 256]>);

impl Paces {
    /// At most so many times in one second for each.
    pub fn new(most: u32) -> Self {
        Self(Box::new([Pace::new(most); 256]))
    }

    /// Whether it may be done now for a guest; it counts as done then.
    pub fn take(&mut self, guest: u8, now: Instant) -> bool {
        self.0[usize::from(guest)].take(now)
    }
}
