//! Neither side sleeps while the other waits for it, and nobody reads what is not written yet, whatever order the two
//! sides' loads and stores take effect in.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p outrigger-virtio --test loom --release`
//!
//! Loom runs every interleaving and every outcome the memory model allows. The tests that must fail take one piece of the
//! protocol away: they show that the others would notice.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering, fence};
use loom::thread;
use outrigger_devices::{DmaMemory, DmaPool};
use outrigger_ring::SharedPages;
use outrigger_virtio::{SplitQueue, need_event};
use outrigger_virtio_model::{Bus, TestPool};

/// Where things are in the rings' page of a queue of two.
const AVAIL_IDX: usize = 2;
const USED_EVENT: usize = 8;
const USED_IDX: usize = 1030;
const AVAIL_EVENT: usize = 1048;

/// Not a head: what the rings hold before anybody wrote to them.
const NOTHING: u16 = 9;
/// What the device says it wrote.
const LEN: u32 = 77;

/// The words of that page. (The descriptor table is not touched here.)
struct Words {
    halves: [(usize, AtomicU16); 6],
    entries: [(usize, AtomicU64); 2],
}

/// One side's view; what it leaves out is a bug that the model must find.
#[derive(Clone)]
struct Page {
    words: Arc<Words>,
    barrier: bool,
    acquire: bool,
    release: bool,
}

impl Page {
    fn new(avail_event: u16) -> Self {
        let half = |at, value| (at, AtomicU16::new(value));
        let entry = |at| (at, AtomicU64::new(NOTHING.into()));
        Self {
            words: Arc::new(Words {
                halves: [
                    half(AVAIL_IDX, 0),
                    half(4, NOTHING),
                    half(6, NOTHING),
                    half(USED_EVENT, 0),
                    half(USED_IDX, 0),
                    half(AVAIL_EVENT, avail_event),
                ],
                entries: [entry(1032), entry(1040)],
            }),
            barrier: true,
            acquire: true,
            release: true,
        }
    }

    fn half(&self, at: usize) -> &AtomicU16 {
        let found = self.words.halves.iter().find(|half| half.0 == at);
        &found.unwrap_or_else(|| panic!("no half-word at {at}")).1
    }

    fn entry(&self, at: usize) -> &AtomicU64 {
        let found = self.words.entries.iter().find(|entry| entry.0 == at);
        &found.unwrap_or_else(|| panic!("no entry at {at}")).1
    }
}

impl SharedPages for Page {
    fn len(&self) -> usize {
        4096
    }
    fn load_u8(&self, at: usize) -> u8 {
        panic!("no byte at {at}")
    }
    fn load_u16(&self, at: usize) -> u16 {
        self.half(at).load(Ordering::Relaxed)
    }
    fn load_u32(&self, at: usize) -> u32 {
        panic!("no word at {at}")
    }
    fn load_u64(&self, at: usize) -> u64 {
        self.entry(at).load(Ordering::Relaxed)
    }
    fn store_u8(&self, at: usize, _: u8) {
        panic!("no byte at {at}")
    }
    fn store_u16(&self, at: usize, value: u16) {
        self.half(at).store(value, Ordering::Relaxed);
    }
    fn store_u32(&self, at: usize, _: u32) {
        panic!("no word at {at}")
    }
    fn store_u64(&self, at: usize, value: u64) {
        self.entry(at).store(value, Ordering::Relaxed);
    }
    fn acquire_u16(&self, at: usize) -> u16 {
        let order = if self.acquire {
            Ordering::Acquire
        } else {
            Ordering::Relaxed
        };
        self.half(at).load(order)
    }
    fn acquire_u32(&self, at: usize) -> u32 {
        panic!("no word at {at}")
    }
    fn release_u16(&self, at: usize, value: u16) {
        let order = if self.release {
            Ordering::Release
        } else {
            Ordering::Relaxed
        };
        self.half(at).store(value, order);
    }
    fn release_u32(&self, at: usize, _: u32) {
        panic!("no word at {at}")
    }
    fn full_barrier(&self) {
        if self.barrier {
            fence(Ordering::SeqCst);
        }
    }
}

/// Gives the one page that the queue works on, whichever it asks for; the addresses are nobody's here.
struct Pool(TestPool, Page);

impl DmaPool for Pool {
    type Memory = Page;
    fn page(&self) -> Option<DmaMemory<Page>> {
        Some(DmaMemory {
            memory: self.1.clone(),
            page: self.0.page()?.page,
        })
    }
}

fn queue(page: &Page) -> SplitQueue<Page, u32> {
    let pool = Pool(Bus::default().pool(2), page.clone());
    SplitQueue::new(&pool, 2, 1, true).expect("two pages")
}

/// The device is about to stop looking, while the driver publishes a chain: it sees the chain or hears the doorbell, and
/// what it sees is written.
fn doorbell(weaken: fn(&mut Page)) {
    loom::model(move || {
        // Until now it looked by itself, and asked for nothing.
        let device = Page::new(u16::MAX);
        let mut driver = device.clone();
        weaken(&mut driver);
        let mut queue = queue(&driver);
        let device = thread::spawn(move || {
            let look = || {
                let seen = device.acquire_u16(AVAIL_IDX);
                if seen > 0 {
                    assert_eq!(device.load_u16(4), 0, "the head of what is available");
                }
                seen
            };
            let seen = look();
            device.store_u16(AVAIL_EVENT, seen);
            device.full_barrier();
            look()
        });
        queue.expose(5);
        let rung = queue.publish();
        let seen = device.join().expect("a device");
        assert!(seen == 1 || rung, "the device sleeps, and nobody told it");
    });
}

/// The driver is about to sleep, while the device uses two chains: it sees both or is interrupted.
fn interrupt(weaken: fn(&mut Page)) {
    loom::model(move || {
        let device = Page::new(0);
        let mut driver = device.clone();
        weaken(&mut driver);
        let mut queue = queue(&driver);
        queue.expose(5);
        queue.expose(6);
        let _rung = queue.publish();
        let line = Arc::new(AtomicBool::new(false));
        let device = thread::spawn({
            let line = line.clone();
            move || {
                for old in 0..2u16 {
                    device.store_u64(1032 + 8 * usize::from(old), u64::from(old) | u64::from(LEN) << 32);
                    device.release_u16(USED_IDX, old + 1);
                    device.full_barrier();
                    if need_event(device.load_u16(USED_EVENT), old + 1, old) {
                        line.store(true, Ordering::SeqCst);
                    }
                }
            }
        });
        let mut taken = 0;
        loop {
            line.store(false, Ordering::SeqCst);
            for _ in 0..queue.pending().expect("an honest device") {
                let used = queue.take().expect("an entry that is written");
                assert_eq!((used.token, used.len), (5 + taken, LEN));
                taken += 1;
            }
            if !queue.arm() {
                break;
            }
        }
        device.join().expect("a device");
        assert!(
            taken == 2 || line.load(Ordering::SeqCst),
            "the driver sleeps, and nobody woke it"
        );
    });
}

#[test]
fn no_doorbell_is_lost() {
    doorbell(|_| {});
}

#[test]
fn no_interrupt_is_lost() {
    interrupt(|_| {});
}

#[test]
#[should_panic(expected = "nobody told it")]
fn without_the_barrier_a_doorbell_is_lost() {
    doorbell(|page| page.barrier = false);
}

#[test]
#[should_panic(expected = "the head of what is available")]
fn without_release_the_device_reads_too_early() {
    doorbell(|page| page.release = false);
}

#[test]
#[should_panic(expected = "nobody woke it")]
fn without_the_barrier_an_interrupt_is_lost() {
    interrupt(|page| page.barrier = false);
}

#[test]
#[should_panic(expected = "an entry that is written")]
fn without_acquire_the_driver_reads_too_early() {
    interrupt(|page| page.acquire = false);
}
