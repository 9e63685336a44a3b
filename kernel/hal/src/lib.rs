//! What a driver needs of the machine: a device's registers ([`RegisterIo`]), memory that it shares with its device
//! ([`DmaPool`], [`DmaView`]) and the device's way there ([`DmaReach`], [`DmaPath`]), interrupts ([`IrqSet`]) and time
//! ([`Clock`]). Neither Xen nor any device is known here: `kernel/core` and FakeXen implement these traits, drivers use them.
//!
//! **Distrusts** nothing: every value comes from a driver or from `kernel/core`. **Owes** drivers that an address which
//! a device is told comes from the pool or from a mapped grant alone ([`DmaPage::mint`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dma;
mod irq;
mod page;
mod reach;
mod register;
mod time;

pub use dma::{DmaMemory, DmaPool, DmaView};
pub use irq::IrqSet;
pub use page::{DmaAddr, DmaPage, DmaSegment, PAGE_SIZE};
pub use reach::{Direction, DmaCounters, DmaLoan, DmaPath, DmaReach, NoBounce};
pub use register::RegisterIo;
#[cfg(feature = "fake")]
pub use register::fake::{OptOut, Watched};
pub use time::{Clock, Instant};
