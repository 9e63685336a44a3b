//! What a guest has told by messages, which are gone once they are answered: its multicast list, and how its frames are
//! hashed. Kept for the next life of this domain, in two places by turns, so that one of them is whole at any time.

use core::sync::atomic::{Ordering, compiler_fence};

use alloc::vec::Vec;

use outrigger_netif::{HASH_WORDS, HashControl};
use outrigger_ring::SharedPages;

use crate::ledger::{Unsound, check};
use crate::multicast::{ADDRESSES_MAX, MulticastFilter};
use crate::packet::Mac;

/// Words of one place: the hash, a number of addresses, and two an address.
const WORDS: usize = HASH_WORDS + 1 + 2 * ADDRESSES_MAX;
/// Which place is whole, and its checksum.
const WHOLE: usize = 0;
const PLACES: [usize; 2] = [8, 8 + PLACE];
const PLACE: usize = (4 * WORDS).next_multiple_of(8);

/// What was told, in the first bytes of a record.
pub(crate) struct Told<P> {
    record: P,
    whole: u32,
}

impl<P: SharedPages> Told<P> {
    /// Bytes of it.
    pub const BYTES: usize = 8 + 2 * PLACE;

    /// In a new record: nothing yet.
    pub fn new(record: P, hash: &HashControl) -> Self {
        let mut told = Self { record, whole: 1 };
        told.keep(hash, &MulticastFilter::new(false));
        told
    }

    /// Something was told.
    pub fn keep(&mut self, hash: &HashControl, multicast: &MulticastFilter) {
        let mut words = [0; WORDS];
        let (hashed, listed) = words.split_at_mut(HASH_WORDS);
        hashed.copy_from_slice(&hash.to_words());
        listed[0] = multicast.listed().len() as u32;
        for (words, mac) in listed[1..].chunks_exact_mut(2).zip(multicast.listed()) {
            let [a, b, c, d, e, f] = mac.0;
            words.copy_from_slice(&[u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0])]);
        }
        let next = self.whole ^ 1;
        self.record.copy_in(PLACES[next as usize], &words);
        compiler_fence(Ordering::SeqCst);
        let sum = check(next, words.into_iter());
        self.record
            .store_u64(WHOLE, u64::from(sum) << 32 | u64::from(next));
        self.whole = next;
    }

    /// What an earlier life was told.
    ///
    /// # Errors
    /// It is damaged.
    pub fn resume(record: P, queues: usize) -> Result<(Self, HashControl, Vec<Mac>), Unsound> {
        const DAMAGED: Unsound = Unsound("what the guest has told is damaged");
        let word = record.load_u64(WHOLE);
        let whole = word as u32;
        let at = *PLACES.get(whole as usize).ok_or(DAMAGED)?;
        let mut words = [0; WORDS];
        record.copy_out(at, &mut words);
        let (hashed, listed) = words.split_first_chunk().ok_or(DAMAGED)?;
        if u64::from(check(whole, words.into_iter())) != word >> 32 || listed[0] as usize > ADDRESSES_MAX {
            return Err(DAMAGED);
        }
        let hash = HashControl::from_words(queues, hashed).ok_or(DAMAGED)?;
        let macs = listed[1..].as_chunks::<2>().0.iter().take(listed[0] as usize);
        let macs = macs.map(|[low, high]| {
            let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
            Mac([a, b, c, d, e, f])
        });
        Ok((Self { record, whole }, hash, macs.collect()))
    }
}
