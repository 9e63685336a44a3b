//! What a device driver needs of the machine ([`RegisterIo`], [`DmaPool`]) and what it offers to a backend
//! ([`BlockDevice`], [`NetDevice`]). Drivers know nothing of Xen, backends nothing of chips.
//!
//! Drivers **distrust** their device: a length, an index or a completion it reports is checked before use; a device
//! that lies is declared faulty ([`DeviceFault`]) and its requests fail, the domain goes on.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod block;
mod dma;
mod net;
mod reach;
mod register;

pub use block::{
    BlockDevice, BlockLimits, BlockOp, BlockRequest, Completion, DeviceFault, Health, Interrupt, QueueFull,
    Status, Tag,
};
pub use dma::{DmaMemory, DmaPool, DmaView};
pub use net::{BlankChecksum, Gso, GsoKind, NetDevice, NetLimits, RxBuffer, RxChecksum, Tick, TxFrame};
pub use outrigger_xen::{Clock, DmaAddr, DmaPage, DmaSegment, Instant, PAGE_SIZE};
pub use reach::{Direction, DmaCounters, DmaLoan, DmaPath, DmaReach, NoBounce};
pub use register::RegisterIo;
#[cfg(feature = "fake")]
pub use register::fake::Watched;
