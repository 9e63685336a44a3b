//! How the domain ends.

use outrigger_xen::Shutdown;
use xen_unikernel_abi::sched::{SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot};

use crate::restart::restart;
use crate::{arch, hypercalls};

/// Ends the domain for good. Every device has been quieted before, or has no DMA in flight.
pub fn stop(why: Shutdown) -> ! {
    hypercalls::shutdown(match why {
        Shutdown::PowerOff | Shutdown::Halt => SHUTDOWN_poweroff,
        Shutdown::Reboot => SHUTDOWN_reboot,
        Shutdown::Crash => SHUTDOWN_crash,
    });
    arch::current::halt()
}

/// Does what the toolstack has asked for. A reboot is a restart in place, which guests do not notice.
pub fn obey(request: Shutdown) -> ! {
    match request {
        Shutdown::Reboot => restart("asked to reboot"),
        Shutdown::PowerOff | Shutdown::Halt | Shutdown::Crash => stop(request),
    }
}
