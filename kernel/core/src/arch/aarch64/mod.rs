//! aarch64, as a Xen guest at EL1.

mod backtrace;
mod bytes;
pub(crate) mod cache;
mod entry;
mod exception;
mod gic;
mod hypercall;
mod machine;
pub(crate) mod mmio;
mod mmu;
mod passthrough;
mod processor;
mod timer;
mod watchdog;

pub(crate) use backtrace::Backtrace;
pub(crate) use bytes::{BLOCK, clear_page, copy_bytes, sum_blocks};
pub(crate) use entry::{replace, restart};
pub(crate) use hypercall::hypercall;
pub(crate) use machine::{describe, facts};
pub use processor::Processor;
pub(crate) use watchdog::{account, alive};

/// Interrupts that a device tree calls "shared peripheral" start here.
const SPI_BASE: u32 = 32;

/// The end begins: nothing interrupts it any more.
pub(crate) fn mask_interrupts() {
    watchdog::call_off();
    // SAFETY: masks interrupts.
    unsafe { core::arch::asm!("msr daifset, #15", options(nomem, nostack)) };
}

/// Reads where nothing is.
#[cfg(feature = "crash-points")]
pub(crate) fn abort_data() {
    // SAFETY: page zero is never mapped, so it faults, and the life ends.
    unsafe { core::arch::asm!("str xzr, [{}]", in(reg) 8u64, options(nostack)) };
}

/// Goes on where nothing is.
#[cfg(feature = "crash-points")]
pub(crate) fn abort_instruction() {
    // SAFETY: as above.
    unsafe { core::arch::asm!("br {}", in(reg) 4u64, options(nostack)) };
}

/// The domain's clock, in nanoseconds, for who has no [`Processor`].
pub(crate) fn now(clock_start: u64) -> u64 {
    timer::Timer::new(clock_start).now().0
}

/// Stops for ever, asleep.
pub(crate) fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
