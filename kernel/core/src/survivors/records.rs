//! The records' directory, and where each lies.

use alloc::vec::Vec;
use core::ops::Range;

use outrigger_ring::SharedPages;
use outrigger_xen::Key;

use super::digest;

/// Most records.
const ENTRIES: usize = 512;
/// Key, place, check.
const ENTRY: usize = 24;
/// Where records begin.
const HEAP: usize = ENTRIES * ENTRY;

/// The directory and the memory behind it.
pub(crate) struct Records<P> {
    memory: P,
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Where the lowest gap of `len` bytes begins between places that do not overlap, below `end`. Each step
/// passes a place, and most steps many: a connection waits for this.
fn lowest_gap(taken: &[Range<usize>], len: usize, end: usize) -> Option<usize> {
    let mut start = HEAP;
    loop {
        let gap = start..start.checked_add(len).filter(|behind| *behind <= end)?;
        let in_the_way = taken.iter().filter(|place| overlap(&gap, place));
        match in_the_way.map(|place| place.end).max() {
            Some(behind) => start = behind,
            None => return Some(start),
        }
    }
}

/// What the directory says cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound;

impl<P: SharedPages> Records<P> {
    /// An empty directory.
    pub(crate) fn new(memory: P) -> Self {
        (0..ENTRIES).for_each(|entry| memory.store_u64(entry * ENTRY, 0));
        Self { memory }
    }

    /// What an earlier life has left; an empty one if it cannot be believed.
    pub(crate) fn take_over(memory: P) -> Result<Self, (Self, Unsound)> {
        let records = Self { memory };
        let mut places = Vec::new();
        for entry in 0..ENTRIES {
            match records.entry(entry) {
                None => {}
                Some(Ok((_, place))) => places.push(place),
                Some(Err(Unsound)) => return Err((Self::new(records.memory), Unsound)),
            }
        }
        let overlaps = |(i, place)| places[..i].iter().any(|other| overlap(place, other));
        if places.iter().enumerate().any(overlaps) {
            return Err((Self::new(records.memory), Unsound));
        }
        Ok(records)
    }

    fn entry(&self, entry: usize) -> Option<Result<(Key, Range<usize>), Unsound>> {
        let at = entry * ENTRY;
        // Most are empty, and all of them are looked at.
        let bits = self.memory.load_u64(at);
        if bits == 0 {
            return None;
        }
        let [place, check] = [8, 16].map(|word| self.memory.load_u64(at + word));
        let (start, len) = ((place >> 32) as usize, place as u32 as usize);
        let within = start >= HEAP && start.is_multiple_of(8) && start + len <= self.memory.len();
        Some(match Key::from_bits(bits) {
            Some(key) if within && check == digest([bits, place]) => Ok((key, start..start + len)),
            _ => Err(Unsound),
        })
    }

    fn sound(&self) -> impl Iterator<Item = (usize, Key, Range<usize>)> {
        (0..ENTRIES).filter_map(|entry| {
            let (key, place) = self.entry(entry)?.ok()?;
            Some((entry, key, place))
        })
    }

    /// Where a record lies in the memory.
    pub(crate) fn find(&self, key: Key) -> Option<Range<usize>> {
        self.sound().find(|found| found.1 == key).map(|found| found.2)
    }

    /// All keys.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.sound().map(|found| found.1).collect()
    }

    /// Drops a record.
    pub(crate) fn forget(&self, key: Key) {
        if let Some((entry, ..)) = self.sound().find(|found| found.1 == key) {
            self.memory.store_u64(entry * ENTRY, 0);
        }
    }

    /// Makes room for a record of `len` bytes, all zero; where it lies.
    pub(crate) fn make(&self, key: Key, len: usize) -> Option<Range<usize>> {
        self.forget(key);
        let free = (0..ENTRIES).find(|entry| self.entry(*entry).is_none())?;
        let len = len.checked_next_multiple_of(8)?;
        let taken: Vec<Range<usize>> = self.sound().map(|found| found.2).collect();
        let start = lowest_gap(&taken, len, self.memory.len())?;
        (start..start + len)
            .step_by(8)
            .for_each(|at| self.memory.store_u64(at, 0));
        let place = (start as u64) << 32 | len as u64;
        let at = free * ENTRY;
        self.memory.store_u64(at + 8, place);
        self.memory.store_u64(at + 16, digest([key.bits(), place]));
        // The key last: without it there is no entry.
        self.memory.store_u64(at, key.bits());
        Some(start..start + len)
    }
}

#[cfg(test)]
mod tests {
    use outrigger_xen::DomId;
    use outrigger_xen::fake::{FakePages, FakeXen};

    use super::*;

    fn key(part: u8) -> Key {
        Key {
            kind: Key::CLASS,
            frontend: DomId(1),
            handle: 51712,
            part,
        }
    }

    fn memory() -> FakePages {
        FakeXen::new().domain(DomId(3)).pages(8)
    }

    #[test]
    fn records_are_found_again_and_gaps_are_filled() {
        let memory = memory();
        let records = Records::new(memory.clone());
        let places = [100, 200, 300].map(|len| records.make(key(len as u8), len).expect("room"));
        assert_eq!(places.clone().map(|place| place.len()), [104, 200, 304]);
        memory.store_u64(places[1].start, 9);
        records.forget(key(200));
        assert_eq!(records.find(key(200)), None);
        assert_eq!(
            records.make(key(1), 192).map(|place| place.start),
            Some(places[1].start)
        );
        assert_eq!(memory.load_u64(places[1].start), 0, "made zero");
        assert!(records.make(key(2), memory.len()).is_none());

        let Ok(again) = Records::take_over(memory) else {
            panic!("it is sound")
        };
        assert_eq!(again.find(key(100)), Some(places[0].clone()));
        assert_eq!(again.keys(), [key(100), key(1), key(44)]);
    }

    /// Any one bit of an entry, and two records in one place: nothing is believed.
    #[test]
    fn a_damaged_directory_is_empty() {
        for bit in 0..192 {
            let memory = memory();
            let records = Records::new(memory.clone());
            records.make(key(1), 64);
            records.make(key(2), 64);
            let at = ENTRY + bit / 64 * 8;
            memory.store_u64(at, memory.load_u64(at) ^ 1 << (bit % 64));
            let Err((empty, Unsound)) = Records::take_over(memory) else {
                panic!("bit {bit} was believed")
            };
            assert_eq!(empty.keys(), []);
        }
        let memory = memory();
        let records = Records::new(memory.clone());
        records.make(key(1), 64);
        let place = memory.load_u64(8);
        for (word, value) in [key(2).bits(), place, digest([key(2).bits(), place])]
            .iter()
            .enumerate()
        {
            memory.store_u64(ENTRY + 8 * word, *value);
        }
        assert!(Records::take_over(memory).is_err());
    }
}
