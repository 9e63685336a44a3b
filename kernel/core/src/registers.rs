//! A passed-through device's registers.

use outrigger_devices::RegisterIo;

use crate::arch::current::mmio;

/// A register block, mapped as device memory for as long as the domain lives.
#[derive(Debug)]
pub struct Registers {
    base: usize,
    len: usize,
}

impl Registers {
    /// # Safety
    /// `len` bytes at `base` are mapped as device memory and belong to a device of this domain.
    pub(crate) unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    #[inline]
    fn at<T>(&self, at: usize) -> usize {
        assert!(
            at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len)
                && at.is_multiple_of(size_of::<T>()),
            "access outside a device's registers"
        );
        self.base + at
    }
}

impl RegisterIo for Registers {
    #[inline]
    fn read_u8(&self, at: usize) -> u8 {
        // SAFETY: `at` checks bounds and alignment, `new`'s caller promised the mapping. So below.
        unsafe { mmio::read_u8(self.at::<u8>(at)) }
    }
    #[inline]
    fn read_u16(&self, at: usize) -> u16 {
        // SAFETY: as above.
        unsafe { mmio::read_u16(self.at::<u16>(at)) }
    }
    #[inline]
    fn read_u32(&self, at: usize) -> u32 {
        // SAFETY: as above.
        unsafe { mmio::read_u32(self.at::<u32>(at)) }
    }
    #[inline]
    fn write_u32(&self, at: usize, value: u32) {
        // SAFETY: as above.
        unsafe { mmio::write_u32(self.at::<u32>(at), value) };
    }
    #[inline]
    fn write_u8(&self, at: usize, value: u8) {
        // SAFETY: as above.
        unsafe { mmio::write_u8(self.at::<u8>(at), value) };
    }
}
