//! The machine addresses of our own pages. Xen takes 25 µs to tell one, so each is asked for once.

use outrigger_ring::SharedPages;

use super::digest;

const FRAME_BITS: u32 = 40;

/// One word a page: its machine frame, and a check that is never 0, because what is believed here reaches a device.
pub(crate) struct Addresses<P> {
    table: P,
    first_gfn: u64,
}

fn check(gfn: u64, frame: u64) -> u64 {
    digest([gfn, frame]) >> FRAME_BITS | 1
}

impl<P: SharedPages> Addresses<P> {
    /// Of the pages from `first_gfn` on, as an earlier life has left them.
    pub(crate) fn new(table: P, first_gfn: u64) -> Self {
        Self { table, first_gfn }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        (0..self.table.len())
            .step_by(8)
            .for_each(|at| self.table.store_u64(at, 0));
    }

    fn at(&self, gfn: u64) -> Option<usize> {
        let at = usize::try_from(gfn.checked_sub(self.first_gfn)?)
            .ok()?
            .checked_mul(8)?;
        (at < self.table.len()).then_some(at)
    }

    /// The machine frame of a page, if it is known.
    pub(crate) fn get(&self, gfn: u64) -> Option<u64> {
        let word = self.table.load_u64(self.at(gfn)?);
        let frame = word & ((1 << FRAME_BITS) - 1);
        (word >> FRAME_BITS == check(gfn, frame)).then_some(frame)
    }

    /// Remembers it, if there is room.
    pub(crate) fn set(&self, gfn: u64, frame: u64) {
        if let Some(at) = self.at(gfn).filter(|_| frame >> FRAME_BITS == 0) {
            self.table.store_u64(at, frame | check(gfn, frame) << FRAME_BITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use outrigger_xen::DomId;
    use outrigger_xen::fake::FakeXen;

    use super::*;

    #[test]
    fn an_address_is_as_it_was_told_or_unknown() {
        let table = FakeXen::new().domain(DomId(3)).pages(1);
        let addresses = Addresses::new(table.clone(), 1000);
        addresses.set(1001, 0xf_0000_1234);
        for gfn in [999, 1512, u64::MAX] {
            addresses.set(gfn, 5);
            assert_eq!(addresses.get(gfn), None);
        }
        let again = Addresses::new(table.clone(), 1000);
        assert_eq!((again.get(1000), again.get(1001)), (None, Some(0xf_0000_1234)));
        assert_eq!(
            Addresses::new(table.clone(), 999).get(1000),
            None,
            "another page's"
        );
        for bit in 0..64 {
            table.store_u64(8, table.load_u64(8) ^ 1 << bit);
            assert_eq!(again.get(1001), None, "bit {bit}");
            table.store_u64(8, table.load_u64(8) ^ 1 << bit);
        }
        again.clear();
        assert_eq!(again.get(1001), None);
    }
}
