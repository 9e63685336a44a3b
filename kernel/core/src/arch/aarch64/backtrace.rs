//! Where the program was: return addresses on its stack.
//!
//! Images keep no frame pointers and no unwind tables; they would cost an eighth of their size. A word on the stack that
//! points behind a call in our code is taken for a return address. Some are leftovers of calls that had returned already,
//! and whoever reads the trace beside the source sees which.

use core::arch::asm;
use core::ops::Range;

use super::machine::{code, stack, stack_guards};

/// Words of the stack that are looked at.
const WORDS: u64 = 2048;

/// Return addresses, innermost first.
pub(crate) struct Backtrace {
    stack: Range<u64>,
}

impl Backtrace {
    /// From a stack pointer on.
    pub(super) fn from(pointer: u64) -> Self {
        let stack = stack();
        let start = pointer.clamp(stack.start, stack.end).next_multiple_of(8);
        Self {
            stack: start..stack.end.min(start.saturating_add(8 * WORDS)),
        }
    }

    /// From here on.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let pointer;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        Self::from(pointer)
    }
}

impl Iterator for Backtrace {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.stack.start < self.stack.end {
            // SAFETY: a word within the program's stack, which is mapped; any value will do.
            let word = unsafe { (self.stack.start as *const u64).read_volatile() };
            self.stack.start += 8;
            if follows_call(word) {
                return Some(word);
            }
        }
        None
    }
}

/// Whether the instruction before an address is a call.
fn follows_call(address: u64) -> bool {
    let code = code();
    if address < code.start + 4 || address >= code.end || !address.is_multiple_of(4) {
        return false;
    }
    // SAFETY: a word of the image's code.
    let instruction = unsafe { ((address - 4) as *const u32).read_volatile() };
    let is_bl = instruction >> 26 == 0b10_0101;
    let is_blr = instruction & 0xffff_fc1f == 0xd63f_0000;
    is_bl || is_blr
}

/// Whether an address lies in the page below a stack.
pub(super) fn is_guard(address: u64) -> bool {
    stack_guards()
        .iter()
        .any(|guard| (*guard..guard + 4096).contains(&address))
}
