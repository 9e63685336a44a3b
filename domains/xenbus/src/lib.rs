//! XenBus for backends: finds the devices that the toolstack creates for this domain, takes each through its states
//! together with its frontend, and tells a [`DeviceClass`] when to look, to attach and to let go. What is the same for
//! disks, network cards and the rest is here; the class supplies the hooks.
//!
//! **Distrusts** frontends: a state is what it is at the moment, whatever it was before; a node may be missing, garbage or
//! changed between two reads. No step waits for a guest, each device closes on its own, and a guest that toggles its
//! state costs a bounded number of steps a second. Trusts the toolstack and xenstored, who could destroy this domain.
//!
//! **Owes** the toolstack state 2 within 10 s of a device's creation, state 6 once nothing of the guest's is held, and the
//! removal of the device's directory a second or two after that if the device has gone for good. Both states stay until
//! Dom0 was seen to run for a while, so that its toolstack can have seen them. Owes frontends that 4 is never published to
//! one that shows 6 (it would crash blkfront), and guests that it does not end under them for a while when it is asked to
//! power off.
//!
//! A class says what its devices have done; that goes to XenStore every few seconds, if it has changed.
//!
//! Key types: [`Backend`] (the control plane), [`DeviceClass`] (the hooks), [`Nodes`] (a device's nodes), [`Phase`] and
//! [`decide`] (the state machine, pure). Follows `public/io/xenbus.h` and what libxl does to devices whose backend is not
//! in domain 0.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "fake")]
extern crate std;

mod attend;
mod backend;
mod class;
mod device;
#[cfg(feature = "fake")]
pub mod fake;
mod join;
mod late;
mod leave;
mod machine;
mod nodes;
mod pace;
mod power;
mod publish;
mod resume;
mod scan;
mod serve;
mod settings;
mod statistics;
mod transcript;

pub use backend::Backend;
pub use class::{DeviceClass, DeviceId, Refusal};
pub use machine::{BEAT, HOLD, LINGER, LINGER_GONE, PATIENCE, Phase, Seen, Shown, Step, decide};
pub use nodes::Nodes;
pub use outrigger_update::Update;
pub use resume::Host;
pub use serve::{Service, TurnOutcome, serve};

use xen_unikernel_abi::io::xenbus as abi;

/// `enum xenbus_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 0, and whatever is no state.
    Unknown = abi::XenbusStateUnknown as isize,
    /// 1.
    Initialising = abi::XenbusStateInitialising as isize,
    /// 2: the backend waits for the frontend.
    InitWait = abi::XenbusStateInitWait as isize,
    /// 3: the frontend waits for the backend.
    Initialised = abi::XenbusStateInitialised as isize,
    /// 4.
    Connected = abi::XenbusStateConnected as isize,
    /// 5.
    Closing = abi::XenbusStateClosing as isize,
    /// 6.
    Closed = abi::XenbusStateClosed as isize,
    /// 7.
    Reconfiguring = abi::XenbusStateReconfiguring as isize,
    /// 8.
    Reconfigured = abi::XenbusStateReconfigured as isize,
}

impl State {
    /// From the value of a `state` node.
    pub fn parse(value: &[u8]) -> Self {
        match value {
            b"1" => Self::Initialising,
            b"2" => Self::InitWait,
            b"3" => Self::Initialised,
            b"4" => Self::Connected,
            b"5" => Self::Closing,
            b"6" => Self::Closed,
            b"7" => Self::Reconfiguring,
            b"8" => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }

    /// The value of a `state` node.
    pub fn text(self) -> &'static str {
        ["0", "1", "2", "3", "4", "5", "6", "7", "8"][self as usize]
    }
}
