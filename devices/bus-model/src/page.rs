//! Pages that a CPU and a device share, in a test.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use outrigger_devices::PAGE_SIZE;
use outrigger_ring::Bytewise;

use crate::cache::Cache;

/// What the CPU did to shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// Loads, acquiring ones included.
    pub loads: u64,
    /// Stores, releasing ones included.
    pub stores: u64,
    /// Full barriers.
    pub barriers: u64,
}

/// Called before every access of the CPU.
type Hook = Rc<dyn Fn()>;

/// What all pages of a bus have in common.
#[derive(Default)]
pub(crate) struct Cpu {
    accesses: Cell<Accesses>,
    hook: RefCell<Option<Hook>>,
    /// Devices do not see what the caches hold.
    incoherent: Cell<bool>,
}

impl Cpu {
    pub fn accesses(&self) -> Accesses {
        self.accesses.get()
    }

    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.borrow_mut() = hook;
    }

    pub fn set_incoherent(&self, incoherent: bool) {
        self.incoherent.set(incoherent);
    }

    fn access(&self, count: impl Fn(&mut Accesses)) {
        let hook = self.hook.borrow().clone();
        if let Some(hook) = hook {
            hook();
        }
        let mut accesses = self.accesses.get();
        count(&mut accesses);
        self.accesses.set(accesses);
    }
}

/// One page of memory; a clone is the same page.
#[derive(Clone)]
pub struct TestPage {
    bytes: Rc<[Cell<u8>]>,
    cache: Rc<RefCell<Cache>>,
    cpu: Rc<Cpu>,
}

impl fmt::Debug for TestPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestPage")
    }
}

impl TestPage {
    pub(crate) fn new(cpu: Rc<Cpu>) -> Self {
        Self {
            bytes: vec![Cell::new(0); PAGE_SIZE].into(),
            cache: Rc::default(),
            cpu,
        }
    }

    /// Reads without being counted, as a processor: the test's, or a guest's.
    pub fn peek(&self, at: usize, bytes: &mut [u8]) {
        if self.cpu.incoherent.get() {
            let mut cache = self.cache.borrow_mut();
            for (at, to) in (at..).zip(bytes) {
                *to = cache.load(&self.bytes, at);
            }
            return;
        }
        self.device_peek(at, bytes);
    }

    /// Writes without being counted, as a processor.
    pub fn poke(&self, at: usize, bytes: &[u8]) {
        if self.cpu.incoherent.get() {
            let mut cache = self.cache.borrow_mut();
            for (at, from) in (at..).zip(bytes) {
                cache.store(&self.bytes, at, *from);
            }
            return;
        }
        self.device_poke(at, bytes);
    }

    fn device_peek(&self, at: usize, bytes: &mut [u8]) {
        let from = &self.bytes[at..at + bytes.len()];
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = from.get();
        }
    }

    fn device_poke(&self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes[at..at + bytes.len()].iter().zip(bytes) {
            to.set(*from);
        }
    }

    /// Reads as a device.
    pub(crate) fn device_read(&self, at: usize, bytes: &mut [u8]) {
        if self.cpu.incoherent.get() {
            self.cache.borrow_mut().read_ahead(&self.bytes);
        }
        self.device_peek(at, bytes);
    }

    /// Writes as a device.
    pub(crate) fn device_write(&self, at: usize, bytes: &[u8]) {
        if self.cpu.incoherent.get() {
            self.cache.borrow_mut().read_ahead(&self.bytes);
        }
        self.device_poke(at, bytes);
        if self.cpu.incoherent.get() {
            // What was dirty is written back at the worst moment.
            self.cache.borrow_mut().clean(&self.bytes, 0..PAGE_SIZE);
        }
    }

    pub(crate) fn clean(&self, bytes: Range<usize>) {
        self.cache.borrow_mut().clean(&self.bytes, bytes);
    }

    pub(crate) fn clean_and_invalidate(&self, bytes: Range<usize>) {
        let mut cache = self.cache.borrow_mut();
        cache.clean(&self.bytes, bytes.clone());
        cache.drop_lines(bytes);
    }
}

impl Bytewise for TestPage {
    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn load<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at.is_multiple_of(N), "an aligned load");
        self.cpu.access(|a| a.loads += 1);
        let mut bytes = [0; N];
        self.peek(at, &mut bytes);
        bytes
    }

    fn store<const N: usize>(&self, at: usize, bytes: [u8; N]) {
        assert!(at.is_multiple_of(N), "an aligned store");
        self.cpu.access(|a| a.stores += 1);
        self.poke(at, &bytes);
    }

    fn barrier(&self) {
        self.cpu.access(|a| a.barriers += 1);
    }
}
