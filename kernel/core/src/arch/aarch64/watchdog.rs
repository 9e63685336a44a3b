//! The watchdog: a loop that gives no sign of life ends in a restart.
//!
//! While the program runs, the timer ticks, and its interrupt, alone, is let through: `tick` in
//! `boot/aarch64/entry.S` counts, sets the timer again and goes back; [`LIMIT`] ticks without a sign of life
//! end this life, if the time from the first to the last of them was our own. The time that Xen gave our
//! processor to others ([`account`]) is no fault of the program's: many short slices on a busy host take a
//! tick each. While the domain sleeps the timer is its alarm clock, and there is nothing to watch.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::timer::Timer;

/// Nanoseconds a tick.
pub(super) const TICK_NS: u64 = 10_000_000;
/// Ticks without a sign of life that end this life: 50 ms, and what is left of the tick that runs.
const LIMIT: u64 = 5;

/// The time of our own from the first of these ticks to the last, and what the handler itself takes.
const OWN_NS: u64 = (LIMIT - 1) * TICK_NS * 39 / 40;

/// As `boot/aarch64/entry.S` reads it.
#[repr(C)]
struct Watchdog {
    ticks: AtomicU64,
    limit: AtomicU64,
    counts: AtomicU64,
    cpu_interface: AtomicUsize,
    detour: AtomicUsize,
    first: AtomicU64,
    first_stolen: AtomicU64,
    runstate: AtomicUsize,
    counts_per_ns: AtomicU64,
    own_counts: AtomicU64,
}

#[unsafe(export_name = "outrigger_watchdog")]
static WATCHDOG: Watchdog = Watchdog {
    ticks: AtomicU64::new(0),
    limit: AtomicU64::new(LIMIT),
    counts: AtomicU64::new(u64::MAX / 2),
    cpu_interface: AtomicUsize::new(0),
    detour: AtomicUsize::new(0),
    first: AtomicU64::new(0),
    first_stolen: AtomicU64::new(0),
    runstate: AtomicUsize::new(0),
    counts_per_ns: AtomicU64::new(0),
    own_counts: AtomicU64::new(u64::MAX / 2),
};

/// Prepares it: the timer, and where the interrupt controller is.
pub(super) fn prepare(timer: &Timer, cpu_interface: usize) {
    for (word, value) in [
        (&WATCHDOG.counts, timer.counts(TICK_NS)),
        (&WATCHDOG.counts_per_ns, timer.ticks_per_ns()),
        (&WATCHDOG.own_counts, timer.counts(OWN_NS)),
    ] {
        word.store(value, Ordering::Relaxed);
    }
    WATCHDOG.cpu_interface.store(cpu_interface, Ordering::Relaxed);
}

/// Where Xen accounts for this processor's time (`struct vcpu_runstate_info`), for good.
pub(crate) fn account(runstate: usize) {
    WATCHDOG.runstate.store(runstate, Ordering::Relaxed);
}

/// A sign of life.
#[inline]
pub(crate) fn alive() {
    WATCHDOG.ticks.store(0, Ordering::Relaxed);
}

/// From now on ticks count for nothing: the life ends anyway.
pub(crate) fn call_off() {
    WATCHDOG.limit.store(u64::MAX, Ordering::Relaxed);
}

/// The next tick goes on at `function` instead of where the program was.
#[cfg(feature = "crash-points")]
pub(super) fn detour(function: fn() -> !) {
    WATCHDOG.detour.store(function as usize, Ordering::Relaxed);
}
