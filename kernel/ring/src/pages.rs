//! The seam to memory that somebody else can write while we read it.

/// One or more 4 KiB pages, contiguous for the CPU, shared with another domain or with a device.
///
/// Every method is one access of that width (no tearing, no second fetch), `Relaxed` unless its name says
/// otherwise. Offsets are in bytes from the start, naturally aligned to the access.
///
/// # Panics
/// An offset that is misaligned or past the end is a bug of the caller, never a guest's doing, and panics.
pub trait SharedPages {
    /// Length in bytes: a multiple of 4096 for pages, of 8 for a record in memory that is not shared at all.
    fn len(&self) -> usize;
    /// Never true: there is always at least one page.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One `Relaxed` load.
    fn load_u8(&self, at: usize) -> u8;
    /// One `Relaxed` load.
    fn load_u16(&self, at: usize) -> u16;
    /// One `Relaxed` load.
    fn load_u32(&self, at: usize) -> u32;
    /// One `Relaxed` load.
    fn load_u64(&self, at: usize) -> u64;
    /// One `Relaxed` store.
    fn store_u8(&self, at: usize, value: u8);
    /// One `Relaxed` store.
    fn store_u16(&self, at: usize, value: u16);
    /// One `Relaxed` store.
    fn store_u32(&self, at: usize, value: u32);
    /// One `Relaxed` store.
    fn store_u64(&self, at: usize, value: u64);
    /// One `Acquire` load: what the other side wrote before its release of this word is visible after it.
    fn acquire_u16(&self, at: usize) -> u16;
    /// One `Acquire` load.
    fn acquire_u32(&self, at: usize) -> u32;
    /// One `Release` store: what we wrote before it is visible to whoever acquires this word.
    fn release_u16(&self, at: usize, value: u16);
    /// One `Release` store.
    fn release_u32(&self, at: usize, value: u32);
    /// A full barrier between our earlier stores and our later loads (`smp_mb`), which no acquire or release gives.
    fn full_barrier(&self);
    /// Copies whole 32-bit words out, each byte fetched exactly once. `at` is 4-byte aligned.
    fn copy_out(&self, at: usize, words: &mut [u32]) {
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.load_u32(at + 4 * i);
        }
    }
    /// Copies whole 32-bit words in, each byte stored exactly once. `at` is 4-byte aligned.
    fn copy_in(&self, at: usize, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            self.store_u32(at + 4 * i, *word);
        }
    }
}
