//! No event is ever lost between Xen, which marks ports on other processors, and the look that takes them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p outrigger-core --test loom --release`
//!
//! The domain looks, acknowledges the interrupt if there is one, looks, and sleeps. Whatever is sent has to be seen by then, or the
//! interrupt is pending again. The test that must fail leaves a barrier out: it shows that the model would notice.
#![cfg(loom)]

use std::cell::Cell;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use loom::thread;
use outrigger_ring::SharedPages;
use outrigger_xen::Port;

#[allow(dead_code, reason = "half of it is for restarts")]
#[path = "../src/bitmap.rs"]
mod bitmap;

use bitmap::{AtomicWords, Bitmap};

/// What Xen shares: one word of ports is used.
struct Words {
    upcall: AtomicU8,
    selector: AtomicU64,
    pending: AtomicU64,
    mask: AtomicU64,
}

/// A page of it.
#[derive(Clone)]
struct Page {
    words: Arc<Words>,
    /// Whether it is `vcpu_info`; the other one is `shared_info`.
    vcpu: bool,
}

impl Page {
    fn word(&self, at: usize) -> &AtomicU64 {
        match (self.vcpu, at) {
            (true, 8) => &self.words.selector,
            (false, 48) => &self.words.pending,
            (false, 560) => &self.words.mask,
            _ => panic!("no word at {at}"),
        }
    }
}

impl SharedPages for Page {
    fn len(&self) -> usize {
        4096
    }
    fn load_u8(&self, at: usize) -> u8 {
        assert!(self.vcpu && at == 0, "the one byte is the upcall's");
        self.words.upcall.load(Ordering::Relaxed)
    }
    fn store_u8(&self, at: usize, value: u8) {
        assert!(self.vcpu && at == 0, "the one byte is the upcall's");
        self.words.upcall.store(value, Ordering::Relaxed);
    }
    fn load_u64(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }
    fn full_barrier(&self) {
        fence(Ordering::SeqCst);
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
}

impl AtomicWords for Page {
    fn or(&self, at: usize, bits: u64) {
        self.word(at).fetch_or(bits, Ordering::AcqRel);
    }
    fn and(&self, at: usize, bits: u64) {
        self.word(at).fetch_and(bits, Ordering::AcqRel);
    }
    fn take(&self, at: usize) -> u64 {
        self.word(at).swap(0, Ordering::AcqRel)
    }
}

/// `evtchn_2l_set_pending` and `vcpu_mark_events_pending` of Xen.
fn send(words: &Words, interrupt: &AtomicBool, Port(port): Port) {
    let bit = 1 << port;
    if words.pending.fetch_or(bit, Ordering::SeqCst) & bit != 0
        || words.mask.load(Ordering::SeqCst) & bit != 0
    {
        return;
    }
    if words.selector.fetch_or(1, Ordering::SeqCst) & 1 == 0 && words.upcall.swap(1, Ordering::SeqCst) == 0 {
        interrupt.swap(true, Ordering::Release);
    }
}

/// A domain that looks while other processors send, and has to see all ports before it sleeps for good.
fn hears_all(ports: &'static [u32], acknowledged: Ordering) {
    loom::model(move || {
        let words = Arc::new(Words {
            upcall: AtomicU8::new(0),
            selector: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            mask: AtomicU64::new(0),
        });
        let interrupt = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = ports
            .iter()
            .map(|port| {
                let (words, interrupt) = (words.clone(), interrupt.clone());
                thread::spawn(move || send(&words, &interrupt, Port(*port)))
            })
            .collect();
        let page = |vcpu| Page {
            words: words.clone(),
            vcpu,
        };
        let bitmap = Bitmap {
            shared_info: page(false),
            vcpu_info: page(true),
        };
        let seen = Cell::new(0);
        let look = || bitmap.take_pending(&mut |Port(port)| seen.set(seen.get() | 1_u64 << port));
        look();
        if interrupt.swap(false, acknowledged) {
            look();
        }
        let sent = senders.into_iter().all(|sender| sender.join().is_ok());
        // It sleeps, and nothing but the interrupt wakes it.
        if interrupt.swap(false, acknowledged) {
            look();
        }
        let all = ports.iter().fold(0, |all, port| all | 1_u64 << port);
        assert!(sent && seen.get() == all, "an event is lost");
    });
}

#[test]
fn no_event_is_lost_between_two_processors() {
    hears_all(&[4], Ordering::Acquire);
    hears_all(&[4, 5], Ordering::Acquire);
}

/// A GICv2 is acknowledged by a load from a device's register, which orders nothing (`gic/v2.rs`).
#[test]
#[should_panic(expected = "an event is lost")]
fn an_acknowledgement_without_a_barrier_loses_some() {
    hears_all(&[4], Ordering::Relaxed);
}
