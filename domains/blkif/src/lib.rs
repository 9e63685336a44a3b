//! The blkif protocol (Xen's `public/io/blkif.h`): requests decoded and checked, responses encoded. Pure: no hypervisor, no
//! memory but the words it is given.
//!
//! **Distrusts** the frontend wholly. It is given a private, by-value copy of a slot and looks at nothing else, so what
//! was checked is what is used; a number that the protocol bounds leaves only inside its bounds. **Owes** the frontend a
//! response that echoes the request's `id` and operation, with every byte of it defined (XSA-216).
//!
//! Key types: [`Abi`] (which of the three layouts a ring has), [`Request`], [`Segment`], [`Refusal`], [`Identity`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod abi;
pub mod nodes;
mod request;
mod response;
mod segment;

pub use abi::{Abi, SLOT_WORDS};
pub use request::{
    DataOp, MAX_SEGMENTS_PER_INDIRECT_PAGE, MAX_SEGMENTS_PER_REQUEST, Refusal, Request, SlotWords,
    head_words, used_words,
};
pub use response::{Identity, ResponseWords, Status};
pub use segment::{SECTOR_BYTES, Segment, Segments};

#[cfg(test)]
mod tests;
