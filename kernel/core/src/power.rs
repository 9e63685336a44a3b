//! How the domain ends.

use outrigger_xen::{End, Shutdown};
use xen_unikernel_abi::sched::{SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot};

use crate::restart::{restart, update};
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

/// Does what Dom0 has asked for. A reboot is a restart in place, and so is an update: guests notice neither.
pub fn obey(end: End) -> ! {
    match end {
        End::Update(image) => update(image),
        End::Shutdown(Shutdown::Reboot) => restart("asked to reboot"),
        End::Shutdown(why) => stop(why),
    }
}
