//! Memory of a fake domain, and everybody's view of it.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use outrigger_ring::{Bytewise, SharedPages};

use super::survivors::Steps;
use super::watchdog::Work;
use crate::{Access, DomId, PAGE_SIZE};

/// What a test runs as the guest between two loads of the backend: given the offset in the page about to be loaded.
type LoadHook = Box<dyn FnMut(usize)>;

/// One page of memory.
pub(super) struct Page {
    /// Where it is on the bus.
    pub machine: u64,
    /// Its guest frame number, in its owner.
    pub gfn: u64,
    /// Whose it is.
    pub owner: DomId,
    bytes: Vec<Cell<u8>>,
    /// Fetches of each byte by others than the owner, while recording.
    fetches: RefCell<Option<Vec<u32>>>,
    hook: RefCell<Option<LoadHook>>,
}

impl Page {
    /// Zeroes it.
    pub fn clear(&self) {
        self.bytes.iter().for_each(|byte| byte.set(0));
    }

    pub fn new(owner: DomId, gfn: u64, machine: u64) -> Rc<Self> {
        Rc::new(Self {
            machine,
            gfn,
            owner,
            bytes: vec![Cell::new(0); PAGE_SIZE],
            fetches: RefCell::new(None),
            hook: RefCell::new(None),
        })
    }

    /// Reads bytes, as the bus does: no recording, no hooks.
    pub fn peek(&self, at: usize, out: &mut [u8]) {
        for (cell, byte) in self.bytes[at..].iter().zip(out) {
            *byte = cell.get();
        }
    }

    /// Writes bytes, as the bus does.
    pub fn poke(&self, at: usize, bytes: &[u8]) {
        for (cell, byte) in self.bytes[at..].iter().zip(bytes) {
            cell.set(*byte);
        }
    }

    /// Notes that somebody else than the owner fetched these bytes.
    pub fn note_fetch(&self, at: usize, len: usize) {
        if let Some(counts) = &mut *self.fetches.borrow_mut() {
            counts[at..at + len].iter_mut().for_each(|count| *count += 1);
        }
    }
}

/// How a view came about, and whether it still holds.
#[derive(Debug)]
pub(super) struct View {
    /// The owner's own view: neither recorded nor interrupted by hooks.
    pub own: bool,
    pub access: Access,
    pub live: Cell<bool>,
    /// Counts the stores, of a domain that may be made to fail at any of them.
    steps: Option<Rc<Steps>>,
}

/// A view of one or more pages. The owner's comes from [`Domain::pages`](super::Domain::pages); a backend's from mapping
/// a grant. A backend's view panics when it is used after the unmap, or written through although mapped read-only, as
/// the real thing would fault.
#[derive(Clone)]
pub struct FakePages {
    pub(super) pages: Rc<[Rc<Page>]>,
    pub(super) view: Rc<View>,
    /// In bytes.
    pub(super) len: usize,
    /// Stores of fewer bytes are no steps: where they mean nothing before an index tells of them.
    pub(super) least_step: usize,
}

impl FakePages {
    pub(super) fn new(pages: Vec<Rc<Page>>, own: bool, access: Access) -> Self {
        Self::with_steps(pages, own, access, None)
    }

    /// A view whose stores are steps.
    pub(super) fn stepping(pages: Vec<Rc<Page>>, own: bool, access: Access, steps: Rc<Steps>) -> Self {
        Self::with_steps(pages, own, access, Some(steps))
    }

    fn with_steps(pages: Vec<Rc<Page>>, own: bool, access: Access, steps: Option<Rc<Steps>>) -> Self {
        Self {
            len: pages.len() * PAGE_SIZE,
            least_step: 1,
            pages: pages.into(),
            view: Rc::new(View {
                own,
                access,
                live: Cell::new(true),
                steps,
            }),
        }
    }

    /// The guest frame number of page `index`, for [`CopySide::Own`](crate::CopySide::Own).
    pub fn gfn(&self, index: usize) -> u64 {
        self.pages[index].gfn
    }

    /// The bus address of page `index`, which is where a device sees it if it may.
    pub fn machine(&self, index: usize) -> u64 {
        self.pages[index].machine
    }

    /// The same pages, one by one.
    pub fn split(&self) -> impl Iterator<Item = Self> + '_ {
        self.pages.iter().map(|page| Self {
            pages: Rc::new([page.clone()]),
            view: self.view.clone(),
            len: PAGE_SIZE,
            least_step: self.least_step,
        })
    }

    /// Reads bytes without being recorded.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        for (i, byte) in out.iter_mut().enumerate() {
            let (page, offset) = self.place(at + i, 1);
            page.peek(offset, core::slice::from_mut(byte));
        }
    }

    /// Writes bytes.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let (page, offset) = self.place(at + i, 1);
            page.poke(offset, core::slice::from_ref(byte));
        }
    }

    /// From now on, counts how often others than the owner fetch each byte; forgets earlier counts.
    pub fn record_fetches(&self) {
        for page in &*self.pages {
            *page.fetches.borrow_mut() = Some(vec![0; PAGE_SIZE]);
        }
    }

    /// The fetches of each byte in `range` since [`record_fetches`](Self::record_fetches).
    ///
    /// # Panics
    /// Nothing was recorded.
    pub fn fetches(&self, range: Range<usize>) -> Vec<u32> {
        range
            .map(|at| {
                let counts = self.pages[at / PAGE_SIZE].fetches.borrow();
                counts.as_ref().expect("record_fetches was called")[at % PAGE_SIZE]
            })
            .collect()
    }

    /// The double-fetch detector (XSA-155): no byte of `range` was fetched twice.
    ///
    /// # Panics
    /// One was.
    pub fn assert_fetched_at_most_once(&self, range: Range<usize>) {
        let start = range.start;
        if let Some(i) = self.fetches(range).iter().position(|count| *count > 1) {
            panic!("double fetch of the byte at offset {}", start + i);
        }
    }

    /// Runs `hook` before every load that somebody else than the owner makes, as a guest with a second processor could:
    /// it is given the owner's view and the offset in it. It replaces an earlier hook.
    pub fn before_foreign_load(&self, hook: impl FnMut(&Self, usize) + 'static) {
        let hook = Rc::new(RefCell::new(hook));
        let owners = Self::new(self.pages.to_vec(), true, Access::ReadWrite);
        for (i, page) in self.pages.iter().enumerate() {
            let (hook, owners) = (hook.clone(), owners.clone());
            *page.hook.borrow_mut() = Some(Box::new(move |at| {
                (hook.borrow_mut())(&owners, i * PAGE_SIZE + at);
            }));
        }
    }

    /// Removes the hook.
    pub fn leave_loads_alone(&self) {
        for page in &*self.pages {
            *page.hook.borrow_mut() = None;
        }
    }

    fn place(&self, at: usize, width: usize) -> (&Page, usize) {
        assert!(at.is_multiple_of(width), "misaligned access at {at:#x}");
        assert!(at + width <= self.len(), "access past the end at {at:#x}");
        (&self.pages[at / PAGE_SIZE], at % PAGE_SIZE)
    }
}

impl fmt::Debug for FakePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakePages")
            .field("pages", &self.pages.len())
            .field("view", &self.view)
            .finish()
    }
}

impl Bytewise for FakePages {
    fn size(&self) -> usize {
        self.len
    }

    fn load<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(
            self.view.live.get(),
            "load at {at:#x} after the pages were unmapped"
        );
        let (page, offset) = self.place(at, N);
        if let Some(steps) = &self.view.steps {
            steps.unseen.add(Work::STORE);
        }
        if !self.view.own {
            // Taken out meanwhile, so that what the hook itself does is not interrupted again.
            let hook = page.hook.borrow_mut().take();
            if let Some(mut hook) = hook {
                hook(offset);
                let mut current = page.hook.borrow_mut();
                if current.is_none() {
                    *current = Some(hook);
                }
            }
            page.note_fetch(offset, N);
        }
        let mut bytes = [0; N];
        page.peek(offset, &mut bytes);
        bytes
    }

    fn store<const N: usize>(&self, at: usize, bytes: [u8; N]) {
        if self.view.steps.as_ref().is_some_and(|steps| steps.is_over()) {
            return;
        }
        assert!(
            self.view.live.get(),
            "store at {at:#x} after the pages were unmapped"
        );
        assert!(
            self.view.access == Access::ReadWrite,
            "store at {at:#x} through a read-only mapping"
        );
        let (page, offset) = self.place(at, N);
        if let Some(steps) = &self.view.steps
            && N >= self.least_step
        {
            steps.take();
        }
        page.poke(offset, &bytes);
    }
}
