//! The end of the domain when something that cannot be has happened.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use outrigger_xen::Shutdown;

use crate::{arch, console, power};

/// Says why, and crashes the domain, so that `xl` applies its `on_crash`.
pub(crate) fn fatal(reason: fmt::Arguments<'_>) -> ! {
    static DYING: AtomicBool = AtomicBool::new(false);
    if DYING.swap(true, Ordering::Relaxed) {
        arch::current::halt(); // It failed again while it was saying so.
    }
    console::last_words(format_args!("FATAL: {reason}\n"));
    power::stop(Shutdown::Crash)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fatal(format_args!("{info}"))
}
