//! No wake-up is ever lost, whatever order the two processors' loads and stores take effect in.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p outrigger-ring --test loom --release`
//!
//! Loom runs every interleaving and every outcome the memory model allows. A consumer that sleeps while something waits
//! for it and no event is pending has lost a wake-up. The tests that must fail take one piece of the protocol away: they
//! show that the model would notice.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use loom::thread;
use outrigger_ring::{BackRing, FrontRing, SharedPages};

/// Two slots a page, so that the ring is full at once.
const SLOT_BYTES: usize = 2016;

/// The words that the ring touches: four indices and the first word of each slot.
struct Words([AtomicU32; 6]);

/// One end's view of the page; what it leaves out is a bug that the model must find.
#[derive(Clone)]
struct Page {
    words: Arc<Words>,
    full_barrier: bool,
    acquire: bool,
}

impl Page {
    fn new() -> Self {
        Self {
            words: Arc::new(Words(std::array::from_fn(|_| AtomicU32::new(0)))),
            full_barrier: true,
            acquire: true,
        }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        match at {
            0 | 4 | 8 | 12 => &self.words.0[at / 4],
            64 => &self.words.0[4],
            2080 => &self.words.0[5],
            _ => panic!("no word at {at}"),
        }
    }
}

impl SharedPages for Page {
    fn len(&self) -> usize {
        4096
    }
    fn load_u32(&self, at: usize) -> u32 {
        self.word(at).load(Ordering::Relaxed)
    }
    fn store_u32(&self, at: usize, value: u32) {
        self.word(at).store(value, Ordering::Relaxed);
    }
    fn acquire_u32(&self, at: usize) -> u32 {
        let order = if self.acquire {
            Ordering::Acquire
        } else {
            Ordering::Relaxed
        };
        self.word(at).load(order)
    }
    fn release_u32(&self, at: usize, value: u32) {
        self.word(at).store(value, Ordering::Release);
    }
    fn full_barrier(&self) {
        if self.full_barrier {
            fence(Ordering::SeqCst);
        }
    }
    fn load_u8(&self, at: usize) -> u8 {
        panic!("a ring has no bytes ({at})")
    }
    fn load_u16(&self, at: usize) -> u16 {
        panic!("a ring has no half words ({at})")
    }
    fn load_u64(&self, at: usize) -> u64 {
        panic!("a ring has no double words ({at})")
    }
    fn store_u8(&self, at: usize, _: u8) {
        panic!("a ring has no bytes ({at})")
    }
    fn store_u16(&self, at: usize, _: u16) {
        panic!("a ring has no half words ({at})")
    }
    fn store_u64(&self, at: usize, _: u64) {
        panic!("a ring has no double words ({at})")
    }
    fn acquire_u16(&self, at: usize) -> u16 {
        panic!("a ring has no half words ({at})")
    }
    fn release_u16(&self, at: usize, _: u16) {
        panic!("a ring has no half words ({at})")
    }
}

/// An event channel: a pending bit. Who finds it clear sleeps until it is set.
#[derive(Clone)]
struct Event(Arc<AtomicBool>);

impl Event {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    fn notify(&self) {
        // A swap, as the hypervisor's: loom would let a plain store be overtaken by an earlier `take`.
        self.0.swap(true, Ordering::Release);
    }

    /// Takes the pending bit. It orders nothing that the ring's own accesses should, unless it was set.
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }

    fn wait(&self) {
        while !self.take() {
            thread::yield_now();
        }
    }
}

/// How a consumer decides to sleep.
#[derive(Clone, Copy)]
enum Sleep {
    /// As it must.
    Checked,
    /// Arms the event, and does not look again.
    CheckIgnored,
    /// Does not even arm the event.
    Unchecked,
}

/// Consumes requests, which must be `100, 101, …`, until it sleeps without an event pending or has had `count`.
fn serve(back: &mut BackRing<Page>, event: &Event, next: &mut u32, count: u32, sleep: Sleep) {
    loop {
        for _ in 0..back.pending().unwrap() {
            let mut request = [u32::MAX];
            back.consume(&mut request);
            assert_eq!(request, [100 + *next], "a stale request");
            *next += 1;
        }
        if *next == count {
            return;
        }
        let more = match sleep {
            Sleep::Checked => back.final_check().unwrap(),
            Sleep::CheckIgnored => {
                let _ = back.final_check().unwrap();
                false
            }
            Sleep::Unchecked => false,
        };
        if !more && !event.take() {
            return;
        }
    }
}

/// The frontend posts two requests, one push each; the backend, in another thread, serves them.
fn requests(page: Page, front_page: Page, sleep: Sleep) {
    let event = Event::new();
    let mut front = FrontRing::init(front_page, SLOT_BYTES, u32::MAX).unwrap();
    let mut back = BackRing::attach(page, SLOT_BYTES).unwrap();
    let sleeping = event.clone();
    let backend = thread::spawn(move || {
        let mut next = 0;
        serve(&mut back, &sleeping, &mut next, 2, sleep);
        (back, next)
    });
    for id in 0..2 {
        front.request(&[100 + id]);
        if front.push() {
            event.notify();
        }
    }
    let (mut back, mut next) = backend.join().unwrap();
    if next < 2 {
        // It sleeps, and nobody will ever notify it again.
        assert!(event.take(), "a lost wake-up");
        serve(&mut back, &event, &mut next, 2, sleep);
        assert_eq!(next, 2, "a lost wake-up");
    }
}

/// As [`serve`], for responses `200, 201`.
fn collect(front: &mut FrontRing<Page>, event: &Event, next: &mut u32) {
    loop {
        for _ in 0..front.pending().unwrap() {
            let mut response = [u32::MAX];
            front.consume(&mut response);
            assert_eq!(response, [200 + *next], "a stale response");
            *next += 1;
        }
        if *next == 2 || (!front.final_check().unwrap() && !event.take()) {
            return;
        }
    }
}

/// The backend answers two requests, one push each; the frontend, in another thread, collects the answers.
fn responses(page: Page, front_page: Page) {
    let event = Event::new();
    let mut front = FrontRing::init(front_page, SLOT_BYTES, u32::MAX).unwrap();
    front.request(&[0]);
    front.request(&[1]);
    let _ = front.push();
    let mut back = BackRing::attach(page, SLOT_BYTES).unwrap();
    let sleeping = event.clone();
    let frontend = thread::spawn(move || {
        let mut next = 0;
        collect(&mut front, &sleeping, &mut next);
        (front, next)
    });
    back.consume(&mut [0]);
    back.consume(&mut [0]);
    for id in 0..2 {
        back.respond(&[200 + id]);
        if back.push() {
            event.notify();
        }
    }
    let (mut front, mut next) = frontend.join().unwrap();
    if next < 2 {
        assert!(event.take(), "a lost wake-up");
        collect(&mut front, &event, &mut next);
        assert_eq!(next, 2, "a lost wake-up");
    }
}

#[test]
fn no_request_is_slept_through() {
    loom::model(|| {
        let page = Page::new();
        requests(page.clone(), page, Sleep::Checked);
    });
}

#[test]
fn no_response_is_slept_through() {
    loom::model(|| {
        let page = Page::new();
        responses(page.clone(), page);
    });
}

/// Both directions at once: a request, its answer, and the next request only then. A stall would be a loop that loom
/// ends ("exceeded maximum number of branches").
#[test]
fn a_conversation_never_stalls() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let page = Page::new();
        let (to_back, to_front) = (Event::new(), Event::new());
        let mut front = FrontRing::init(page.clone(), SLOT_BYTES, u32::MAX).unwrap();
        let mut back = BackRing::attach(page, SLOT_BYTES).unwrap();
        let (waiting, answering) = (to_back.clone(), to_front.clone());
        let backend = thread::spawn(move || {
            for id in 0..2 {
                while back.pending().unwrap() == 0 {
                    if !back.final_check().unwrap() {
                        waiting.wait();
                    }
                }
                let mut request = [0];
                back.consume(&mut request);
                assert_eq!(request, [100 + id], "a stale request");
                back.respond(&[200 + id]);
                if back.push() {
                    answering.notify();
                }
            }
        });
        for id in 0..2 {
            front.request(&[100 + id]);
            if front.push() {
                to_back.notify();
            }
            while front.pending().unwrap() == 0 {
                if !front.final_check().unwrap() {
                    to_front.wait();
                }
            }
            let mut response = [0];
            front.consume(&mut response);
            assert_eq!(response, [200 + id], "a stale response");
        }
        backend.join().unwrap();
    });
}

// What the model must notice.

#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_producer_without_its_barrier_loses_a_wake_up() {
    loom::model(|| {
        let page = Page::new();
        let front = Page {
            full_barrier: false,
            ..page.clone()
        };
        requests(page, front, Sleep::Checked);
    });
}

#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_consumer_without_its_barrier_loses_a_wake_up() {
    loom::model(|| {
        let front = Page::new();
        let page = Page {
            full_barrier: false,
            ..front.clone()
        };
        requests(page, front, Sleep::Checked);
    });
}

#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_backend_that_answers_without_its_barrier_loses_a_wake_up() {
    loom::model(|| {
        let front = Page::new();
        let page = Page {
            full_barrier: false,
            ..front.clone()
        };
        responses(page, front);
    });
}

#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_consumer_that_does_not_look_again_loses_a_wake_up() {
    loom::model(|| {
        let page = Page::new();
        requests(page.clone(), page, Sleep::CheckIgnored);
    });
}

#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_consumer_that_arms_no_event_loses_a_wake_up() {
    loom::model(|| {
        let page = Page::new();
        requests(page.clone(), page, Sleep::Unchecked);
    });
}

#[test]
#[should_panic(expected = "a stale request")]
fn a_consumer_that_does_not_acquire_reads_stale_slots() {
    loom::model(|| {
        let front = Page::new();
        let page = Page {
            acquire: false,
            ..front.clone()
        };
        requests(page, front, Sleep::Checked);
    });
}
