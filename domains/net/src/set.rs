//! Sets of small numbers: vifs, queues.

/// Numbers below this.
pub(crate) const SET_CAPACITY: usize = 256;

const WORDS: usize = SET_CAPACITY / 64;

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

/// A set of numbers below [`SET_CAPACITY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set([u64; WORDS]);

impl Set {
    #[inline]
    pub fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    pub fn remove(&mut self, number: usize) {
        self.0[number / 64] &= !(1 << (number % 64));
    }

    pub fn contains(&self, number: usize) -> bool {
        self.0[number / 64] & 1 << (number % 64) != 0
    }

    pub fn extend(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }

    /// A number that is not below `least`, which is a multiple of 64.
    #[inline]
    pub fn at_least(&self, least: usize) -> Option<usize> {
        let words = self.0.iter().enumerate().skip(least / 64);
        let (at, word) = words.map(|(at, word)| (at, *word)).find(|(_, word)| *word != 0)?;
        Some(64 * at + word.trailing_zeros() as usize)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |any, word| any | word) == 0
    }

    /// All of it, leaving nothing.
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
        let word = first / 64 % WORDS;
        // The numbers of this word that are below `first` come last.
        let below = (1 << (first % 64)) - 1;
        let mut words = [0; WORDS + 1];
        for (step, to) in words.iter_mut().enumerate() {
            *to = self.0[(word + step) % WORDS];
        }
        (words[0], words[WORDS]) = (words[0] & !below, words[WORDS] & below);
        words.into_iter().enumerate().flat_map(move |(step, word_left)| {
            let at = 64 * ((word + step) % WORDS);
            bits(word_left).map(move |bit| at + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_around() {
        let mut set = Set::default();
        for number in [0, 63, 64, 130, 255] {
            set.insert(number);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 130, 255]);
        assert_eq!(set.iter_from(64).collect::<Vec<_>>(), [64, 130, 255, 0, 63]);
        assert_eq!(set.iter_from(65).collect::<Vec<_>>(), [130, 255, 0, 63, 64]);
        assert_eq!(
            set.iter_from(0).collect::<Vec<_>>(),
            set.iter().collect::<Vec<_>>()
        );
        set.remove(64);
        assert!(!set.contains(64) && set.contains(255));
        let mut other = Set::default();
        other.insert(64);
        set.extend(other);
        assert_eq!(
            set.take().iter_from(255).collect::<Vec<_>>(),
            [255, 0, 63, 64, 130]
        );
        assert!(set.is_empty());
    }
}
