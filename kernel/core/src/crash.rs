//! For images of tests: lives that fail at random places. `crash=COUNT` on the command line: so many times in all, each a few
//! milliseconds after a device or a guest has had something to say, at whatever instruction the program is then, in every
//! way there is in turn; `crash=COUNT,WAY` in one way only, and `crash=COUNT,WAY,MS` not before a life has lasted so many
//! milliseconds. With `,blamed` at its end they count as failures nobody wanted, of which a domain survives four in 10 s. The
//! first comes when a guest's device is connected: before that there is nobody who could notice.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use outrigger_xen::Instant;

use crate::survivors::facts::Facts;
use crate::{Shared, arch};

/// Latest failure after that.
const LATEST: Duration = Duration::from_millis(8);

/// When the next failure is due.
pub(crate) struct CrashPoints {
    facts: Facts<Shared>,
    count: u64,
    way: Option<u64>,
    /// A life is spared until then.
    spared: Instant,
    at: Option<Instant>,
    random: u64,
}

/// In which way to fail, if not in the next.
static WAY: AtomicU64 = AtomicU64::new(u64::MAX);
/// A guest's device is, or was, connected.
static SERVING: AtomicBool = AtomicBool::new(false);
/// Failures count as if nobody had wanted them.
static BLAMED: AtomicBool = AtomicBool::new(false);
/// This life's end was wanted.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Something has been recorded for a next life.
pub(crate) fn begin() {
    SERVING.store(true, Ordering::Relaxed);
}

/// Whether this life's end was wanted.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

impl CrashPoints {
    /// As the command line's `crash` says; `None` if it says nothing that makes sense.
    pub(crate) fn new(facts: Facts<Shared>, wanted: &str, now: Instant) -> Option<Self> {
        BLAMED.store(wanted.ends_with(",blamed"), Ordering::Relaxed);
        let mut numbers = wanted.split(',').map(|word| word.parse().ok());
        let random = (now.0 ^ u64::from(facts.life()) << 32) | 1;
        Some(Self {
            facts,
            count: numbers.next()??,
            way: numbers.next().flatten(),
            spared: now.after(Duration::from_millis(numbers.next().flatten().unwrap_or(0))),
            at: None,
            random,
        })
    }

    fn random(&mut self, below: Duration) -> Duration {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_nanos(self.random % below.as_nanos() as u64)
    }

    /// The moment to fail at, from `now` on; soon, if it has come while the domain slept.
    pub(crate) fn next(&mut self, now: Instant, busy: bool) -> Option<Instant> {
        let busy = busy && now >= self.spared && SERVING.load(Ordering::Relaxed);
        if self.at.is_none() && busy && self.facts.injected() < self.count {
            self.at = Some(now.after(self.random(LATEST)));
        }
        let at = self.at?;
        WAY.store(self.way.unwrap_or(u64::MAX), Ordering::Relaxed);
        Some(at.max(now.after(self.random(Duration::from_micros(40)))))
    }
}

/// Fails, in the next of the ways there are.
pub(crate) fn fail() -> ! {
    let facts = Facts::<Shared>::at(arch::current::facts());
    let count = facts.injected();
    facts.set_injected(count + 1);
    WANTED.store(!BLAMED.load(Ordering::Relaxed), Ordering::Relaxed);
    let way = match WAY.load(Ordering::Relaxed) {
        u64::MAX => count,
        way => way,
    };
    match way % 6 {
        0 => panic!("crash point"),
        1 => arch::current::abort_data(),
        2 => arch::current::abort_instruction(),
        3 => stuck(),
        4 => {
            overflow(&[count; 64]);
        }
        _ => exhaust(),
    }
    unreachable!("it has failed")
}

fn stuck() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Deeper and deeper.
#[expect(unconditional_recursion, reason = "that is the point")]
#[inline(never)]
fn overflow(frame: &[u64; 64]) -> u64 {
    let mut deeper = *frame;
    deeper[0] += 1;
    overflow(core::hint::black_box(&deeper)) + deeper[63]
}

fn exhaust() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(core::hint::black_box(alloc::vec![1; 1 << 16]));
    }
}
