//! Where `boot/aarch64/entry.S` hands over.

use core::arch::global_asm;

global_asm!(include_str!("../../../../../boot/aarch64/entry.S"));

/// First Rust: MMU on with the early map, BSS clear, on the program's stack.
#[unsafe(no_mangle)]
extern "C" fn outrigger_start(device_tree: usize) -> ! {
    crate::start(device_tree)
}
