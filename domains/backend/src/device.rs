//! A device of this domain: its name, its interrupt, and what becomes of it when it fails or falls silent.

use alloc::string::String;
use core::time::Duration;

use outrigger_devices::{Device, DeviceFault, IrqSet};
use outrigger_xen::{Instant, Wake};

/// How long a device may have work and complete none of it: what Linux gives a request.
const SILENCE: Duration = Duration::from_secs(30);

/// After so many resets a device is given up, unless it was well in between.
const RESETS: u32 = 2;

/// So long must a device work after a reset for the reset to be forgotten.
const WELL: Duration = Duration::from_secs(120);

/// What became of a device that had to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It is up again, and has forgotten everything.
    Restarted,
    /// It is given up: it was stopped, and is not to be asked again.
    GivenUp,
}

/// By when something must have been completed.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    completed: u32,
}

/// A device `D`, by the name that the image builder gave it.
#[derive(Debug)]
pub struct DeviceSlot<D> {
    /// `virtio0`.
    pub name: String,
    /// Its interrupts in [`Wake::devices`].
    interrupts: IrqSet,
    /// The device. Not to be asked while it is [given up](Self::is_serving).
    pub device: D,
    /// Requests completed so far, modulo 2³²: for [`is_silent`](Self::is_silent).
    pub completed: u32,
    due: Option<Due>,
    /// How often it was reset since it was last well, and when last.
    resets: (u32, Instant),
    given_up: Option<&'static str>,
}

impl<D: Device> DeviceSlot<D> {
    /// A device that serves; `interrupts` are its own in [`Wake::devices`].
    pub fn new(name: String, interrupts: IrqSet, device: D) -> Self {
        Self {
            name,
            interrupts,
            device,
            completed: 0,
            due: None,
            resets: (0, Instant(0)),
            given_up: None,
        }
    }

    /// Whether it serves.
    #[inline]
    pub fn is_serving(&self) -> bool {
        self.given_up.is_none()
    }

    /// Why it serves no more.
    pub fn given_up(&self) -> Option<&'static str> {
        self.given_up
    }

    /// Whether it has interrupted, and is to be asked why.
    #[inline]
    pub fn has_interrupted(&self, wake: Wake) -> bool {
        self.interrupts.intersects(wake.devices) && self.is_serving()
    }

    /// Whether it has had work for 30 s or longer and has completed none of it.
    ///
    /// The moment of truth moves only when it has passed: so a request costs nothing, and a dead device is found out within
    /// twice that time.
    pub fn is_silent(&mut self, now: Instant, is_busy: bool) -> bool {
        let Some(due) = self.due.filter(|due| due.at <= now) else {
            return false;
        };
        self.due = None;
        is_busy && self.is_serving() && due.completed == self.completed
    }

    /// Before the domain sleeps: when to wake for the sake of a device that falls silent.
    #[inline]
    pub fn patience(&mut self, now: Instant, is_busy: bool) -> Option<Instant> {
        if !is_busy || !self.is_serving() {
            return None;
        }
        let fresh = Due {
            at: now.after(SILENCE),
            completed: self.completed,
        };
        Some(self.due.get_or_insert(fresh).at)
    }

    /// The device has failed or is silent: it is reset, unless that was tried often enough.
    #[cold]
    pub fn reset(&mut self, now: Instant, why: &'static str) -> Recovery {
        if !self.is_serving() {
            return Recovery::GivenUp;
        }
        let (resets, last) = self.resets;
        let resets = if now.since(last) < WELL { resets } else { 0 };
        self.due = None;
        if resets >= RESETS {
            return self.give_up(why);
        }
        self.resets = (resets + 1, now);
        log::error!("{}: {why}; it is reset", self.name);
        match self.device.restart() {
            Ok(()) => Recovery::Restarted,
            Err(DeviceFault(why)) => self.give_up(why),
        }
    }

    /// The device is stopped, and serves no more.
    #[cold]
    pub fn give_up(&mut self, why: &'static str) -> Recovery {
        if self.is_serving() {
            log::error!("{}: {why}; it serves no more", self.name);
            self.given_up = Some(why);
            self.device.quiesce();
        }
        Recovery::GivenUp
    }
}

#[cfg(test)]
mod tests {
    use outrigger_devices::Interrupt;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Counts restarts, and comes back unless it is gone.
    #[derive(Default)]
    struct Fake {
        restarts: u32,
        is_gone: bool,
        stopped: bool,
    }

    impl Device for Fake {
        fn acknowledge(&mut self) -> Interrupt {
            Interrupt::default()
        }
        fn quiesce(&mut self) {
            self.stopped = true;
        }
        fn restart(&mut self) -> Result<(), DeviceFault> {
            self.restarts += 1;
            if self.is_gone {
                Err(DeviceFault("it is gone"))
            } else {
                Ok(())
            }
        }
    }

    fn slot() -> DeviceSlot<Fake> {
        DeviceSlot::new("virtio0".into(), IrqSet::of(1), Fake::default())
    }

    #[test]
    fn a_device_that_fails_again_and_again_is_given_up() {
        let mut slot = slot();
        let wake = Wake {
            devices: IrqSet::of(1),
            ..Wake::default()
        };
        assert!(slot.has_interrupted(wake) && !slot.has_interrupted(Wake::default()));
        let mut reset = |at: u64| slot.reset(Instant(at * SECOND), "it lies");
        // Two minutes of health each time are enough.
        assert!((1..5).all(|n| reset(121 * n) == Recovery::Restarted));
        assert_eq!(
            [485, 486].map(&mut reset),
            [Recovery::Restarted, Recovery::GivenUp]
        );
        assert_eq!(reset(4000), Recovery::GivenUp, "for good");
        assert_eq!((slot.device.restarts, slot.given_up()), (5, Some("it lies")));
        assert!(slot.device.stopped && !slot.has_interrupted(wake));
    }

    #[test]
    fn a_device_that_does_not_come_back_is_given_up() {
        let mut slot = slot();
        slot.device.is_gone = true;
        let gone = slot.reset(Instant(0), "it lies");
        assert_eq!((gone, slot.given_up()), (Recovery::GivenUp, Some("it is gone")));
    }

    #[test]
    fn silence_is_work_and_no_completion_for_long() {
        let mut slot = slot();
        let at = |seconds: u64| Instant(seconds * SECOND);
        assert_eq!(slot.patience(at(0), false), None);
        assert_eq!(slot.patience(at(1), true), Some(at(31)));
        assert_eq!(slot.patience(at(9), true), Some(at(31)), "it does not move");
        slot.completed += 1;
        assert!(!slot.is_silent(at(31), true), "it has completed something");
        assert_eq!(slot.patience(at(31), true), Some(at(61)));
        assert!(!slot.is_silent(at(60), true));
        assert!(slot.is_silent(at(61), true));
        assert_eq!(slot.patience(at(61), true), Some(at(91)));
        assert!(!slot.is_silent(at(91), false), "there was nothing to do");
    }
}
