//! Faults. The program runs with interrupts masked and expects no exception, so each one is a bug of ours or of the
//! machine: say all there is to say, and end the domain.

use core::fmt;

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
        let frame = self.0;
        writeln!(
            f,
            "{} (vector {}): pc {:#x} far {:#x} esr {:#x} spsr {:#x} sp {:#x}",
            class(frame.esr),
            self.1,
            frame.elr,
            frame.far,
            frame.esr,
            frame.spsr,
            frame.sp
        )?;
        for (i, x) in frame.x.iter().enumerate() {
            write!(f, "  x{i:<2} {x:016x}{}", if i % 4 == 3 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// The common end of all vectors.
#[unsafe(no_mangle)]
extern "C" fn outrigger_exception(vector: u64, frame: &Frame) -> ! {
    crate::fatal(format_args!("{}", Dump(frame, vector)))
}
