//! The one virtual CPU: its clock, and the wait that takes interrupts without ever being interrupted.

use alloc::vec::Vec;
use core::arch::asm;
use core::time::Duration;

use aarch64_cpu::asm::wfi;
use outrigger_xen::{Clock, Cpu, Instant, Wake};

use super::gic::{Gic, Priority, Trigger};
use super::timer::{self, Timer};
use super::watchdog;
#[cfg(feature = "crash-points")]
use crate::crash::CrashPoints;
use crate::survivors::facts::Facts;
use crate::{Shared, console};

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
    /// It runs for the watchdog.
    ticks: bool,
    /// The interrupts between acknowledgement and end are survivors: only their own end frees the controller for others.
    facts: Facts<Shared>,
    /// The program is watched while it runs.
    watched: bool,
    #[cfg(feature = "crash-points")]
    pub(crate) crash_points: Option<CrashPoints>,
}

impl Processor {
    pub(super) fn new(gic: Gic, timer: Timer, events: u32, facts: Facts<Shared>) -> Self {
        // What the earlier life was in the midst of; the innermost first.
        for interrupt in facts.take_in_service().into_iter().flatten() {
            gic.end(interrupt);
        }
        gic.enable(events, Trigger::Level, Priority::High);
        gic.enable(timer::INTERRUPT, Trigger::Level, Priority::Timer);
        watchdog::prepare(&timer, gic.cpu_interface());
        Self {
            gic,
            timer,
            events,
            devices: Vec::new(),
            taken: 0,
            timer_runs: false,
            ticks: false,
            facts,
            watched: false,
            #[cfg(feature = "crash-points")]
            crash_points: None,
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
            self.facts.set_taken(None);
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
            self.facts.set_in_service(Some(interrupt));
            if let Some(bit) = self.devices.iter().position(|device| *device == interrupt) {
                wake.devices |= 1 << bit;
                self.taken |= 1 << bit;
                self.facts.set_taken(Some(interrupt));
                self.facts.set_in_service(None);
                continue;
            }
            if interrupt == timer::INTERRUPT {
                wake.timer = true;
                self.stop_timer();
            } else if interrupt == self.events {
                wake.events = true;
            }
            self.gic.end(interrupt);
            self.facts.set_in_service(None);
        }
        any
    }

    fn stop_timer(&mut self) {
        self.timer.stop();
        (self.timer_runs, self.ticks) = (false, false);
    }

    /// Waits with every interrupt let through to us, and none to the program.
    #[inline]
    fn wait_unwatched(&mut self, deadline: Option<Instant>) -> Wake {
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
                (self.timer_runs, self.ticks) = (true, false);
            }
            None if self.timer_runs => self.stop_timer(),
            None => {}
        }
        while !self.collect(&mut wake) {
            // Masked interrupts still end it; one that came since the last look makes it fall through.
            wfi();
        }
        wake
    }

    /// If a failure is due before the next tick, the tick is that failure.
    #[cfg(feature = "crash-points")]
    fn plan_crash(&mut self, wake: Wake) {
        let now = self.timer.now();
        let Some(points) = &mut self.crash_points else {
            return;
        };
        if let Some(at) = points.next(now, wake.devices != 0 || wake.events)
            && at < now.after(Duration::from_nanos(watchdog::TICK_NS))
        {
            self.timer.set(at);
            watchdog::detour(crate::crash::fail);
        }
    }

    /// Lets the timer's ticks through to the program.
    #[inline]
    fn watch(&mut self, wake: Wake) {
        if !self.ticks {
            let tick = Duration::from_nanos(watchdog::TICK_NS);
            self.timer.set(self.timer.now().after(tick));
            (self.timer_runs, self.ticks) = (true, true);
        }
        #[cfg(feature = "crash-points")]
        self.plan_crash(wake);
        #[cfg(not(feature = "crash-points"))]
        let _ = wake;
        watchdog::alive();
        self.gic.mask(true);
        // SAFETY: the one interrupt that is let through is counted by `tick` in entry.S, which keeps every register.
        unsafe { asm!("msr daifclr, #2", options(nomem, nostack)) };
    }
}

impl Cpu for Processor {
    fn wait(&mut self, deadline: Option<Instant>) -> Wake {
        if !self.watched {
            return self.wait_unwatched(deadline);
        }
        // SAFETY: masks interrupts.
        unsafe { asm!("msr daifset, #2", options(nomem, nostack)) };
        self.gic.mask(false);
        let wake = self.wait_unwatched(deadline);
        self.watch(wake);
        wake
    }

    fn be_watched(&mut self) {
        console::speak();
        self.watched = true;
        self.watch(Wake::default());
    }
}

impl Clock for Timer {
    #[inline]
    fn now(&self) -> Instant {
        Timer::now(self)
    }

    fn still_alive(&self) {
        watchdog::alive();
    }
}

impl Clock for Processor {
    fn now(&self) -> Instant {
        self.timer.now()
    }

    fn still_alive(&self) {
        watchdog::alive();
    }
}
