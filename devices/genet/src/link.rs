//! Following the link: the PHY is asked once a second, and whenever the MAC says that something happened. No call waits: a
//! read of the PHY is begun in one and fetched in a later one.

use core::time::Duration;

use outrigger_devices::{Instant, RegisterIo};

use crate::mdio;
use crate::phy::{self, Mode};

/// While all is well. GENET v5 does not tell of every change.
const PERIOD: Duration = Duration::from_secs(1);
/// While there is no link, or it is being negotiated.
const SOON: Duration = Duration::from_millis(100);
/// How long a read of the PHY takes, amply.
const STEP: Duration = Duration::from_millis(1);

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Status,
    Partner,
    Partner1000 { lpa: u16 },
}

/// The link, as far as is known.
#[derive(Debug)]
pub(crate) struct Link {
    phy: u8,
    step: Step,
    /// When the read under way began.
    since: Instant,
    /// When to look again.
    next: Instant,
    mode: Option<Mode>,
    /// Reads that failed in a row.
    failures: u32,
    /// Reads that failed.
    pub lost_reads: u64,
    /// How often it came or went.
    pub changes: u64,
}

impl Link {
    pub fn new(phy: u8, now: Instant) -> Self {
        Self {
            phy,
            step: Step::Idle,
            since: now,
            next: now,
            mode: None,
            failures: 0,
            lost_reads: 0,
            changes: 0,
        }
    }

    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// When to call [`poll`](Self::poll) next.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Nothing is being read.
    pub fn is_idle(&self) -> bool {
        self.step == Step::Idle
    }

    /// Something happened: looks soon.
    pub fn look(&mut self, now: Instant) {
        if self.is_idle() {
            self.next = now;
        }
    }

    /// Goes on. True if the link changed.
    pub fn poll(&mut self, io: &impl RegisterIo, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        if self.is_idle() {
            self.begin(io, now, Step::Status, phy::BMSR);
            return false;
        }
        match mdio::poll(io) {
            None if now.since(self.since) < mdio::TIMEOUT => {
                self.next = now.after(STEP);
                false
            }
            // A PHY without power reads as all ones.
            None | Some(Err(_)) | Some(Ok(u16::MAX)) => {
                self.fail(now);
                false
            }
            Some(Ok(value)) => self.take(io, now, value),
        }
    }

    fn begin(&mut self, io: &impl RegisterIo, now: Instant, step: Step, register: u8) {
        mdio::begin_read(io, self.phy, register);
        self.step = step;
        self.since = now;
        self.next = now.after(STEP);
    }

    fn take(&mut self, io: &impl RegisterIo, now: Instant, value: u16) -> bool {
        if self.failures > 0 {
            log::info!("genet: the PHY answers again");
            self.failures = 0;
        }
        match self.step {
            Step::Status => {
                let up = value & phy::BMSR_LINK != 0;
                let known = self.mode.is_some();
                if up && value & phy::BMSR_NEGOTIATED != 0 && !known {
                    self.begin(io, now, Step::Partner, phy::LPA);
                    return false;
                }
                // The bit stays low until it has been read, so a link that went in between is seen here, and taken for
                // another one when it is back.
                let lost = known && !up;
                self.rest(now, if up && known { PERIOD } else { SOON });
                if lost {
                    self.mode = None;
                    self.changes += 1;
                }
                lost
            }
            Step::Partner => {
                let step = Step::Partner1000 { lpa: value };
                self.begin(io, now, step, phy::STAT1000);
                false
            }
            Step::Partner1000 { lpa } => {
                self.mode = Some(Mode::resolve(lpa, value));
                self.changes += 1;
                self.rest(now, PERIOD);
                true
            }
            Step::Idle => false,
        }
    }

    /// The link stays as it was last seen.
    #[cold]
    fn fail(&mut self, now: Instant) {
        if self.failures == 0 {
            log::warn!("genet: the PHY does not answer; the link is taken to be as it was");
        }
        self.failures = self.failures.saturating_add(1);
        self.lost_reads += 1;
        self.rest(now, PERIOD);
    }

    fn rest(&mut self, now: Instant, time: Duration) {
        self.step = Step::Idle;
        self.next = now.after(time);
    }
}
