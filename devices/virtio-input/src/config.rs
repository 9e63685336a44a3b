//! `struct virtio_input_config` (§5.8.4): the driver writes a question, and reads the answer.

use outrigger_devices::{AxisRange, InputLimits, RegisterIo};
use outrigger_virtio::Transport;

use crate::ProbeError;

const SELECT: usize = 0;
const SUBSEL: usize = 1;
const SIZE: usize = 2;
const ANSWER: usize = 8;
/// Bytes of the longest answer.
const ANSWER_MAX: usize = 128;

/// `VIRTIO_INPUT_CFG_EV_BITS`: which codes of an event type there are.
const EV_BITS: u8 = 0x11;
/// `VIRTIO_INPUT_CFG_ABS_INFO`: `struct virtio_input_absinfo` of an axis, which begins with its least and greatest value.
const ABS_INFO: u8 = 0x12;

/// Event types (`input-event-codes.h`).
const EV_KEY: u8 = 1;
const EV_REL: u8 = 2;
const EV_ABS: u8 = 3;

/// Bytes of the key codes that are a keyboard's, up to `BTN_MISC`.
const KEYS: usize = 0x100 / 8;
/// Axes.
const ABS_X: u8 = 0x00;
const ABS_MT_SLOT: u8 = 0x2f;
const ABS_MT_POSITION_X: u8 = 0x35;

/// Asks; the answer's length in bytes.
fn ask<R: RegisterIo>(transport: &Transport<R>, select: u8, subsel: u8) -> usize {
    transport.write_config_u8(SELECT, select);
    transport.write_config_u8(SUBSEL, subsel);
    usize::from(transport.config_u8(SIZE)).min(ANSWER_MAX)
}

/// The range of an axis; `None` if there is no such axis.
fn axis<R: RegisterIo>(transport: &Transport<R>, axis: u8) -> Result<Option<AxisRange>, ProbeError> {
    if ask(transport, ABS_INFO, axis) < 8 {
        return Ok(None);
    }
    let word = |at: usize| i32::from_le_bytes(core::array::from_fn(|i| transport.config_u8(ANSWER + at + i)));
    let range = AxisRange {
        min: word(0),
        max: word(4),
    };
    if range.max <= range.min {
        return Err(ProbeError::Axis(axis));
    }
    Ok(Some(range))
}

/// The ranges of two axes that belong together.
fn axes<R: RegisterIo>(transport: &Transport<R>, first: u8) -> Result<Option<[AxisRange; 2]>, ProbeError> {
    let (x, y) = (axis(transport, first)?, axis(transport, first + 1)?);
    Ok(x.zip(y).map(|(x, y)| [x, y]))
}

/// What the device is.
pub(crate) fn limits<R: RegisterIo>(transport: &Transport<R>) -> Result<InputLimits, ProbeError> {
    let any = |kind: u8, bytes: usize, mask: u8| {
        let len = ask(transport, EV_BITS, kind).min(bytes);
        (0..len).any(|at| transport.config_u8(ANSWER + at) & mask != 0)
    };
    let keyboard = any(EV_KEY, KEYS, u8::MAX);
    // REL_X and REL_Y.
    let relative = any(EV_REL, 1, 0b11);
    let positions = ask(transport, EV_BITS, EV_ABS) > 0;
    let [absolute, touch] = if positions {
        [axes(transport, ABS_X)?, axes(transport, ABS_MT_POSITION_X)?]
    } else {
        [None; 2]
    };
    let slots = if touch.is_some() {
        axis(transport, ABS_MT_SLOT)?
    } else {
        None
    };
    Ok(InputLimits {
        keyboard,
        relative,
        absolute,
        touch,
        touch_slots: slots.map_or(0, |slots| slots.max.clamp(0, u8::MAX.into()) as u8),
    })
}
