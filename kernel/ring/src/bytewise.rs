//! Memory of tests: every access is some bytes.

use crate::SharedPages;

/// Memory whose every access, of whatever width, goes one way. It is [`SharedPages`] with that.
pub trait Bytewise {
    /// Length in bytes.
    fn size(&self) -> usize;
    /// One load of `N` bytes. Panics if it is misaligned or past the end.
    fn load<const N: usize>(&self, at: usize) -> [u8; N];
    /// One store.
    fn store<const N: usize>(&self, at: usize, bytes: [u8; N]);
    /// A full barrier.
    fn barrier(&self) {}
}

impl<T: Bytewise> SharedPages for T {
    fn len(&self) -> usize {
        self.size()
    }
    fn load_u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.load(at))
    }
    fn load_u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.load(at))
    }
    fn load_u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.load(at))
    }
    fn load_u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.load(at))
    }
    fn store_u8(&self, at: usize, value: u8) {
        self.store(at, value.to_le_bytes());
    }
    fn store_u16(&self, at: usize, value: u16) {
        self.store(at, value.to_le_bytes());
    }
    fn store_u32(&self, at: usize, value: u32) {
        self.store(at, value.to_le_bytes());
    }
    fn store_u64(&self, at: usize, value: u64) {
        self.store(at, value.to_le_bytes());
    }
    fn acquire_u16(&self, at: usize) -> u16 {
        self.load_u16(at)
    }
    fn acquire_u32(&self, at: usize) -> u32 {
        self.load_u32(at)
    }
    fn release_u16(&self, at: usize, value: u16) {
        self.store_u16(at, value);
    }
    fn release_u32(&self, at: usize, value: u32) {
        self.store_u32(at, value);
    }
    fn full_barrier(&self) {
        self.barrier();
    }
}
