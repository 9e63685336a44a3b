//! The device's way to memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use outrigger_devices::{DmaMemory, DmaPage, DmaPool, DmaSegment, PAGE_SIZE};

use crate::page::{Accesses, Cpu, TestPage};

/// Which way a lent segment may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads it.
    ToDevice,
    /// The device writes it.
    FromDevice,
}

struct Window {
    page: TestPage,
    /// A pool page: the device may do all with all of it.
    pool: bool,
    /// Otherwise what is lent: first byte, length.
    lent: Vec<(usize, usize, Direction)>,
}

/// Memory as a device addresses it: scattered pages, and nothing between them.
#[derive(Clone, Default)]
pub struct Bus {
    windows: Rc<RefCell<BTreeMap<u64, Window>>>,
    cpu: Rc<Cpu>,
    next: Rc<Cell<u64>>,
}

impl Bus {
    /// A pool of `pages` pages. All that it gives out stays open to the device.
    pub fn pool(&self, pages: usize) -> TestPool {
        TestPool {
            bus: self.clone(),
            left: Cell::new(pages),
        }
    }

    /// A page for data, closed to the device until parts of it are [lent](Self::lend).
    pub fn data_page(&self) -> DmaMemory<TestPage> {
        self.page(false)
    }

    /// Opens a segment of a data page to the device.
    ///
    /// # Panics
    /// It is not in a data page.
    pub fn lend(&self, segment: DmaSegment, direction: Direction) {
        let (page, offset) = split(segment.addr.bits());
        let mut windows = self.windows.borrow_mut();
        let window = windows.get_mut(&page).expect("a segment of a known page");
        assert!(!window.pool, "a segment of a data page");
        window.lent.push((offset, segment.len as usize, direction));
    }

    /// Closes a segment again.
    ///
    /// # Panics
    /// It was not lent.
    pub fn take_back(&self, segment: DmaSegment, direction: Direction) {
        let (page, offset) = split(segment.addr.bits());
        let mut windows = self.windows.borrow_mut();
        let window = windows.get_mut(&page).expect("a segment of a known page");
        let lent = (offset, segment.len as usize, direction);
        let place = window.lent.iter().position(|l| *l == lent);
        window.lent.swap_remove(place.expect("a segment that was lent"));
    }

    /// Closes every data page, as when a device is gone.
    pub fn take_all_back(&self) {
        for window in self.windows.borrow_mut().values_mut() {
            window.lent.clear();
        }
    }

    /// What the CPU did to all pages so far.
    pub fn accesses(&self) -> Accesses {
        self.cpu.accesses()
    }

    /// Runs `hook` before every access of the CPU: a device that works meanwhile.
    pub fn race(&self, hook: impl Fn() + 'static) {
        self.cpu.set_hook(Some(Rc::new(hook)));
    }

    /// No more of that.
    pub fn calm(&self) {
        self.cpu.set_hook(None);
    }

    pub(crate) fn read(&self, addr: u64, bytes: &mut [u8]) {
        self.for_each_part(addr, bytes.len(), Direction::ToDevice, |page, offset, part| {
            page.peek(offset, &mut bytes[part]);
        });
    }

    pub(crate) fn write(&self, addr: u64, bytes: &[u8]) {
        self.for_each_part(addr, bytes.len(), Direction::FromDevice, |page, offset, part| {
            page.poke(offset, &bytes[part]);
        });
    }

    pub(crate) fn read_u16(&self, addr: u64) -> u16 {
        let mut bytes = [0; 2];
        self.read(addr, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    fn for_each_part(
        &self,
        addr: u64,
        len: usize,
        direction: Direction,
        mut each: impl FnMut(&TestPage, usize, std::ops::Range<usize>),
    ) {
        let windows = self.windows.borrow();
        let mut done = 0;
        while done < len {
            let (page, offset) = split(addr.checked_add(done as u64).expect("an address within 64 bits"));
            let part = (PAGE_SIZE - offset).min(len - done);
            let window = windows.get(&page).unwrap_or_else(|| {
                panic!("the device touches {part} bytes at {page:#x}+{offset:#x}: no memory")
            });
            let open = window.lent.iter().any(|(from, length, way)| {
                *way == direction && *from <= offset && offset + part <= from + length
            });
            assert!(
                window.pool || open,
                "the device touches {part} bytes at {page:#x}+{offset:#x} that are not lent to it {direction:?}"
            );
            each(&window.page, offset, done..done + part);
            done += part;
        }
    }

    fn page(&self, pool: bool) -> DmaMemory<TestPage> {
        let number = self.next.get();
        self.next.set(number + 1);
        // An odd multiplier modulo 2^20 never repeats, and no page follows another. Above 4 GiB, so that the high half
        // of every address matters.
        let bus = 0x12_0000_0000 + ((number * 0x9_e375) & 0xf_ffff) * PAGE_SIZE as u64;
        let page = TestPage::new(self.cpu.clone());
        let window = Window {
            page: page.clone(),
            pool,
            lent: Vec::new(),
        };
        let earlier = self.windows.borrow_mut().insert(bus, window);
        assert!(earlier.is_none(), "a test needs at most 2^20 pages");
        DmaMemory {
            memory: page,
            page: DmaPage::mint(bus),
        }
    }
}

/// A DMA pool on a [`Bus`].
pub struct TestPool {
    bus: Bus,
    left: Cell<usize>,
}

impl TestPool {
    /// Pages it still has.
    pub fn left(&self) -> usize {
        self.left.get()
    }
}

impl DmaPool for TestPool {
    type Memory = TestPage;

    fn page(&self) -> Option<DmaMemory<TestPage>> {
        self.left.set(self.left.get().checked_sub(1)?);
        Some(self.bus.page(true))
    }
}

fn split(addr: u64) -> (u64, usize) {
    let offset = addr % PAGE_SIZE as u64;
    (addr - offset, offset as usize)
}
