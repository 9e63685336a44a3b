//! One PCI function, for the drivers of the chips behind it.
//!
//! Does: reads and writes configuration space through a seam ([`ConfigSpace`]: today a page of ECAM, later a
//! hypervisor's channel), checks the header, walks the capabilities, sizes the BARs and places them in a given window
//! (those that lie there already stay), switches bus mastering and INTx, sets up MSI and MSI-X, and resets the function
//! (FLR). [`Function::quiet`] silences a function that an earlier life or another domain has left running.
//!
//! **Distrusts** the function: a list of capabilities that does not end, a BAR whose size is no power of two or that
//! does not keep its address, a table that lies outside its BAR, a reset without end are each a [`PciError`].
//!
//! **Owes** the bus that it never decodes memory before all its BARs have their places, that it is no bus master before
//! its driver says so, and that STATUS is never written by a write to COMMAND.
//!
//! Key types: [`Function`], [`ConfigSpace`], [`Ecam`], [`View`], [`Bars`], [`Message`], [`PciError`].
//!
//! Specification: PCI Local Bus 3.0 (configuration space, MSI, MSI-X), PCI Express Base 5.0 (§6.6.2 FLR, §7.2.2 ECAM).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bar;
mod capability;
mod config;
mod error;
mod function;
mod message;
mod reset;
mod view;
mod wiring;

pub use bar::{Bar, BarKind, Bars, BusWindow};
pub use config::{ConfigSpace, Ecam};
pub use error::PciError;
pub use function::{Function, Id};
pub use message::Message;
pub use view::View;
pub use wiring::{COMPATIBLE, Wiring, stop};
