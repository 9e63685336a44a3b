//! The end of a life, and what comes after it.
//!
//! Whatever goes wrong ends here: a panic, a fault, memory that has run out, a loop that is stuck. What has happened is noted
//! among the survivors, and the domain begins again from its entry. What cannot be begun again (the survivors themselves
//! are senseless, or one life after another fails at once) ends the domain, so that `xl` applies its `on_crash`.

use alloc::vec::Vec;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use outrigger_ring::SharedPages;
use outrigger_xen::Shutdown;

use crate::survivors::facts::Facts;
use crate::{Shared, arch, console, power};

/// Failures within this time, in nanoseconds, as many as the facts remember (5), and the domain stops.
const LOOP_NS: u64 = 10_000_000_000;

/// The survivors are such that a next life can begin from them.
static READY: AtomicBool = AtomicBool::new(false);
/// This life has come to where it would have noticed that too many before it have failed.
static STARTED: AtomicBool = AtomicBool::new(false);

/// From now on a failure ends in a restart.
pub(crate) fn make_ready() {
    READY.store(true, Ordering::Relaxed);
}

/// Whether this life is one too many; from now on it is the next life that asks.
pub(crate) fn is_one_too_many<P: SharedPages>(facts: &Facts<P>, now: u64) -> bool {
    let one_too_many = !facts.was_blameless() && is_loop(facts, now);
    STARTED.store(!one_too_many, Ordering::Relaxed);
    one_too_many
}

fn is_loop<P: SharedPages>(facts: &Facts<P>, now: u64) -> bool {
    facts.life() > 0 && facts.since_last_ends(now).is_some_and(|since| since < LOOP_NS)
}

/// Something has happened that cannot be: this life ends.
pub(crate) fn fail(reason: fmt::Arguments<'_>, trace: impl Iterator<Item = u64>) -> ! {
    #[cfg(feature = "crash-points")]
    let wanted = crate::crash::is_wanted();
    #[cfg(not(feature = "crash-points"))]
    let wanted = false;
    end(reason, trace, wanted)
}

/// This life ends because somebody wants it to.
pub fn restart(why: &str) -> ! {
    end(format_args!("{why}"), core::iter::empty(), true)
}

/// This life ends, and the next one's program is another `image`, which was looked at: it is an image of this class that
/// knows these survivors.
pub(crate) fn update(image: Vec<u8>) -> ! {
    let facts = note(format_args!("updated"), core::iter::empty(), true);
    arch::current::replace(image, facts.device_tree())
}

fn end(reason: fmt::Arguments<'_>, trace: impl Iterator<Item = u64>, blameless: bool) -> ! {
    let facts = note(reason, trace, blameless);
    arch::current::restart(facts.device_tree())
}

/// Notes the end of this life.
fn note(reason: fmt::Arguments<'_>, trace: impl Iterator<Item = u64>, blameless: bool) -> Facts<Shared> {
    static ENDING: AtomicU32 = AtomicU32::new(0);
    arch::current::mask_interrupts();
    let attempt = ENDING.fetch_add(1, Ordering::Relaxed);
    if attempt > 1 {
        power::stop(Shutdown::Crash); // Not even this can be done.
    }
    if !READY.load(Ordering::Relaxed) {
        stop(reason);
    }
    let facts = Facts::<Shared>::at(arch::current::facts());
    let now = arch::current::now(facts.clock_start());
    if attempt == 0 {
        // It fails again while it says so: then what it has said so far must do.
        facts.end(now, blameless, reason, trace);
    }
    if !STARTED.load(Ordering::Relaxed) && is_loop(&facts, now) {
        stop(format_args!("again and again before it had begun"));
    }
    facts
}

/// The end of the domain.
pub(crate) fn stop(reason: fmt::Arguments<'_>) -> ! {
    console::last_words(format_args!("FATAL: {reason}\n"));
    power::stop(Shutdown::Crash)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"), arch::current::Backtrace::here())
}
