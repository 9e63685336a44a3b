//! aarch64, as a Xen guest at EL1.

pub(crate) mod cache;
mod entry;
mod exception;
mod gic;
mod hypercall;
mod machine;
pub(crate) mod mmio;
mod mmu;
mod processor;
mod timer;

pub(crate) use hypercall::hypercall;
pub(crate) use machine::describe;
pub use processor::Processor;

/// Interrupts that a device tree calls "shared peripheral" start here.
const SPI_BASE: u32 = 32;

/// Stops for ever, asleep.
pub(crate) fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
