//! Memory that somebody else may write: the one implementation of [`SharedPages`] in the domain.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use outrigger_ring::{SharedPages, last_word};
use outrigger_xen::PAGE_SIZE;

use crate::arch;
use crate::bitmap::AtomicWords;

/// As many words are copied by a call.
const LONG: usize = 8;

/// Mapped pages whose other owner is a guest, Xen, or a device. All access is atomic: what the other side does at the
/// same time can change values, never Rust's assumptions.
#[derive(Clone, Debug)]
pub struct Shared {
    base: usize,
    len: usize,
}

impl Shared {
    /// # Safety
    /// `len` bytes at `base` (both multiples of 8) are mapped as normal memory whenever a method is called, and Rust has
    /// no reference into them.
    pub(crate) const unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// `len` bytes from `at` on, both multiples of 8.
    ///
    /// # Panics
    /// They are not, or do not lie within.
    pub(crate) fn part(&self, at: usize, len: usize) -> Self {
        assert!(
            at.is_multiple_of(8) && len.is_multiple_of(8) && at <= self.len && len <= self.len - at,
            "a part lies within its whole"
        );
        Self {
            base: self.base + at,
            len,
        }
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base
    }

    /// The guest frame number of the first page: it is mapped at its guest-physical address.
    pub fn gfn(&self) -> u64 {
        (self.base / PAGE_SIZE) as u64
    }

    /// Checks one value of `T`, which has 1, 2, 4 or 8 bytes: if it is aligned and begins within memory whose length is a multiple
    /// of 8, it ends there, too. It runs at each access of the data path.
    #[inline]
    fn at<T>(&self, at: usize) -> *mut T {
        const { assert!(size_of::<T>().is_power_of_two() && size_of::<T>() <= 8) };
        assert!(
            at < self.len && at.is_multiple_of(size_of::<T>()),
            "access outside shared pages"
        );
        self.base.wrapping_add(at) as *mut T
    }

    /// Checks `count` values of `T` from `at` on, once for all of them. Written so that overflow checks find nothing to do.
    #[inline]
    fn range<T>(&self, at: usize, count: usize) -> *mut T {
        let room = self.len.wrapping_sub(at);
        assert!(
            at <= self.len && count <= room / size_of::<T>() && at.is_multiple_of(size_of::<T>()),
            "access outside shared pages"
        );
        self.base.wrapping_add(at) as *mut T
    }
}

macro_rules! shared {
    ($atomic:ident, $type:ty, $load:ident, $store:ident $(, $acquire:ident, $release:ident)?) => {
        #[inline]
        fn $load(&self, at: usize) -> $type {
            // SAFETY: `at` checks bounds and alignment; `new`'s caller promised that the memory is there and only
            // ever accessed atomically. So below.
            unsafe { $atomic::from_ptr(self.at(at)) }.load(Ordering::Relaxed)
        }
        #[inline]
        fn $store(&self, at: usize, value: $type) {
            // SAFETY: as above.
            unsafe { $atomic::from_ptr(self.at(at)) }.store(value, Ordering::Relaxed);
        }
        $(
            #[inline]
            fn $acquire(&self, at: usize) -> $type {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(self.at(at)) }.load(Ordering::Acquire)
            }
            #[inline]
            fn $release(&self, at: usize, value: $type) {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(self.at(at)) }.store(value, Ordering::Release);
            }
        )?
    };
}

impl SharedPages for Shared {
    fn len(&self) -> usize {
        self.len
    }

    shared!(AtomicU8, u8, load_u8, store_u8);
    shared!(AtomicU16, u16, load_u16, store_u16, acquire_u16, release_u16);
    shared!(AtomicU32, u32, load_u32, store_u32, acquire_u32, release_u32);
    shared!(AtomicU64, u64, load_u64, store_u64);

    #[inline]
    fn full_barrier(&self) {
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn copy_out(&self, at: usize, words: &mut [u32]) {
        let from = self.range::<u32>(at, words.len());
        if words.len() >= LONG {
            let to = words.as_mut_ptr().cast();
            // SAFETY: `range` has checked all of them; the words are ours, and as long.
            return unsafe { arch::current::copy_bytes(to, from.cast(), size_of_val(words)) };
        }
        for (i, word) in words.iter_mut().enumerate() {
            // SAFETY: `range` has checked all of them; otherwise as for the single loads.
            *word = unsafe { AtomicU32::from_ptr(from.add(i)) }.load(Ordering::Relaxed);
        }
    }

    #[inline]
    fn sum(&self, at: usize, words: usize) -> u64 {
        const WORDS: usize = arch::current::BLOCK / size_of::<u32>();
        let from = self.range::<u32>(at, words);
        let (blocks, rest) = (words / WORDS, words % WORDS);
        // SAFETY: `range` has checked all of them, and that they are aligned; that they are there is as above.
        let mut sum = unsafe { arch::current::sum_blocks(from, blocks) };
        for i in words - rest..words {
            // SAFETY: as above.
            sum += u64::from(unsafe { AtomicU32::from_ptr(from.add(i)) }.load(Ordering::Relaxed));
        }
        sum
    }

    #[inline]
    fn read(&self, at: usize, bytes: &mut [u8]) {
        let from = self.range::<u32>(at, bytes.len().div_ceil(4));
        let (words, rest) = bytes.as_chunks_mut::<4>();
        let count = words.len();
        // SAFETY: `range` has checked all of them; the bytes are ours, and as long.
        unsafe { arch::current::copy_bytes(words.as_mut_ptr().cast(), from.cast(), size_of_val(words)) };
        if !rest.is_empty() {
            // SAFETY: as above; otherwise as for the single loads.
            let last = unsafe { AtomicU32::from_ptr(from.add(count)) }.load(Ordering::Relaxed);
            for (to, from) in rest.iter_mut().zip(last.to_le_bytes()) {
                *to = from;
            }
        }
    }

    #[inline]
    fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.range::<u32>(at, bytes.len().div_ceil(4));
        let (words, rest) = bytes.as_chunks::<4>();
        // SAFETY: `range` has checked all of them; the bytes are ours, and as long.
        unsafe { arch::current::copy_bytes(to.cast(), words.as_ptr().cast(), size_of_val(words)) };
        if !rest.is_empty() {
            // SAFETY: as above; otherwise as for the single stores.
            unsafe { AtomicU32::from_ptr(to.add(words.len())) }.store(last_word(rest), Ordering::Relaxed);
        }
    }

    #[inline]
    fn copy_from(&self, at: usize, other: &Self, from: usize, len: usize) {
        let (to, from) = (self.range::<u8>(at, len), other.range::<u8>(from, len));
        let (above, below) = (to.addr(), from.addr());
        assert!(
            above <= below || above - below >= len,
            "a copy onto what is still to be copied"
        );
        // SAFETY: `range` has checked all of them, and nothing is written before it is read; that they are there is as above.
        unsafe { arch::current::copy_bytes(to, from, len) };
    }

    #[inline]
    fn copy_in(&self, at: usize, words: &[u32]) {
        let to = self.range::<u32>(at, words.len());
        for (i, word) in words.iter().enumerate() {
            // SAFETY: as above.
            unsafe { AtomicU32::from_ptr(to.add(i)) }.store(*word, Ordering::Relaxed);
        }
    }
}

impl AtomicWords for Shared {
    #[inline]
    fn or(&self, at: usize, bits: u64) {
        // SAFETY: as for the loads.
        unsafe { AtomicU64::from_ptr(self.at(at)) }.fetch_or(bits, Ordering::AcqRel);
    }

    #[inline]
    fn and(&self, at: usize, bits: u64) {
        // SAFETY: as for the loads.
        unsafe { AtomicU64::from_ptr(self.at(at)) }.fetch_and(bits, Ordering::AcqRel);
    }

    #[inline]
    fn take(&self, at: usize) -> u64 {
        // SAFETY: as for the loads.
        unsafe { AtomicU64::from_ptr(self.at(at)) }.swap(0, Ordering::AcqRel)
    }
}
