//! Pages that remember who touched which byte.
#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};

use outrigger_ring::Bytewise;

/// Bytes a page.
pub const PAGE: usize = 4096;
/// Where `req_prod` is (`struct __name##_sring`).
pub const REQ_PROD: usize = 0;
/// Where `req_event` is.
pub const REQ_EVENT: usize = 4;
/// Where `rsp_prod` is.
pub const RSP_PROD: usize = 8;
/// Where `rsp_event` is.
pub const RSP_EVENT: usize = 12;
/// Where the slots begin.
pub const SLOTS: usize = 64;

/// What a hostile frontend's second processor does before a load: it is given the memory and the load's offset.
type Hook = Box<dyn FnMut(&Memory, usize)>;

/// Shared memory: byte atomics, and if asked for a record of every byte fetched and stored. A clone is the same memory.
#[derive(Clone)]
pub struct Memory(Rc<Inner>);

struct Inner {
    bytes: Vec<AtomicU8>,
    recording: Cell<bool>,
    fetched: RefCell<Vec<usize>>,
    stored: RefCell<Vec<usize>>,
    hook: RefCell<Option<Hook>>,
}

impl Memory {
    /// `pages` zeroed pages.
    pub fn new(pages: usize) -> Self {
        let len = pages * PAGE;
        Self(Rc::new(Inner {
            bytes: (0..len).map(|_| AtomicU8::new(0)).collect(),
            recording: Cell::new(false),
            fetched: RefCell::new(Vec::new()),
            stored: RefCell::new(Vec::new()),
            hook: RefCell::new(None),
        }))
    }

    /// Reads without being recorded.
    pub fn peek(&self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|i| {
            self.0.bytes[at + i].load(Ordering::Relaxed)
        }))
    }

    /// Writes without being recorded.
    pub fn poke(&self, at: usize, value: u32) {
        for (i, byte) in value.to_le_bytes().into_iter().enumerate() {
            self.0.bytes[at + i].store(byte, Ordering::Relaxed);
        }
    }

    /// From now on every access is recorded; forgets what was recorded before.
    pub fn record(&self) {
        self.0.recording.set(true);
        self.0.fetched.borrow_mut().clear();
        self.0.stored.borrow_mut().clear();
    }

    /// The offsets of all bytes fetched, sorted; one that was fetched twice is in it twice.
    pub fn fetched(&self) -> Vec<usize> {
        sorted(&self.0.fetched)
    }

    /// The offsets of all bytes stored to, likewise.
    pub fn stored(&self) -> Vec<usize> {
        sorted(&self.0.stored)
    }

    /// From now on `hook` runs before every load.
    pub fn before_load(&self, hook: impl FnMut(&Memory, usize) + 'static) {
        *self.0.hook.borrow_mut() = Some(Box::new(hook));
    }
}

fn sorted(record: &RefCell<Vec<usize>>) -> Vec<usize> {
    let mut offsets = record.borrow().clone();
    offsets.sort_unstable();
    offsets
}

impl Bytewise for Memory {
    fn size(&self) -> usize {
        self.0.bytes.len()
    }

    fn load<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at.is_multiple_of(N), "misaligned load at {at}");
        if let Some(hook) = self.0.hook.borrow_mut().as_mut() {
            hook(self, at);
        }
        if self.0.recording.get() {
            self.0.fetched.borrow_mut().extend(at..at + N);
        }
        std::array::from_fn(|i| self.0.bytes[at + i].load(Ordering::Relaxed))
    }

    fn store<const N: usize>(&self, at: usize, bytes: [u8; N]) {
        assert!(at.is_multiple_of(N), "misaligned store at {at}");
        if self.0.recording.get() {
            self.0.stored.borrow_mut().extend(at..at + N);
        }
        for (i, byte) in bytes.into_iter().enumerate() {
            self.0.bytes[at + i].store(byte, Ordering::Relaxed);
        }
    }
}
