//! The device as a whole, and what a test does to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::device::{Device, TransportOffer};
use crate::disk::Disk;
use crate::mmio::Registers;
use crate::queue::{Chain, Rules};
use crate::{Bus, Fault, Order};

/// `InterruptStatus`: used buffer notification.
const USED: u32 = 1;
/// `InterruptStatus`: configuration change notification.
const CONFIG: u32 = 2;

const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;

/// What passed between driver and device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Register reads.
    pub register_reads: u64,
    /// Register writes, doorbells included.
    pub register_writes: u64,
    /// Writes of `QueueNotify`.
    pub doorbells: u64,
    /// Times that the device raised an interrupt.
    pub interrupts: u64,
    /// Requests ended.
    pub completed: u64,
}

pub(crate) struct Model<D> {
    pub bus: Bus,
    pub transport: TransportOffer,
    pub registers: Registers,
    pub device: D,
    pub counters: Counters,
    pub violations: Vec<String>,
    pub faults: VecDeque<Fault>,
    /// Works only when told to.
    pub held: bool,
    pub polling: bool,
    /// No interrupt reaches the driver.
    pub silent: bool,
    /// Called with each interrupt.
    pub wire: Option<Box<dyn Fn()>>,
    /// All registers read as ones.
    pub gone: bool,
    /// A reset never finishes.
    pub stuck: bool,
    /// The configuration generation moves with every read.
    pub unsettled: bool,
    random: u64,
}

/// A virtio-mmio device: a [`Disk`], or a [`Nic`](crate::Nic). A clone is the same device.
pub struct VirtioModel<D = Disk>(pub(crate) Rc<RefCell<Model<D>>>);

impl<D> Clone for VirtioModel<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D> fmt::Debug for VirtioModel<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtioModel")
    }
}

impl<D: Device> VirtioModel<D> {
    /// A device after power-on.
    pub(crate) fn with(transport: TransportOffer, device: D, bus: &Bus) -> Self {
        let random = match transport.order {
            Order::Random(seed) => seed | 1,
            _ => 1,
        };
        Self(Rc::new(RefCell::new(Model {
            bus: bus.clone(),
            registers: Registers::new(device.queues()),
            transport,
            device,
            counters: Counters::default(),
            violations: Vec::new(),
            faults: VecDeque::new(),
            held: false,
            polling: false,
            silent: false,
            wire: None,
            gone: false,
            stuck: false,
            unsettled: false,
            random,
        })))
    }

    /// From now on the device works only in [`fetch`](Self::fetch), [`complete`](Self::complete) and
    /// [`run`](Self::run); otherwise it does everything at the doorbell.
    pub fn hold(&self) {
        self.0.borrow_mut().held = true;
    }

    /// Does everything at the doorbell again.
    pub fn release(&self) {
        self.0.borrow_mut().held = false;
    }

    /// Looks for chains where a doorbell rang (everywhere while polling).
    pub fn fetch(&self) {
        self.0.borrow_mut().fetch();
    }

    /// Ends at most `most` requests that were fetched, a queue's in one batch; returns how many.
    pub fn complete(&self, most: usize) -> usize {
        self.0.borrow_mut().complete(most)
    }

    /// Fetches and completes all there is.
    pub fn run(&self) {
        self.0.borrow_mut().run();
    }

    /// Looks at available rings without being asked, or stops doing so.
    pub fn poll(&self, on: bool) {
        let mut model = self.0.borrow_mut();
        model.polling = on;
        model.fetch_all();
    }

    /// Misbehaves at the next request that ends.
    pub fn inject(&self, fault: Fault) {
        self.0.borrow_mut().faults.push_back(fault);
    }

    /// Asks for a reset (`DEVICE_NEEDS_RESET`).
    pub fn need_reset(&self) {
        let mut model = self.0.borrow_mut();
        model.registers.status |= 64;
        model.interrupt(CONFIG);
    }

    /// Calls `wire` with each interrupt from now on.
    pub fn on_interrupt(&self, wire: impl Fn() + 'static) {
        self.0.borrow_mut().wire = Some(Box::new(wire));
    }

    /// Raises no interrupt any more.
    pub fn silence(&self) {
        self.0.borrow_mut().silent = true;
    }

    /// Reads as all ones from now on.
    pub fn vanish(&self) {
        self.0.borrow_mut().gone = true;
    }

    /// Never finishes a reset.
    pub fn stick(&self) {
        self.0.borrow_mut().stuck = true;
    }

    /// Changes its configuration generation at every read of it.
    pub fn unsettle(&self) {
        self.0.borrow_mut().unsettled = true;
    }

    /// The interrupt line.
    pub fn interrupt_line(&self) -> bool {
        let model = self.0.borrow();
        model.registers.interrupt_status != 0 && !model.silent
    }

    /// `DRIVER_OK` is set.
    pub fn is_live(&self) -> bool {
        self.0.borrow().registers.live()
    }

    /// Features that the driver took.
    pub fn features(&self) -> u64 {
        self.0.borrow().registers.features
    }

    /// Descriptors of each queue that is ready.
    pub fn ready_queues(&self) -> Vec<u32> {
        let model = self.0.borrow();
        model
            .registers
            .queues
            .iter()
            .filter(|q| q.ready)
            .map(|q| q.num)
            .collect()
    }

    /// Requests fetched and not ended.
    pub fn in_flight(&self) -> usize {
        self.0
            .borrow()
            .registers
            .queues
            .iter()
            .map(|q| q.taken.len())
            .sum()
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        self.0.borrow().counters
    }

    /// What the driver did that the specification forbids.
    pub fn violations(&self) -> Vec<String> {
        self.0.borrow().violations.clone()
    }

    /// # Panics
    /// The driver did something that the specification forbids.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(
            violations.is_empty(),
            "the driver broke the specification: {violations:#?}"
        );
    }
}

impl<D: Device> Model<D> {
    pub fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    pub fn interrupt(&mut self, cause: u32) {
        if self.registers.live() {
            self.registers.interrupt_status |= cause;
            self.counters.interrupts += 1;
            if let Some(wire) = self.wire.as_ref().filter(|_| !self.silent) {
                wire();
            }
        }
    }

    /// The configuration is another now.
    pub fn config_changed(&mut self) {
        self.registers.generation = self.registers.generation.wrapping_add(1);
        self.interrupt_for_config();
    }

    pub fn interrupt_for_config(&mut self) {
        self.interrupt(CONFIG);
    }

    pub fn run(&mut self) {
        self.fetch();
        self.complete(usize::MAX);
    }

    fn fetch(&mut self) {
        for queue in 0..self.registers.queues.len() {
            if self.polling || self.registers.queues[queue].kicked {
                self.fetch_queue(queue);
            }
        }
    }

    /// Also where no doorbell rang: after polling, as nobody may have thought one necessary.
    fn fetch_all(&mut self) {
        for queue in 0..self.registers.queues.len() {
            self.fetch_queue(queue);
        }
    }

    fn fetch_queue(&mut self, queue: usize) {
        let (rules, polling) = (self.rules(), self.polling);
        if !self.works() || !self.registers.queues[queue].ready {
            return;
        }
        if let Err(what) = self.registers.queues[queue].fetch(&self.bus, rules, polling) {
            self.violation(what);
        }
    }

    fn complete(&mut self, most: usize) -> usize {
        let mut left = most;
        for queue in 0..self.registers.queues.len() {
            if self.works() {
                left -= self.complete_queue(queue, left);
            }
        }
        most - left
    }

    fn complete_queue(&mut self, queue: usize, most: usize) -> usize {
        let features = self.registers.features;
        let (mut count, mut entries) = (0, 0);
        while count < most {
            let taken = &self.registers.queues[queue].taken;
            let wanted = self.device.wants(queue, features, taken);
            if wanted == 0 {
                break;
            }
            let chains: Vec<_> = (0..wanted).map(|_| self.choose(queue)).collect();
            entries += self.finish(queue, chains, entries);
            count += 1;
        }
        if count > 0 {
            let rules = self.rules();
            let wanted = self.registers.queues[queue].publish_used(&self.bus, entries, rules);
            if wanted {
                self.interrupt(USED);
            }
            self.counters.completed += count as u64;
        }
        count
    }

    fn choose(&mut self, queue: usize) -> Chain {
        let order = self.transport.order;
        let random = self.random();
        let taken = &mut self.registers.queues[queue].taken;
        let place = match order {
            Order::InOrder => 0,
            Order::Reversed => taken.len() - 1,
            Order::Random(_) => random as usize % taken.len(),
        };
        taken.remove(place)
    }

    /// Performs a request and writes its used entries, `ahead` past the index; returns by how much the index is to move.
    fn finish(&mut self, queue: usize, chains: Vec<Chain>, ahead: u16) -> u16 {
        let rules = self.rules();
        for chain in &chains {
            match self.registers.queues[queue].walk(&self.bus, chain.head, rules) {
                Ok(pieces) if pieces == chain.pieces => {}
                _ => self.violation(format!("chain {} changed while in flight", chain.head)),
            }
        }
        let features = self.registers.features;
        let fault = self.faults.pop_front();
        let written = match self.device.perform(&self.bus, queue, features, &chains, fault) {
            Ok(written) => written,
            Err(what) => {
                self.violation(what);
                return 0;
            }
        };
        let queue = &mut self.registers.queues[queue];
        let mut entries: Vec<_> = chains
            .iter()
            .map(|chain| u32::from(chain.head))
            .zip(written)
            .collect();
        queue.taken.splice(0..0, chains.into_iter().skip(entries.len()));
        let mut jump = 0;
        if let (Some(fault), Some(last)) = (fault, entries.last_mut()) {
            match fault {
                Fault::UsedId(other) => last.0 = other,
                Fault::UsedLenOff(by) => last.1 = last.1.wrapping_add_signed(by),
                Fault::IndexJump(by) => jump = by,
                Fault::Twice => {
                    let again = *last;
                    entries.push(again);
                }
                _ => {}
            }
        }
        for (place, (id, len)) in (ahead..).zip(&entries) {
            queue.write_used(&self.bus, place, *id, *len);
        }
        jump + entries.len() as u16
    }

    fn works(&self) -> bool {
        self.registers.live() && self.registers.status & 64 == 0 && !self.gone
    }

    fn rules(&self) -> Rules {
        Rules {
            indirect: self.registers.features & INDIRECT_DESC != 0,
            event_idx: self.registers.features & EVENT_IDX != 0,
        }
    }

    /// xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
