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
    /// The sum of whole 32-bit words, each byte fetched exactly once. `at` is 4-byte aligned; fewer than 2³² words.
    fn sum(&self, at: usize, words: usize) -> u64 {
        (0..words).map(|i| u64::from(self.load_u32(at + 4 * i))).sum()
    }
    /// Copies bytes out in whole 32-bit words, each fetched exactly once; the last one may be fetched for a part of it. `at` is
    /// 4-byte aligned.
    fn read(&self, at: usize, bytes: &mut [u8]) {
        for (i, part) in bytes.chunks_mut(4).enumerate() {
            let word = self.load_u32(at + 4 * i).to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
    /// Copies bytes in, in whole 32-bit words, each stored exactly once; what is missing in the last one is 0. `at` is 4-byte
    /// aligned.
    fn write(&self, at: usize, bytes: &[u8]) {
        for (i, part) in bytes.chunks(4).enumerate() {
            self.store_u32(at + 4 * i, last_word(part));
        }
    }
    /// Copies bytes from other memory, or from this one, upwards; each is fetched and stored exactly once.
    ///
    /// # Panics
    /// As above; and `at` may not be within what is copied, behind `from`.
    fn copy_from(&self, at: usize, other: &Self, from: usize, len: usize)
    where
        Self: Sized,
    {
        for i in 0..len {
            self.store_u8(at + i, other.load_u8(from + i));
        }
    }
    /// Copies whole 32-bit words in, each byte stored exactly once. `at` is 4-byte aligned.
    fn copy_in(&self, at: usize, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            self.store_u32(at + 4 * i, *word);
        }
    }
}

/// At most four bytes as a little-endian word.
#[inline]
pub fn last_word(bytes: &[u8]) -> u32 {
    let place = |(at, byte): (usize, &u8)| u32::from(*byte) << (8 * at);
    bytes.iter().take(4).enumerate().map(place).sum()
}
