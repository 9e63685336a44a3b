//! A behavioural model of an NVMe controller, written from the specification, for the tests of drivers on the host.
//!
//! Does: controller properties, admin commands as far as drivers use them, I/O queues, reads, writes, flushes, discards and
//! write-zeroes on namespaces of any format, interrupts by MSI-X, MSI and line; commands complete in any order, at once or
//! when the test says so.
//!
//! **Distrusts** drivers: what real controllers refuse or what the specification leaves undefined is recorded by the
//! function ([`outrigger_pci_model::FunctionModel::assert_clean`]): PRP offsets, doorbells out of range, identifiers used
//! twice, reserved fields, memory that it may not touch. With a [`Fault`] the controller itself is the liar.
//!
//! Key types: [`NvmeModel`], [`Offer`], [`NamespaceOffer`], [`Fault`].
#![forbid(unsafe_code)]

mod admin;
mod io;
mod model;
mod offer;
mod queue;
mod registers;

pub use model::{Counters, DISCARDED, NvmeModel};
pub use offer::{Fault, NamespaceOffer, Offer, Order};
