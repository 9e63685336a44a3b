//! A GENET v5 with its PHY and a wire, as a device and not as a driver sees it: for host tests. No emulator has one, and no
//! data sheet is public: it is written from what the drivers of Linux, U-Boot, NetBSD, FreeBSD and EDK2 agree that the
//! device does, and from what their users have measured. What it cannot tell is whether that is all.
//!
//! Does: behaves so at the registers ([`GenetModel`] is a [`RegisterIo`](outrigger_devices::RegisterIo), and a
//! [`Clock`](outrigger_devices::Clock) whose time passes with every access) and in memory, which it reaches over a
//! [`Bus`](outrigger_bus_model::Bus) only. It fills in and checks checksums itself, filters, negotiates, discards what there
//! is no buffer for, and hands over in parts what is longer than its threshold.
//!
//! **Distrusts** its driver: whatever none of those drivers does is noted ([`GenetModel::violations`]): descriptors changed
//! in the engine's hands, rings set up while they run, frames whose headers are apart from their status block, registers of
//! a MAC in reset, a second command on a busy MDIO bus. A test ends with [`GenetModel::assert_clean`].
//!
//! **Owes** its driver nothing once a [`Fault`] is injected.
//!
//! Key types: [`GenetModel`], [`Wire`], [`Partner`], [`Fault`].
#![forbid(unsafe_code)]

mod engine;
mod fault;
mod map;
mod model;
mod packet;
mod phy;
mod registers;
mod wire;

pub use engine::Side;
pub use fault::Fault;
pub use model::{GenetModel, Offer, Wire};
pub use packet::{checksum_is_right, udp4};
pub use phy::Partner;
