//! Adding up memory, and copying it, by the widest registers: memory that others may write, of which Rust must not know.

use core::arch::{asm, global_asm};

use outrigger_xen::PAGE_SIZE;

global_asm!(include_str!("../../../../../boot/aarch64/memory.S"), options(raw));

/// Bytes of a block.
pub(crate) const BLOCK: usize = 16;

/// The sum of the 32-bit words of `blocks` blocks (below 2³⁰), each word loaded once.
///
/// # Safety
/// The blocks at `from` (4-byte aligned) are mapped as normal memory. Others may write them meanwhile: what is loaded then is
/// some mixture, and no Rust value is made of it but the sum.
#[inline]
pub(crate) unsafe fn sum_blocks(from: *const u32, blocks: usize) -> u64 {
    let sum: u64;
    // SAFETY: reads only what the caller vouches for; the registers are named.
    unsafe {
        asm!(
            "movi v4.2d, #0",
            "movi v5.2d, #0",
            "movi v6.2d, #0",
            "movi v7.2d, #0",
            "subs {blocks}, {blocks}, #8",
            "b.lo 3f",
            "2:",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #64",
            "uadalp v4.2d, v0.4s",
            "uadalp v5.2d, v1.4s",
            "uadalp v6.2d, v2.4s",
            "uadalp v7.2d, v3.4s",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #64",
            "uadalp v4.2d, v0.4s",
            "uadalp v5.2d, v1.4s",
            "uadalp v6.2d, v2.4s",
            "uadalp v7.2d, v3.4s",
            "subs {blocks}, {blocks}, #8",
            "b.hs 2b",
            // The low bits of what is below zero are those of the rest.
            "3:",
            "tbz {blocks}, #2, 4f",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #64",
            "uadalp v4.2d, v0.4s",
            "uadalp v5.2d, v1.4s",
            "uadalp v6.2d, v2.4s",
            "uadalp v7.2d, v3.4s",
            "4:",
            "tbz {blocks}, #1, 5f",
            "ld1 {{v0.4s, v1.4s}}, [{from}], #32",
            "uadalp v4.2d, v0.4s",
            "uadalp v5.2d, v1.4s",
            "5:",
            "tbz {blocks}, #0, 6f",
            "ld1 {{v0.4s}}, [{from}], #16",
            "uadalp v6.2d, v0.4s",
            "6:",
            "add v4.2d, v4.2d, v5.2d",
            "add v6.2d, v6.2d, v7.2d",
            "add v4.2d, v4.2d, v6.2d",
            "addp d4, v4.2d",
            "fmov {sum}, d4",
            from = inout(reg) from => _,
            blocks = inout(reg) blocks => _,
            sum = lateout(reg) sum,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack, readonly)
        );
    }
    sum
}

unsafe extern "C" {
    fn outrigger_copy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
}

/// Copies `len` bytes upwards, each loaded and stored once.
///
/// # Safety
/// Both places are mapped as normal memory, and `to` does not begin within what `from` is, unless at its start. Others may write what is shared of them meanwhile; of that Rust has
/// no reference, and what is not is only ours.
#[inline]
pub(crate) unsafe fn copy_bytes(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: memory.S reads and writes what it is told to, which the caller vouches for.
    unsafe { outrigger_copy(to, from, len) };
}

/// Fills a page with zeroes: by cache lines, where the processor can (`DC ZVA`), in a tenth of the instructions that a loop of
/// stores takes. A life begins with a thousand pages.
///
/// # Safety
/// The page at `at` is mapped as normal memory, and nobody else's.
pub(crate) unsafe fn clear_page(at: *mut u8) {
    let lines: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) lines, options(nomem, nostack, preserves_flags)) };
    /// Not allowed here.
    const PROHIBITED: u64 = 1 << 4;
    let line = 4 << (lines & 15);
    if lines & PROHIBITED != 0 || 4 * line > PAGE_SIZE {
        // SAFETY: the caller's promise.
        return unsafe { core::ptr::write_bytes(at, 0, PAGE_SIZE) };
    }
    // SAFETY: writes only what the caller vouches for; a page is whole lines, and four times as many as some power of two.
    unsafe {
        asm!(
            "2:",
            "dc zva, {at}",
            "add {at}, {at}, {line}",
            "dc zva, {at}",
            "add {at}, {at}, {line}",
            "dc zva, {at}",
            "add {at}, {at}, {line}",
            "dc zva, {at}",
            "add {at}, {at}, {line}",
            "cmp {at}, {end}",
            "b.lo 2b",
            at = inout(reg) at => _,
            line = in(reg) line,
            end = in(reg) at.wrapping_add(PAGE_SIZE),
            options(nostack)
        );
    }
}
