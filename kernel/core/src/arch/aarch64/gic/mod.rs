//! The interrupt controller as Xen's virtual GIC shows it, version 2 or 3: just enough to enable an interrupt, to
//! acknowledge it and to end it. Nothing is ever taken as an exception.

mod v2;
mod v3;

use v2::GicV2;
use v3::GicV3;

use crate::interrupts::{Controller, Trigger};

/// No interrupt is pending (GIC architecture: special INTIDs 1020…1023).
const SPECIAL: u32 = 1020;

/// Interrupts that end soonest come first: events before devices. Before all comes the timer, the only one that is let
/// through to the program while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Timer,
    High,
    Normal,
}

/// The mask that lets every interrupt through, and the one that lets only [`Priority::Timer`] through.
const ALL: u8 = 0xff;
const TIMER_ONLY: u8 = 0x60;

impl Priority {
    fn byte(self) -> u8 {
        match self {
            Self::Timer => 0x40,
            Self::High => 0x80,
            Self::Normal => 0xa0,
        }
    }
}

/// Either version.
pub(crate) enum Gic {
    V2(GicV2),
    V3(GicV3),
}

impl Gic {
    /// # Safety
    /// The addresses are the distributor's and the CPU interface's, mapped as device memory.
    pub(crate) unsafe fn v2(distributor: usize, cpu_interface: usize) -> Self {
        // SAFETY: the caller's promise.
        Self::V2(unsafe { GicV2::new(distributor, cpu_interface) })
    }

    /// # Safety
    /// The addresses are the distributor's and this processor's redistributor's, mapped as device memory.
    pub(crate) unsafe fn v3(distributor: usize, redistributor: usize) -> Self {
        // SAFETY: the caller's promise.
        Self::V3(unsafe { GicV3::new(distributor, redistributor) })
    }

    pub(crate) fn enable(&self, interrupt: u32, trigger: Trigger, priority: Priority) {
        match self {
            Self::V2(gic) => gic.enable(interrupt, trigger, priority),
            Self::V3(gic) => gic.enable(interrupt, trigger, priority),
        }
    }

    /// Lets only the timer's interrupt through, or every one.
    #[inline]
    pub(crate) fn mask(&self, timer_only: bool) {
        let priority = if timer_only { TIMER_ONLY } else { ALL };
        match self {
            Self::V2(gic) => gic.mask(priority),
            Self::V3(gic) => gic.mask(priority),
        }
    }

    /// The address of a version 2's CPU interface; 0 for version 3.
    pub(crate) fn cpu_interface(&self) -> usize {
        match self {
            Self::V2(gic) => gic.cpu_interface(),
            Self::V3(_) => 0,
        }
    }
}

impl Controller for Gic {
    #[inline]
    fn acknowledge(&self) -> Option<u32> {
        let interrupt = match self {
            Self::V2(gic) => gic.acknowledge(),
            Self::V3(gic) => gic.acknowledge(),
        };
        (interrupt < SPECIAL).then_some(interrupt)
    }

    #[inline]
    fn end(&self, interrupt: u32) {
        match self {
            Self::V2(gic) => gic.end(interrupt),
            Self::V3(gic) => gic.end(interrupt),
        }
    }
}

/// What the two distributors share: a bank of one bit, two bits or a byte an interrupt, at these offsets.
struct Bank(usize);

const ISENABLER: usize = 0x100;
const IPRIORITYR: usize = 0x400;
const ICFGR: usize = 0xc00;

impl Bank {
    /// # Safety
    /// `self.0` is a mapped distributor or SGI/PPI redistributor frame, and `interrupt` is in its range.
    unsafe fn configure(&self, interrupt: u32, trigger: Trigger, priority: Priority) {
        use crate::arch::current::mmio;
        let n = interrupt as usize;
        // SAFETY: the caller's promise; offsets stay within the 4 KiB of the bank for interrupts up to 1019.
        unsafe {
            mmio::write_u8(self.0 + IPRIORITYR + n, priority.byte());
            if n >= 32 {
                let at = self.0 + ICFGR + 4 * (n / 16);
                let edge = 2 << (2 * (n % 16));
                let old = mmio::read_u32(at);
                mmio::write_u32(
                    at,
                    if trigger == Trigger::Edge {
                        old | edge
                    } else {
                        old & !edge
                    },
                );
            }
            mmio::write_u32(self.0 + ISENABLER + 4 * (n / 32), 1 << (n % 32));
        }
    }
}
