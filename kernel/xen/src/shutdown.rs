//! How a domain ends.

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
