//! `io/xenbus.h`: the node `state` of a frontend and of a backend.

/// No state could be read.
pub const XenbusStateUnknown: u32 = 0;
/// Just made by the tool stack.
pub const XenbusStateInitialising: u32 = 1;
/// Has published what it offers and waits for the other end.
pub const XenbusStateInitWait: u32 = 2;
/// Has published its rings and waits for a connection.
pub const XenbusStateInitialised: u32 = 3;
/// Working.
pub const XenbusStateConnected: u32 = 4;
/// Being taken away, or in error.
pub const XenbusStateClosing: u32 = 5;
/// Gone.
pub const XenbusStateClosed: u32 = 6;
/// Changing its configuration.
pub const XenbusStateReconfiguring: u32 = 7;
/// Has changed its configuration.
pub const XenbusStateReconfigured: u32 = 8;
