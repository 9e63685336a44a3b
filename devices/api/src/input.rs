//! Input devices, as a backend sees them.
//!
//! Events are Linux's, which virtio-input has taken over (`input-event-codes.h`, VIRTIO 1.2 §5.8): types and codes are the
//! device's word and are passed on as they come.

pub mod codes;
mod report;

use alloc::boxed::Box;

use crate::{Device, DeviceFault};

pub use report::{Along, Finger, InputReport};

/// One event: `struct virtio_input_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputEvent {
    /// `EV_*`.
    pub kind: u16,
    /// A code of that type.
    pub code: u16,
    /// Its value; of a key 1 for pressed, 0 for released, 2 for repeated.
    pub value: i32,
}

/// The range of an absolute axis, both ends included; the second is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisRange {
    /// Least value.
    pub min: i32,
    /// Greatest value.
    pub max: i32,
}

/// What the device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputLimits {
    /// It has keys that are no pointer's buttons (`KEY_*` below 0x100).
    pub keyboard: bool,
    /// It tells motions (`REL_X`, `REL_Y`).
    pub relative: bool,
    /// It tells positions (`ABS_X`, `ABS_Y`) in these ranges.
    pub absolute: Option<[AxisRange; 2]>,
    /// It tells places of fingers (`ABS_MT_POSITION_X`, `_Y`) in these ranges.
    pub touch: Option<[AxisRange; 2]>,
    /// Greatest `ABS_MT_SLOT`.
    pub touch_slots: u8,
}

/// An input device behind a driver. The calls on the data path neither allocate nor wait.
pub trait InputDevice: Device {
    /// What the device is.
    fn limits(&self) -> InputLimits;

    /// Hands over the events that have come, in order, and gives their memory back to the device. Bounded: at most as many as
    /// the device had memory for.
    ///
    /// # Errors
    /// The device lied; the events handed over so far are good.
    fn reap(&mut self, each: &mut dyn FnMut(InputEvent)) -> Result<(), DeviceFault>;

    /// Asks for an interrupt at the next event, then looks once more: true if there is one already, so that the caller takes
    /// another turn instead of sleeping.
    fn arm(&mut self) -> bool;
}

/// A device whose driver is known only when the machine is.
impl<D: InputDevice + ?Sized> InputDevice for Box<D> {
    fn limits(&self) -> InputLimits {
        (**self).limits()
    }
    fn reap(&mut self, each: &mut dyn FnMut(InputEvent)) -> Result<(), DeviceFault> {
        (**self).reap(each)
    }
    fn arm(&mut self) -> bool {
        (**self).arm()
    }
}
