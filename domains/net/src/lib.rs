//! The network driver domain's backend: guests' vifs, the wire's cards, and the switch between them.
//!
//! One turn of its loop is `take` (events) → `reap` (cards) → `merge` → `sense` (rings) → *copy heads* → `switch_all` → *copy the
//! rest* → `work` (what neither card nor guest can do) → `drive` (cards) → `respond` (rings, notifications) → `settle`.
//! Guests' pages are never mapped: Xen copies, in two hypercalls a turn however many frames and guests there are, and a
//! frame between two guests is copied once, from the sender's page to the receiver's.
//!
//! **Distrusts** frontends: packets are put together by `outrigger-netif`; a frame's first bytes are looked at in a private
//! copy, and that copy is what is handed on; rings that make no sense end their own vif. Distrusts cards as far as lengths
//! and tags go. **Owes** each consumed slot its response by the end of the turn, so that between turns nothing is owed; owes
//! every guest its turn, whatever the others do; and owes a guest that it sees no other guest's unicast, and that nobody
//! sends with its address.
//!
//! Key types: [`Net`] (the backend, and its [`DeviceClass`](outrigger_xenbus::DeviceClass)), [`Buffer`], [`Counters`],
//! [`Drop`]; pure: [`packet`], [`checksum`], [`segment`], [`MacTable`], [`Bucket`], [`SourceFilter`], [`MulticastFilter`].
//! Follows `public/io/netif.h`, and Linux's netback where that is silent.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod attach;
mod batch;
pub mod checksum;
mod class;
mod counters;
mod filter;
mod finish;
pub mod flow;
mod frame;
mod guard;
mod guests;
mod layout;
mod ledger;
mod life;
mod merge;
mod multicast;
mod nic;
mod own;
pub mod packet;
mod plan;
mod pool;
mod queue;
mod rate;
mod receive;
mod recover;
pub mod segment;
mod sense;
mod service;
mod set;
mod store;
mod switch;
mod table;
mod told;
mod vif;
mod waiting;
mod work;

pub use counters::{Counters, Drop};
pub use filter::SourceFilter;
pub use multicast::MulticastFilter;
pub use pool::Buffer;
pub use rate::Bucket;
pub use service::Net;
pub use table::MacTable;
