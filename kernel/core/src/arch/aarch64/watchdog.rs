//! The watchdog: a loop that gives no sign of life ends in a restart.
//!
//! While the program runs, the timer ticks, and its interrupt, alone, is let through: `tick` in `boot/aarch64/entry.S` counts,
//! sets the timer again and goes back; [`LIMIT`] ticks without a sign of life end this life. A tick counts only when this
//! processor runs to take it, so a hypervisor that lets others run for long does not end anybody's life. While the domain
//! sleeps the timer is its alarm clock, and there is nothing to watch.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Nanoseconds a tick.
pub(super) const TICK_NS: u64 = 10_000_000;
/// Ticks without a sign of life that end this life: 50 ms, and what is left of the tick that runs.
const LIMIT: u64 = 5;

/// As `boot/aarch64/entry.S` reads it.
#[repr(C)]
struct Watchdog {
    ticks: AtomicU64,
    limit: AtomicU64,
    counts: AtomicU64,
    cpu_interface: AtomicUsize,
    detour: AtomicUsize,
}

#[unsafe(export_name = "outrigger_watchdog")]
static WATCHDOG: Watchdog = Watchdog {
    ticks: AtomicU64::new(0),
    limit: AtomicU64::new(LIMIT),
    counts: AtomicU64::new(u64::MAX / 2),
    cpu_interface: AtomicUsize::new(0),
    detour: AtomicUsize::new(0),
};

/// Prepares it: timer counts a tick, and where the interrupt controller is.
pub(super) fn prepare(counts: u64, cpu_interface: usize) {
    WATCHDOG.counts.store(counts, Ordering::Relaxed);
    WATCHDOG.cpu_interface.store(cpu_interface, Ordering::Relaxed);
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
