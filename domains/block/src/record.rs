//! What a ring's record (`outrigger_xen::Survivors`) says beside its journal: which sectors of which device are served. A
//! partition is looked up when a vbd is made; a restart must not move it, whatever the table says by then.

use outrigger_ring::SharedPages;
use outrigger_xen::digest::{fnv1a, mix};

use crate::journal::Unsound;
use crate::slice::Slice;
use crate::view::MAX_INDIRECT_SEGMENTS;

/// Bytes of the header.
pub(crate) const HEADER: usize = 64;
/// Where it says how many requests were consumed: the journal's.
pub(crate) const REQ_CONS: usize = 0;
const DISK: usize = 8;
const FIRST: usize = 16;
const LENGTH: usize = 24;
const CHECK: usize = 32;
/// Not under the check, and 0 in records of before 2026-12: [`segments`].
const SEGMENTS: usize = 40;

/// To be changed with the layout of the record or of the journal: another layout's records are not believed.
const LAYOUT: u64 = 1;

/// Which sectors are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The device: [`name`] of it.
    pub disk: u64,
    /// The partition, as the table had it; `None` for the whole device.
    pub partition: Option<Slice>,
    /// Most segments of an indirect request, as its frontend was offered.
    pub segments: usize,
}

impl Facts {
    /// Into a record that is new.
    pub fn store(&self, record: &impl SharedPages) {
        for (at, word) in [DISK, FIRST, LENGTH].into_iter().zip(self.words()) {
            record.store_u64(at, word);
        }
        record.store_u64(SEGMENTS, self.segments as u64 | !(self.segments as u64) << 32);
        record.store_u64(CHECK, self.check());
    }

    /// Out of a record that was found.
    ///
    /// # Errors
    /// They are damaged, or of another image.
    pub fn load(record: &impl SharedPages) -> Result<Self, Unsound> {
        if record.len() < HEADER {
            return Err(Unsound("it is too short"));
        }
        let partition = Slice {
            first: record.load_u64(FIRST),
            sectors: record.load_u64(LENGTH),
        };
        let facts = Self {
            disk: record.load_u64(DISK),
            partition: (partition != WHOLE).then_some(partition),
            segments: segments(record.load_u64(SEGMENTS)),
        };
        if record.load_u64(CHECK) != facts.check() {
            return Err(Unsound("what it says of the disk is damaged"));
        }
        Ok(facts)
    }

    fn words(&self) -> [u64; 3] {
        let Slice { first, sectors } = self.partition.unwrap_or(WHOLE);
        [self.disk, first, sectors]
    }

    fn check(&self) -> u64 {
        let words = self.words().map(|word| [word as u32, (word >> 32) as u32]);
        u64::from(check(LAYOUT, words.as_flattened())) << 32 | LAYOUT
    }
}

/// What a word says of the segments that were offered; an earlier image offered as many as there are.
fn segments(word: u64) -> usize {
    match (word as u32, (word >> 32) as u32) {
        (segments, inverse) if segments == !inverse && segments as usize <= MAX_INDIRECT_SEGMENTS => {
            segments as usize
        }
        _ => MAX_INDIRECT_SEGMENTS,
    }
}

/// No partition has no sectors.
const WHOLE: Slice = Slice { first: 0, sectors: 0 };

/// A name as a number.
pub(crate) fn name(name: &str) -> u64 {
    fnv1a(name.bytes())
}

/// A checksum over words, cheap enough for the data path.
#[inline]
pub(crate) fn check(seed: u64, words: &[u32]) -> u32 {
    let mix = |sum: u64, low: u32, high: u32| mix(sum, u64::from(low) | u64::from(high) << 32);
    let (pairs, rest) = words.as_chunks::<2>();
    let sum = pairs.iter().fold(mix(seed, 0x6f75, 0x7472), |sum, [low, high]| {
        mix(sum, *low, *high)
    });
    let sum = rest.iter().fold(sum, |sum, word| mix(sum, *word, 0));
    (sum >> 32) as u32
}
