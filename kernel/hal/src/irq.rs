//! Sets of interrupts.

/// A set of a domain's device interrupts: those of one device, or those that ended a wait. An interrupt is named by its
/// number, in the order in which the domain's device tree lists them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqSet(u128);

impl IrqSet {
    /// The most interrupts of a domain; numbers are below this.
    pub const MAX: u32 = u128::BITS;

    /// None.
    pub const EMPTY: Self = Self(0);

    /// Every one.
    pub const ALL: Self = Self(u128::MAX);

    /// The interrupt with this number alone.
    ///
    /// # Panics
    /// The number is [`MAX`](Self::MAX) or more.
    #[inline]
    pub const fn of(irq: u32) -> Self {
        assert!(irq < Self::MAX, "an interrupt's number is below IrqSet::MAX");
        Self(1 << irq)
    }

    /// Adds the interrupt with this number.
    ///
    /// # Panics
    /// The number is [`MAX`](Self::MAX) or more.
    #[inline]
    pub const fn insert(&mut self, irq: u32) {
        self.0 |= Self::of(irq).0;
    }

    /// Whether the interrupt with this number is in it.
    #[inline]
    pub const fn contains(self, irq: u32) -> bool {
        irq < Self::MAX && self.0 >> irq & 1 != 0
    }

    /// Whether both have an interrupt in common.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes the interrupt with the lowest number out.
    #[inline]
    pub const fn take_first(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let first = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(first)
    }
}

impl FromIterator<u32> for IrqSet {
    /// # Panics
    /// A number is [`MAX`](Self::MAX) or more.
    fn from_iter<I: IntoIterator<Item = u32>>(irqs: I) -> Self {
        let mut set = Self::EMPTY;
        irqs.into_iter().for_each(|irq| set.insert(irq));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_may_have_more_than_32() {
        let set: IrqSet = [0, 31, 32, 127].into_iter().collect();
        assert!([0, 31, 32, 127].into_iter().all(|irq| set.contains(irq)));
        assert!(!set.contains(1) && !set.contains(64) && !set.contains(128) && !set.contains(u32::MAX));
        assert!(set.intersects(IrqSet::of(127)) && !set.intersects(IrqSet::of(126)));
        let mut left = set;
        let taken: alloc::vec::Vec<_> = core::iter::from_fn(|| left.take_first()).collect();
        assert_eq!(taken, [0, 31, 32, 127]);
        assert!(left.is_empty() && !set.is_empty());
    }

    #[test]
    #[should_panic(expected = "below IrqSet::MAX")]
    fn no_number_wraps_around() {
        let _ = IrqSet::of(128);
    }
}
