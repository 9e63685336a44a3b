//! The block driver domain's backend: serves blkif rings (Xen's `public/io/blkif.h`) from block devices, without copying:
//! the device reads and writes the guests' own pages.
//!
//! **Distrusts** guests, in their rings and their XenStore nodes; the device's tags; and the disk's partition table, which
//! guests may write. A bad request is answered with an error, a bad ring closes its vbd, and neither costs another vbd
//! more than its turn. **Owes** a guest one response for each request it consumed, given only after its pages were unmapped
//! (unless the guest agreed to persistent grants) and after the device has really done it; and when a vbd is gone, it holds
//! nothing of the guest's. Owes the next life of this domain what it needs to go on as if nothing had
//! happened (`journal.rs` tells what survives and what is derived). On the data path nothing allocates, waits, or is done twice for one turn: one batch of maps a ring, one batch of
//! unmaps, one doorbell a device queue, one notification a ring.
//!
//! Key types: [`Block`] (everything; its [`turn`](Block::turn) is the loop's body, and it is the
//! [`DeviceClass`](outrigger_xenbus::DeviceClass) of XenBus), `Ring` (one ring's turn), `Gather` (from segments to memory),
//! [`Target`] and [`partitions`] (which sectors a vbd has).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod attach;
mod barrier;
mod batch;
mod budget;
mod close;
mod counters;
mod disk;
mod gather;
mod indirect;
mod journal;
mod nodes;
mod other;
mod patience;
mod persistent;
#[cfg(any(test, feature = "raw-read"))]
mod raw;
mod read;
mod reader;
mod record;
mod release;
mod resolve;
mod resume;
mod ring;
mod serve;
mod service;
mod sets;
mod slice;
mod submit;
mod table;
#[cfg(test)]
mod tests;
mod transient;
mod vbd;
mod view;

pub use budget::Budget;
pub use counters::Counters;
#[cfg(feature = "raw-read")]
pub use raw::{Raw, raw_read};
pub use service::Block;
pub use slice::{Part, Slice, Target, TargetError};
pub use table::{PartUuid, Partition, ReadError, Sectors, TableError, partitions};
