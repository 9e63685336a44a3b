//! Grants that are mapped for one request.

use alloc::vec::Vec;

use outrigger_xen::DmaMap;

/// No cell.
const NONE: u16 = u16::MAX;

struct Cell {
    map: Option<DmaMap>,
    next: u16,
}

/// The mappings that one request holds: the head of a list in [`TransientMaps`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain(u16);

impl Chain {
    pub const EMPTY: Self = Self(NONE);
}

/// A ring's mappings that end with their request, in lists, one a request, over one fixed array.
pub(crate) struct TransientMaps {
    cells: Vec<Cell>,
    free: u16,
    room: usize,
}

impl TransientMaps {
    /// Room for `capacity` mappings (at most 65,534), allocated now.
    pub fn new(capacity: usize) -> Self {
        let capacity = u16::try_from(capacity).unwrap_or(NONE).min(NONE - 1);
        let cells = (1..=capacity)
            .map(|next| Cell {
                map: None,
                next: if next == capacity { NONE } else { next },
            })
            .collect();
        Self {
            cells,
            free: if capacity == 0 { NONE } else { 0 },
            room: usize::from(capacity),
        }
    }

    /// How many more fit.
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many are held.
    pub fn held(&self) -> usize {
        self.cells.len() - self.room
    }

    /// Adds a mapping to a request's chain. The caller has looked at [`room`](Self::room).
    pub fn push(&mut self, chain: &mut Chain, map: DmaMap) {
        assert!(self.room > 0, "room was reserved");
        let at = self.free;
        let cell = &mut self.cells[usize::from(at)];
        self.free = cell.next;
        self.room -= 1;
        *cell = Cell {
            map: Some(map),
            next: chain.0,
        };
        chain.0 = at;
    }

    /// Takes a mapping out of a request's chain.
    pub fn pop(&mut self, chain: &mut Chain) -> Option<DmaMap> {
        if chain.0 == NONE {
            return None;
        }
        let at = chain.0;
        let cell = &mut self.cells[usize::from(at)];
        let map = cell.map.take();
        chain.0 = cell.next;
        cell.next = self.free;
        self.free = at;
        self.room += 1;
        map
    }
}
