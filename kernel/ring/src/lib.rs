//! Shared rings (Xen's `public/io/ring.h`), both ends, over memory that somebody else may change at any time.
//!
//! **Distrusts** the other end wholly: every index it writes is checked against the ring's size before it is used,
//! and every slot is copied out once, by value, before anybody looks at it. **Owes** the other end exactly one
//! notification for each batch it asked to hear of (`rsp_event`/`req_event`), and never a lost wake-up: see
//! [`BackRing::final_check`].
//!
//! Key types: [`SharedPages`] (the seam to memory), [`BackRing`], [`FrontRing`].
//!
//! The wake-up protocol is model-checked with loom, at both ends and in both directions (some seconds):
//! `RUSTFLAGS="--cfg loom" cargo test -p outrigger-ring --test loom --release`.
#![no_std]
#![forbid(unsafe_code)]

mod back;
#[cfg(feature = "bytewise")]
mod bytewise;
mod front;
mod pages;
mod shape;

pub use back::{AttachError, BackRing};
#[cfg(feature = "bytewise")]
pub use bytewise::Bytewise;
pub use front::FrontRing;
pub use pages::{SharedPages, last_word};
pub use shape::{Overflow, RingShape, ShapeError};
