//! What a device driver offers to a backend ([`Device`], and above it [`BlockDevice`], [`NetDevice`] and
//! [`InputDevice`]), and, from
//! `kernel/hal`, what it needs of the machine. Drivers know nothing of Xen, backends nothing of chips.
//!
//! Drivers **distrust** their device: a length, an index or a completion it reports is checked before use; a device
//! that lies is declared faulty ([`DeviceFault`]) and its requests fail, the domain goes on.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod block;
mod device;
pub mod input;
mod net;

pub use block::{BlockDevice, BlockLimits, BlockOp, BlockRequest, Completion, Status};
pub use device::{Device, DeviceFault, Health, Interrupt, QueueFull, Tag, Tick};
pub use input::{AxisRange, InputDevice, InputEvent, InputLimits, InputReport};
pub use net::{BlankChecksum, Gso, GsoKind, NetDevice, NetLimits, RxBuffer, RxChecksum, TxFrame};
pub use outrigger_hal::{
    Clock, Direction, DmaAddr, DmaCounters, DmaLoan, DmaMemory, DmaPage, DmaPath, DmaPool, DmaReach,
    DmaSegment, DmaView, Instant, IrqSet, NoBounce, PAGE_SIZE, RegisterIo,
};
#[cfg(feature = "fake")]
pub use outrigger_hal::{OptOut, Watched};
