//! GICv3 (Arm IHI 0069): CPU interface by system registers, one redistributor.

use core::arch::asm;

use super::{Bank, Priority};
use crate::arch::current::mmio::{read_u32, write_u32};
use crate::interrupts::Trigger;

const GICD_CTLR: usize = 0x000;
const GICD_CTLR_ENABLE_GRP1_ARE: u32 = (1 << 1) | (1 << 4);
const GICR_WAKER: usize = 0x014;
const GICR_WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const GICR_WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
/// The frame of a redistributor that holds its SGIs and PPIs.
const SGI_FRAME: usize = 0x1_0000;
const IGROUPR: usize = 0x080;

pub(crate) struct GicV3 {
    distributor: usize,
    redistributor: usize,
}

impl GicV3 {
    /// # Safety
    /// Both are mapped as device memory and are what they are called.
    pub(super) unsafe fn new(distributor: usize, redistributor: usize) -> Self {
        // SAFETY: the caller's promise; the sequence is the architecture's (wake the redistributor, enable group 1).
        unsafe {
            write_u32(distributor + GICD_CTLR, GICD_CTLR_ENABLE_GRP1_ARE);
            let waker = read_u32(redistributor + GICR_WAKER);
            write_u32(redistributor + GICR_WAKER, waker & !GICR_WAKER_PROCESSOR_SLEEP);
            // Xen's redistributor is awake at once; a bound keeps a broken one from holding us.
            for _ in 0..100_000 {
                if read_u32(redistributor + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP == 0 {
                    break;
                }
            }
            asm!(
                "msr S3_0_C12_C12_5, {sre}", // ICC_SRE_EL1
                "isb",
                "msr S3_0_C4_C6_0, {pmr}", // ICC_PMR_EL1
                "msr S3_0_C12_C12_7, {one}", // ICC_IGRPEN1_EL1
                "isb",
                sre = in(reg) 7u64, pmr = in(reg) 0xffu64, one = in(reg) 1u64, options(nostack)
            );
        }
        Self {
            distributor,
            redistributor,
        }
    }

    pub(super) fn enable(&self, interrupt: u32, trigger: Trigger, priority: Priority) {
        let bank = if interrupt < 32 {
            self.redistributor + SGI_FRAME
        } else {
            self.distributor
        };
        let n = interrupt as usize;
        // SAFETY: mapped (`new`); group 1 is the one the CPU interface has enabled. GICD_IROUTER resets to processor 0.
        unsafe {
            let group = bank + IGROUPR + 4 * (n / 32);
            write_u32(group, read_u32(group) | 1 << (n % 32));
            Bank(bank).configure(interrupt, trigger, priority);
        }
    }

    #[inline]
    pub(super) fn mask(&self, priority: u8) {
        // SAFETY: ICC_PMR_EL1; interrupts of lower priority wait.
        unsafe { asm!("msr S3_0_C4_C6_0, {0}", "isb", in(reg) u64::from(priority), options(nostack)) };
    }

    #[inline]
    pub(super) fn acknowledge(&self) -> u32 {
        let interrupt: u64;
        // SAFETY: ICC_IAR1_EL1; system register access is enabled (`new`). The barrier makes the acknowledgement take
        // effect before what follows.
        unsafe { asm!("mrs {0}, S3_0_C12_C12_0", "dsb sy", out(reg) interrupt, options(nostack)) };
        (interrupt & 0xff_ffff) as u32
    }

    #[inline]
    pub(super) fn end(&self, interrupt: u32) {
        // SAFETY: ICC_EOIR1_EL1 of an acknowledged interrupt.
        unsafe { asm!("msr S3_0_C12_C12_1, {0}", "isb", in(reg) u64::from(interrupt), options(nostack)) };
    }
}
