//! How the domain ends.

use outrigger_xen::Shutdown;
use xen_unikernel_abi::sched::{SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot};

use crate::{arch, hypercalls};

/// Ends the domain. Every device has been quieted before, or has no DMA in flight.
pub fn stop(why: Shutdown) -> ! {
    hypercalls::shutdown(match why {
        Shutdown::PowerOff | Shutdown::Halt => SHUTDOWN_poweroff,
        Shutdown::Reboot => SHUTDOWN_reboot,
        Shutdown::Crash => SHUTDOWN_crash,
    });
    arch::current::halt()
}
