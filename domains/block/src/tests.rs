//! The containers that a ring keeps its mappings and requests in.

use std::collections::BTreeMap;

use outrigger_xen::{DmaMap, DmaPage, GrantRef, MappedPages};
use proptest::prelude::*;

use crate::indirect::IndirectPages;
use crate::persistent::PersistentGrants;
use crate::transient::{Chain, TransientMaps};

fn map(number: u32) -> DmaMap {
    DmaMap::mint(DmaPage::mint(u64::from(number) << 12, number.into()), number)
}

#[test]
fn persistent_grants_keep_what_fits() {
    let mut grants = PersistentGrants::new(3);
    // The last reference there is, too.
    for (number, gref) in [(1, 0), (2, u32::MAX), (3, 7)] {
        assert_eq!(grants.find(GrantRef(gref)), None);
        assert_eq!(grants.insert(GrantRef(gref), map(number)), Ok(()));
        assert_eq!(grants.find(GrantRef(gref)), Some(map(number).page()));
    }
    assert_eq!(grants.insert(GrantRef(8), map(4)), Err(map(4)), "no room");
    assert_eq!(grants.len(), 3);
    grants.retire(3);
    assert_eq!(grants.retired().len(), 3);
    grants.retired().clear();
    assert_eq!(
        (grants.len(), grants.room(), grants.find(GrantRef(7))),
        (0, 3, None)
    );
    assert_eq!(grants.insert(GrantRef(7), map(1)), Ok(()));
    assert_eq!(grants.insert(GrantRef(7), map(2)), Err(map(2)), "mapped already");
    grants.retire(1);
    assert_eq!(grants.insert(GrantRef(8), map(3)), Ok(()));
    assert_eq!(grants.insert(GrantRef(9), map(4)), Err(map(4)));
    assert_eq!(*grants.retired(), [map(1)]);
    // None at all, for a frontend that keeps nothing.
    let mut none = PersistentGrants::new(0);
    assert_eq!(none.find(GrantRef(u32::MAX)), None);
    assert_eq!(none.insert(GrantRef(1), map(1)), Err(map(1)));
}

#[test]
fn transient_maps_come_back_from_their_own_chain() {
    let mut maps = TransientMaps::new(5);
    let (mut one, mut two) = (Chain::EMPTY, Chain::EMPTY);
    maps.push(&mut one, map(1));
    maps.push(&mut two, map(2));
    maps.push(&mut one, map(3));
    assert_eq!((maps.room(), maps.held()), (2, 3));
    assert_eq!(maps.pop(&mut one), Some(map(3)));
    assert_eq!(maps.pop(&mut one), Some(map(1)));
    assert_eq!(maps.pop(&mut one), None);
    assert_eq!(maps.pop(&mut two), Some(map(2)));
    assert_eq!((maps.room(), maps.held()), (5, 0));
    assert_eq!(TransientMaps::new(0).room(), 0);
}

#[test]
fn the_oldest_indirect_page_of_a_set_gives_way() {
    let mut pages = IndirectPages::new(8);
    assert_eq!(pages.capacity(), 8);
    let page = |number: u32| MappedPages::mint(number, number);
    // Two sets: even and odd.
    for gref in [0, 2, 4, 6, 1] {
        assert!(pages.insert(GrantRef(gref), page(gref)).is_none());
    }
    let old = pages.insert(GrantRef(8), page(8)).map(|old| old.pages);
    assert_eq!(old, Some(0));
    assert_eq!(pages.find(GrantRef(0)), None);
    for gref in [1, 2, 4, 6, 8] {
        assert_eq!(pages.find(GrantRef(gref)), Some(&gref));
    }
    assert_eq!(std::iter::from_fn(|| pages.pop()).count(), 5);
    let mut none = IndirectPages::new(0);
    assert_eq!(none.insert(GrantRef(0), page(0)).map(|back| back.pages), Some(0));
    assert_eq!((none.find(GrantRef(0)), none.capacity()), (None, 0));
}

proptest! {
    /// The table is a map.
    #[test]
    fn persistent_grants_are_a_map(grefs in prop::collection::vec(prop_oneof![0_u32..64, any::<u32>()], 0..80)) {
        let mut grants = PersistentGrants::new(50);
        let mut model = BTreeMap::new();
        for (number, gref) in (0..).zip(grefs) {
            let kept = grants.insert(GrantRef(gref), map(number)).is_ok();
            prop_assert_eq!(kept, model.len() < 50 && !model.contains_key(&gref));
            if kept {
                model.insert(gref, map(number).page());
            }
            for other in [gref, gref.wrapping_add(1), u32::MAX, 0] {
                prop_assert_eq!(grants.find(GrantRef(other)), model.get(&other).copied());
            }
        }
    }
}
