//! Memory as a device sees it, for the models of devices that drivers are tested on.
//!
//! Does: gives out pages whose bus addresses follow no order and are never the CPU's, knows which pages and which lent
//! segments a device may touch just now and in which direction, and panics at anything else. Where a test wants it, memory
//! is out of a device's reach, has other addresses there, or is seen by the CPU through caches that the device does not
//! see ([`Bus::set_reach`]).
//!
//! **Distrusts** drivers: an access that was not lent is a panic, and so a failed test. **Owes** them the worst that caches
//! may do: whatever the CPU has written and not cleaned is written back late, over what the device wrote; whatever the
//! CPU could have read ahead it has read ahead.
//!
//! Key types: [`Bus`], [`TestPool`], [`TestPage`].
#![forbid(unsafe_code)]

mod bus;
mod cache;
mod page;

pub use bus::{Bus, Maintenance, TestPool};
pub use outrigger_devices::Direction;
pub use page::{Accesses, TestPage};
