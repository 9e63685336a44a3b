//! Cards that break their contract or fall silent: a reset, and everything from the start. Guests keep their rings; frames
//! that the card had are lost, as on a wire.

use core::time::Duration;

use outrigger_devices::{Instant, NetDevice, NetLimits};
use outrigger_ring::SharedPages;

use crate::counters::Drop;
use crate::nic::Nic;
use crate::pool::Pool;

/// How long a card whose link is up may have frames and send none: what Linux gives a card.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a card is left alone before each of several resets in a row. The last pause is that of all further resets: a card
/// that never recovers costs one reset a minute, and one that does is found.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// So long must a card serve after a reset for the next one to come at once again.
const WELL: Duration = Duration::from_secs(120);

/// Whether a card serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Serving,
    /// It is stopped, and is reset at this moment.
    ResetAt(Instant),
    /// It is stopped for good: the domain ends.
    Off,
}

/// How a card has done so far.
#[derive(Debug)]
pub(crate) struct Recovery {
    service: Service,
    /// Resets since it was well, and the moment of the last one.
    row: (usize, Instant),
    /// All resets.
    pub resets: u64,
    /// By when it must have sent a frame.
    due: Option<Instant>,
}

impl Recovery {
    pub fn new() -> Self {
        Self {
            service: Service::Serving,
            row: (0, Instant(0)),
            resets: 0,
            due: None,
        }
    }

    #[inline]
    pub fn is_serving(&self) -> bool {
        self.service == Service::Serving
    }

    /// It has sent something.
    #[inline]
    pub fn sent(&mut self) {
        self.due = None;
    }

    /// After frames were given to it: whether it has any that it could send.
    #[inline]
    pub fn expect(&mut self, busy: bool, now: Instant) {
        if !busy {
            self.due = None;
        } else if self.due.is_none() {
            self.due = Some(now.after(PATIENCE));
        }
    }

    #[inline]
    pub fn is_silent(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// When there is something to do for it.
    #[inline]
    pub fn next(&self) -> Option<Instant> {
        match self.service {
            Service::Serving => self.due,
            Service::ResetAt(at) => Some(at),
            Service::Off => None,
        }
    }

    #[inline]
    pub fn is_time(&self, now: Instant) -> bool {
        matches!(self.service, Service::ResetAt(at) if now >= at)
    }

    /// It is out of service; how long until it is reset.
    fn plan(&mut self, now: Instant) -> Duration {
        let (row, last) = self.row;
        let row = if self.is_serving() && now.since(last) >= WELL {
            0
        } else {
            row
        };
        let pause = PAUSES[row.min(PAUSES.len() - 1)];
        self.row = (row + 1, last);
        self.service = Service::ResetAt(now.after(pause));
        self.due = None;
        pause
    }
}

impl<D: NetDevice> Nic<D> {
    /// The card broke its contract or is silent: it is stopped, everything that it has is taken back, and it is reset.
    #[cold]
    pub(crate) fn fail<M: SharedPages>(&mut self, pool: &mut Pool<M>, why: &str, now: Instant) {
        self.device.quiesce();
        let pause = self.recovery.plan(now).as_secs();
        log::error!("{}: {why}; it is reset in {pause} s", self.name);
        for outgoing in self.backlog.drain(..) {
            self.counters.drop_tx(Drop::NoCarrier);
            pool.release(outgoing.frame);
        }
        for frame in 0..self.held.len() as u16 {
            let held = core::mem::take(&mut self.held[usize::from(frame)]);
            if held > 0 {
                self.counters.drop_tx(Drop::NoCarrier);
            }
            for _ in 0..held {
                pool.release(frame);
            }
        }
        for page in 0..self.given.len() as u16 {
            if core::mem::take(&mut self.given[usize::from(page)]) {
                pool.put_back(page);
            }
        }
        self.posted.fill(0);
        (self.in_flight, self.dirty) = (0, false);
    }

    /// Brings it up again, if it lets itself.
    #[cold]
    pub(crate) fn reset<M: SharedPages>(&mut self, pool: &mut Pool<M>, now: Instant) {
        self.recovery.resets += 1;
        self.recovery.row.1 = now;
        if let Err(fault) = self.device.restart() {
            return self.fail(pool, fault.0, now);
        }
        let limits = self.device.limits();
        let but_for_link = |limits: NetLimits| NetLimits {
            link: false,
            ..limits
        };
        if but_for_link(limits) != but_for_link(self.limits) {
            return self.fail(pool, "it has come back from a reset as another card", now);
        }
        self.recovery.service = Service::Serving;
        log::info!("{}: it serves again", self.name);
        self.look_at_limits();
        self.refill(pool);
        self.commit();
        self.tick(now);
    }

    /// Stops it for good.
    pub(crate) fn end(&mut self) {
        self.device.quiesce();
        self.recovery.service = Service::Off;
    }
}
