//! The controller.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use outrigger_bus_model::Bus;
use outrigger_devices::Instant;
use outrigger_pci_model::{FunctionModel, TestClock};

use crate::queue::{Cq, Sq};
use crate::{Fault, Offer, Order};

/// What discarded blocks read as.
pub const DISCARDED: u8 = 0xdd;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes to submission queue doorbells.
    pub tails: u64,
    /// Writes to completion queue doorbells.
    pub heads: u64,
    /// I/O commands completed.
    pub completed: u64,
    /// Interrupts asked for: messages, or edges of the line.
    pub interrupts: u64,
    /// Register reads and writes, doorbells included.
    pub reads: u64,
    /// See there.
    pub writes: u64,
    /// Normal shutdowns.
    pub shutdowns: u64,
    /// Times that it was enabled.
    pub enabled: u64,
}

/// A command that was fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetched {
    pub queue: u16,
    pub words: [u32; 16],
}

impl Fetched {
    pub fn opcode(&self) -> u8 {
        self.words[0] as u8
    }

    pub fn cid(&self) -> u16 {
        (self.words[0] >> 16) as u16
    }

    /// A double word pair.
    pub fn pair(&self, word: usize) -> u64 {
        u64::from(self.words[word]) | u64::from(self.words[word + 1]) << 32
    }
}

pub(crate) struct State {
    pub cc: u32,
    pub aqa: u32,
    pub asq: u64,
    pub acq: u64,
    pub intms: u32,
    /// When it is ready (if enabled) or has stopped.
    pub settled: Instant,
    pub shut_down: bool,
    pub sqs: BTreeMap<u16, Sq>,
    pub cqs: BTreeMap<u16, Cq>,
    pub fetched: Vec<Fetched>,
    pub granted: Option<u16>,
    pub faults: Vec<Fault>,
    pub held: bool,
    pub disks: BTreeMap<u32, Disk>,
    pub counters: Counters,
    pub random: u64,
    pub unique: Option<u64>,
}

/// A namespace's contents.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub bytes: Vec<u8>,
    pub durable: Vec<u8>,
}

/// A controller; a clone is the same one.
#[derive(Clone)]
pub struct NvmeModel {
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) offer: Rc<Offer>,
    pub(crate) bus: Bus,
    pub(crate) function: FunctionModel,
}

impl NvmeModel {
    /// A controller on a function of its own, with memory on `bus`.
    pub fn new(offer: Offer, bus: &Bus, clock: &TestClock) -> Self {
        let function = FunctionModel::new(offer.function.clone(), clock);
        let disk = |namespace: &crate::NamespaceOffer| {
            let bytes = vec![0; (namespace.blocks.min(1 << 20) << namespace.shift.min(16)) as usize];
            let durable = bytes.clone();
            (namespace.nsid, Disk { bytes, durable })
        };
        let model = Self {
            state: Rc::new(RefCell::new(State {
                cc: 0,
                aqa: 0,
                asq: 0,
                acq: 0,
                intms: 0,
                settled: Instant(0),
                shut_down: false,
                sqs: BTreeMap::new(),
                cqs: BTreeMap::new(),
                fetched: Vec::new(),
                granted: None,
                faults: Vec::new(),
                held: false,
                disks: offer.namespaces.iter().map(disk).collect(),
                counters: Counters::default(),
                random: match offer.order {
                    Order::Random(seed) => seed | 1,
                    _ => 1,
                },
                unique: None,
            })),
            offer: Rc::new(offer),
            bus: bus.clone(),
            function,
        };
        model.function.connect(Rc::new(model.clone()));
        model
    }

    /// Its PCI function.
    pub fn function(&self) -> &FunctionModel {
        &self.function
    }

    /// All namespaces are other ones from now on, by their NGUID.
    pub fn replace_namespace(&self, unique: u64) {
        self.state.borrow_mut().unique = Some(unique);
    }

    /// Breaks it.
    pub fn inject(&self, fault: Fault) {
        self.state.borrow_mut().faults.push(fault);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.state.borrow_mut().faults.clear();
        self.function.mend();
    }

    pub(crate) fn has_fault(&self, fault: Fault) -> bool {
        self.state.borrow().faults.contains(&fault)
    }

    /// The next misdeed at a completion.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        let faults = &mut self.state.borrow_mut().faults;
        let at = faults.iter().position(|fault| fault.is_once())?;
        Some(faults.remove(at))
    }

    /// It works only when it is told to, by [`run`](Self::run), [`fetch`](Self::fetch) and [`complete`](Self::complete).
    pub fn hold(&self) {
        self.state.borrow_mut().held = true;
    }

    /// Commands fetched that are not completed.
    pub fn in_flight(&self) -> usize {
        self.state.borrow().fetched.len()
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.state.borrow().counters
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.state.borrow_mut().counters);
    }

    /// A namespace's contents.
    pub fn contents(&self, nsid: u32) -> Vec<u8> {
        self.state.borrow().disks[&nsid].bytes.clone()
    }

    /// What of it outlives a loss of power.
    pub fn durable(&self, nsid: u32) -> Vec<u8> {
        let disk = &self.state.borrow().disks[&nsid];
        let durable = if self.offer.cache {
            &disk.durable
        } else {
            &disk.bytes
        };
        durable.clone()
    }

    /// Whether it is enabled: it may touch memory.
    pub fn is_live(&self) -> bool {
        self.state.borrow().cc & 1 != 0 && self.function.is_bus_master()
    }

    /// Sizes of the I/O submission queues.
    pub fn queue_sizes(&self) -> Vec<u32> {
        let state = self.state.borrow();
        let io = state.sqs.iter().filter(|(id, _)| **id != 0);
        io.map(|(_, sq)| sq.size).collect()
    }

    /// # Panics
    /// The driver did what is forbidden.
    pub fn assert_clean(&self) {
        self.function.assert_clean();
    }

    pub(crate) fn blame(&self, what: &'static str) {
        self.function.blame(what);
    }
}
