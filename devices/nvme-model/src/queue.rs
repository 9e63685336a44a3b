//! Queues: commands are fetched, and completions posted.

use crate::model::Fetched;
use crate::{Fault, NvmeModel, Order};

/// A submission queue.
pub(crate) struct Sq {
    address: u64,
    pub size: u32,
    head: u32,
    pub tail: u32,
    pub cq: u16,
}

impl Sq {
    pub fn new(address: u64, size: u32, cq: u16) -> Self {
        Self {
            address,
            size,
            head: 0,
            tail: 0,
            cq,
        }
    }
}

/// A completion queue.
pub(crate) struct Cq {
    address: u64,
    pub size: u32,
    head: u32,
    tail: u32,
    phase: bool,
    /// Its interrupt vector.
    vector: Option<u16>,
    /// The last completion came without an interrupt.
    silent: bool,
}

impl Cq {
    pub fn new(address: u64, size: u32, vector: Option<u16>) -> Self {
        Self {
            address,
            size,
            head: 0,
            tail: 0,
            phase: true,
            vector,
            silent: false,
        }
    }

    /// False if the driver claims more than there was.
    pub fn set_head(&mut self, head: u32) -> bool {
        let posted = (self.tail + self.size - self.head) % self.size;
        let taken = (head + self.size - self.head) % self.size;
        if head >= self.size || taken > posted {
            return false;
        }
        self.head = head;
        true
    }

    pub fn wants_interrupt(&self) -> bool {
        self.vector.is_some() && self.head != self.tail && !self.silent
    }
}

impl NvmeModel {
    /// Does all that it was told of.
    pub fn run(&self) {
        self.fetch();
        while self.complete(usize::MAX) > 0 {
            self.fetch();
        }
    }

    /// Fetches what was submitted.
    pub fn fetch(&self) {
        if self.has_fault(Fault::Fatal) || !self.is_ready() {
            return;
        }
        loop {
            let next = {
                let mut state = self.state.borrow_mut();
                let mut pending = state.sqs.iter_mut().filter(|(_, sq)| sq.head != sq.tail);
                pending.next().map(|(id, sq)| {
                    let at = sq.address + u64::from(sq.head) * 64;
                    sq.head = (sq.head + 1) % sq.size;
                    (*id, at)
                })
            };
            let Some((queue, at)) = next else { return };
            let mut bytes = [0; 64];
            self.read_memory(at, &mut bytes);
            let word = |index: usize| {
                bytes[4 * index..4 * index + 4]
                    .try_into()
                    .map_or(0, u32::from_le_bytes)
            };
            let command = Fetched {
                queue,
                words: std::array::from_fn(word),
            };
            if command.words[0] >> 8 & 0xff != 0 || command.words[2..6].iter().any(|word| *word != 0) {
                self.blame("fused, SGL, metadata or reserved fields of a command");
            }
            let mut state = self.state.borrow_mut();
            let twice = state
                .fetched
                .iter()
                .any(|other| (other.queue, other.cid()) == (queue, command.cid()));
            state.fetched.push(command);
            drop(state);
            if twice {
                self.blame("a command identifier is used twice at a time");
            }
        }
    }

    /// Carries out and completes at most so many commands; how many.
    pub fn complete(&self, most: usize) -> usize {
        let mut count = 0;
        while count < most && !self.has_fault(Fault::Fatal) {
            let Some(command) = self.next() else { break };
            count += 1;
            if command.queue == 0 {
                if self.has_fault(Fault::AdminSilence) {
                    continue;
                }
                let (result, status) = self.admin(&command);
                self.post(&command, result, status, None);
                continue;
            }
            self.count(|counters| counters.completed += 1);
            match self.take_fault() {
                Some(Fault::Lost) => {}
                Some(Fault::Status(status)) => self.post(&command, 0, status, None),
                Some(Fault::Twice) => {
                    let status = self.io(&command);
                    self.post(&command, 0, status, None);
                    self.post(&command, 0, status, None);
                }
                fault => {
                    let status = self.io(&command);
                    self.post(&command, 0, status, fault);
                }
            }
        }
        count
    }

    fn next(&self) -> Option<Fetched> {
        let mut state = self.state.borrow_mut();
        let len = state.fetched.len();
        if len == 0 {
            return None;
        }
        let at = match self.offer.order {
            Order::InOrder => 0,
            Order::Reversed => len - 1,
            Order::Random(_) => {
                state.random ^= state.random << 13;
                state.random ^= state.random >> 7;
                state.random ^= state.random << 17;
                state.random as usize % len
            }
        };
        Some(state.fetched.remove(at))
    }

    /// Posts a completion.
    fn post(&self, command: &Fetched, result: u32, status: u16, fault: Option<Fault>) {
        let (mut cid, mut sqid) = (command.cid(), command.queue);
        match fault {
            Some(Fault::Cid(other)) => cid = other,
            Some(Fault::SqId(other)) => sqid = other,
            _ => {}
        }
        let mut state = self.state.borrow_mut();
        let Some((head, cq)) = state.sqs.get(&command.queue).map(|sq| (sq.head, sq.cq)) else {
            return;
        };
        let Some(cq) = state.cqs.get_mut(&cq) else { return };
        if (cq.tail + 1) % cq.size == cq.head {
            drop(state);
            return self.blame("a completion queue overflows");
        }
        let last = u32::from(status) << 17 | u32::from(cq.phase) << 16 | u32::from(cid);
        let words = [result, 0, u32::from(sqid) << 16 | head, last];
        let at = cq.address + u64::from(cq.tail) * 16;
        cq.silent = fault == Some(Fault::NoInterrupt);
        cq.tail += 1;
        if cq.tail == cq.size {
            (cq.tail, cq.phase) = (0, !cq.phase);
        }
        let vector = cq.vector.filter(|_| !cq.silent);
        let masked = state.intms & 1 != 0;
        drop(state);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_memory(at, &bytes);
        if let Some(vector) = vector {
            self.interrupt(vector, masked);
        }
    }

    fn interrupt(&self, vector: u16, masked: bool) {
        let by_message = self.function.sends_messages();
        if self.function.has_msix_on() || !masked {
            self.count(|counters| counters.interrupts += 1);
        }
        if by_message && (self.function.has_msix_on() || !masked) {
            self.function.raise(vector.into());
        }
    }

    /// After INTMC: by MSI, what had to wait is said now.
    pub(crate) fn remind(&self) {
        let waiting = {
            let state = self.state.borrow();
            state.intms & 1 == 0 && state.cqs.values().any(Cq::wants_interrupt)
        };
        if waiting && self.function.sends_messages() && !self.function.has_msix_on() {
            self.count(|counters| counters.interrupts += 1);
            self.function.raise(0);
        }
    }

    /// Reads memory, if it may.
    pub(crate) fn read_memory(&self, at: u64, bytes: &mut [u8]) {
        if self.function.is_bus_master() {
            self.bus.read(at, bytes);
        } else {
            self.blame("memory is read without bus mastering");
        }
    }

    /// Writes memory, if it may.
    pub(crate) fn write_memory(&self, at: u64, bytes: &[u8]) {
        if self.function.is_bus_master() {
            self.bus.write(at, bytes);
        } else {
            self.blame("memory is written without bus mastering");
        }
    }
}
