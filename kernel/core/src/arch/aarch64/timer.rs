//! The generic timer (Arm ARM D12): the virtual counter as clock, the virtual timer (PPI 27 under Xen) as deadline.

use aarch64_cpu::asm::barrier::{self, isb};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable, Writeable};
use outrigger_xen::Instant;

/// The counter now.
pub(crate) fn count() -> u64 {
    isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// The virtual timer's interrupt.
pub(crate) const INTERRUPT: u32 = 27;

/// Converts between counter ticks and nanoseconds by multiplication and shift, exact to 2⁻³².
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    /// The counter when the domain's first life began: its clock begins there.
    start: u64,
    /// Nanoseconds a tick, 32.32 fixed point.
    ns_per_tick: u64,
    /// Ticks a nanosecond, 32.32 fixed point.
    ticks_per_ns: u64,
}

impl Timer {
    /// The clock of a domain whose first life began at that count.
    pub(crate) fn new(start: u64) -> Self {
        let hz = CNTFRQ_EL0.get().max(1);
        Self {
            start,
            ns_per_tick: (1_000_000_000u64 << 32) / hz,
            ticks_per_ns: (hz << 32) / 1_000_000_000,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        isb(barrier::SY); // The counter may otherwise be read early.
        let ticks = CNTVCT_EL0.get().wrapping_sub(self.start);
        Instant(((u128::from(ticks) * u128::from(self.ns_per_tick)) >> 32) as u64)
    }

    /// Interrupts at `deadline` or just after; at once if it has passed.
    pub(crate) fn set(&self, deadline: Instant) {
        let ticks = ((u128::from(deadline.0) * u128::from(self.ticks_per_ns)) >> 32) as u64;
        CNTV_CVAL_EL0.set(self.start.saturating_add(ticks).saturating_add(1));
        CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
        isb(barrier::SY);
    }

    /// Counts a nanosecond, 32.32 fixed point.
    pub(crate) fn ticks_per_ns(&self) -> u64 {
        self.ticks_per_ns
    }

    /// Counts in `ns` nanoseconds.
    pub(crate) fn counts(&self, ns: u64) -> u64 {
        ((u128::from(ns) * u128::from(self.ticks_per_ns)) >> 32) as u64
    }

    pub(crate) fn stop(&self) {
        CNTV_CTL_EL0.set(0);
        isb(barrier::SY);
    }
}
