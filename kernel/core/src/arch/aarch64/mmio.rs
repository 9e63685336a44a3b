//! Single accesses to device registers: one plain load or store with a base register and no write-back, which a
//! hypervisor that traps it (the virtual GIC's distributor) can decode from the syndrome.

use core::arch::asm;

macro_rules! access {
    ($type:ty, $read:ident $load:literal, $write:ident $store:literal) => {
        /// One load, ordered before later accesses to memory that the device wrote.
        ///
        /// # Safety
        /// `address` is a mapped device register of this width.
        #[inline]
        pub(crate) unsafe fn $read(address: usize) -> $type {
            let value: $type;
            // SAFETY: the caller's promise; the barrier keeps later loads behind the register's value.
            unsafe { asm!($load, "dmb oshld", value = out(reg) value, address = in(reg) address, options(nostack)) };
            value
        }

        /// One store, ordered after earlier accesses to memory that the device will read.
        ///
        /// # Safety
        /// `address` is a mapped device register of this width, and the device may be told this now.
        #[inline]
        pub(crate) unsafe fn $write(address: usize, value: $type) {
            // SAFETY: the caller's promise; the barrier keeps the store behind what the device shall find in memory.
            unsafe { asm!("dmb osh", $store, value = in(reg) value, address = in(reg) address, options(nostack)) };
        }
    };
}

access!(u8, read_u8 "ldrb {value:w}, [{address}]", write_u8 "strb {value:w}, [{address}]");
access!(u16, read_u16 "ldrh {value:w}, [{address}]", write_u16 "strh {value:w}, [{address}]");
access!(u32, read_u32 "ldr {value:w}, [{address}]", write_u32 "str {value:w}, [{address}]");
access!(u64, read_u64 "ldr {value:x}, [{address}]", write_u64 "str {value:x}, [{address}]");
