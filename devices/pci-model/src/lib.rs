//! A behavioural model of a PCI function, written from the specifications, for the tests of drivers on the host.
//!
//! Does: a configuration space with the header, BARs of any size, MSI, MSI-X, PCI Express (FLR) and power management; a
//! window in which the BARs are decoded where the driver has put them; interrupts by line and by message. What is behind
//! the BARs is an [`Endpoint`].
//!
//! **Distrusts** drivers: what the specifications forbid is recorded, and [`FunctionModel::assert_clean`] panics.
//! With a [`Fault`] the function itself is the liar.
//!
//! Key types: [`FunctionModel`], [`Offer`], [`Endpoint`], [`Fault`], [`TestClock`].
#![forbid(unsafe_code)]

mod clock;
mod config;
mod decode;
mod model;
mod offer;

pub use clock::TestClock;
pub use config::EcamPage;
pub use decode::WindowModel;
pub use model::{Endpoint, FunctionModel};
pub use offer::{Fault, Offer, WINDOW_BUS, WINDOW_BYTES};
