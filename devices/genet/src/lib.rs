//! The Raspberry Pi 4's network controller, Broadcom's GENET v5 with a BCM54213PE PHY: [`Genet`] is a
//! [`NetDevice`](outrigger_devices::NetDevice). **No emulator has it, and this driver has not run on silicon yet**: it is
//! tested against a model of the registers (`devices/genet-model`), written from what the drivers of Linux, U-Boot, NetBSD,
//! FreeBSD and EDK2 agree on. docs/raspberry-pi-4.md says what to look at first on a board.
//!
//! Does: one ring of 256 descriptors each way (the default queue, 16: a domain has one vCPU), which lie in the controller's
//! own registers; checksums filled in when sending and checked on receipt, by the status block of 64 bytes before every
//! frame; an MTU up to 3820 bytes; speed, duplex and pause frames as the PHY negotiated them; a filter of 16 addresses, or
//! everything; memory within 40 bits, cleaned and invalidated by the CPU where the controller does not see its caches.
//!
//! **Distrusts** the controller: an index is believed up to what it was given, a length up to the buffer's; a lie stops it
//! and is reported ([`DeviceFault`](outrigger_devices::DeviceFault)). A frame that it calls bad, or whose status makes no
//! frame, is counted and its buffer used again. Every wait has an end: for the PHY, for an engine to stop, for a frame to be
//! sent. Where interrupts do not come it is looked at every millisecond.
//!
//! **Owes** the backend every tag exactly once, unless it is quiesced or faulty; and that no DMA happens after
//! [`quiesce`](outrigger_devices::Device::quiesce) returns or a fault is reported. An engine that will not stop has its
//! descriptors led to a page of the driver's own. [`restart`](outrigger_devices::Device::restart) brings it up again in the
//! memory it has, and does not take the link down.
//!
//! Key types: [`Genet`], [`Options`], [`ProbeError`], [`Counters`].
//!
//! Specification: none is public. `registers.rs` says what is used; the PHY follows IEEE 802.3.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod card;
mod counters;
mod device;
mod engine;
mod error;
mod link;
mod mac;
mod mdio;
mod options;
mod phy;
mod receive;
mod registers;
mod transmit;

pub use counters::{Counters, MacCounters};
pub use device::{Genet, stop};
pub use error::ProbeError;
pub use options::{Options, PhyMode};
