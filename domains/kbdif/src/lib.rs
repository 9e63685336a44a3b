//! The kbdif protocol (Xen's `public/io/kbdif.h`): one page, with events to a guest's keyboard, pointer and touch screen.
//!
//! **Owes** the frontend events whose reserved bytes are 0. The ring from the frontend exists in the header only: no event is
//! defined for it, and nobody reads it.
//!
//! Key types: [`Event`], [`IN_RING`]; the names of the XenStore nodes are in [`nodes`].
#![no_std]
#![forbid(unsafe_code)]

pub mod nodes;

use core::mem::offset_of;

use outrigger_ring::EventPlace;
use xen_unikernel_abi::io::kbdif as abi;

/// Words of an event.
pub const EVENT_WORDS: usize = abi::XENKBD_IN_EVENT_SIZE / 4;

/// Where the events to the frontend are.
pub const IN_RING: EventPlace = EventPlace {
    prod: offset_of!(abi::XenkbdPage, in_prod),
    cons: offset_of!(abi::XenkbdPage, in_cons),
    slots: abi::XENKBD_IN_RING_OFFS,
    slot_bytes: abi::XENKBD_IN_EVENT_SIZE,
    count: abi::XENKBD_IN_RING_LEN as u32,
};

/// Key codes are below this (`KEY_MAX` + 1).
pub const KEYS: usize = 0x300;

/// Whether Linux's frontend has this key (`KEY_ESC` to before `KEY_UNKNOWN`, and from `KEY_OK` on) or button (`BTN_LEFT` to
/// `BTN_TASK`). It warns of others.
pub fn has_key(code: u16) -> bool {
    matches!(code, 1..240 | 0x110..=0x117 | 0x160..0x2ff)
}

/// One event to a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pointer was moved, in steps of the device.
    Motion {
        /// To the right.
        x: i32,
        /// Downwards.
        y: i32,
        /// The wheel: **downwards**, unlike Linux's `REL_WHEEL`. Linux's frontend inverts it.
        z: i32,
    },
    /// A key or a button was pressed or released.
    Key {
        /// `KEY_*` or `BTN_*` of Linux's `input-event-codes.h`.
        code: u16,
        /// Pressed.
        pressed: bool,
    },
    /// The pointer is at a place, in pixels.
    Position {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
        /// The wheel, as in [`Motion`](Self::Motion).
        z: i32,
    },
    /// A finger touches, or has moved, in pixels.
    Touch {
        /// Which finger.
        contact: u8,
        /// It was not there before.
        down: bool,
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// A finger is gone.
    Lift {
        /// Which finger.
        contact: u8,
    },
    /// The touches and lifts before this one belong together.
    TouchSync,
}

impl Event {
    /// Makes one of two movements that follow each other. False if they are not such, and nothing has changed.
    pub fn merge(&mut self, next: Self) -> bool {
        match (self, next) {
            (Self::Motion { x, y, z }, Self::Motion { x: dx, y: dy, z: dz }) => {
                (*x, *y, *z) = (x.saturating_add(dx), y.saturating_add(dy), z.saturating_add(dz));
            }
            (
                Self::Position { x, y, z },
                Self::Position {
                    x: to_x,
                    y: to_y,
                    z: dz,
                },
            ) => {
                (*x, *y, *z) = (to_x, to_y, z.saturating_add(dz));
            }
            _ => return false,
        }
        true
    }

    /// As it stands in its slot.
    pub fn encode(self) -> [u32; EVENT_WORDS] {
        let head = |kind: u8, a: u8, b: u8| u32::from_le_bytes([kind, a, b, 0]);
        let touch = |event: u8, contact: u8| head(abi::XENKBD_TYPE_MTOUCH, event, contact);
        let (first, rest) = match self {
            Self::Motion { x, y, z } => (
                head(abi::XENKBD_TYPE_MOTION, 0, 0),
                [x as u32, y as u32, z as u32],
            ),
            Self::Position { x, y, z } => (head(abi::XENKBD_TYPE_POS, 0, 0), [x, y, z as u32]),
            Self::Key { code, pressed } => {
                (head(abi::XENKBD_TYPE_KEY, pressed.into(), 0), [code.into(), 0, 0])
            }
            Self::Touch { contact, down, x, y } => {
                let event = if down {
                    abi::XENKBD_MT_EV_DOWN
                } else {
                    abi::XENKBD_MT_EV_MOTION
                };
                (touch(event, contact), [0, x, y])
            }
            Self::Lift { contact } => (touch(abi::XENKBD_MT_EV_UP, contact), [0; 3]),
            Self::TouchSync => (touch(abi::XENKBD_MT_EV_SYN, 0), [0; 3]),
        };
        let mut words = [0; EVENT_WORDS];
        words[0] = first;
        words[1..4].copy_from_slice(&rest);
        words
    }

    /// From its slot; `None` for an event that is not defined. For frontends of our own, as in tests.
    pub fn decode(words: [u32; EVENT_WORDS]) -> Option<Self> {
        let [kind, a, b, _] = words[0].to_le_bytes();
        let [x, y, z] = [words[1], words[2], words[3]];
        Some(match (kind, a) {
            (abi::XENKBD_TYPE_MOTION, _) => Self::Motion {
                x: x as i32,
                y: y as i32,
                z: z as i32,
            },
            (abi::XENKBD_TYPE_POS, _) => Self::Position { x, y, z: z as i32 },
            (abi::XENKBD_TYPE_KEY, pressed) => Self::Key {
                code: x.try_into().ok()?,
                pressed: pressed != 0,
            },
            (abi::XENKBD_TYPE_MTOUCH, abi::XENKBD_MT_EV_DOWN | abi::XENKBD_MT_EV_MOTION) => Self::Touch {
                contact: b,
                down: a == abi::XENKBD_MT_EV_DOWN,
                x: y,
                y: z,
            },
            (abi::XENKBD_TYPE_MTOUCH, abi::XENKBD_MT_EV_UP) => Self::Lift { contact: b },
            (abi::XENKBD_TYPE_MTOUCH, abi::XENKBD_MT_EV_SYN) => Self::TouchSync,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<[i32; 3]>().prop_map(|[x, y, z]| Event::Motion { x, y, z }),
            any::<(u16, bool)>().prop_map(|(code, pressed)| Event::Key { code, pressed }),
            any::<(u32, u32, i32)>().prop_map(|(x, y, z)| Event::Position { x, y, z }),
            any::<(u8, bool, u32, u32)>().prop_map(|(contact, down, x, y)| Event::Touch {
                contact,
                down,
                x,
                y
            }),
            any::<u8>().prop_map(|contact| Event::Lift { contact }),
            Just(Event::TouchSync),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(event in events()) {
            let words = event.encode();
            prop_assert_eq!(Event::decode(words), Some(event));
            prop_assert_eq!(&words[4..], &[0; 6], "reserved bytes are 0");
        }
    }

    /// The bytes of `struct xenkbd_key`, `xenkbd_motion` and `xenkbd_mtouch`, as a C compiler lays them out.
    #[test]
    fn bytes_are_where_the_header_says() {
        let key = Event::Key {
            code: 30,
            pressed: true,
        }
        .encode();
        assert_eq!(key[..2], [0x0103, 30]);
        let motion = Event::Motion { x: 1, y: -1, z: 2 }.encode();
        assert_eq!(motion[..4], [1, 1, u32::MAX, 2]);
        let touch = Event::Touch {
            contact: 3,
            down: true,
            x: 7,
            y: 9,
        }
        .encode();
        assert_eq!(touch[..4], [0x0003_0005, 0, 7, 9]);
        assert_eq!(Event::Lift { contact: 3 }.encode()[0], 0x0003_0105);
        assert_eq!(Event::TouchSync.encode()[0], 0x0305);
    }

    #[test]
    fn the_page_is_as_the_header_says() {
        assert_eq!(
            (IN_RING.cons, IN_RING.prod, IN_RING.slots, IN_RING.count),
            (0, 4, 1024, 51)
        );
    }
}
