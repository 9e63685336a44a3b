//! What a class of devices (disks, network cards …) supplies.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use outrigger_ring::SharedPages;
use outrigger_xen::DomId;
use outrigger_xen::xenstore::parse_u32;

use crate::Nodes;

/// A device, as the toolstack numbers it: `backend/<kind>/<frontend>/<handle>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// The guest.
    pub frontend: DomId,
    /// The device's number in that guest.
    pub handle: u32,
}

impl DeviceId {
    /// From `DOMID/DEVID`, or `DOMID` for number 0.
    pub fn parse(text: &str) -> Option<Self> {
        let (frontend, handle) = text.split_once('/').unwrap_or((text, "0"));
        Some(Self {
            frontend: DomId(parse_u32(frontend.as_bytes())?.try_into().ok()?),
            handle: parse_u32(handle.as_bytes())?,
        })
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.frontend.0, self.handle)
    }
}

/// Why a device cannot be served: one line for the log and for the device's `error` node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hooks. One thread runs the control plane and the data path, so that a class lives behind `&self`; it must not keep
/// a `RefCell` borrowed across an await.
#[expect(
    async_fn_in_trait,
    reason = "one thread polls these futures; nobody needs them to be Send"
)]
pub trait DeviceClass {
    /// The directory's name below `backend` and in the frontend's `device`, such as `vbd`.
    const KIND: &'static str;

    /// A device has been created, or its frontend begins again: reads the backend directory and says what to publish
    /// together with state 2. Called again before each new connection.
    ///
    /// # Errors
    /// The device cannot be served; it goes to state 6 with the reason.
    async fn probe<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Vec<(String, String)>, Refusal>;

    /// The frontend has published its rings: attaches to them and says what to publish together with state 4. Requests
    /// may be served from now on.
    ///
    /// # Errors
    /// The frontend's nodes are bad. [`disconnect`](Self::disconnect) follows.
    async fn connect<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Vec<(String, String)>, Refusal>;

    /// Nodes of the frontend's directory that a guest may change while it is connected. Each takes one of the domain's
    /// watches a device.
    const WATCHED: &'static [&'static str] = &[];

    /// The frontend of a connected device has changed one of [`WATCHED`](Self::WATCHED), or goes through state 7: reads anew
    /// what may change while rings stay as they are.
    ///
    /// # Errors
    /// The frontend's nodes are bad. [`disconnect`](Self::disconnect) follows.
    async fn reconfigure<P: SharedPages>(&self, _nodes: &Nodes<'_, P>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Stops serving; returns at once. Requests in flight end in the data path. May come for a device that is not
    /// connected or being disconnected already.
    fn disconnect(&self, device: DeviceId);

    /// Nothing of the guest's is held for this device any more: no mapping, no port, no request in flight. True for one
    /// that was never connected.
    fn is_released(&self, device: DeviceId) -> bool;

    /// The device's directory is gone: forgets it. It is released.
    fn remove(&self, device: DeviceId);

    /// What a served device has done, as `key=value` words, for its node `statistics`; every few seconds. `None` for nothing.
    fn statistics(&self, _device: DeviceId) -> Option<String> {
        None
    }

    /// The same of what is no device's, such as hardware: a name, for `data/<name>` below this domain, and words.
    fn totals(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Nodes of this domain's own directory by which Dom0 tells what it wants, such as `data/focus`. Each takes one of the
    /// domain's watches.
    const SETTINGS: &'static [&'static str] = &[];

    /// The value of one of [`SETTINGS`](Self::SETTINGS), after it was written and when this life begins; empty if there is no
    /// such node.
    fn set(&self, _node: &str, _value: &str) {}

    /// One of [`SETTINGS`](Self::SETTINGS) has changed by itself, and is to be written. Asked until `None`, in each turn of the
    /// control plane.
    fn take_setting(&self) -> Option<(&'static str, String)> {
        None
    }

    /// Nodes to rewrite for a connected device (`sectors` after a resize), followed by state 4 again so that the frontend
    /// looks. Asked until `None`, in each turn of the control plane.
    fn take_update(&self) -> Option<(DeviceId, Vec<(String, String)>)> {
        None
    }

    /// A device that the data path must not serve any longer (a bad ring), and why. Asked until `None`, in each turn of
    /// the control plane.
    fn take_fault(&self) -> Option<(DeviceId, String)> {
        None
    }
}
