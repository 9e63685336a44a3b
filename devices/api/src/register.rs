//! A device's registers.

/// A device's register block. Offsets are in bytes from its start, naturally aligned.
///
/// Reads and writes happen in program order. A write is ordered after all earlier stores to memory that the device may
/// read, and what the device wrote before a value we read here is visible to later loads.
///
/// # Panics
/// An offset outside the block or misaligned is a driver's bug, and panics.
pub trait RegisterIo {
    /// Reads one byte.
    fn read_u8(&self, at: usize) -> u8;
    /// Reads 16 bits.
    fn read_u16(&self, at: usize) -> u16;
    /// Reads 32 bits.
    fn read_u32(&self, at: usize) -> u32;
    /// Writes 32 bits.
    fn write_u32(&self, at: usize, value: u32);
    /// Writes one byte.
    fn write_u8(&self, at: usize, value: u8);
}

/// Registers of a model whose own allocations are none of the driver's: each access is run by the function
/// (`allocation_counter::opt_out`).
#[cfg(feature = "fake")]
#[derive(Clone, Copy, Debug)]
pub struct Uncounted<R>(pub R, pub outrigger_xen::fake::OptOut);

#[cfg(feature = "fake")]
impl<R: RegisterIo> Uncounted<R> {
    fn quiet<T: Default>(&self, access: impl Fn(&R) -> T) -> T {
        let mut value = T::default();
        (self.1)(&mut || value = access(&self.0));
        value
    }
}

#[cfg(feature = "fake")]
impl<R: RegisterIo> RegisterIo for Uncounted<R> {
    fn read_u8(&self, at: usize) -> u8 {
        self.quiet(|io| io.read_u8(at))
    }
    fn read_u16(&self, at: usize) -> u16 {
        self.quiet(|io| io.read_u16(at))
    }
    fn read_u32(&self, at: usize) -> u32 {
        self.quiet(|io| io.read_u32(at))
    }
    fn write_u32(&self, at: usize, value: u32) {
        self.quiet(|io| io.write_u32(at, value));
    }
    fn write_u8(&self, at: usize, value: u8) {
        self.quiet(|io| io.write_u8(at, value));
    }
}

/// A driver may be lent its registers.
impl<R: RegisterIo> RegisterIo for &R {
    fn read_u8(&self, at: usize) -> u8 {
        (**self).read_u8(at)
    }
    fn read_u16(&self, at: usize) -> u16 {
        (**self).read_u16(at)
    }
    fn read_u32(&self, at: usize) -> u32 {
        (**self).read_u32(at)
    }
    fn write_u32(&self, at: usize, value: u32) {
        (**self).write_u32(at, value);
    }
    fn write_u8(&self, at: usize, value: u8) {
        (**self).write_u8(at, value);
    }
}
