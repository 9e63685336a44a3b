//! The network driver domain's backend.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod checksum;
#[allow(dead_code, reason = "used by the turn")]
mod counters;
mod filter;
mod multicast;
pub mod packet;
mod rate;
pub mod segment;
#[allow(dead_code, reason = "used by the turn")]
mod set;
#[allow(dead_code, reason = "used by the turn")]
mod switch;
mod table;

pub use counters::{Counters, Drop};
pub use filter::SourceFilter;
pub use multicast::MulticastFilter;
pub use rate::Bucket;
pub use table::MacTable;
