//! Devices that do not answer, or break their contract: a reset, and everything again; and in the end an error.

use core::time::Duration;

use outrigger_devices::{BlockDevice, BlockLimits};
use outrigger_ring::SharedPages;
use outrigger_xen::{GrantTable, Hypervisor, Instant};

use crate::disk::Disk;
use crate::service::State;

/// How long a device may have requests and complete none: what Linux gives a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so many resets a device is given up, unless it was well in between.
const RESETS: u32 = 2;

/// So long must a device work after a reset for the reset to be forgotten.
const WELL: Duration = Duration::from_secs(120);

/// Turns between two looks at the clock, while there is always something to do.
const LOOK: u32 = 64;

/// By when something must have completed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    at: Instant,
    completed: u32,
}

impl<D: BlockDevice, M: SharedPages> Disk<D, M> {
    /// Whether it has requests.
    pub fn is_busy(&self) -> bool {
        self.failed.is_none() && self.queues.iter().any(|queue| queue.in_flight > 0)
    }

    /// Whether it has had requests for [`PATIENCE`] or longer and has completed none.
    ///
    /// The moment that `due` names is moved only when it has passed: so a request costs nothing, and a dead device is
    /// found out within twice that time.
    fn is_stuck(&mut self, now: Instant) -> bool {
        let Some(due) = self.due.filter(|due| due.at <= now) else {
            return false;
        };
        let stuck = self.is_busy() && due.completed == self.completed;
        self.due = None;
        stuck
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
        for disk in 0..self.disks.len() {
            if self.disks[disk].is_stuck(now) {
                self.reset_disk(hv, disk, "it does not answer");
            }
        }
    }

    /// Before the domain sleeps: when to wake for the sake of a device that does not answer.
    #[inline]
    pub fn patience<H: Hypervisor<Pages = P>>(&mut self, hv: &H) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for disk in self.disks.iter_mut().filter(|disk| disk.is_busy()) {
            let due = match disk.due {
                Some(due) => due,
                None => *disk.due.insert(Due {
                    at: hv.now().after(PATIENCE),
                    completed: disk.completed,
                }),
            };
            earliest = earliest.into_iter().chain([due.at]).min();
        }
        earliest
    }

    /// The device broke its contract or does not answer: it is reset, and everything that it had begun is begun again. If
    /// that was tried often enough, all requests fail from now on.
    #[cold]
    pub fn reset_disk<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize, why: &'static str) {
        let now = hv.now();
        let disk = &mut self.disks[index];
        if disk.failed.is_some() {
            return;
        }
        let (resets, last) = disk.resets;
        let resets = if now.since(last) < WELL { resets } else { 0 };
        if resets >= RESETS {
            return self.fail_disk(hv, index, why);
        }
        disk.resets = (resets + 1, now);
        log::error!("{}: {why}; it is reset", disk.name);
        let limits = disk.limits;
        if let Err(fault) = disk.device.restart() {
            return self.fail_disk(hv, index, fault.0);
        }
        disk.forget_requests();
        let now = disk.device.limits();
        if (BlockLimits { sectors: 0, ..now }) != (BlockLimits { sectors: 0, ..limits }) {
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

    /// The device is given up: it is stopped, and all requests fail from now on.
    #[cold]
    pub fn fail_disk<H: GrantTable<Pages = P>>(&mut self, hv: &H, index: usize, why: &'static str) {
        let disk = &mut self.disks[index];
        log::error!("{}: {why}; it serves no more", disk.name);
        disk.failed = Some(why);
        disk.device.quiesce();
        disk.forget_requests();
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

/// The bits of a ring's tags that name the ring, and this beginning of it.
pub(crate) fn tag_base(ring: usize, generation: u32) -> u32 {
    (ring as u32) << 16 | generation << 10
}
