//! How a domain ends.

use alloc::vec::Vec;

/// What `xl shutdown`, `xl reboot` … ask for, and what the domain tells Xen when it ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `poweroff`.
    PowerOff,
    /// `reboot`.
    Reboot,
    /// `halt`.
    Halt,
    /// `crash`: also what a bug of ours ends in.
    Crash,
}

/// What Dom0 has asked of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The toolstack, to shut down.
    Shutdown(Shutdown),
    /// To go on as this image, which was looked at.
    Update(Vec<u8>),
}
