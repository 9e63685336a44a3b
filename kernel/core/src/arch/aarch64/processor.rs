//! The one virtual CPU: its clock, and the wait that takes interrupts without ever being interrupted.

use alloc::vec::Vec;

use aarch64_cpu::asm::wfi;
use outrigger_xen::{Clock, Cpu, Instant, Wake};

use super::gic::{Gic, Priority, Trigger};
use super::timer::{self, Timer};

/// Clock, interrupt controller, and what is bound to it.
pub struct Processor {
    gic: Gic,
    timer: Timer,
    /// The interrupt by which Xen says that an event is pending.
    events: u32,
    /// Device interrupts; the index is the bit in [`Wake::devices`].
    devices: Vec<u32>,
    /// Device interrupts taken by the last wait: they end when the driver has quieted its device.
    taken: u32,
    timer_runs: bool,
}

impl Processor {
    pub(super) fn new(gic: Gic, timer: Timer, events: u32) -> Self {
        gic.enable(events, Trigger::Level, Priority::High);
        gic.enable(timer::INTERRUPT, Trigger::Level, Priority::High);
        Self {
            gic,
            timer,
            events,
            devices: Vec::new(),
            taken: 0,
            timer_runs: false,
        }
    }

    /// Binds a device's interrupt; returns its bit number in [`Wake::devices`], or `None` if 32 are bound already.
    pub(super) fn bind(&mut self, interrupt: u32, trigger: Trigger) -> Option<u32> {
        let bit = u32::try_from(self.devices.len())
            .ok()
            .filter(|bit| *bit < u32::BITS)?;
        self.devices.push(interrupt);
        self.gic.enable(interrupt, trigger, Priority::Normal);
        Some(bit)
    }

    /// Ends the device interrupts that the last wait took.
    fn end_taken(&mut self) {
        while self.taken != 0 {
            let bit = self.taken.trailing_zeros();
            self.taken &= self.taken - 1;
            self.gic.end(self.devices[bit as usize]);
        }
    }

    /// The clock alone.
    pub(crate) fn clock(&self) -> impl Clock + Sync + use<> {
        self.timer
    }

    /// Takes every interrupt that is pending now.
    fn collect(&mut self, wake: &mut Wake) -> bool {
        let mut any = false;
        // Each interrupt is taken once at most: a device that keeps its line up stays active until the next wait.
        while let Some(interrupt) = self.gic.acknowledge() {
            any = true;
            if let Some(bit) = self.devices.iter().position(|device| *device == interrupt) {
                wake.devices |= 1 << bit;
                self.taken |= 1 << bit;
                continue;
            }
            if interrupt == timer::INTERRUPT {
                wake.timer = true;
                self.timer.stop();
                self.timer_runs = false;
            } else if interrupt == self.events {
                wake.events = true;
            }
            self.gic.end(interrupt);
        }
        any
    }
}

impl Cpu for Processor {
    fn wait(&mut self, deadline: Option<Instant>) -> Wake {
        self.end_taken();
        let mut wake = Wake::default();
        if self.collect(&mut wake) {
            return wake;
        }
        match deadline {
            Some(deadline) if deadline <= self.timer.now() => {
                wake.timer = true;
                return wake;
            }
            Some(deadline) => {
                self.timer.set(deadline);
                self.timer_runs = true;
            }
            None if self.timer_runs => {
                self.timer.stop();
                self.timer_runs = false;
            }
            None => {}
        }
        while !self.collect(&mut wake) {
            // Masked interrupts still end it; one that came since the last look makes it fall through.
            wfi();
        }
        wake
    }
}

impl Clock for Timer {
    #[inline]
    fn now(&self) -> Instant {
        Timer::now(self)
    }
}
