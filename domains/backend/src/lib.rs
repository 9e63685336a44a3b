//! The split driver below XenBus: what a class of backends (disks, network cards, input …) has in common with the others,
//! whatever its devices do.
//!
//! The parts can be used singly: numbers ([`NumberSet`], [`RunQueue`]), a frontend's nodes ([`nodes`]), its pages and ports
//! ([`Channel`]), what outlives a restart ([`Life`]), a device of this domain and its health ([`DeviceSlot`]), sums of what was
//! done ([`counters!`]). A class that is content with all of them implements [`Class`], and [`Split`] is its backend: devices
//! come and go, all or nothing of their channels is attached to, and each turn calls the class once, which owns everything
//! between the events and the sleep.
//!
//! **Distrusts** frontends: each node is read once and checked; a channel is attached to only with all the others of its device,
//! and what was attached to is given back if one of them is bad. **Owes** the class nothing that costs its data path: there are
//! no trait objects here, and nothing allocates once a device is attached to.
//!
//! Key types: [`Class`], [`Split`], [`Channel`], [`RunQueue`], [`DeviceSlot`]. For tests of a class, with the feature `fake`:
//! [`fake`].
#![cfg_attr(not(any(test, feature = "fake")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod channel;
mod class;
mod counters;
mod device;
#[cfg(feature = "fake")]
pub mod fake;
mod life;
pub mod nodes;
mod run_queue;
mod set;
mod split;

pub use channel::{AttachedRing, Channel, ChannelNodes, attach_ring, bind, map};
pub use class::{Class, Io, Published};
pub use device::{DeviceSlot, Recovery};
pub use life::{Life, unsound};
pub use run_queue::RunQueue;
pub use set::NumberSet;
pub use split::Split;
