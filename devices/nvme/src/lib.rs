//! Driver for NVMe controllers on PCI: each active [`Namespace`] is a [`BlockDevice`](outrigger_devices::BlockDevice).
//!
//! Does: reset and enabling with the controller's own time-outs, Identify, I/O queue pairs of 63 commands in single pages
//! (so `CAP.CQR` costs nothing), reads and writes, flushes where there is a volatile cache, discards (Dataset
//! Management), write-zeroes, formats of 512 bytes and of more, MDTS; interrupts by MSI-X, by MSI or by line, and a slow
//! look beside them; shutdown at the end. Memory goes to the controller as it is named, by bus address: nothing is
//! copied. A request whose segments no PRP list can name becomes several commands, and has ended when all of them have.
//!
//! **Distrusts** the controller: a completion counts only if its identifier is of a command in flight on that queue; what
//! Identify says is checked before use; every wait has an end. A controller that lies, stops (`CSTS.CFS`) or is gone is
//! disabled, its bus mastering is switched off, and a [`DeviceFault`](outrigger_devices::DeviceFault) says so.
//!
//! **Owes** its caller one completion for each request it took, unless it reports a fault; by then the controller touches
//! no memory. After [`restart`](outrigger_devices::Device::restart) no command from before is carried out any more: the
//! controller was disabled and had said so. All namespaces of a controller share that: one that had requests in flight
//! when the controller was reset for another's sake reports a fault too, and is up again by its own `restart`.
//!
//! Key types: [`probe`], [`Namespace`], [`Options`], [`Signal`], [`ProbeError`]. `Controller` is what namespaces share,
//! `QueuePair` a submission and a completion queue, `Builder` makes commands of segments.
//!
//! Specification: NVM Express Base 2.0 and NVM Command Set 1.0, in their names (CAP, CC, CSTS, PRP, NLB).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod admin;
mod bring_up;
mod command;
mod controller;
mod error;
mod identify;
mod namespace;
mod prp;
mod queue;
mod register;
mod requests;

pub use controller::{Options, Signal};
pub use error::ProbeError;
pub use namespace::{Namespace, probe};
