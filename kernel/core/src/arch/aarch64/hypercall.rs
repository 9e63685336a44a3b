//! `hvc #0xEA1`: number in x16, arguments in x0…x4, result in x0 (`public/arch-arm.h`).

use core::arch::asm;

/// Makes a hypercall. Arguments a call does not take are 0.
///
/// # Safety
/// Every pointer among the arguments must point to what the call expects, and stay valid for Xen to read and write
/// during the call; a call that changes the memory map must not take away what Rust believes it owns.
#[inline]
pub(crate) unsafe fn hypercall(number: u64, args: [u64; 5]) -> i64 {
    let result: i64;
    // SAFETY: Xen preserves every register but the argument registers, which a debug build clobbers; memory is not
    // declared untouched, so what the arguments point to is written before and read after. The rest is the caller's.
    unsafe {
        asm!(
            "hvc #0xEA1",
            in("x16") number,
            inlateout("x0") args[0] => result,
            inlateout("x1") args[1] => _,
            inlateout("x2") args[2] => _,
            inlateout("x3") args[3] => _,
            inlateout("x4") args[4] => _,
            options(nostack)
        );
    }
    result
}
