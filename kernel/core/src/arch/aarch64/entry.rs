//! Where `boot/aarch64/entry.S` hands over.

use alloc::vec::Vec;
use core::arch::global_asm;
use core::ptr::addr_of;
use core::slice;

use super::cache;

global_asm!(include_str!("../../../../../boot/aarch64/entry.S"));

unsafe extern "C" {
    fn outrigger_restart(device_tree: u64) -> !;
    fn outrigger_replace(device_tree: u64, image: *const u64, len: usize, mover: *const u64) -> !;
    static outrigger_mover: [u32; 0];
    static outrigger_mover_end: [u32; 0];
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

/// Ends this life: the next begins at the entry of `image`, which comes to be where this one is.
///
/// The code that moves it lies behind it, so that it writes over neither itself nor what it has still to move: both are in
/// the heap, which is behind any image's place.
pub(crate) fn replace(image: Vec<u8>, device_tree: u64) -> ! {
    let (start, end) = (
        addr_of!(outrigger_mover).cast::<u8>(),
        addr_of!(outrigger_mover_end).cast::<u8>(),
    );
    // SAFETY: entry.S has the two labels around instructions, which are constants.
    let mover = unsafe { slice::from_raw_parts(start, end as usize - start as usize) };
    let len = image.len().next_multiple_of(16);
    let mut words = Vec::<u64>::with_capacity((len + mover.len()) / 8);
    for (bytes, end) in [(&image[..], len), (mover, len + mover.len())] {
        let (whole, rest) = bytes.as_chunks();
        words.extend(whole.iter().map(|word| u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words.extend((!rest.is_empty()).then_some(u64::from_le_bytes(last)));
        words.resize(end / 8, 0);
    }
    let staged = words.as_ptr();
    // Read with the caches off.
    cache::clean(staged as usize..staged as usize + 8 * words.len());
    // SAFETY: it never comes back; the image and the mover are where they are said to be, written back to memory.
    unsafe { outrigger_replace(device_tree, staged, len, staged.add(len / 8)) }
}
