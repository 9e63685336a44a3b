//! Looking although nothing was heard.
//!
//! Interrupts and events can be lost: by a device, an interrupt controller or a hypervisor with a fault, or by one of ours. What
//! was not announced lies in memory all the same. So some milliseconds after the last thing happened the loop looks at every
//! device and ring once more, and again, each time after a quarter of the time that has passed since. A lost interrupt
//! costs 4 ms, or a quarter of what the work took if that is more. After a second in which nothing happened and nothing is
//! expected the looks end: a domain that has nothing to do has no timer of ours. It looks when another timer wakes it.

use core::time::Duration;

use outrigger_xen::{Clock, Instant, IrqSet, Wake};

use crate::{Service, TurnOutcome};

/// The first look is so long after the last thing that happened.
pub const FIRST: Duration = Duration::from_millis(4);
/// The looks go on for so long, or until nothing is expected any more; and are no further apart.
pub const LONGEST: Duration = Duration::from_secs(1);
/// While there is always something to do, the clock is looked at once in so many turns.
const TURNS: u32 = 64;

/// When to look, and what was found.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// When something was there to take.
    since: Instant,
    /// The next look is not before that.
    next: Instant,
    /// Something was there to take since the clock was looked at.
    heard: bool,
    /// This turn is a look, and nothing else has caused it.
    looking: bool,
    turns: u32,
    found: u64,
}

impl Default for Late {
    fn default() -> Self {
        Self {
            since: Instant(0),
            next: Instant(0),
            heard: false,
            looking: false,
            turns: 0,
            found: 0,
        }
    }
}

impl Late {
    /// Before a turn that `wake` has caused: what to tell the class. If a look is due, that is everything.
    #[inline]
    pub fn begin(&mut self, wake: Wake, service: &impl Service, clock: &impl Clock) -> Wake {
        if !self.is_due(wake, clock) {
            return wake;
        }
        service.look_at_rings();
        Wake {
            devices: IrqSet::ALL,
            ..wake
        }
    }

    #[inline]
    fn is_due(&mut self, wake: Wake, clock: &impl Clock) -> bool {
        self.turns = self.turns.wrapping_add(1);
        self.looking = false;
        if !wake.timer && !self.turns.is_multiple_of(TURNS) {
            return false;
        }
        let now = clock.now();
        if now < self.next {
            return false;
        }
        self.note(now);
        self.next = now.after((FIRST + now.since(self.since) / 4).min(LONGEST));
        self.looking = !wake.events && wake.devices.is_empty();
        true
    }

    /// After a turn.
    #[inline]
    pub fn judge(&mut self, turn: &TurnOutcome) {
        self.heard |= turn.found;
        self.found += u64::from(self.looking && turn.found);
    }

    /// Before the loop sleeps: when to look, if at all. `expected`: something is to come, from a device or a guest.
    #[inline]
    pub fn deadline(&mut self, expected: bool, clock: &impl Clock) -> Option<Instant> {
        let now = clock.now();
        self.note(now);
        (expected || now.since(self.since) < LONGEST).then_some(self.next)
    }

    /// How often a look has found what nobody had announced.
    pub fn found(&self) -> u64 {
        self.found
    }

    #[inline]
    fn note(&mut self, now: Instant) {
        if core::mem::take(&mut self.heard) {
            (self.since, self.next) = (now, now.after(FIRST));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[derive(Clone, Copy)]
    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Instant {
            Instant(self.0)
        }
    }

    const MS: u64 = 1_000_000;
    const TIMER: Wake = Wake {
        events: false,
        devices: IrqSet::EMPTY,
        timer: true,
    };
    const FOUND: TurnOutcome = TurnOutcome {
        more_work: false,
        deadline: None,
        other_events: false,
        answered: false,
        poke: false,
        found: true,
        expects: false,
    };

    /// The looks of a loop that sleeps, from a thing that happened at `from` on, until there is no more timer.
    fn looks(late: &mut Late, from: u64, expected: bool, until: u64) -> Vec<u64> {
        late.judge(&FOUND);
        let (mut now, mut at) = (from, Vec::new());
        while let Some(next) = late.deadline(expected, &At(now)) {
            now = next.0.max(now);
            if now > until {
                break;
            }
            assert!(late.is_due(TIMER, &At(now)));
            late.judge(&TurnOutcome::default());
            at.push(now - from);
        }
        at
    }

    #[test]
    fn a_lost_interrupt_costs_four_ms_or_a_quarter_of_the_wait() {
        let at = looks(&mut Late::default(), 100 * MS, true, 10_000 * MS);
        assert_eq!(at[0], 4 * MS);
        for pair in at.windows(2) {
            let (wait, passed) = (pair[1] - pair[0], pair[0]);
            assert!(wait <= 4 * MS + passed / 4 && wait <= 1000 * MS, "{pair:?}");
        }
        assert!(at.len() < 40, "{} looks in ten seconds", at.len());
    }

    #[test]
    fn a_domain_without_work_has_no_timer() {
        let mut late = Late::default();
        assert_eq!(
            late.deadline(false, &At(2000 * MS)),
            None,
            "nothing has happened yet"
        );
        let at = looks(&mut late, 3000 * MS, false, u64::MAX);
        assert!(at.last() < Some(&(1300 * MS)) && at.len() < 25, "{at:?}");
        assert_eq!(late.deadline(false, &At(9000 * MS)), None);
        // Whatever wakes it then is an occasion.
        assert!(late.is_due(TIMER, &At(9000 * MS)));
        assert!(!late.is_due(TIMER, &At(9001 * MS)));
    }

    #[test]
    fn only_what_nobody_announced_is_counted() {
        let mut late = Late::default();
        let announced = Wake {
            events: true,
            ..TIMER
        };
        late.judge(&FOUND);
        late.deadline(true, &At(0));
        assert!(late.is_due(announced, &At(5 * MS)));
        late.judge(&FOUND);
        assert_eq!(late.found(), 0);
        late.deadline(true, &At(5 * MS));
        assert!(late.is_due(TIMER, &At(9 * MS)));
        late.judge(&FOUND);
        assert_eq!(late.found(), 1);
        late.deadline(true, &At(9 * MS));
        assert!(!late.is_due(TIMER, &At(10 * MS)), "it was just found");
    }

    #[test]
    fn a_loop_that_never_sleeps_looks_too() {
        let mut late = Late::default();
        let looked = (0..1000).filter(|turn| {
            late.judge(&FOUND);
            late.is_due(Wake::default(), &At(1000 * MS + turn * MS))
        });
        assert!(looked.count() > 5);
    }
}
