//! The backend: the one loop's body, and the state that it shares with the control plane.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use outrigger_devices::NetDevice;
use outrigger_ring::SharedPages;
use outrigger_router::Paces;
use outrigger_xen::{DomId, Hypervisor, Instant, IrqSet, Wake};
use outrigger_xenbus::{Service, TurnOutcome};

use crate::batch::{Batch, Incoming, Origin, WIRE_FRAMES};
use crate::counters::Counters;
use crate::guests::Guests;
use crate::nic::Nic;
use crate::own::Own;
use crate::packet::Mac;
use crate::pool::{Buffer, Pool};
use crate::set::{SET_CAPACITY, Set};
use crate::switch::{MAX_VIFS, Switch};
use crate::vif::Vif;

/// Event channel ports are below this (2-level event channels, 64-bit).
const PORTS: usize = 4096;
/// A port that is nobody's.
pub(crate) const NO_QUEUE: u16 = u16::MAX;
/// A port of a control ring: this and the vif's number.
pub(crate) const CONTROL: u16 = 0x8000;

/// Received frames that are taken at a time.
const LOOK: usize = 64;
/// Bytes of a frame, in the mean of these, from which on they may be parts of streams.
const LARGE: usize = 512;

/// Lines a second in the log that a guest can cause by coming and going.
const LINES: u32 = 16;

/// How often old addresses are forgotten.
const AGING: Duration = Duration::from_secs(60);

/// The network backend: cards of this domain, segments, and the vifs that guests have on them.
///
/// The loop of an image: `wait`, poll XenStore and the control plane, [`turn`](Self::turn), and sleep again unless there is
/// more work.
pub struct Net<'h, H: Hypervisor, D, M> {
    pub(crate) hv: &'h H,
    pub(crate) state: RefCell<State<H::Pages, D, M>>,
}

pub(crate) struct State<P, D, M> {
    pub switch: Switch,
    pub vifs: Vec<Option<Box<Vif<P>>>>,
    /// The domains of the vifs.
    pub doms: Vec<Option<DomId>>,
    /// The guests whose they are.
    pub guests: Guests,
    pub nics: Vec<Nic<D>>,
    pub pool: Pool<M>,
    /// For the data of control messages.
    scratch: Option<u16>,
    /// Which queue, or control ring, has a port.
    pub ports: Box<[u16]>,
    /// Which vif a queue is of, and which of its queues.
    pub places: Vec<Option<(u8, u8)>>,
    pub batch: Batch,
    /// Queues to visit in this turn.
    pub active: Set,
    /// Queues that were drained, and whose frontends were not yet asked to notify us of more.
    pub unchecked: Set,
    /// Queues that have sent as much as they may for now.
    pub limited: Set,
    /// Queues that wait for a page or for a card.
    pub starved: Set,
    /// Vifs for which frames wait.
    pub awaited: Set,
    /// Some of them are new, so that their guests were not yet asked to tell of new pages.
    pub unasked: bool,
    /// When the first of those has waited long enough.
    pub patience: Option<Instant>,
    /// Queues with something to answer.
    pub touched: Set,
    /// Vifs whose control rings are to be visited.
    pub controls: Set,
    /// Which queue is visited first, so that each is at times.
    pub first: usize,
    /// Packets, and their slots, that each guest has had taken in this turn.
    pub spent: [(u32, u32); MAX_VIFS],
    /// Cards that may have received more.
    pub received: bool,
    pub limited_until: Option<Instant>,
    next_aging: Instant,
    pub poke: bool,
    /// Lines in the log that each guest can cause.
    pub lines: Paces,
    /// The domain's own addresses.
    pub own: Own,
}

impl<'h, H: Hypervisor, D: NetDevice, M: SharedPages> Net<'h, H, D, M> {
    /// A backend without cards and segments.
    pub fn new(hv: &'h H) -> Self {
        Self {
            hv,
            state: RefCell::new(State {
                switch: Switch::new(),
                vifs: (0..MAX_VIFS).map(|_| None).collect(),
                doms: alloc::vec![None; MAX_VIFS],
                guests: Guests::new(),
                nics: Vec::new(),
                pool: Pool::new(),
                scratch: None,
                ports: alloc::vec![NO_QUEUE; PORTS].into_boxed_slice(),
                places: alloc::vec![None; SET_CAPACITY],
                batch: Batch::new(),
                active: Set::default(),
                unchecked: Set::default(),
                limited: Set::default(),
                starved: Set::default(),
                awaited: Set::default(),
                unasked: false,
                patience: None,
                touched: Set::default(),
                controls: Set::default(),
                first: 0,
                spent: [(0, 0); MAX_VIFS],
                received: false,
                limited_until: None,
                next_aging: hv.now().after(AGING),
                poke: false,
                lines: Paces::new(LINES),
                own: Own::default(),
            }),
        }
    }

    /// Adds pages for frames. To be called before cards are added.
    pub fn add_buffers(&self, buffers: impl ExactSizeIterator<Item = Buffer<M>>) {
        let state = &mut *self.state.borrow_mut();
        state.pool.reserve(buffers.len());
        buffers.for_each(|buffer| state.pool.add(buffer));
        if state.scratch.is_none() {
            state.scratch = state.pool.take();
        }
    }

    /// Adds a card: what it is called, its interrupts in [`Wake::devices`], and how many pages it receives into.
    /// Its number is that of cards added before.
    pub fn add_nic(&self, name: String, interrupts: IrqSet, device: D, buffers: u32) -> usize {
        let state = &mut *self.state.borrow_mut();
        let number = state.nics.len();
        let mut nic = Nic::new(number, name, interrupts, device, buffers);
        let limits = &nic.limits;
        log::info!(
            "{}: {}, mtu {}, {} queues{}{}{}",
            nic.name,
            Mac(limits.mac),
            limits.mtu,
            limits.queues,
            if limits.tx_checksum { ", checksums" } else { "" },
            if limits.tso4 { ", TSO" } else { "" },
            if limits.link { "" } else { ", link is down" },
        );
        nic.refill(&mut state.pool);
        nic.commit();
        nic.tick(self.hv.now());
        state.nics.push(nic);
        number
    }

    /// Adds a segment, which `bridge=` names, with a card as its uplink or without.
    pub fn add_segment(&self, name: String, uplink: Option<usize>) {
        let now = self.hv.now();
        self.state
            .borrow_mut()
            .switch
            .add_segment(name, uplink, Vec::new(), now);
    }

    /// One turn of the loop. Bounded, whatever any guest does.
    pub fn turn(&self, wake: Wake) -> TurnOutcome {
        let state = &mut *self.state.borrow_mut();
        let (hv, now) = (self.hv, self.hv.now());
        let other_events = state.take(hv, wake, now);
        if !state.awaited.is_empty() || state.unasked || state.patience.is_some() {
            state.serve_waiting(hv, now);
        }
        if state.own.is_due(now) {
            state.serve_own(now);
        }
        state.reap(now);
        state.merge();
        // Each part of a turn is bounded, but where processors are shared others run in between, and a whole turn may take long.
        hv.still_alive();
        state.sense(hv, now);
        state.batch.flush(hv);
        hv.still_alive();
        state.switch_all(hv, now);
        state.batch.flush(hv);
        hv.still_alive();
        if !state.batch.later.is_empty() {
            state.work(hv, now);
        }
        state.drive(now);
        if !state.batch.waiting.is_empty() {
            state.begin_waiting(now);
        }
        let answered = !state.touched.is_empty();
        let received = |incoming: &Incoming| matches!(incoming.origin, Origin::Wire { .. });
        let found = answered || state.batch.incoming.first().is_some_and(received);
        state.respond(hv);
        TurnOutcome {
            other_events,
            answered,
            found,
            ..state.settle()
        }
    }

    /// Whether the control plane has left something for a turn to do: take one before sleeping.
    pub fn has_work(&self) -> bool {
        let state = self.state.borrow();
        !state.active.is_empty() || !state.controls.is_empty()
    }

    /// The next turn looks at each ring as if its guest had notified us.
    pub fn look_at_rings(&self) {
        let state = &mut *self.state.borrow_mut();
        let served = state.places.iter().enumerate();
        let served = served.filter_map(|(number, place)| place.is_some().then_some(number));
        served.for_each(|number| state.active.insert(number));
        let vifs = state.vifs.iter().enumerate();
        let vifs = vifs.filter_map(|(number, vif)| vif.is_some().then_some(number));
        vifs.for_each(|number| state.controls.insert(number));
    }

    /// Tells what each vif has done since it connected.
    pub fn report(&self, mut each: impl FnMut(outrigger_xenbus::DeviceId, &Counters)) {
        for vif in self.state.borrow().vifs.iter().flatten() {
            each(vif.id, &vif.counters);
        }
    }

    /// Tells what each card has done, frames that came for nobody included.
    pub fn report_nics(&self, mut each: impl FnMut(&str, &Counters)) {
        for nic in &self.state.borrow().nics {
            each(&nic.name, &nic.counters);
        }
    }

    /// Stops all cards: no DMA and no interrupt after this.
    pub fn quiesce(&self) {
        for nic in &mut self.state.borrow_mut().nics {
            nic.end();
        }
    }
}

impl<H: Hypervisor, D: NetDevice, M: SharedPages> Service for Net<'_, H, D, M> {
    fn turn(&self, wake: Wake) -> TurnOutcome {
        Net::turn(self, wake)
    }

    fn has_work(&self) -> bool {
        Net::has_work(self)
    }

    fn look_at_rings(&self) {
        Net::look_at_rings(self);
    }
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Whether one more line may be logged that a vif's guest has caused.
    #[cold]
    pub(crate) fn may_log(&mut self, vif: usize, now: Instant) -> bool {
        self.lines.take(self.guests.of(vif) as u8, now)
    }

    /// Takes the events and the cards' interrupts: which queues to visit.
    #[inline]
    fn take<H: Hypervisor<Pages = P>>(&mut self, hv: &H, wake: Wake, now: Instant) -> bool {
        let mut other_events = false;
        if wake.events {
            let Self {
                ports,
                active,
                controls,
                ..
            } = self;
            hv.take_pending(&mut |port| match ports.get(port.0 as usize) {
                None | Some(&NO_QUEUE) => other_events = true,
                Some(control) if control & CONTROL != 0 => controls.insert(usize::from(control & !CONTROL)),
                Some(queue) => active.insert(usize::from(*queue)),
            });
        }
        for nic in &mut self.nics {
            if nic.interrupts.intersects(wake.devices) {
                nic.acknowledge(now);
            } else if nic.is_due(now) {
                nic.tick(now);
            } else if nic.recovery.is_time(now) {
                nic.reset(&mut self.pool, now);
            }
        }
        if self.limited_until.is_some_and(|until| now >= until) {
            self.limited_until = None;
            self.active.extend(self.limited.take());
        }
        if now >= self.next_aging {
            self.next_aging = now.after(AGING);
            self.switch.age(now);
        }
        if !self.controls.is_empty() {
            self.serve_controls(hv);
        }
        other_events
    }

    #[cold]
    fn serve_controls<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        let Some(scratch) = self.scratch else { return };
        for number in self.controls.take().iter() {
            let Some(vif) = self.vifs[number].as_mut().filter(|vif| vif.is_served()) else {
                continue;
            };
            let Some(port) = self.switch.port_mut(number) else {
                continue;
            };
            match vif.serve_control(hv, self.pool.buffer(scratch), &port.multicast) {
                Ok(true) => self.controls.insert(number),
                Ok(false) => {}
                Err(overflow) => {
                    vif.break_off(overflow.into());
                    self.poke = true;
                }
            }
        }
    }

    /// Takes what the cards have sent and received. Small frames are not merged, and a guest has no room for more of them at
    /// once; where they are large, all that a card may have is taken.
    #[inline]
    fn reap(&mut self, now: Instant) {
        let Self {
            nics,
            pool,
            batch,
            received,
            ..
        } = self;
        let each = LOOK / nics.len().max(1);
        *received = false;
        for nic in nics {
            let mut more = true;
            for _ in 0..WIRE_FRAMES / LOOK {
                let before = nic.counters.rx_bytes;
                more = nic.reap(pool, batch, each, now);
                if nic.recovery.is_serving() {
                    // Before anything is done with them: the card goes on receiving meanwhile.
                    nic.refill(pool);
                    nic.commit();
                }
                if !more || nic.counters.rx_bytes - before < (LARGE * each) as u64 {
                    break;
                }
            }
            *received |= more;
        }
    }
}
