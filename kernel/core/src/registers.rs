//! A passed-through device's registers.

use outrigger_hal::RegisterIo;

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

/// One method an access.
macro_rules! accesses {
    ($($type:ty, $read:ident, $write:ident;)*) => {$(
        #[inline]
        fn $read(&self, at: usize) -> $type {
            // SAFETY: `at` checks bounds and alignment, `new`'s caller promised the mapping.
            unsafe { mmio::$read(self.at::<$type>(at)) }
        }
        #[inline]
        fn $write(&self, at: usize, value: $type) {
            // SAFETY: as above; a driver tells its own device.
            unsafe { mmio::$write(self.at::<$type>(at), value) };
        }
    )*};
}

impl RegisterIo for Registers {
    accesses! {
        u8, read_u8, write_u8;
        u16, read_u16, write_u16;
        u32, read_u32, write_u32;
        u64, read_u64, write_u64;
    }
}
