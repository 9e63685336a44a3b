//! Faults, and the watchdog's last word. Each ends this life, and a new one begins (`restart.rs`).

use core::fmt;

use super::backtrace::{self, Backtrace};

/// What `boot/aarch64/entry.S` stores, in that order.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
}

const _: () = assert!(size_of::<Frame>() == 288);

/// Vectors of interrupts: only the watchdog's comes this far.
const WATCHDOG: [u64; 2] = [1, 5];

/// The exception class of ESR_EL1 (Arm ARM D24.2.40), in words.
fn class(esr: u64) -> &'static str {
    match esr >> 26 & 0x3f {
        0x00 => "unknown instruction",
        0x07 => "SIMD or floating point trapped",
        0x0e => "illegal execution state",
        0x15 => "supervisor call",
        0x18 => "system register trapped",
        0x20 | 0x21 => "instruction abort",
        0x22 => "misaligned program counter",
        0x24 | 0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2f => "system error",
        0x3c => "breakpoint instruction",
        _ => "unexpected exception",
    }
}

struct Dump<'a>(&'a Frame, u64);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame, vector) = self;
        if WATCHDOG.contains(vector) {
            write!(f, "stuck for 50 ms: pc {:#x}", frame.elr)?;
        } else {
            let kind = if backtrace::is_guard(frame.far) {
                "stack overflow"
            } else {
                class(frame.esr)
            };
            write!(
                f,
                "{kind} (vector {vector}): pc {:#x} far {:#x} esr {:#x} spsr {:#x}",
                frame.elr, frame.far, frame.esr, frame.spsr
            )?;
        }
        write!(f, " sp {:#x}", frame.sp)?;
        for (i, x) in frame.x.iter().enumerate() {
            write!(f, " x{i} {x:x}")?;
        }
        Ok(())
    }
}

/// The common end of all vectors.
#[unsafe(no_mangle)]
extern "C" fn outrigger_exception(vector: u64, frame: &Frame) -> ! {
    let trace = Backtrace::from(frame.sp);
    crate::restart::fail(
        format_args!("{}", Dump(frame, vector)),
        [frame.elr, frame.x[30]].into_iter().chain(trace),
    )
}
