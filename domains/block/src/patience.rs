//! Devices that do not answer, or break their contract: a reset, and everything again; then errors, and a new
//! trial now and then.

use core::time::Duration;

use outrigger_devices::{BlockDevice, BlockLimits, Status};
use outrigger_ring::SharedPages;
use outrigger_xen::{GrantTable, Hypervisor, Instant, Patience};

use crate::disk::{Disk, Reading};
use crate::service::State;

/// How long a device may have requests and complete none while this domain runs: what Linux gives a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so many resets a device is given up, unless it was well in between.
const RESETS: u32 = 2;

/// So long must a device work after a reset for the reset to be forgotten.
const WELL: Duration = Duration::from_secs(120);

/// Turns between two looks at the clock, while there is always something to do.
const LOOK: u32 = 64;

/// The first pause before a device that was given up is tried again; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(10);

/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(640);

/// How long a device has had requests and completed none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    patience: Patience,
    completed: u32,
}

/// What becomes of a device that was given up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trial {
    /// The pause before the next trial; zero if it was never given up.
    pause: Duration,
    /// When the next trial begins; none while one is under way.
    at: Option<Instant>,
}

impl<D: BlockDevice, M: SharedPages> Disk<D, M> {
    /// Whether it has requests.
    pub fn is_busy(&self) -> bool {
        self.queues.iter().any(|queue| queue.in_flight > 0)
    }

    /// Whether it has had requests for [`PATIENCE`] or longer and has completed none. To be asked after its
    /// completions were taken.
    fn is_stuck(&mut self, now: Instant) -> bool {
        let Some(due) = self.due.as_mut().filter(|due| due.patience.next() <= now) else {
            return false;
        };
        let silent = due.completed == self.completed;
        let stuck = due.patience.look(now) && silent;
        let over = stuck || !silent;
        let stuck = stuck && self.is_busy();
        if over || !self.is_busy() {
            self.due = None;
        }
        stuck
    }

    /// It is given up, for now.
    fn put_off(&mut self, now: Instant) {
        let trial = &mut self.trial;
        trial.pause = (2 * trial.pause).clamp(PAUSE, LONGEST_PAUSE);
        trial.at = Some(now.after(trial.pause));
        let pause = trial.pause.as_secs();
        log::warn!(
            "{}: it is tried again in {pause} s, or at once by `outrigger restart`",
            self.name
        );
        self.device.quiesce();
        self.forget_requests();
    }

    /// A device that was given up is reset and reads a sector. What became of that is seen later.
    fn begin_trial(&mut self, now: Instant) {
        self.trial.at = None;
        let limits = self.limits;
        let begun = self.device.restart().is_ok() && {
            let now = self.device.limits();
            self.forget_requests();
            self.reading = Reading::Idle;
            is_same_device(&now, &limits) && now.sectors == limits.sectors
        };
        let block = self.limits.logical_block_size as usize;
        if !begun || !self.begin_read(0, block) {
            return self.put_off(now);
        }
        self.commit();
    }
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Whether a look at the clock is worth its cost: when a moment may have come that somebody waited for, and now and
    /// then in any case, since there may never be a time to sleep.
    #[inline]
    pub fn is_time_to_look(&mut self, woken_by_timer: bool) -> bool {
        self.turns = self.turns.wrapping_add(1);
        self.turns.is_multiple_of(LOOK) || (self.slept && woken_by_timer)
    }

    /// Deals with devices that do not answer.
    #[cold]
    pub fn look_at_the_clock<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        let now = hv.now();
        for index in 0..self.disks.len() {
            let disk = &mut self.disks[index];
            let stuck = disk.is_stuck(now);
            if disk.failed.is_none() {
                if stuck {
                    self.reset_disk(hv, index, "it does not answer");
                }
                continue;
            }
            if stuck {
                disk.put_off(now);
            } else if disk.trial.at.is_some_and(|at| at <= now) {
                disk.begin_trial(now);
            }
        }
        // Somebody may always keep us from sleeping, which is when this is done otherwise.
        self.patience(hv);
    }

    /// A read of our own has completed on a device that was given up: its trial is over.
    #[cold]
    pub fn end_trial<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize) {
        let now = hv.now();
        let disk = &mut self.disks[index];
        let Reading::Done(status) = disk.reading else {
            return;
        };
        disk.reading = Reading::Idle;
        if status != Status::Ok {
            return disk.put_off(now);
        }
        log::info!("{}: it answers again, and serves", disk.name);
        disk.failed = None;
        // It has to be well for a while before it is given another chance.
        disk.resets = (RESETS, now);
    }

    /// Before the domain sleeps: when to wake for the sake of a device that does not answer.
    #[inline]
    pub fn patience<H: Hypervisor<Pages = P>>(&mut self, hv: &H) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for disk in &mut self.disks {
            if disk.is_busy() {
                let due = disk.due.get_or_insert_with(|| Due {
                    patience: Patience::new(PATIENCE, hv.now()),
                    completed: disk.completed,
                });
                earliest = earliest.into_iter().chain([due.patience.next()]).min();
            }
            earliest = earliest.into_iter().chain(disk.trial.at).min();
        }
        earliest
    }

    /// The device broke its contract or does not answer: it is reset, and everything that it had begun is begun again. If
    /// that was tried often enough, all requests fail, until it answers again.
    #[cold]
    pub fn reset_disk<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize, why: &'static str) {
        let now = hv.now();
        let disk = &mut self.disks[index];
        if disk.failed.is_some() {
            // In its trial.
            return disk.put_off(now);
        }
        let (resets, last) = disk.resets;
        let resets = if now.since(last) < WELL { resets } else { 0 };
        if resets == 0 {
            disk.trial = Trial::default();
        }
        if resets >= RESETS {
            return self.fail_disk(hv, index, why);
        }
        disk.resets = (resets + 1, now);
        disk.all_resets += 1;
        log::error!("{}: {why}; it is reset", disk.name);
        let limits = disk.limits;
        if let Err(fault) = disk.device.restart() {
            return self.fail_disk(hv, index, fault.0);
        }
        disk.forget_requests();
        let now = disk.device.limits();
        if !is_same_device(&now, &limits) {
            return self.fail_disk(hv, index, "it has come back from a reset as another device");
        }
        if now.sectors != limits.sectors {
            self.limits_changed(index);
        }
        self.begin_again(hv, index);
    }

    /// What the rings of a device owe is carried out again.
    fn begin_again<H: GrantTable<Pages = P>>(&mut self, hv: &H, index: usize) {
        let Self {
            rings,
            batch,
            generation,
            active,
            ..
        } = self;
        for (at, served) in rings.iter_mut().enumerate() {
            if let Some(served) = served
                && served.disk == index
            {
                *generation = (*generation + 1) & 0x3f;
                served.ring.begin_again(hv, batch);
                served.ring.rename(tag_base(at, *generation));
                active.insert(at);
            }
        }
    }

    /// The device is given up: it is stopped, and all requests fail until it answers again.
    #[cold]
    pub fn fail_disk<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize, why: &'static str) {
        let disk = &mut self.disks[index];
        log::error!("{}: {why}; all requests fail from now on", disk.name);
        disk.failed = Some(why);
        disk.put_off(hv.now());
        let Self {
            rings,
            batch,
            answerable,
            active,
            ..
        } = self;
        for (at, served) in rings.iter_mut().enumerate() {
            if let Some(served) = served
                && served.disk == index
            {
                served.ring.abandon(hv, batch);
                answerable.insert(at);
                active.insert(at);
            }
        }
    }
}

/// Whether a device that was reset is what it was, but perhaps of another size.
fn is_same_device(now: &BlockLimits, before: &BlockLimits) -> bool {
    (BlockLimits { sectors: 0, ..*now })
        == (BlockLimits {
            sectors: 0,
            ..*before
        })
}

/// The bits of a ring's tags that name the ring, and this beginning of it.
pub(crate) fn tag_base(ring: usize, generation: u32) -> u32 {
    (ring as u32) << 16 | generation << 10
}
