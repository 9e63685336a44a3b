//! Sets of small numbers: devices, rings, queues.

/// A set of numbers below 64 × `WORDS`, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberSet<const WORDS: usize = 1>([u64; WORDS]);

impl<const WORDS: usize> Default for NumberSet<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> FromIterator<usize> for NumberSet<WORDS> {
    fn from_iter<T: IntoIterator<Item = usize>>(numbers: T) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

/// The bits of a word that are set, ascending.
#[inline]
fn bits(word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    core::iter::from_fn(move || {
        let bit = left.checked_ilog2().map(|_| left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(bit)
    })
}

impl<const WORDS: usize> NumberSet<WORDS> {
    /// Numbers are below this.
    pub const CAPACITY: usize = 64 * WORDS;

    /// As words, the least numbers first.
    pub fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// From its words.
    pub fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// Adds a number.
    ///
    /// # Panics
    /// It is not below [`CAPACITY`](Self::CAPACITY).
    #[inline]
    pub fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Takes a number out, if it is there.
    pub fn remove(&mut self, number: usize) {
        self.0[number / 64] &= !(1 << (number % 64));
    }

    /// Whether the number is there.
    #[inline]
    pub fn contains(&self, number: usize) -> bool {
        self.0[number / 64] & 1 << (number % 64) != 0
    }

    /// Adds all of another set.
    #[inline]
    pub fn extend(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }

    /// The least number that is not below `least`, which is a multiple of 64.
    #[inline]
    pub fn at_least(&self, least: usize) -> Option<usize> {
        let words = self.0.iter().enumerate().skip(least / 64);
        let (at, word) = words.map(|(at, word)| (at, *word)).find(|(_, word)| *word != 0)?;
        Some(64 * at + word.trailing_zeros() as usize)
    }

    /// Whether there is no number.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |any, word| any | word) == 0
    }

    /// All of it, leaving nothing.
    #[inline]
    pub fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    /// The numbers, ascending.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0
            .into_iter()
            .enumerate()
            .flat_map(|(at, word)| bits(word).map(move |bit| 64 * at + bit))
    }

    /// The numbers, ascending from `first` and around.
    #[inline]
    pub fn iter_from(self, first: usize) -> impl Iterator<Item = usize> {
        let first_word = first / 64 % WORDS;
        // The numbers of the first word that are below `first` come last.
        let below = (1 << (first % 64)) - 1;
        (0..=WORDS).flat_map(move |step| {
            let word = (first_word + step) % WORDS;
            let mask = match step {
                0 => !below,
                step if step == WORDS => below,
                _ => u64::MAX,
            };
            bits(self.0[word] & mask).map(move |bit| 64 * word + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn as_a_tree_does<const WORDS: usize>(numbers: &[usize], removed: usize, first: usize) {
        let capacity = NumberSet::<WORDS>::CAPACITY;
        let (mut set, mut tree) = (NumberSet::<WORDS>::default(), BTreeSet::new());
        for number in numbers.iter().map(|number| number % capacity) {
            set.insert(number);
            tree.insert(number);
        }
        set.remove(removed % capacity);
        tree.remove(&(removed % capacity));
        assert!((0..capacity).all(|number| set.contains(number) == tree.contains(&number)));
        assert_eq!(set.is_empty(), tree.is_empty());
        let first = first % capacity;
        let around: Vec<_> = tree.range(first..).chain(tree.range(..first)).copied().collect();
        assert_eq!(set.iter_from(first).collect::<Vec<_>>(), around);
        let least = first / 64 * 64;
        assert_eq!(set.at_least(least), tree.range(least..).next().copied());
        let mut all = NumberSet::default();
        all.extend(set.take());
        assert!(set.is_empty());
        assert_eq!(
            all.iter().collect::<Vec<_>>(),
            tree.into_iter().collect::<Vec<_>>()
        );
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(numbers in prop::collection::vec(0..256_usize, 0..80), removed in 0..256_usize, first in 0..256_usize) {
            as_a_tree_does::<1>(&numbers, removed, first);
            as_a_tree_does::<4>(&numbers, removed, first);
        }
    }
}
