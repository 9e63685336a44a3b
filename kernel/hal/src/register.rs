//! A device's registers.

/// A device's register block. Offsets are in bytes from its start, naturally aligned. Which widths a register takes is its
/// device's affair; each access is one access of that width on the bus.
///
/// Reads and writes happen in program order. A write is ordered after all earlier stores to memory that the device may
/// read, and what the device wrote before a value we read here is visible to later loads.
///
/// # Panics
/// An offset outside the block or misaligned is a driver's bug, and panics.
pub trait RegisterIo {
    /// Reads 8 bits.
    fn read_u8(&self, at: usize) -> u8;
    /// Reads 16 bits.
    fn read_u16(&self, at: usize) -> u16;
    /// Reads 32 bits.
    fn read_u32(&self, at: usize) -> u32;
    /// Reads 64 bits.
    fn read_u64(&self, at: usize) -> u64;
    /// Writes 8 bits.
    fn write_u8(&self, at: usize, value: u8);
    /// Writes 16 bits.
    fn write_u16(&self, at: usize, value: u16);
    /// Writes 32 bits.
    fn write_u32(&self, at: usize, value: u32);
    /// Writes 64 bits.
    fn write_u64(&self, at: usize, value: u64);
}

/// A driver may be lent its registers.
impl<R: RegisterIo + ?Sized> RegisterIo for &R {
    fn read_u8(&self, at: usize) -> u8 {
        (**self).read_u8(at)
    }
    fn read_u16(&self, at: usize) -> u16 {
        (**self).read_u16(at)
    }
    fn read_u32(&self, at: usize) -> u32 {
        (**self).read_u32(at)
    }
    fn read_u64(&self, at: usize) -> u64 {
        (**self).read_u64(at)
    }
    fn write_u8(&self, at: usize, value: u8) {
        (**self).write_u8(at, value);
    }
    fn write_u16(&self, at: usize, value: u16) {
        (**self).write_u16(at, value);
    }
    fn write_u32(&self, at: usize, value: u32) {
        (**self).write_u32(at, value);
    }
    fn write_u64(&self, at: usize, value: u64) {
        (**self).write_u64(at, value);
    }
}

#[cfg(feature = "fake")]
pub(crate) mod fake {
    use alloc::rc::Rc;
    use core::cell::Cell;

    use super::RegisterIo;

    /// Runs a closure, and counts no allocation meanwhile (`allocation_counter::opt_out`).
    pub type OptOut = fn(&mut dyn FnMut());

    /// Registers of a model: counts accesses, and hides what the model itself allocates, since each access is run by the
    /// function it is made with (`allocation_counter::opt_out`). A clone counts with it.
    #[derive(Clone, Debug)]
    pub struct Watched<R> {
        io: R,
        opt_out: OptOut,
        reads: Rc<Cell<u64>>,
        writes: Rc<Cell<u64>>,
    }

    impl<R> Watched<R> {
        /// The registers of `io`.
        pub fn new(io: R, opt_out: OptOut) -> Self {
            Self {
                io,
                opt_out,
                reads: Rc::default(),
                writes: Rc::default(),
            }
        }

        /// Reads and writes so far.
        pub fn accesses(&self) -> [u64; 2] {
            [self.reads.get(), self.writes.get()]
        }

        fn access<T: Default>(&self, count: &Cell<u64>, access: impl Fn(&R) -> T) -> T {
            count.set(count.get() + 1);
            let mut value = T::default();
            (self.opt_out)(&mut || value = access(&self.io));
            value
        }
    }

    impl<R: RegisterIo> RegisterIo for Watched<R> {
        fn read_u8(&self, at: usize) -> u8 {
            self.access(&self.reads, |io| io.read_u8(at))
        }
        fn read_u16(&self, at: usize) -> u16 {
            self.access(&self.reads, |io| io.read_u16(at))
        }
        fn read_u32(&self, at: usize) -> u32 {
            self.access(&self.reads, |io| io.read_u32(at))
        }
        fn read_u64(&self, at: usize) -> u64 {
            self.access(&self.reads, |io| io.read_u64(at))
        }
        fn write_u8(&self, at: usize, value: u8) {
            self.access(&self.writes, |io| io.write_u8(at, value));
        }
        fn write_u16(&self, at: usize, value: u16) {
            self.access(&self.writes, |io| io.write_u16(at, value));
        }
        fn write_u32(&self, at: usize, value: u32) {
            self.access(&self.writes, |io| io.write_u32(at, value));
        }
        fn write_u64(&self, at: usize, value: u64) {
            self.access(&self.writes, |io| io.write_u64(at, value));
        }
    }
}
