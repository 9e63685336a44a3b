//! Event types and codes of Linux's `input-event-codes.h`, as far as anything here depends on them.
#![allow(missing_docs, reason = "the header's own names")]

pub const EV_SYN: u16 = 0;
pub const EV_KEY: u16 = 1;
pub const EV_REL: u16 = 2;
pub const EV_ABS: u16 = 3;

pub const SYN_REPORT: u16 = 0;

pub const KEY_1: u16 = 2;
pub const KEY_9: u16 = 10;
pub const KEY_TAB: u16 = 15;
pub const KEY_LEFTCTRL: u16 = 29;
pub const KEY_RIGHTCTRL: u16 = 97;

pub const REL_X: u16 = 0;
pub const REL_Y: u16 = 1;
pub const REL_WHEEL: u16 = 8;

pub const ABS_X: u16 = 0;
pub const ABS_Y: u16 = 1;
pub const ABS_MT_SLOT: u16 = 0x2f;
pub const ABS_MT_POSITION_X: u16 = 0x35;
pub const ABS_MT_POSITION_Y: u16 = 0x36;
pub const ABS_MT_TRACKING_ID: u16 = 0x39;

/// Keys that change what others mean, by the names of their codes without `KEY_`.
pub const MODIFIERS: [(&str, u16); 10] = [
    ("leftctrl", KEY_LEFTCTRL),
    ("leftshift", 42),
    ("rightshift", 54),
    ("leftalt", 56),
    ("capslock", 58),
    ("scrolllock", 70),
    ("rightctrl", KEY_RIGHTCTRL),
    ("rightalt", 100),
    ("leftmeta", 125),
    ("rightmeta", 126),
];
