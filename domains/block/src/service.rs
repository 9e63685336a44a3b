//! The backend: the one loop's body, and the state that it shares with the control plane.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use outrigger_devices::{BlockDevice, DmaMemory};
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant, IrqSet, Wake};
use outrigger_xenbus::{DeviceId, TurnOutcome};

use crate::batch::Batch;
use crate::budget::{Allowance, Budget, Ledger};
use crate::disk::Disk;
use crate::ring::{Io, Ring, Turn};
use crate::sets::RingSet;
use crate::vbd::Vbd;

/// Most rings at once.
pub(crate) const MAX_RINGS: usize = RingSet::CAPACITY;

/// Event channel ports are below this (2-level event channels, 64-bit).
const PORTS: usize = 4096;

/// No ring has this port.
pub(crate) const NO_RING: u8 = u8::MAX;

/// How long a ring that found no room to map waits before it tries again, if nothing else happens.
const RETRY: Duration = Duration::from_millis(10);

/// The block backend: devices of this domain, and the vbds that guests have of them.
///
/// The loop of an image: `wait`, poll XenStore and the control plane, [`turn`](Self::turn), and sleep again unless there is
/// more work.
pub struct Block<'h, H: Hypervisor, D, M> {
    pub(crate) hv: &'h H,
    pub(crate) state: RefCell<State<H::Pages, D, M>>,
}

pub(crate) struct State<P, D, M> {
    pub disks: Vec<Disk<D, M>>,
    pub rings: Vec<Option<Box<Served<P>>>>,
    pub vbds: Vec<Vbd>,
    pub budget: Ledger,
    /// Which ring has a port.
    pub ports: Box<[u8]>,
    pub batch: Batch,
    /// Rings to visit in this turn.
    pub active: RingSet,
    /// Rings that were drained, and whose frontends were not yet asked to notify us of more.
    unchecked: RingSet,
    /// Rings that wait for a completion or for room.
    pub waiting: RingSet,
    /// Rings with responses to write.
    pub answerable: RingSet,
    /// Rings that are being closed.
    pub closing: RingSet,
    /// Rings with pages that nobody uses any more and that are still mapped.
    pub shedding: RingSet,
    /// Counts rings, 6 bits: part of each ring's tags, so that a late completion meets no later ring.
    pub generation: u32,
    /// Which ring is visited first, so that each is at times.
    pub first: usize,
    /// When rings without room try again.
    retry: Option<Instant>,
    pub poke: bool,
    /// There was something to take in this turn.
    pub found: bool,
    /// Turns so far.
    pub turns: u32,
    /// The domain may have slept since the last turn.
    pub slept: bool,
    /// When the control plane no longer waits for a read of ours.
    pub read_by: Option<Instant>,
    /// A read of ours was begun, and the device was not yet asked for an interrupt.
    pub unarmed: bool,
}

/// A ring, and what it is part of.
pub(crate) struct Served<P> {
    pub ring: Ring<P>,
    pub vbd: DeviceId,
    pub disk: usize,
    pub queue: usize,
    pub allowance: Allowance,
}

impl<'h, H: Hypervisor, D: BlockDevice, M: SharedPages> Block<'h, H, D, M> {
    /// A backend without devices.
    pub fn new(hv: &'h H, budget: Budget) -> Self {
        Self {
            hv,
            state: RefCell::new(State {
                disks: Vec::new(),
                rings: (0..MAX_RINGS).map(|_| None).collect(),
                vbds: Vec::new(),
                budget: Ledger::new(budget),
                ports: alloc::vec![NO_RING; PORTS].into_boxed_slice(),
                batch: Batch::new(),
                active: RingSet::default(),
                unchecked: RingSet::default(),
                waiting: RingSet::default(),
                answerable: RingSet::default(),
                closing: RingSet::default(),
                shedding: RingSet::default(),
                generation: 0,
                first: 0,
                retry: None,
                poke: false,
                found: false,
                turns: 0,
                slept: false,
                read_by: None,
                unarmed: false,
            }),
        }
    }

    /// Adds a device: the name that guests call it (`virtio0`), its interrupts in [`Wake::devices`], and a
    /// page for reads of our own.
    pub fn add_disk(&self, name: String, interrupts: IrqSet, device: D, page: DmaMemory<M>) {
        let disk = Disk::new(name, interrupts, device, page);
        log::info!(
            "{}: {} sectors, {} queues of {} segments{}",
            disk.name,
            disk.limits.sectors,
            disk.limits.queues,
            disk.limits.max_segments,
            if disk.limits.read_only { ", read-only" } else { "" },
        );
        self.state.borrow_mut().disks.push(disk);
    }

    /// Stops all devices, for good: no DMA after this returns. For the end of the domain.
    pub fn quiesce(&self) {
        for disk in &mut self.state.borrow_mut().disks {
            disk.device.quiesce();
        }
    }

    /// Whether the control plane has left something for a turn to do: take one before sleeping.
    pub fn has_work(&self) -> bool {
        let state = self.state.borrow();
        !state.active.is_empty()
            || !state.answerable.is_empty()
            || !state.shedding.is_empty()
            || state.unarmed
    }

    /// One turn of the loop. Bounded, whatever any guest does.
    pub fn turn(&self, wake: Wake) -> TurnOutcome {
        let state = &mut *self.state.borrow_mut();
        state.batch.begin_turn();
        let other_events = state.take(self.hv, wake);
        state.sense(self.hv);
        state.submit();
        state.reap(self.hv);
        // After the answers were taken: one that waited for us is no silence.
        if state.is_time_to_look(wake.timer) {
            state.look_at_the_clock(self.hv);
        }
        let answered = !state.answerable.is_empty();
        state.respond(self.hv);
        TurnOutcome {
            other_events,
            answered,
            ..state.settle(self.hv)
        }
    }
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Takes the events and the devices' interrupts: which rings to visit.
    #[inline]
    fn take<H: Hypervisor<Pages = P>>(&mut self, hv: &H, wake: Wake) -> bool {
        let mut other_events = false;
        if wake.events {
            let Self { ports, active, .. } = self;
            hv.take_pending(&mut |port| match ports.get(port.0 as usize) {
                Some(ring) if *ring != NO_RING => active.insert(usize::from(*ring)),
                _ => other_events = true,
            });
        }
        if !wake.devices.is_empty() {
            for disk in 0..self.disks.len() {
                if self.disks[disk].interrupts.intersects(wake.devices)
                    && self.disks[disk].failed.is_none()
                    && self.disks[disk].device.acknowledge().config
                {
                    self.limits_changed(disk);
                }
            }
        }
        if self.retry.is_some_and(|at| hv.now() >= at) {
            self.retry = None;
            self.active.extend(self.waiting.take());
        }
        other_events
    }

    /// Each ring's turn: requests are taken, checked, mapped, and queued for the device.
    #[inline]
    fn sense<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        let active = self.active.take();
        if active.is_empty() {
            return;
        }
        let (mut exhausted, mut short) = (false, false);
        let mut order = active.iter_from(self.first).peekable();
        // The first one now is the last one next time.
        self.first = order.peek().map_or(0, |first| (first + 1) % MAX_RINGS);
        for index in order {
            // One ring's turn is bounded. All of them take many times as long, and where processors are shared others run in between.
            hv.still_alive();
            let Self {
                disks, rings, batch, ..
            } = self;
            let Some(served) = &mut rings[index] else { continue };
            let disk = &mut disks[served.disk];
            let mut io = Io {
                hv,
                device: &mut disk.device,
                queue: served.queue,
                load: &mut disk.queues[served.queue],
                batch,
                failed: disk.failed.is_some(),
            };
            let owed = served.ring.ring.debt();
            io.batch.begin_ring(active.len());
            let turn = served.ring.turn(&mut io);
            self.found |= served.ring.ring.debt() != owed;
            if core::mem::take(&mut batch.is_short) && !core::mem::replace(&mut short, true) {
                // The first for which no pages were left begins the next turn.
                self.first = index;
            }
            if served.ring.has_answers() {
                self.answerable.insert(index);
            }
            match turn {
                Ok(Turn::Drained) => self.unchecked.insert(index),
                Ok(Turn::More) => self.active.insert(index),
                Ok(Turn::Waiting) => self.waiting.insert(index),
                Ok(Turn::Exhausted) => {
                    self.waiting.insert(index);
                    exhausted = true;
                }
                Err(overflow) => self.break_ring(index, overflow),
            }
        }
        if exhausted {
            self.relieve();
        }
    }

    /// Tells the devices, once each.
    #[inline]
    fn submit(&mut self) {
        for disk in &mut self.disks {
            disk.commit();
        }
    }

    /// Before the domain may sleep: all who could have something for us by now are looked at once more, and
    /// asked to tell us next time.
    #[inline]
    fn settle<H: Hypervisor<Pages = P>>(&mut self, hv: &H) -> TurnOutcome {
        if !self.closing.is_empty() || !self.shedding.is_empty() {
            self.release(hv);
        }
        // While some ring keeps us busy, a look at the others is enough, but a look there must be: their frontends do not
        // notify us of what they add before they were asked to.
        let asleep_next = self.active.is_empty() && self.answerable.is_empty() && self.shedding.is_empty();
        for index in self.unchecked.take().iter() {
            let Some(served) = &mut self.rings[index] else {
                continue;
            };
            let more = if asleep_next {
                served.ring.final_check()
            } else {
                served.ring.has_requests()
            };
            match more {
                Ok(true) => self.active.insert(index),
                Ok(false) if asleep_next => {}
                Ok(false) => self.unchecked.insert(index),
                Err(overflow) => self.break_ring(index, overflow),
            }
        }
        let mut more_work = !asleep_next || !self.active.is_empty();
        self.unarmed = false;
        if !more_work {
            for disk in &mut self.disks {
                more_work |= disk.arm();
            }
        }
        if self.read_by.is_some_and(|at| hv.now() >= at) {
            self.read_by = None;
            self.poke();
        }
        if !more_work && !self.waiting.is_empty() && self.retry.is_none() {
            self.retry = Some(hv.now().after(RETRY));
        }
        self.slept = !more_work;
        let patience = if more_work { None } else { self.patience(hv) };
        let devices = self.disks.iter().filter_map(|disk| disk.device.deadline());
        TurnOutcome {
            more_work,
            deadline: devices
                .chain(patience)
                .chain(self.retry)
                .chain(self.read_by)
                .min(),
            other_events: false,
            answered: false,
            poke: core::mem::take(&mut self.poke),
            found: core::mem::take(&mut self.found),
            expects: !self.waiting.is_empty() || self.disks.iter().any(Disk::is_busy),
        }
    }

    /// The control plane is to look at us.
    pub(crate) fn poke(&mut self) {
        self.poke = true;
    }
}
