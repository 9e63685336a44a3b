//! What every device is, whatever it does.

use alloc::boxed::Box;

use outrigger_hal::Instant;

/// The backend's own name for a request, a frame or a buffer in flight; it comes back with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// There is no room for this request, frame or buffer now; a completion will make some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// The device broke its contract (an impossible index, a completion of nothing …), or asks for a reset. It serves no more
/// requests; those in flight will not complete. [`Device::restart`] may bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault(pub &'static str);

/// Whether a device still serves, as its driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// It was stopped: what was in flight will not complete.
    Quiesced,
    /// It is not to be believed any more, and was stopped.
    Faulty(DeviceFault),
}

impl Health {
    /// Whether it serves.
    #[inline]
    pub fn is_serving(self) -> bool {
        self == Self::Serving
    }

    /// `None` if it serves; otherwise what a reap of it ends with.
    #[inline]
    pub fn out_of_service(self) -> Option<Result<(), DeviceFault>> {
        match self {
            Self::Serving => None,
            Self::Quiesced => Some(Ok(())),
            Self::Faulty(fault) => Some(Err(fault)),
        }
    }
}

/// Why the device interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// Completions may wait on some queue.
    pub completions: bool,
    /// The device's limits changed: a disk was resized, a link went up or down.
    pub config: bool,
}

/// What a device that looks after itself has found, and when it wants to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// The device's limits changed.
    pub config: bool,
    /// When to call [`Device::tick`] again; `None`: never.
    pub again: Option<Instant>,
}

/// A device behind a driver, as a backend looks after it. What it does is a trait of its class above this one.
pub trait Device {
    /// Reads and acknowledges the device's interrupt cause.
    fn acknowledge(&mut self) -> Interrupt;

    /// Looks after what no interrupt tells of: a link that must be asked for, work that does not end. Called before the
    /// loop begins, at the moment that it asked for, and after [`acknowledge`](Self::acknowledge).
    fn tick(&mut self, now: Instant) -> Tick {
        let _ = now;
        Tick::default()
    }

    /// When to reap although nothing has been heard of the device: it may never be heard of again. `None` while nothing is
    /// in flight, and for devices that have no such bound.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Tells what the driver has counted since it was probed and is not zero, each by a short name without spaces: what
    /// went wrong, and what the processor had to do because of what the device does not reach.
    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let _ = each;
    }

    /// Stops the device: no DMA and no interrupt after this returns. Everything in flight is forgotten.
    fn quiesce(&mut self);

    /// Resets the device and brings it up again, in the memory it has; everything in flight is forgotten. Writes that have
    /// completed are not lost: where a reset empties the device's cache, it is flushed before, or not used. Also after a
    /// [`DeviceFault`] or [`quiesce`](Self::quiesce), and again after it has failed. Bounded.
    ///
    /// # Errors
    /// It does not come back, and is as after `quiesce`.
    fn restart(&mut self) -> Result<(), DeviceFault>;
}

/// A device whose driver is known only when the machine is.
impl<D: Device + ?Sized> Device for Box<D> {
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        (**self).acknowledge()
    }
    fn tick(&mut self, now: Instant) -> Tick {
        (**self).tick(now)
    }
    #[inline]
    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        (**self).counters(each);
    }
    fn quiesce(&mut self) {
        (**self).quiesce();
    }
    fn restart(&mut self) -> Result<(), DeviceFault> {
        (**self).restart()
    }
}
