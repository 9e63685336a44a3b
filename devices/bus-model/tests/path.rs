//! A device's way to memory that it does not reach, or does not see as the processors do.

use outrigger_bus_model::{Bus, Maintenance, TestPage, TestPool};
use outrigger_devices::{
    Direction, DmaCounters, DmaMemory, DmaPath, DmaReach, DmaSegment, NoBounce, PAGE_SIZE,
};

/// The Raspberry Pi 4's first revisions: the first GiB, 3 GiB higher up.
const FIRST_GIB: DmaReach = DmaReach {
    start: 0,
    end: 1 << 30,
    offset: 0xc000_0000,
    coherent: false,
};

const LOW: u64 = 0x0800_0000;
const HIGH: u64 = 0x1_4000_0000;

struct Rig {
    bus: Bus,
    path: DmaPath<TestPool>,
}

impl Rig {
    fn new(reach: DmaReach, bounces: usize) -> Self {
        let bus = Bus::default();
        bus.set_reach(reach);
        bus.place_at(LOW, 1 << 12);
        let path = DmaPath::new(bus.pool(64), reach, bounces);
        Self { bus, path }
    }

    fn page(&self, at: u64) -> DmaMemory<TestPage> {
        self.bus.place_at(at, 1 << 12);
        self.bus.data_page()
    }

    /// The device reads `segment`, and finds what the guest wrote.
    fn check_read(&mut self, page: &DmaMemory<TestPage>, segment: DmaSegment, seed: u8) {
        let bytes = pattern(segment.len, seed);
        let at = segment.addr.bits() as usize % PAGE_SIZE;
        page.memory.poke(at, &bytes);
        self.bus.lend(segment, Direction::ToDevice);
        let loan = self.path.lend(segment, Direction::ToDevice).expect("a way");
        let mut found = vec![0; bytes.len()];
        self.bus.read(loan.bus(), &mut found);
        self.path.take_back(loan, true);
        self.bus.take_back(segment, Direction::ToDevice);
        assert_eq!(found, bytes, "what the device read");
    }

    /// The device writes `segment`, and the guest finds it.
    fn check_write(&mut self, page: &DmaMemory<TestPage>, segment: DmaSegment, seed: u8) {
        let bytes = pattern(segment.len, seed);
        let at = segment.addr.bits() as usize % PAGE_SIZE;
        // Dirty lines of the guest's, to be written back at the worst moment.
        page.memory.poke(at, &vec![0xee; bytes.len()]);
        self.bus.lend(segment, Direction::FromDevice);
        let loan = self.path.lend(segment, Direction::FromDevice).expect("a way");
        self.bus.write(loan.bus(), &bytes);
        self.path.take_back(loan, true);
        self.bus.take_back(segment, Direction::FromDevice);
        let mut found = vec![0; bytes.len()];
        page.memory.peek(at, &mut found);
        assert_eq!(found, bytes, "what the guest found");
    }
}

fn pattern(len: u32, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i / 7) as u8 ^ (i as u8).rotate_left(3) ^ seed)
        .collect()
}

fn both_ways(reach: DmaReach, at: u64) -> (DmaCounters, Maintenance) {
    let mut rig = Rig::new(reach, 4);
    let page = rig.page(at);
    for (seed, (offset, len)) in (1..).zip([(0, 4096), (512, 512), (3584, 512), (1024, 2560)]) {
        let segment = page.page.segment(offset, len).expect("within a page");
        rig.check_read(&page, segment, seed);
        rig.check_write(&page, segment, seed ^ 0x80);
        rig.check_read(&page, segment, seed ^ 0x40);
    }
    (rig.path.counters(), rig.bus.maintenance())
}

#[test]
fn a_coherent_device_that_reaches_everything_costs_nothing() {
    for at in [LOW, HIGH] {
        assert_eq!(both_ways(DmaReach::ALL, at), Default::default());
    }
}

#[test]
fn what_is_out_of_reach_bounces_and_is_counted() {
    let reach = DmaReach {
        coherent: true,
        ..FIRST_GIB
    };
    let (counters, maintenance) = both_ways(reach, HIGH);
    assert_eq!((counters.bounces, maintenance), (12, Maintenance::default()));
    let (counters, _) = both_ways(reach, LOW);
    assert_eq!(counters.bounces, 0, "what is within reach goes straight");
}

#[test]
fn caches_that_the_device_does_not_see_are_cleaned() {
    for (at, bounces) in [(LOW, 0), (HIGH, 12)] {
        let (counters, maintenance) = both_ways(FIRST_GIB, at);
        assert_eq!(counters.bounces, bounces);
        // Before the device reads: cleaned. Before and after it writes: cleaned and dropped.
        assert_eq!(
            maintenance,
            Maintenance {
                cleans: 8,
                invalidations: 8
            }
        );
    }
}

#[test]
fn a_segment_across_the_bound_is_out_of_reach() {
    let reach = DmaReach {
        start: LOW,
        end: LOW + 0x800,
        offset: 0,
        coherent: true,
    };
    let bus = Bus::default();
    bus.place_at(LOW, 1);
    let page = bus.data_page();
    assert!(!reach.holds(page.page));
    let whole = |offset, len| reach.bus(page.page.segment(offset, len).expect("within"));
    assert_eq!(whole(0x600, 0x200), Some(LOW + 0x600));
    assert_eq!(whole(0x600, 0x201), None);
    assert_eq!(whole(0x800, 4), None);
}

#[test]
fn when_the_pages_to_bounce_through_are_gone_nothing_is_lent() {
    let mut rig = Rig::new(FIRST_GIB, 2);
    let page = rig.page(HIGH);
    let segment = page.page.segment(0, 512).expect("within");
    rig.bus.lend(segment, Direction::FromDevice);
    let one = rig.path.lend(segment, Direction::FromDevice).expect("a way");
    let two = rig.path.lend(segment, Direction::FromDevice).expect("a way");
    assert_ne!(one.bus(), two.bus());
    let none = rig.path.lend(segment, Direction::FromDevice);
    assert_eq!(none.map(|loan| loan.bus()), Err(NoBounce));
    rig.path.take_back(one, false);
    let again = rig
        .path
        .lend(segment, Direction::FromDevice)
        .expect("a way again");
    rig.path.take_back(again, false);
    rig.path.take_back(two, false);
    assert_eq!(rig.path.counters().bounces, 3);
    assert_eq!(rig.path.into_pages().1.len(), 2, "all pages come back");
}

#[test]
fn a_failed_read_changes_nothing_of_the_guests() {
    let mut rig = Rig::new(FIRST_GIB, 2);
    let page = rig.page(HIGH);
    let segment = page.page.segment(0, 512).expect("within");
    page.memory.poke(0, &[7; 512]);
    rig.bus.lend(segment, Direction::FromDevice);
    let loan = rig.path.lend(segment, Direction::FromDevice).expect("a way");
    rig.bus.write(loan.bus(), &[9; 512]);
    rig.path.take_back(loan, false);
    let mut found = [0; 512];
    page.memory.peek(0, &mut found);
    assert_eq!(found, [7; 512]);
}

#[test]
fn pages_of_the_drivers_own_are_within_reach_or_not_there() {
    let rig = Rig::new(FIRST_GIB, 0);
    let (memory, bus) = rig.path.page().expect("a page");
    assert_eq!(bus, memory.page.at(0).bits() + 0xc000_0000);
    rig.bus.place_at(HIGH, 1 << 12);
    assert!(
        rig.path.page().is_none(),
        "a page that the device does not reach is no use"
    );
}

#[test]
fn addresses_of_few_bits() {
    let all = DmaReach::ALL.limited(32);
    assert_eq!((all.start, all.end), (0, 1 << 32));
    assert_eq!(DmaReach::ALL.limited(64).end, u64::MAX);
    assert_eq!(
        FIRST_GIB.limited(32),
        FIRST_GIB,
        "its last byte is the last of 4 GiB"
    );
    assert_eq!(FIRST_GIB.limited(31).end, 0, "nothing");
    let below = DmaReach {
        start: 2 << 30,
        end: 8 << 30,
        offset: (2u64 << 30).wrapping_neg(),
        coherent: true,
    };
    assert_eq!(below.limited(32).end, 6 << 30);
}
