//! From a device's events, one after the other, to what its user did at a time: a report, which ends with `SYN_REPORT`.

use super::{AxisRange, InputEvent, InputLimits, codes as code};

/// Keys of a report, and fingers of a device; more are left out.
const MOST: usize = 16;

/// A place within a range: how far along, and how far it is to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Along {
    at: u32,
    end: u32,
}

impl Along {
    /// Where a value is; one outside of the range is at its nearer end.
    fn new(value: i32, range: AxisRange) -> Self {
        Self {
            at: value.clamp(range.min, range.max).abs_diff(range.min),
            end: range.max.abs_diff(range.min),
        }
    }

    /// The same place in a range from 0 to `most`.
    pub fn of(self, most: u32) -> u32 {
        // The quotient is at most `most`.
        (u64::from(self.at) * u64::from(most) / u64::from(self.end.max(1))) as u32
    }
}

/// A finger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finger {
    /// It touches.
    pub touches: bool,
    /// The report is about it.
    pub changed: bool,
    /// Where.
    pub place: [Along; 2],
}

/// What a device has told since its last report.
#[derive(Debug)]
pub struct InputReport {
    limits: InputLimits,
    keys: [(u16, i32); MOST],
    key_count: usize,
    /// To the right, and downwards.
    pub motion: [i32; 2],
    /// The wheel, upwards.
    pub wheel: i32,
    /// Where the pointer is, of a device that says so.
    pub place: [Along; 2],
    /// It has said so in this report.
    pub has_moved: bool,
    /// By slot.
    pub fingers: [Finger; MOST],
    slot: usize,
    /// Events that there was no place for.
    pub left_out: u64,
}

impl InputReport {
    /// Nothing yet, of a device with these limits.
    pub fn new(limits: InputLimits) -> Self {
        Self {
            limits,
            keys: [(0, 0); MOST],
            key_count: 0,
            motion: [0; 2],
            wheel: 0,
            place: [Along::default(); 2],
            has_moved: false,
            fingers: [Finger::default(); MOST],
            slot: 0,
            left_out: 0,
        }
    }

    /// Keys and buttons, in their order: code, and 1 for pressed, 0 for released, 2 for repeated.
    pub fn keys(&self) -> &[(u16, i32)] {
        &self.keys[..self.key_count]
    }

    /// Notes an event. True if the report is complete: it is to be told, and then [begun](Self::begin) anew.
    #[inline]
    pub fn note(&mut self, event: InputEvent) -> bool {
        let InputEvent { kind, code, value } = event;
        match (kind, code) {
            (code::EV_SYN, code::SYN_REPORT) => return true,
            (code::EV_KEY, _) => match self.keys.get_mut(self.key_count) {
                Some(key) => (*key, self.key_count) = ((code, value), self.key_count + 1),
                None => self.left_out += 1,
            },
            (code::EV_REL, code::REL_X | code::REL_Y) => {
                let axis = &mut self.motion[usize::from(code - code::REL_X)];
                *axis = axis.saturating_add(value);
            }
            (code::EV_REL, code::REL_WHEEL) => self.wheel = self.wheel.saturating_add(value),
            (code::EV_ABS, code::ABS_X | code::ABS_Y) => {
                let axis = usize::from(code - code::ABS_X);
                if let Some(ranges) = self.limits.absolute {
                    self.place[axis] = Along::new(value, ranges[axis]);
                    self.has_moved = true;
                }
            }
            (code::EV_ABS, code::ABS_MT_SLOT) => self.slot = usize::try_from(value).unwrap_or(MOST),
            (code::EV_ABS, code::ABS_MT_TRACKING_ID) => self.finger(|finger| finger.touches = value >= 0),
            (code::EV_ABS, code::ABS_MT_POSITION_X | code::ABS_MT_POSITION_Y) => {
                let axis = usize::from(code - code::ABS_MT_POSITION_X);
                if let Some(ranges) = self.limits.touch {
                    self.finger(|finger| finger.place[axis] = Along::new(value, ranges[axis]));
                }
            }
            _ => {}
        }
        false
    }

    fn finger(&mut self, change: impl FnOnce(&mut Finger)) {
        match self.fingers.get_mut(self.slot) {
            Some(finger) => {
                finger.changed = true;
                change(finger);
            }
            None => self.left_out += 1,
        }
    }

    /// Whether it has said where the pointer is, or how it was moved.
    pub fn is_pointed(&self) -> bool {
        self.has_moved || self.motion != [0; 2] || self.wheel != 0
    }

    /// Begins another report.
    pub fn begin(&mut self) {
        self.key_count = 0;
        (self.motion, self.wheel, self.has_moved) = ([0; 2], 0, false);
        self.fingers.iter_mut().for_each(|finger| finger.changed = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_clamped_and_scaled() {
        let range = AxisRange { min: -100, max: 100 };
        let at = |value, most| Along::new(value, range).of(most);
        assert_eq!([at(-100, 800), at(0, 800), at(100, 800)], [0, 400, 800]);
        assert_eq!([at(i32::MIN, 800), at(i32::MAX, 800)], [0, 800]);
        let all = AxisRange {
            min: i32::MIN,
            max: i32::MAX,
        };
        assert_eq!(Along::new(i32::MAX, all).of(u32::MAX), u32::MAX);
        // What a guest is as large as arrives as it was.
        let tablet = AxisRange { min: 0, max: 0x7fff };
        assert!((0..=0x7fff).all(|value| Along::new(value as i32, tablet).of(0x7fff) == value));
    }

    #[test]
    fn nonsense_is_counted_and_breaks_nothing() {
        let mut gather = InputReport::new(InputLimits::default());
        for (kind, code, value) in [
            (3, 0x2f, -1),
            (3, 0x39, 1),
            (3, 0x2f, 16),
            (3, 0x39, 1),
            (3, 0, 5),
            (77, 1, 1),
        ] {
            assert!(!gather.note(InputEvent { kind, code, value }));
        }
        (0..20).for_each(|code| {
            gather.note(InputEvent {
                kind: 1,
                code,
                value: 1,
            });
        });
        for value in [i32::MAX, i32::MAX, i32::MIN] {
            gather.note(InputEvent {
                kind: 2,
                code: 8,
                value,
            });
        }
        assert_eq!(
            (gather.left_out, gather.keys().len(), gather.has_moved),
            (6, 16, false)
        );
        assert!(gather.note(InputEvent {
            kind: 0,
            code: 0,
            value: 0
        }));
    }
}
