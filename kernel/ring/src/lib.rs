//! Shared rings (Xen's `public/io/ring.h`), both ends, over memory that somebody else may change at any time.
//!
//! **Distrusts** the other end wholly: every index it writes is checked against the ring's size before it is used,
//! and every slot is copied out once, by value, before anybody looks at it. **Owes** the other end exactly one
//! notification for each batch it asked to hear of (`rsp_event`/`req_event`), and never a lost wake-up: see
//! [`BackRing::final_check`].
//!
//! Besides the rings of requests and responses there are pages of events ([`EventWriter`], [`EventReader`]) and streams of
//! bytes ([`StreamWriter`], [`StreamReader`]), with the same distrust.
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
mod event;
mod front;
mod pages;
mod shape;
mod stream;

pub use back::{AttachError, BackRing};
#[cfg(feature = "bytewise")]
pub use bytewise::Bytewise;
pub use event::{EventPlace, EventReader, EventWriter};
pub use front::FrontRing;
pub use pages::{SharedPages, last_word};
pub use shape::{Overflow, RingShape, ShapeError};
pub use stream::{StreamPlace, StreamReader, StreamWriter};
