//! Where `boot/aarch64/entry.S` hands over.

use core::arch::global_asm;

global_asm!(include_str!("../../../../../boot/aarch64/entry.S"));

unsafe extern "C" {
    fn outrigger_restart(device_tree: u64) -> !;
}

/// First Rust of each life: MMU on with the early map, data as they were linked, BSS clear, on the program's stack.
#[unsafe(no_mangle)]
extern "C" fn outrigger_start(device_tree: usize, later_life: u64) -> ! {
    crate::start(device_tree, later_life == 0)
}

/// Ends this life: the next begins at the image's entry, and finds what survives.
pub(crate) fn restart(device_tree: u64) -> ! {
    // SAFETY: it never comes back, and the next life relies on nothing of this one's but the checked survivors.
    unsafe { outrigger_restart(device_tree) }
}
