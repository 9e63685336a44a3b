//! Whose a vif is. What guests share is shared among guests, however many vifs and queues one of them has.

use outrigger_xen::DomId;

use crate::set::Set;
use crate::switch::MAX_VIFS;

/// The guests' numbers: small, and a guest's own for as long as it has a vif.
pub(crate) struct Guests([u8; MAX_VIFS]);

impl Guests {
    /// No vif is anybody's yet.
    pub fn new() -> Self {
        Self([0; MAX_VIFS])
    }

    /// The number of the guest whose a vif is.
    #[inline]
    pub fn of(&self, vif: usize) -> usize {
        self.0[vif].into()
    }

    /// A vif of `dom` is there. `doms`: whose the others are.
    pub fn admit(&mut self, vif: usize, dom: DomId, doms: &[Option<DomId>]) {
        let others = || (0..MAX_VIFS).filter(|other| *other != vif && doms[*other].is_some());
        let same = others().find(|other| doms[*other] == Some(dom));
        let mut taken = Set::default();
        others().for_each(|other| taken.insert(self.of(other)));
        // There are as many numbers as vifs.
        let free = (0..MAX_VIFS).find(|number| !taken.contains(*number));
        let number = same.map(|other| self.of(other)).or(free);
        self.0[vif] = number.unwrap_or_default() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_one_number_while_it_has_a_vif() {
        let (mut guests, mut doms) = (Guests::new(), [None; MAX_VIFS]);
        let mut admit = |guests: &mut Guests, vif: usize, dom| {
            guests.admit(vif, DomId(dom), &doms);
            doms[vif] = Some(DomId(dom));
            guests.of(vif)
        };
        for vif in 0..MAX_VIFS / 2 {
            assert_eq!(admit(&mut guests, vif, vif as u16), vif);
        }
        let second = MAX_VIFS / 2;
        assert_eq!(admit(&mut guests, second, 7), 7);
        assert_eq!(admit(&mut guests, second + 1, 200), second);
        // Its first vif connects again, or goes: it is the same guest still.
        assert_eq!(admit(&mut guests, 7, 7), 7);
        doms[7] = None;
        guests.admit(9, DomId(300), &doms);
        assert_eq!((guests.of(9), guests.of(second)), (9, 7));
        doms[second] = None;
        guests.admit(7, DomId(7), &doms);
        assert_eq!(guests.of(7), 7);
    }
}
