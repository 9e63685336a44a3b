//! Indirect pages that stay mapped for the CPU.

use alloc::vec::Vec;

use outrigger_xen::{GrantRef, MappedPages};

/// Places that a reference can be at.
const WAYS: usize = 4;

/// The pages that a frontend with persistent grants keeps its segments in, mapped once: a set-associative cache. Since a
/// page is copied out before anything else happens, no mapping is in use between two requests, and the oldest of a set
/// gives way.
pub(crate) struct IndirectPages<P> {
    sets: Vec<Set<P>>,
}

struct Set<P> {
    ways: [Option<(GrantRef, MappedPages<P>)>; WAYS],
    oldest: usize,
}

impl<P> IndirectPages<P> {
    /// Room for at least `capacity` pages, rounded up to a power of two of sets.
    pub fn new(capacity: usize) -> Self {
        let sets = if capacity == 0 {
            0
        } else {
            capacity.div_ceil(WAYS).next_power_of_two()
        };
        Self {
            sets: (0..sets)
                .map(|_| Set {
                    ways: [const { None }; WAYS],
                    oldest: 0,
                })
                .collect(),
        }
    }

    /// Pages it can hold.
    pub fn capacity(&self) -> usize {
        WAYS * self.sets.len()
    }

    fn set(&self, gref: GrantRef) -> usize {
        gref.0 as usize & (self.sets.len().wrapping_sub(1))
    }

    /// The page, if it is mapped.
    pub fn find(&self, gref: GrantRef) -> Option<&P> {
        self.sets
            .get(self.set(gref))?
            .ways
            .iter()
            .flatten()
            .find(|(here, _)| *here == gref)
            .map(|(_, mapped)| &mapped.pages)
    }

    /// Keeps a mapping; gives back what has to be unmapped for it, which is the mapping itself if nothing is kept.
    pub fn insert(&mut self, gref: GrantRef, mapped: MappedPages<P>) -> Option<MappedPages<P>> {
        let at = self.set(gref);
        let Some(set) = self.sets.get_mut(at) else {
            return Some(mapped);
        };
        let way = set.oldest;
        set.oldest = (way + 1) % WAYS;
        set.ways[way].replace((gref, mapped)).map(|(_, old)| old)
    }

    /// Takes out some page, until there is none.
    pub fn pop(&mut self) -> Option<MappedPages<P>> {
        self.sets
            .iter_mut()
            .flat_map(|set| &mut set.ways)
            .find_map(Option::take)
            .map(|(_, mapped)| mapped)
    }
}
