//! The input driver domain's backend: keyboards, mice, tablets and touch screens of this machine, for guests' kbdif frontends
//! (Xen's `public/io/kbdif.h`).
//!
//! One guest has the *focus* and gets all events. A chord of keys or `xenstore-write` moves it; what the guest was told that is
//! pressed is released then, and so it is after a restart of this domain in place and after events were lost.
//!
//! **Distrusts** guests: the one index that a guest writes is checked, and a guest that does not read loses events, which are
//! counted; nobody waits for it. Distrusts devices as far as ranges go: a position is clamped. **Owes** a guest that it sees no
//! key that was meant for another, and a release for each press that it was told of.
//!
//! Key types: [`Input`] (the class, for [`outrigger_backend::Split`]), [`Chord`], [`Counters`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod chord;
mod class;
mod focus;

mod guest;

pub use chord::Chord;
pub use class::Input;
pub use guest::{Counters, Wants};
