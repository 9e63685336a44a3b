//! The responses that a turn writes, noted down before the first of them is written, where they outlive a restart in place.
//!
//! A response lies in its request's slot, over the reference to the page. Until it is published the next life would take
//! the slot for a request again, and would copy from or to a page that the frontend never named. So it must know how
//! far the slots are responses: the ledger has them, word for word, with the index of the first. If the domain fails
//! before `rsp_prod` is published, the next life writes them again and publishes them; if after, `rsp_prod` says so.

use core::sync::atomic::{Ordering, compiler_fence};

use outrigger_ring::{BackRing, SharedPages};
use outrigger_xen::digest::mix;

/// What an earlier life has left cannot be believed; why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound(pub &'static str);

/// The ledger of one ring: a part of a record.
pub(crate) struct Ledger<P> {
    record: P,
    at: usize,
}

/// Bytes before the words: index of the first response (32 bits), words (16), check (16).
const HEAD: usize = 8;

/// A checksum over words, one multiplication each.
#[inline]
pub(crate) fn check(seed: u32, words: impl Iterator<Item = u32>) -> u32 {
    let seed = mix(0x6e65_7421, seed.into());
    (words.fold(seed, |sum, word| mix(sum, word.into())) >> 32) as u32
}

impl<P: SharedPages> Ledger<P> {
    /// Bytes of the ledger of a ring whose turn writes at most `words` words.
    pub const fn bytes(words: usize) -> usize {
        HEAD + (4 * words).next_multiple_of(8)
    }

    /// A ledger at `at` of a new record, for a ring attached just now.
    pub fn new(record: P, at: usize, ring: &BackRing<P>) -> Self {
        let ledger = Self { record, at };
        ledger.note(ring, core::iter::empty());
        ledger
    }

    /// Notes what is about to be written.
    #[inline]
    pub fn note(&self, ring: &BackRing<P>, words: impl Iterator<Item = u32>) {
        let first = ring.rsp_prod_pvt();
        let (mut count, mut at) = (0, self.at + HEAD);
        let sum = check(
            first,
            words.inspect(|word| {
                self.record.store_u32(at, *word);
                (count, at) = (count + 1, at + 4);
            }),
        );
        compiler_fence(Ordering::SeqCst);
        self.record.store_u64(self.at, seal(first, count, sum));
        compiler_fence(Ordering::SeqCst);
    }

    /// The ledger of a ring attached just now that an earlier life served, with `words` words a response and room for
    /// `most` words: what it was about to say is said. The frontend is to be notified in any case.
    ///
    /// # Errors
    /// What is there is not this ring's.
    pub fn resume(
        record: P,
        at: usize,
        most: usize,
        words: usize,
        ring: &mut BackRing<P>,
    ) -> Result<Self, Unsound> {
        const DAMAGED: Unsound = Unsound("what was to be answered is damaged");
        let head = record.load_u64(at);
        let (first, count) = ((head >> 32) as u32, (head >> 16) as usize & 0xffff);
        if count > most || !count.is_multiple_of(words) {
            return Err(DAMAGED);
        }
        let responses = (count / words) as u32;
        let published = ring.rsp_prod_pvt();
        // What is noted and published may have been written over by half of what was to be noted next.
        if published != first.wrapping_add(responses) {
            let noted = (0..count).map(|word| record.load_u32(at + HEAD + 4 * word));
            if published != first || seal(first, count, check(first, noted)) != head {
                return Err(DAMAGED);
            }
            ring.resume(responses)
                .map_err(|_| Unsound("more was answered than was asked"))?;
            let mut response = [0; 4];
            for number in 0..responses as usize {
                let response = &mut response[..words];
                record.copy_out(at + HEAD + 4 * words * number, response);
                ring.respond(response);
            }
            let _ = ring.push();
        }
        Ok(Self { record, at })
    }
}

#[inline]
fn seal(first: u32, count: usize, sum: u32) -> u64 {
    u64::from(first) << 32 | (count as u64) << 16 | u64::from(sum >> 16)
}
