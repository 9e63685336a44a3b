//! Event channels (`public/event_channel.h`).

use crate::DomId;

/// A local event channel port. As a number from XenStore it is an allegation, which only
/// [`EventChannels::bind_interdomain`] believes or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

/// Why an event channel operation failed: Xen's (negative) errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError(pub i64);

/// The ports of this domain.
pub trait EventChannels {
    /// Binds to the port `remote` that the domain `dom` has allocated for us. The new local port is pending at once
    /// (Xen's rule), so that nothing sent before is missed.
    ///
    /// # Errors
    /// No such port there, not for us, or no port left.
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError>;
    /// Closes a local port; the remote end becomes unbound.
    fn close(&self, port: Port);
    /// Notifies the other end (`EVTCHNOP_send`). A port whose other end has gone is not an error.
    fn notify(&self, port: Port);
    /// Takes every port that is pending now, once each, clearing it: one bounded sweep, however fast a guest notifies.
    fn take_pending(&self, each: &mut dyn FnMut(Port));
}
