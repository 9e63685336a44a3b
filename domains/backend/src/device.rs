//! A device of this domain: its name, its interrupt, and what becomes of it when it fails or falls silent.

use alloc::string::String;
use core::time::Duration;

use outrigger_devices::DeviceFault;
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
    /// It is given up: to be stopped, and never asked again.
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
    /// The bits of its interrupts in [`Wake::devices`].
    interrupts: u32,
    /// The device. Not to be asked while it is [given up](Self::is_serving).
    pub device: D,
    /// Requests completed so far, modulo 2³²: for [`is_silent`](Self::is_silent).
    pub completed: u32,
    due: Option<Due>,
    /// How often it was reset since it was last well, and when last.
    resets: (u32, Instant),
    given_up: Option<&'static str>,
}

impl<D> DeviceSlot<D> {
    /// A device that serves; `interrupts` are its bits in [`Wake::devices`].
    pub fn new(name: String, interrupts: u32, device: D) -> Self {
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
        self.interrupts & wake.devices != 0 && self.is_serving()
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

    /// The device has failed or is silent: it is reset by `restart`, unless that was tried often enough.
    #[cold]
    pub fn reset(
        &mut self,
        now: Instant,
        why: &'static str,
        restart: impl FnOnce(&mut D) -> Result<(), DeviceFault>,
    ) -> Recovery {
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
        match restart(&mut self.device) {
            Ok(()) => Recovery::Restarted,
            Err(DeviceFault(why)) => self.give_up(why),
        }
    }

    /// The device serves no more.
    #[cold]
    pub fn give_up(&mut self, why: &'static str) -> Recovery {
        if self.is_serving() {
            log::error!("{}: {why}; it serves no more", self.name);
            self.given_up = Some(why);
        }
        Recovery::GivenUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_device_that_fails_again_and_again_is_given_up() {
        let mut slot = DeviceSlot::new("virtio0".into(), 1, 0);
        let mut reset = |at: u64| {
            slot.reset(Instant(at * SECOND), "it lies", |resets| {
                *resets += 1;
                Ok(())
            })
        };
        // Two minutes of health each time are enough.
        assert!((1..5).all(|n| reset(121 * n) == Recovery::Restarted));
        assert_eq!(
            [485, 486].map(&mut reset),
            [Recovery::Restarted, Recovery::GivenUp]
        );
        assert_eq!(reset(4000), Recovery::GivenUp, "for good");
        assert_eq!((slot.device, slot.given_up()), (5, Some("it lies")));
        assert!(!slot.has_interrupted(Wake {
            devices: 1,
            ..Wake::default()
        }));
    }

    #[test]
    fn a_device_that_does_not_come_back_is_given_up() {
        let mut slot = DeviceSlot::new("virtio0".into(), 1, ());
        let gone = slot.reset(Instant(0), "it lies", |()| Err(DeviceFault("it is gone")));
        assert_eq!((gone, slot.given_up()), (Recovery::GivenUp, Some("it is gone")));
    }

    #[test]
    fn silence_is_work_and_no_completion_for_long() {
        let mut slot = DeviceSlot::new("virtio0".into(), 1, ());
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
