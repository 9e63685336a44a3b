//! The device's way to memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use outrigger_devices::{Direction, DmaMemory, DmaPage, DmaPool, DmaReach, DmaSegment, DmaView, PAGE_SIZE};
use outrigger_ring::SharedPages as _;

use crate::page::{Accesses, Cpu, TestPage};

struct Window {
    page: TestPage,
    /// A pool page: the device may do all with all of it.
    pool: bool,
    /// Otherwise what is lent: first byte, length.
    lent: Vec<(usize, usize, Direction)>,
}

impl Window {
    /// Whether the device's side may use these bytes that way.
    fn is_open(&self, offset: usize, len: usize, way: Direction) -> bool {
        self.pool
            || self
                .lent
                .iter()
                .any(|(from, length, lent)| *lent == way && *from <= offset && offset + len <= from + length)
    }
}

type Read = dyn Fn(u64, &mut [u8]);
type Write = dyn Fn(u64, &[u8]);

/// How a device reads and writes memory that is not of a bus: with panics of its own, if it may not.
struct Beyond {
    read: Box<Read>,
    write: Box<Write>,
}

/// What the CPU did for devices that do not see its caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Segments cleaned.
    pub cleans: u64,
    /// Segments cleaned and invalidated.
    pub invalidations: u64,
}

/// What all clones of a bus share besides its pages.
struct Settings {
    /// Where the next pages lie.
    base: Cell<u64>,
    /// How far they are scattered, in pages: a power of two.
    spread: Cell<u64>,
    reach: Cell<DmaReach>,
    maintenance: Cell<Maintenance>,
}

impl Default for Settings {
    /// Above 4 GiB, so that the high half of every address matters.
    fn default() -> Self {
        Self {
            base: Cell::new(0x12_0000_0000),
            spread: Cell::new(1 << 20),
            reach: Cell::new(DmaReach::ALL),
            maintenance: Cell::default(),
        }
    }
}

/// Memory as a device addresses it: scattered pages, and nothing between them.
#[derive(Clone, Default)]
pub struct Bus {
    windows: Rc<RefCell<BTreeMap<u64, Window>>>,
    cpu: Rc<Cpu>,
    next: Rc<Cell<u64>>,
    settings: Rc<Settings>,
    beyond: Rc<RefCell<Option<Beyond>>>,
}

impl Bus {
    /// A pool of `pages` pages. All that it gives out stays open to the device.
    pub fn pool(&self, pages: usize) -> TestPool {
        TestPool {
            bus: self.clone(),
            left: Cell::new(pages),
        }
    }

    /// The pages made from now on lie within `pages` (a power of two) pages from `base` on.
    pub fn place_at(&self, base: u64, pages: u64) {
        assert!(pages.is_power_of_two(), "a power of two");
        self.settings.base.set(base);
        self.settings.spread.set(pages);
    }

    /// What the device reaches from now on, and under which addresses; whether it sees the caches.
    pub fn set_reach(&self, reach: DmaReach) {
        self.settings.reach.set(reach);
        self.cpu.set_incoherent(!reach.coherent);
    }

    /// What the CPU did to its caches so far.
    pub fn maintenance(&self) -> Maintenance {
        self.settings.maintenance.get()
    }

    /// Memory that is not of this bus: addresses that are none of its pages' are read and written so.
    pub fn set_beyond(&self, read: impl Fn(u64, &mut [u8]) + 'static, write: impl Fn(u64, &[u8]) + 'static) {
        *self.beyond.borrow_mut() = Some(Beyond {
            read: Box::new(read),
            write: Box::new(write),
        });
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

    /// The device reads.
    ///
    /// # Panics
    /// Some of it was not lent to it, or it does not reach it.
    pub fn read(&self, addr: u64, bytes: &mut [u8]) {
        self.for_each_part(
            addr,
            bytes.len(),
            Direction::ToDevice,
            |place, part| match place {
                Place::Page(page, offset) => page.device_read(offset, &mut bytes[part]),
                Place::Beyond(memory, addr) => (memory.read)(addr, &mut bytes[part]),
            },
        );
    }

    /// The device writes.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn write(&self, addr: u64, bytes: &[u8]) {
        self.for_each_part(
            addr,
            bytes.len(),
            Direction::FromDevice,
            |place, part| match place {
                Place::Page(page, offset) => page.device_write(offset, &bytes[part]),
                Place::Beyond(memory, addr) => (memory.write)(addr, &bytes[part]),
            },
        );
    }

    /// The device reads 16 bits.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_u16(&self, addr: u64) -> u16 {
        let mut bytes = [0; 2];
        self.read(addr, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    fn for_each_part(
        &self,
        addr: u64,
        len: usize,
        direction: Direction,
        mut each: impl FnMut(Place<'_>, Range<usize>),
    ) {
        let windows = self.windows.borrow();
        let beyond = self.beyond.borrow();
        let reach = self.settings.reach.get();
        let mut done = 0;
        while done < len {
            let addr = addr.checked_add(done as u64).expect("an address within 64 bits");
            let addr = addr.wrapping_sub(reach.offset);
            assert!(
                addr >= reach.start && addr < reach.end,
                "the device does not reach {addr:#x}"
            );
            let (page, offset) = split(addr);
            let part = (PAGE_SIZE - offset).min(len - done);
            let place = match (windows.get(&page), &*beyond) {
                (Some(window), _) => {
                    assert!(
                        window.is_open(offset, part, direction),
                        "the device touches {part} bytes at {page:#x}+{offset:#x} that are not lent to it {direction:?}"
                    );
                    Place::Page(&window.page, offset)
                }
                (None, Some(beyond)) => Place::Beyond(beyond, addr),
                (None, None) => {
                    panic!("the device touches {part} bytes at {page:#x}+{offset:#x}: no memory")
                }
            };
            each(place, done..done + part);
            done += part;
        }
    }

    fn page(&self, pool: bool) -> DmaMemory<TestPage> {
        let number = self.next.get();
        self.next.set(number + 1);
        // An odd multiplier modulo a power of two does not repeat, and no page follows another.
        let frame = (number * 0x9_e375) & (self.settings.spread.get() - 1);
        let bus = self.settings.base.get() + frame * PAGE_SIZE as u64;
        let page = TestPage::new(self.cpu.clone());
        let window = Window {
            page: page.clone(),
            pool,
            lent: Vec::new(),
        };
        let earlier = self.windows.borrow_mut().insert(bus, window);
        assert!(earlier.is_none(), "no more pages than there is room for");
        DmaMemory {
            memory: page,
            page: DmaPage::mint(bus, number),
        }
    }
}

/// Where a part of an access goes: a page and the offset in it, or an address beyond.
enum Place<'a> {
    Page(&'a TestPage, usize),
    Beyond(&'a Beyond, u64),
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

/// As the processor that runs the driver: it may look only at what the device may use.
impl DmaView for TestPool {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        self.bus
            .view(segment, at, words.len(), Direction::ToDevice, |page, at| {
                page.copy_out(at, words);
            });
    }

    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        self.bus
            .view(segment, at, words.len(), Direction::FromDevice, |page, at| {
                page.copy_in(at, words);
            });
    }

    fn clean(&self, segment: DmaSegment) {
        let mut maintenance = self.bus.maintenance();
        maintenance.cleans += 1;
        self.bus.settings.maintenance.set(maintenance);
        self.bus.with_page(segment, |page, range| page.clean(range));
    }

    fn clean_and_invalidate(&self, segment: DmaSegment) {
        let mut maintenance = self.bus.maintenance();
        maintenance.invalidations += 1;
        self.bus.settings.maintenance.set(maintenance);
        self.bus
            .with_page(segment, |page, range| page.clean_and_invalidate(range));
    }
}

impl Bus {
    fn view(
        &self,
        segment: DmaSegment,
        at: u32,
        words: usize,
        way: Direction,
        each: impl FnOnce(&TestPage, usize),
    ) {
        assert!(
            at as usize + 4 * words <= segment.len as usize,
            "words within the segment"
        );
        let (page, offset) = split(segment.addr.bits());
        let offset = offset + at as usize;
        let page = {
            let windows = self.windows.borrow();
            let window = windows.get(&page).expect("a segment of a known page");
            assert!(
                window.is_open(offset, 4 * words, way),
                "the processor touches {words} words at {page:#x}+{offset:#x} that are not lent {way:?}"
            );
            window.page.clone()
        };
        each(&page, offset);
    }

    fn with_page(&self, segment: DmaSegment, each: impl FnOnce(&TestPage, Range<usize>)) {
        let (page, offset) = split(segment.addr.bits());
        let windows = self.windows.borrow();
        let window = windows.get(&page).expect("a segment of a known page");
        each(&window.page, offset..offset + segment.len as usize);
    }
}

fn split(addr: u64) -> (u64, usize) {
    let offset = addr % PAGE_SIZE as u64;
    (addr - offset, offset as usize)
}
