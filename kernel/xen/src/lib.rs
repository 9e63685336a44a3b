//! The seams between Outrigger and the hypervisor: grant tables, event channels, XenStore, time. Everything above
//! `kernel/core` is generic over them, so that every backend also runs on the host, under `FakeXen`.
//!
//! **Distrusts** whatever a guest names (a [`GrantRef`], a [`Port`]): an operation on it fails by value, never by panic.
//! **Owes** Xen the end of everything it began: each mapping is unmapped once, each port closed once.
//!
//! Key types: [`GrantTable`], [`DmaMap`], [`DmaAddr`], [`EventChannels`], [`Clock`], [`Cpu`], [`Survivors`], and
//! [`XenStore`](xenstore::XenStore).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "fake")]
extern crate std;

mod cpu;
pub mod digest;
mod event;
#[cfg(feature = "fake")]
pub mod fake;
mod grant;
mod patience;
mod shutdown;
mod survivors;
pub mod xenstore;

pub use cpu::{Cpu, Wake};
pub use event::{EventChannels, EventError, Port};
pub use grant::{
    Access, CopyOp, CopySide, DmaMap, GRANT_BATCH, GrantError, GrantRef, GrantTable, MapRequest, MappedPages,
};
pub use outrigger_hal::{Clock, DmaAddr, DmaPage, DmaSegment, Instant, IrqSet, PAGE_SIZE};
pub use patience::Patience;
pub use shutdown::{End, Shutdown};
pub use survivors::{Ended, Key, RESTART_STATE, Survivors};

/// A domain's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomId(pub u16);

/// What a backend needs of the machine below it, in one name.
pub trait Hypervisor:
    GrantTable + EventChannels + Clock + Survivors<Record = <Self as GrantTable>::Pages>
{
}
impl<T> Hypervisor for T where
    T: GrantTable + EventChannels + Clock + Survivors<Record = <Self as GrantTable>::Pages>
{
}
