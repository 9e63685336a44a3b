//! A part of a register block.

use alloc::rc::Rc;

use outrigger_hal::RegisterIo;

/// `len` bytes of a register block from `base` on: a BAR within its function's window. A clone shows the same registers.
#[derive(Debug)]
pub struct View<W> {
    io: Rc<W>,
    base: usize,
    len: usize,
}

impl<W> View<W> {
    pub(crate) fn new(io: Rc<W>, base: usize, len: usize) -> Self {
        Self { io, base, len }
    }

    /// Its length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it shows nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn at(&self, at: usize, bytes: usize) -> usize {
        assert!(
            at.checked_add(bytes).is_some_and(|end| end <= self.len),
            "access outside a BAR"
        );
        self.base + at
    }
}

impl<W> Clone for View<W> {
    fn clone(&self) -> Self {
        Self {
            io: Rc::clone(&self.io),
            ..*self
        }
    }
}

impl<W: RegisterIo> RegisterIo for View<W> {
    #[inline]
    fn read_u8(&self, at: usize) -> u8 {
        self.io.read_u8(self.at(at, 1))
    }
    #[inline]
    fn read_u16(&self, at: usize) -> u16 {
        self.io.read_u16(self.at(at, 2))
    }
    #[inline]
    fn read_u32(&self, at: usize) -> u32 {
        self.io.read_u32(self.at(at, 4))
    }
    #[inline]
    fn read_u64(&self, at: usize) -> u64 {
        self.io.read_u64(self.at(at, 8))
    }
    #[inline]
    fn write_u8(&self, at: usize, value: u8) {
        self.io.write_u8(self.at(at, 1), value);
    }
    #[inline]
    fn write_u16(&self, at: usize, value: u16) {
        self.io.write_u16(self.at(at, 2), value);
    }
    #[inline]
    fn write_u32(&self, at: usize, value: u32) {
        self.io.write_u32(self.at(at, 4), value);
    }
    #[inline]
    fn write_u64(&self, at: usize, value: u64) {
        self.io.write_u64(self.at(at, 8), value);
    }
}
