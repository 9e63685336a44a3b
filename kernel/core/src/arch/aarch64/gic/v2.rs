//! GICv2 (Arm IHI 0048B).

use aarch64_cpu::asm::barrier;

use super::{Bank, Priority};
use crate::arch::current::mmio::{read_u32, write_u8, write_u32};
use crate::interrupts::Trigger;

const GICD_CTLR: usize = 0x000;
const GICD_ITARGETSR: usize = 0x800;
const GICC_CTLR: usize = 0x000;
const GICC_PMR: usize = 0x004;
const GICC_IAR: usize = 0x00c;
const GICC_EOIR: usize = 0x010;

pub(crate) struct GicV2 {
    distributor: usize,
    cpu_interface: usize,
}

impl GicV2 {
    /// # Safety
    /// Both are mapped as device memory and are what they are called.
    pub(super) unsafe fn new(distributor: usize, cpu_interface: usize) -> Self {
        // SAFETY: the caller's promise; these registers may be written at any time.
        unsafe {
            write_u32(distributor + GICD_CTLR, 1);
            write_u32(cpu_interface + GICC_PMR, 0xff);
            write_u32(cpu_interface + GICC_CTLR, 1);
        }
        Self {
            distributor,
            cpu_interface,
        }
    }

    pub(super) fn enable(&self, interrupt: u32, trigger: Trigger, priority: Priority) {
        // SAFETY: the distributor is mapped (`new`), offsets stay within its 4 KiB.
        unsafe {
            if interrupt >= 32 {
                write_u8(self.distributor + GICD_ITARGETSR + interrupt as usize, 1);
            }
            Bank(self.distributor).configure(interrupt, trigger, priority);
        }
    }

    pub(super) fn cpu_interface(&self) -> usize {
        self.cpu_interface
    }

    #[inline]
    pub(super) fn mask(&self, priority: u8) {
        // SAFETY: mapped (`new`); interrupts of lower priority wait.
        unsafe { write_u32(self.cpu_interface + GICC_PMR, priority.into()) };
    }

    #[inline]
    pub(super) fn acknowledge(&self) -> u32 {
        // SAFETY: mapped (`new`). Bits 12:10 name the sender of a software interrupt and are not the number's.
        let interrupt = unsafe { read_u32(self.cpu_interface + GICC_IAR) & 0x3ff };
        // What the interrupt announces is read after it: a device's register does not order loads of memory
        // by itself.
        barrier::dmb(barrier::OSHLD);
        interrupt
    }

    #[inline]
    pub(super) fn end(&self, interrupt: u32) {
        // SAFETY: mapped (`new`); `interrupt` was acknowledged.
        unsafe { write_u32(self.cpu_interface + GICC_EOIR, interrupt) };
    }
}
