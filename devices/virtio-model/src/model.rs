//! The device as a whole, and what a test does to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::disk::{Disk, write_status};
use crate::mmio::Registers;
use crate::queue::{Chain, Rules};
use crate::{Bus, Fault, Offer, Order};

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

pub(crate) struct Model {
    pub bus: Bus,
    pub offer: Offer,
    pub registers: Registers,
    pub disk: Disk,
    pub counters: Counters,
    pub violations: Vec<String>,
    pub faults: VecDeque<Fault>,
    /// Works only when told to.
    pub held: bool,
    pub polling: bool,
    /// No interrupt reaches the driver.
    pub silent: bool,
    /// All registers read as ones.
    pub gone: bool,
    /// A reset never finishes.
    pub stuck: bool,
    /// The configuration generation moves with every read.
    pub unsettled: bool,
    /// The capacity becomes this right after its low half was read.
    pub torn_resize: Option<u64>,
    random: u64,
}

/// A virtio-mmio block device. A clone is the same device.
#[derive(Clone)]
pub struct VirtioModel(pub(crate) Rc<RefCell<Model>>);

impl fmt::Debug for VirtioModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtioModel")
    }
}

impl VirtioModel {
    /// A device after power-on.
    pub fn new(offer: Offer, bus: &Bus) -> Self {
        let random = match offer.order {
            Order::Random(seed) => seed | 1,
            _ => 1,
        };
        Self(Rc::new(RefCell::new(Model {
            bus: bus.clone(),
            registers: Registers::new(&offer),
            disk: Disk::new(offer.sectors),
            offer,
            counters: Counters::default(),
            violations: Vec::new(),
            faults: VecDeque::new(),
            held: false,
            polling: false,
            silent: false,
            gone: false,
            stuck: false,
            unsettled: false,
            torn_resize: None,
            random,
        })))
    }

    /// From now on the device works only in [`fetch`](Self::fetch), [`complete`](Self::complete) and
    /// [`run`](Self::run); otherwise it does everything at the doorbell.
    pub fn hold(&self) {
        self.0.borrow_mut().held = true;
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

    /// Changes its capacity.
    pub fn resize(&self, sectors: u64) {
        self.0.borrow_mut().resize(sectors);
    }

    /// Changes its capacity between the two halves of the driver's next read of it.
    pub fn resize_torn(&self, sectors: u64) {
        let mut model = self.0.borrow_mut();
        model.torn_resize = Some(sectors);
        model.interrupt(CONFIG);
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

    /// What is on the disk.
    pub fn contents(&self) -> Vec<u8> {
        self.0.borrow().disk.bytes.clone()
    }

    /// What would be on it after a loss of power.
    pub fn durable(&self) -> Vec<u8> {
        let model = self.0.borrow();
        model.disk.after_power_loss(model.registers.features)
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

impl Model {
    pub fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    pub fn interrupt(&mut self, cause: u32) {
        if self.registers.live() {
            self.registers.interrupt_status |= cause;
            self.counters.interrupts += 1;
        }
    }

    pub fn resize(&mut self, sectors: u64) {
        self.disk.resize(sectors);
        self.registers.generation = self.registers.generation.wrapping_add(1);
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
        let count = self.registers.queues[queue].taken.len().min(most);
        let mut entries = 0;
        for _ in 0..count {
            let chain = self.choose(queue);
            entries += self.finish(queue, &chain, entries);
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
        let order = self.offer.order;
        let random = self.random();
        let taken = &mut self.registers.queues[queue].taken;
        let place = match order {
            Order::InOrder => 0,
            Order::Reversed => taken.len() - 1,
            Order::Random(_) => random as usize % taken.len(),
        };
        taken.remove(place)
    }

    /// Performs a request and writes its used entry, `ahead` past the index; returns by how much the index is to move.
    fn finish(&mut self, queue: usize, chain: &Chain, ahead: u16) -> u16 {
        let rules = self.rules();
        match self.registers.queues[queue].walk(&self.bus, chain.head, rules) {
            Ok(pieces) if pieces == chain.pieces => {}
            _ => self.violation(format!("chain {} changed while in flight", chain.head)),
        }
        let features = self.registers.features;
        let outcome = self.disk.perform(&self.bus, &self.offer, features, &chain.pieces);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(what) => {
                self.violation(what);
                return 0;
            }
        };
        let (mut id, mut len, mut status) = (u32::from(chain.head), outcome.written, Some(outcome.status));
        let mut entries = 1;
        match self.faults.pop_front() {
            None => {}
            Some(Fault::UsedId(other)) => id = other,
            Some(Fault::UsedLenOff(by)) => len = len.wrapping_add_signed(by),
            Some(Fault::Twice) => {
                self.registers.queues[queue].write_used(&self.bus, ahead + 1, id, len);
                entries = 2;
            }
            Some(Fault::Status(other)) => status = Some(other),
            Some(Fault::NoStatus) => status = None,
            Some(Fault::IndexJump(by)) => entries += by,
        }
        if let Some(status) = status {
            write_status(&self.bus, &chain.pieces, status);
        }
        self.registers.queues[queue].write_used(&self.bus, ahead, id, len);
        entries
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
