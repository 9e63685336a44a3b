//! Live update: Dom0 hands a driver domain that runs a new image of its own class, over a libxenvchan; the domain looks at
//! it, and restarts in place into it.
//!
//! The client (`outrigger update`) sends a [`Message`] and then the image; it gets one line back: [`ACCEPTED`], or
//! `refused: ` and why. A refused image leaves everything as it was.
//!
//! **Distrusts** the client's bytes, although only Dom0 can send them: lengths are bounded before memory is taken, and no
//! image is taken but one whose SHA-256 is what was announced, and which is for this class and for the survivors that
//! this domain keeps ([`Header`]). **Owes** Dom0 an answer to each message, and the data path its time: each
//! [`Update::turn`] moves at most the stream's 2 KiB.
//!
//! Key types: [`Update`], [`Message`], [`Header`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod header;
mod message;
mod update;

pub use header::{HEADER_OFFSET, Header};
pub use message::{MESSAGE_BYTES, Message};
pub use update::{ACCEPTED, NODES, Update};

/// The largest image that is taken, in bytes: twice the largest budget of an image.
pub const IMAGE_MAX: u32 = 1 << 20;

#[cfg(test)]
mod tests;
