//! A virtio-mmio transport with split virtqueues and a disk, a network card or an input device behind it, as a device and not as a driver sees it: for host
//! tests. Written from VIRTIO 1.2 (§2 to §5.2, §5.8) alone.
//!
//! Does: behaves as the specification says a device behaves, at the registers ([`VirtioModel`] is a
//! [`RegisterIo`](outrigger_devices::RegisterIo)) and in memory, which it reaches over a [`Bus`] only. The bus knows which
//! pages and which lent segments a device may touch just now and in which direction, and panics at anything else; its
//! addresses are never the CPU's.
//!
//! **Distrusts** its driver: whatever the specification forbids one to do is noted ([`VirtioModel::violations`]), and a
//! test ends with [`VirtioModel::assert_clean`]. It looks at an available ring only after a doorbell that it asked for
//! (or while it polls), and interrupts only when asked to, so what is lost in between stays lost.
//!
//! **Owes** its driver nothing once a [`Fault`] is injected.
//!
//! Key types: [`VirtioModel`], [`Offer`] (a disk's), [`NetOffer`], [`Order`], [`Fault`], [`Bus`], [`TestPool`].
#![forbid(unsafe_code)]

mod device;
mod disk;
mod fault;
mod input;
mod mmio;
mod model;
mod net_header;
mod net_offer;
mod nic;
mod offer;
mod queue;

pub use disk::{DISCARDED, Disk};
pub use fault::Fault;
pub use input::{Input, InputOffer};
pub use model::{Counters, VirtioModel};
pub use net_header::NetHeader;
pub use net_offer::NetOffer;
pub use nic::{Nic, Sent};
pub use offer::{Identity, Offer, Order};
pub use outrigger_bus_model::{Accesses, Bus, Direction, TestPage, TestPool};
