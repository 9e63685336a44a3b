//! What a ring owes: every request that was consumed and not yet answered.
//!
//! The [`Entry`]s are plain data and enough to serve the ring again after a restart in place: take each whose state is
//! [`State::Owed`], and each [`State::Answered`] whose response had not been published (its index is not below the
//! `rsp_prod` in the shared page), decode its words again, carry it out again, answer it. Everything else here and in the
//! ring is derived: the free list from the states, [`Progress`] from nothing (no device request survives the device's
//! reset), the mapped grants from the hypervisor side's own list of mappings.

use alloc::boxed::Box;
use alloc::vec;

use outrigger_blkif::{SLOT_WORDS, SlotWords, Status};

use crate::transient::Chain;

/// A place in the journal: 0 to the ring's number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(crate) u16);

/// What has become of an entry's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Free,
    /// It was consumed; no response has been written.
    Owed,
    /// Its response was written as that of this (free running) index. The entry may be used again, which happens only after
    /// the response was published.
    Answered(u32),
}

/// One request, as it was copied out of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The request's words. They are never read from the ring again.
    pub words: SlotWords,
    /// What has become of it.
    pub state: State,
}

/// How far a request has come; means nothing after a restart.
pub(crate) struct Progress {
    /// Device requests that have not completed, submitted or not.
    pub parts: u32,
    /// The worst that happened so far.
    pub status: Status,
    /// Pages mapped for it alone.
    pub maps: Chain,
    next_free: u16,
}

/// The journal of one ring, as many entries as the ring has slots.
pub struct Journal {
    entries: Box<[Entry]>,
    progress: Box<[Progress]>,
    free: u16,
    owed: u32,
}

/// The end of the free list.
const NONE: u16 = u16::MAX;

impl Journal {
    /// An empty journal of a ring with `slots` slots, at most 1024.
    pub(crate) fn new(slots: u32) -> Self {
        let slots = u16::try_from(slots.min(1024)).unwrap_or(NONE);
        let empty = Entry {
            words: [0; SLOT_WORDS],
            state: State::Free,
        };
        Self {
            entries: vec![empty; usize::from(slots)].into_boxed_slice(),
            progress: (1..=slots)
                .map(|next| Progress {
                    parts: 0,
                    status: Status::Okay,
                    maps: Chain::EMPTY,
                    next_free: if next == slots { NONE } else { next },
                })
                .collect(),
            free: 0,
            owed: 0,
        }
    }

    /// An entry for the request about to be consumed; its words are to be filled at once. There is one, because a ring
    /// never holds more unanswered requests than slots.
    #[inline]
    pub(crate) fn open(&mut self) -> Slot {
        let slot = self.free;
        let progress = &mut self.progress[usize::from(slot)];
        self.free = progress.next_free;
        progress.parts = 0;
        progress.status = Status::Okay;
        self.entries[usize::from(slot)].state = State::Owed;
        self.owed += 1;
        Slot(slot)
    }

    /// The response to this entry was written as that of index `index`.
    #[inline]
    pub(crate) fn close(&mut self, slot: Slot, index: u32) {
        let at = usize::from(slot.0);
        debug_assert!(self.entries[at].state == State::Owed, "answered once");
        self.entries[at].state = State::Answered(index);
        self.progress[at].next_free = self.free;
        self.free = slot.0;
        self.owed -= 1;
    }

    /// Requests consumed and not answered.
    pub fn owed(&self) -> u32 {
        self.owed
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that a completion's tag claims, if there is one and it is owed.
    #[inline]
    pub(crate) fn owed_at(&self, slot: u16) -> Option<Slot> {
        let entry = self.entries.get(usize::from(slot))?;
        (entry.state == State::Owed).then_some(Slot(slot))
    }

    #[inline]
    pub(crate) fn words(&self, slot: Slot) -> &SlotWords {
        &self.entries[usize::from(slot.0)].words
    }

    #[inline]
    pub(crate) fn words_mut(&mut self, slot: Slot) -> &mut SlotWords {
        &mut self.entries[usize::from(slot.0)].words
    }

    #[inline]
    pub(crate) fn progress(&mut self, slot: Slot) -> &mut Progress {
        &mut self.progress[usize::from(slot.0)]
    }
}
