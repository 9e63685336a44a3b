//! Data cache maintenance to the point of coherency (Arm ARM D7.5), for devices that do not see the caches. It acts on
//! physical addresses, so that it reaches what a guest's processors hold of a page that we have mapped, too.

use core::arch::asm;
use core::ops::Range;

use aarch64_cpu::asm::barrier::{self, dsb};

/// Bytes of the smallest line of all data caches.
fn line() -> usize {
    let ctr: u64;
    // SAFETY: reads a constant of the processor.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << ((ctr >> 16) & 15)
}

macro_rules! maintenance {
    ($(#[$doc:meta])* $name:ident $instruction:literal) => {
        $(#[$doc])*
        pub(crate) fn $name(bytes: Range<usize>) {
            let line = line();
            let mut at = bytes.start & !(line - 1);
            while at < bytes.end {
                // SAFETY: changes no value that a load may see; an address that is not mapped faults.
                unsafe { asm!($instruction, in(reg) at, options(nostack, preserves_flags)) };
                at += line;
            }
            dsb(barrier::SY);
        }
    };
}

maintenance!(
    /// Writes back.
    clean "dc cvac, {}"
);
maintenance!(
    /// Writes back and drops: what dropping alone would be turned into, anyway, by the hypervisor's second stage.
    clean_and_invalidate "dc civac, {}"
);
