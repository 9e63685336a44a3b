//! Grants that stay mapped (`feature-persistent`).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use outrigger_xen::{DmaMap, DmaPage, GrantRef};

/// No mapping: an index past every array.
const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Place {
    gref: u32,
    /// Into `maps`.
    map: u32,
}

/// The pages that one frontend's ring keeps granting, mapped once. A hash table with open addressing, at most half full;
/// nothing is ever taken out singly, so a search ends at the first empty place.
pub(crate) struct PersistentGrants {
    places: Box<[Place]>,
    shift: u32,
    maps: Vec<DmaMap>,
    retired: Vec<DmaMap>,
    capacity: usize,
}

/// Looks references up.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    places: &'a [Place],
    maps: &'a [DmaMap],
    shift: u32,
}

impl Index<'_> {
    /// Where the search for a reference starts: Fibonacci hashing, since a guest's references are mostly consecutive.
    #[inline]
    fn home(self, gref: GrantRef) -> usize {
        (gref.0.wrapping_mul(0x9e37_79b9) >> (self.shift & 31)) as usize
    }

    /// The page, if it is mapped.
    #[inline]
    pub fn find(self, gref: GrantRef) -> Option<DmaPage> {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = self.home(gref);
        loop {
            let place = self.places.get(at & mask)?;
            if place.gref == gref.0 {
                // An empty place also "holds" the reference u32::MAX, but no map has its index.
                return self.maps.get(place.map as usize).map(DmaMap::page);
            }
            if place.map == EMPTY {
                return None;
            }
            at = at.wrapping_add(1);
        }
    }
}

impl PersistentGrants {
    /// Room for `capacity` pages, allocated now.
    pub fn new(capacity: usize) -> Self {
        let places = (2 * capacity).next_power_of_two().max(2);
        Self {
            places: vec![
                Place {
                    gref: EMPTY,
                    map: EMPTY
                };
                places
            ]
            .into_boxed_slice(),
            shift: 32 - places.ilog2(),
            maps: Vec::with_capacity(capacity),
            retired: Vec::new(),
            capacity,
        }
    }

    /// For many searches in a row.
    #[inline]
    pub fn index(&self) -> Index<'_> {
        Index {
            places: &self.places,
            maps: &self.maps,
            shift: self.shift,
        }
    }

    /// The page, if it is mapped.
    #[inline]
    pub fn find(&self, gref: GrantRef) -> Option<DmaPage> {
        self.index().find(gref)
    }

    /// How many more pages fit.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.maps.len())
    }

    /// Keeps a mapping, or gives it back if there is no room or the reference is mapped already.
    pub fn insert(&mut self, gref: GrantRef, map: DmaMap) -> Result<(), DmaMap> {
        if self.room() == 0 || self.find(gref).is_some() {
            return Err(map);
        }
        let mask = self.places.len() - 1;
        let mut at = self.index().home(gref);
        while self.places[at & mask].map != EMPTY {
            at += 1;
        }
        self.places[at & mask] = Place {
            gref: gref.0,
            // At most `capacity`, which fits.
            map: self.maps.len() as u32,
        };
        self.maps.push(map);
        Ok(())
    }

    /// Forgets all pages, and keeps at most `capacity` from now on. Those that were mapped are
    /// [`retired`](Self::retired).
    pub fn retire(&mut self, capacity: usize) {
        let mut old = core::mem::replace(self, Self::new(capacity));
        self.retired = core::mem::take(&mut old.retired);
        self.retired.append(&mut old.maps);
    }

    /// Pages that nobody uses any more and that are still mapped: the caller unmaps them, some at a time.
    pub fn retired(&mut self) -> &mut Vec<DmaMap> {
        &mut self.retired
    }

    /// Pages kept.
    pub fn len(&self) -> usize {
        self.maps.len()
    }
}
