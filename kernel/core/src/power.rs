//! How the domain ends.

use xen_unikernel_abi::sched::{SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot};

use crate::{arch, hypercalls};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `xl shutdown`.
    PowerOff,
    /// `xl reboot`.
    Reboot,
    /// A bug.
    Crash,
}

/// Ends the domain. Every device has been quieted before, or has no DMA in flight.
pub fn stop(why: Stop) -> ! {
    hypercalls::shutdown(match why {
        Stop::PowerOff => SHUTDOWN_poweroff,
        Stop::Reboot => SHUTDOWN_reboot,
        Stop::Crash => SHUTDOWN_crash,
    });
    arch::current::halt()
}
