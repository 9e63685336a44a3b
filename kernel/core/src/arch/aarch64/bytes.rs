//! Adding up memory, and copying it, by the widest registers: memory that others may write, of which Rust must not know.

use core::arch::asm;

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
            "subs {blocks}, {blocks}, #4",
            "b.lo 3f",
            "2:",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #64",
            "uadalp v4.2d, v0.4s",
            "uadalp v5.2d, v1.4s",
            "uadalp v6.2d, v2.4s",
            "uadalp v7.2d, v3.4s",
            "subs {blocks}, {blocks}, #4",
            "b.hs 2b",
            "3:",
            "adds {blocks}, {blocks}, #4",
            "b.eq 5f",
            "4:",
            "ld1 {{v0.4s}}, [{from}], #16",
            "uadalp v4.2d, v0.4s",
            "subs {blocks}, {blocks}, #1",
            "b.ne 4b",
            "5:",
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

/// Copies `len` bytes, each loaded and stored once.
///
/// # Safety
/// Both places are mapped as normal memory and do not overlap. Others may write them meanwhile; Rust has no reference into them.
#[inline]
pub(crate) unsafe fn copy_bytes(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: reads and writes only what the caller vouches for; the registers are named.
    unsafe {
        asm!(
            "subs {len}, {len}, #64",
            "b.lo 3f",
            "2:",
            "ldp q0, q1, [{from}]",
            "ldp q2, q3, [{from}, #32]",
            "add {from}, {from}, #64",
            "stp q0, q1, [{to}]",
            "stp q2, q3, [{to}, #32]",
            "add {to}, {to}, #64",
            "subs {len}, {len}, #64",
            "b.hs 2b",
            "3:",
            "adds {len}, {len}, #56",
            "b.mi 5f",
            "4:",
            "ldr {word}, [{from}], #8",
            "str {word}, [{to}], #8",
            "subs {len}, {len}, #8",
            "b.pl 4b",
            "5:",
            "adds {len}, {len}, #8",
            "b.eq 7f",
            "6:",
            "ldrb {word:w}, [{from}], #1",
            "strb {word:w}, [{to}], #1",
            "subs {len}, {len}, #1",
            "b.ne 6b",
            "7:",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            word = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(nostack)
        );
    }
}
