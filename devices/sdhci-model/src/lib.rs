//! An SD host controller with an SD card or an eMMC in its slot, as a device and not as a driver sees it: for host tests. Written
//! from the SD Host Controller, SD Physical Layer and JESD84-B51 specifications alone.
//!
//! Does: behaves as they say, at the registers ([`SdhciModel`] is a [`RegisterIo`](outrigger_devices::RegisterIo)) and in
//! memory, which it reaches over a [`Bus`] only. Nothing happens at once unless the test says so: each event (a response, a
//! block, the end of a transfer) comes after so many looks at the status, or when the test lets it ([`SdhciModel::run`]).
//! The clock ([`TestClock`]) moves a little at each look, so that nobody can wait for ever.
//!
//! **Distrusts** its driver: what the specifications forbid one to do is noted, and a test ends with
//! [`SdhciModel::assert_clean`]. So is an access that is not 32 bits wide: the BCM2711 takes no others.
//!
//! **Owes** its driver nothing once a [`Fault`] is injected.
//!
//! Key types: [`SdhciModel`], [`Slot`] (the controller's kind), [`CardOffer`], [`Fault`], [`TestClock`].
#![forbid(unsafe_code)]

mod card;
mod clock;
mod command;
mod emmc;
mod fault;
mod model;
mod offer;
mod register;
mod sd;
mod transfer;

pub use clock::TestClock;
pub use fault::Fault;
pub use model::SdhciModel;
pub use offer::{CardOffer, Family, Slot};
pub use outrigger_bus_model::{Bus, Direction, TestPage, TestPool};
