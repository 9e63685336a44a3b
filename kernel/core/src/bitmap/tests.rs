use std::cell::Cell;
use std::rc::Rc;
use std::vec::Vec;

use outrigger_xen::DomId;
use outrigger_xen::fake::{FakePages, FakeXen};

use super::*;

/// A page that its domain writes only so often: then its life has ended.
#[derive(Clone, Debug)]
struct Mortal {
    page: FakePages,
    steps: Rc<Cell<u32>>,
}

impl Mortal {
    fn lives(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }
}

impl SharedPages for Mortal {
    fn len(&self) -> usize {
        self.page.len()
    }
    fn load_u8(&self, at: usize) -> u8 {
        self.page.load_u8(at)
    }
    fn load_u64(&self, at: usize) -> u64 {
        self.page.load_u64(at)
    }
    fn store_u8(&self, at: usize, value: u8) {
        if self.lives() {
            self.page.store_u8(at, value);
        }
    }
    fn load_u16(&self, _: usize) -> u16 {
        unreachable!("bytes and words of 64 bits")
    }
    fn load_u32(&self, _: usize) -> u32 {
        unreachable!("bytes and words of 64 bits")
    }
    fn store_u16(&self, _: usize, _: u16) {
        unreachable!("bytes and words of 64 bits")
    }
    fn store_u32(&self, _: usize, _: u32) {
        unreachable!("bytes and words of 64 bits")
    }
    fn store_u64(&self, _: usize, _: u64) {
        unreachable!("Xen may write there at the same time")
    }
    fn acquire_u16(&self, _: usize) -> u16 {
        unreachable!("bytes and words of 64 bits")
    }
    fn acquire_u32(&self, _: usize) -> u32 {
        unreachable!("bytes and words of 64 bits")
    }
    fn release_u16(&self, _: usize, _: u16) {
        unreachable!("bytes and words of 64 bits")
    }
    fn release_u32(&self, _: usize, _: u32) {
        unreachable!("bytes and words of 64 bits")
    }
    fn full_barrier(&self) {}
}

impl AtomicWords for Mortal {
    fn or(&self, at: usize, bits: u64) {
        if self.lives() {
            self.page.store_u64(at, self.page.load_u64(at) | bits);
        }
    }
    fn and(&self, at: usize, bits: u64) {
        if self.lives() {
            self.page.store_u64(at, self.page.load_u64(at) & bits);
        }
    }
    fn take(&self, at: usize) -> u64 {
        let all = self.page.load_u64(at);
        if self.lives() {
            self.page.store_u64(at, 0);
        }
        all
    }
}

/// The pages as Xen and one life after the other see them.
struct World {
    shared_info: FakePages,
    vcpu_info: FakePages,
}

impl World {
    fn new() -> Self {
        let domain = FakeXen::new().domain(DomId(3));
        Self {
            shared_info: domain.pages(1),
            vcpu_info: domain.pages(1),
        }
    }

    /// A life that ends after so many stores.
    fn life(&self, steps: u32) -> Bitmap<Mortal> {
        let steps = Rc::new(Cell::new(steps));
        let [shared_info, vcpu_info] = [&self.shared_info, &self.vcpu_info].map(|page| Mortal {
            page: page.clone(),
            steps: steps.clone(),
        });
        Bitmap {
            shared_info,
            vcpu_info,
        }
    }

    /// `evtchn_2l_set_pending` of Xen's `common/event_2l.c`.
    fn send(&self, port: Port) {
        let (word, bit) = place(port);
        let set = |page: &FakePages, at: usize, bit: u64| {
            let old = page.load_u64(at);
            page.store_u64(at, old | bit);
            old & bit != 0
        };
        if set(&self.shared_info, PENDING + word, bit) {
            return;
        }
        let masked = self.shared_info.load_u64(MASK + word) & bit != 0;
        if !masked && !set(&self.vcpu_info, PENDING_SEL, 1 << (word / 8)) {
            self.vcpu_info.store_u8(UPCALL_PENDING, 1);
        }
    }
}

fn taken(life: &Bitmap<Mortal>) -> Vec<u32> {
    let mut ports = Vec::new();
    life.take_pending(&mut |Port(port)| ports.push(port));
    ports
}

#[test]
fn what_is_sent_is_taken_once() {
    let world = World::new();
    let life = world.life(u32::MAX);
    for port in [700, 4, 4, 63, 4095] {
        world.send(Port(port));
    }
    assert_eq!(taken(&life), [4, 63, 700, 4095]);
    assert_eq!(taken(&life), []);
    life.mask(Port(4));
    world.send(Port(4));
    assert_eq!(taken(&life), [], "masked");
    life.clear(Port(4));
    assert_eq!(world.shared_info.load_u64(PENDING), 0);
}

/// Wherever a life ends while it takes events, and whatever comes between it and the next: the next one hears of all that is
/// sent to it.
#[test]
fn a_life_that_ends_between_two_stores_leaves_nobody_unheard() {
    let ports = [4, 63, 700];
    let all_steps = 2 + 2;
    for steps in 0..=all_steps {
        for between in [&[][..], &[4], &[63, 700]] {
            let world = World::new();
            let old = world.life(steps);
            ports.iter().for_each(|port| world.send(Port(*port)));
            taken(&old);
            between.iter().for_each(|port| world.send(Port(*port)));
            let new = world.life(u32::MAX);
            new.take_over();
            assert_eq!(taken(&new), [], "what was an earlier life's is forgotten");
            for port in ports {
                world.send(Port(port));
                assert_eq!(taken(&new), [port], "after {steps} stores, {between:?} between");
            }
        }
    }
}
