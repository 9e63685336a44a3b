//! Sets of rings.

/// A set of ring numbers, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingSet(u128);

impl RingSet {
    /// Ring numbers are below this.
    pub const CAPACITY: usize = u128::BITS as usize;

    #[inline]
    pub fn insert(&mut self, ring: usize) {
        debug_assert!(ring < Self::CAPACITY, "a ring's number");
        self.0 |= 1 << (ring % Self::CAPACITY);
    }

    pub fn remove(&mut self, ring: usize) {
        self.0 &= !(1 << (ring % Self::CAPACITY));
    }

    pub fn contains(self, ring: usize) -> bool {
        self.0 >> (ring % Self::CAPACITY) & 1 != 0
    }

    #[inline]
    pub fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    #[inline]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// All of it, leaving nothing.
    #[inline]
    pub fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    /// The numbers, ascending.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.iter_from(0)
    }

    /// The numbers, ascending from `first` and around.
    #[inline]
    pub fn iter_from(self, first: usize) -> impl Iterator<Item = usize> {
        let first = first % Self::CAPACITY;
        let mut left = self.0.rotate_right(first as u32);
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            Some((at + first) % Self::CAPACITY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_around() {
        let mut set = RingSet::default();
        for ring in [0, 5, 40, 127] {
            set.insert(ring);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 40, 127]);
        assert_eq!(set.iter_from(40).collect::<Vec<_>>(), [40, 127, 0, 5]);
        assert_eq!(set.iter_from(6).collect::<Vec<_>>(), [40, 127, 0, 5]);
        set.remove(5);
        assert_eq!(set.take().iter_from(127).collect::<Vec<_>>(), [127, 0, 40]);
        assert!(set.is_empty());
    }
}
