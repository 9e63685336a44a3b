//! The one virtual CPU: its clock, and the wait that takes interrupts without ever being interrupted.

use core::arch::asm;
use core::time::Duration;

use aarch64_cpu::asm::wfi;
use outrigger_xen::{Clock, Cpu, Instant, Wake};

use super::gic::{Gic, Priority};
use super::timer::{self, Timer};
use super::watchdog;
#[cfg(feature = "crash-points")]
use crate::crash::CrashPoints;
use crate::interrupts::{Lines, Trigger};
use crate::survivors::facts::Facts;
use crate::{Shared, console};

/// Clock, interrupt controller, and what is bound to it.
pub struct Processor {
    gic: Gic,
    timer: Timer,
    /// The interrupt by which Xen says that an event is pending.
    events: u32,
    devices: Lines<Shared>,
    timer_runs: bool,
    /// It runs for the watchdog.
    ticks: bool,
    /// The program is watched while it runs.
    watched: bool,
    #[cfg(feature = "crash-points")]
    pub(crate) crash_points: Option<CrashPoints>,
}

impl Processor {
    pub(super) fn new(gic: Gic, timer: Timer, events: u32, facts: Facts<Shared>) -> Self {
        let devices = Lines::new(&gic, facts);
        gic.enable(events, Trigger::Level, Priority::High);
        gic.enable(timer::INTERRUPT, Trigger::Level, Priority::Timer);
        watchdog::prepare(&timer, gic.cpu_interface());
        Self {
            gic,
            timer,
            events,
            devices,
            timer_runs: false,
            ticks: false,
            watched: false,
            #[cfg(feature = "crash-points")]
            crash_points: None,
        }
    }

    /// Binds a device's interrupt; returns its number in [`Wake::devices`], or `None` if
    /// [`outrigger_xen::IrqSet::MAX`] are bound already.
    pub(super) fn bind(&mut self, interrupt: u32, trigger: Trigger) -> Option<u32> {
        let number = self.devices.bind(interrupt, trigger)?;
        self.gic.enable(interrupt, trigger, Priority::Normal);
        Some(number)
    }

    /// The clock alone.
    pub(crate) fn clock(&self) -> impl Clock + Sync + use<> {
        self.timer
    }

    /// Takes every interrupt that is pending now.
    fn collect(&mut self, wake: &mut Wake) -> bool {
        let events = self.events;
        let any = self
            .devices
            .collect(&self.gic, wake, |interrupt, wake| match interrupt {
                timer::INTERRUPT => {
                    wake.timer = true;
                    // Before it ends: its line is up until then.
                    self.timer.stop();
                }
                other => wake.events |= other == events,
            });
        if wake.timer {
            (self.timer_runs, self.ticks) = (false, false);
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
        self.devices.end_taken(&self.gic);
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
        if let Some(at) = points.next(now, !wake.devices.is_empty() || wake.events)
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
