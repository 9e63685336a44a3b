//! What a ring owes: every request that was consumed and not yet answered, in memory that outlives a restart in place.
//!
//! The record (`outrigger_xen::Survivors`) has a header and an entry for each slot of the ring. An entry is the request's
//! words, a name for them (as which one it was consumed, and a checksum), and its *state*, one word of 64 bits, whose store
//! is what counts: stores happen in program order (one processor, and a fence for the compiler), and the domain may fail
//! between any two of them.
//!
//! - A request is consumed when its entry is `Owed`, the last of the entry's stores; not before that anything is done
//!   with it. If the domain fails earlier, the request is still in the ring, and is consumed again.
//! - It is answered when the `rsp_prod` that the frontend reads has passed its response. What is `Answered` beyond that
//!   is owed still, and no entry is used again before.
//!
//! So the next life knows with `rsp_prod` alone what is owed, and where consumption stopped: `rsp_prod` and as many requests
//! on. That must agree with what the header says was consumed; if it does not, or any checksum fails, somebody wrote what
//! is not theirs, and nothing is believed ([`Unsound`]).
//!
//! Everything else is derived: the free list from the states, [`Progress`] from nothing (no device request survives the
//! device's reset), the mapped grants from the hypervisor side's own list. What is owed is carried out again, in the order
//! in which it was consumed, and a frontend cannot tell: DESIGN.md has the argument.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, compiler_fence};

use outrigger_blkif::{Abi, Identity, SLOT_WORDS, SlotWords, Status, head_words, used_words};
use outrigger_ring::{BackRing, SharedPages};

use crate::record::{HEADER, REQ_CONS, check};
use crate::transient::Chain;

/// A place in the journal: 0 to the ring's number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u16);

/// What an earlier life has left cannot be believed; why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound(pub &'static str);

/// What has become of an entry's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There was none yet.
    Free,
    /// It was consumed; no response has been written.
    Owed,
    /// Its response was written as that of this (free running) index. The entry may be used again, which happens only after
    /// the response was published.
    Answered(u32),
}

/// How far a request has come; means nothing after a restart.
pub(crate) struct Progress {
    /// What the response echoes.
    pub identity: Identity,
    /// It is owed.
    owed: bool,
    /// Device requests that have not completed, submitted or not.
    pub parts: u32,
    /// The worst that happened so far.
    pub status: Status,
    /// Pages mapped for it alone.
    pub maps: Chain,
}

/// The journal of one ring, as many entries as the ring has slots.
pub(crate) struct Journal<P> {
    record: P,
    abi: Abi,
    /// The request that is being looked at. What lies behind its used words is an earlier one's.
    pub request: SlotWords,
    progress: Box<[Progress]>,
    /// Free places, the one that was given back first is used first: so an entry's index is never so old that it could be
    /// taken for one of today's.
    free: Box<[Slot]>,
    next_free: u32,
    owed: u32,
    req_cons: u32,
}

/// Bytes of an entry, and what is where in it.
const ENTRY: usize = 128;
const STATE: usize = 0;
const NAME: usize = 8;
const WORDS: usize = 16;
const _: () = assert!(WORDS + 4 * SLOT_WORDS == ENTRY);

impl State {
    const OWED: u32 = 1;
    const ANSWERED: u32 = 2;

    /// As a word, for the request that was consumed as that of index `consumed`.
    #[inline]
    fn encode(self, slot: Slot, consumed: u32) -> u64 {
        let (kind, value) = match self {
            Self::Free => return 0,
            Self::Owed => (Self::OWED, consumed),
            Self::Answered(index) => (Self::ANSWERED, index),
        };
        let seal = check(u64::from(kind) << 16 | u64::from(slot.0), &[value]);
        u64::from(value) << 32 | u64::from(seal & !3 | kind)
    }

    fn decode(word: u64, slot: Slot, consumed: u32) -> Result<Self, Unsound> {
        let state = match word as u32 & 3 {
            0 => Self::Free,
            Self::OWED => Self::Owed,
            _ => Self::Answered((word >> 32) as u32),
        };
        if state.encode(slot, consumed) != word {
            return Err(Unsound("the state of a request is damaged"));
        }
        Ok(state)
    }
}

/// The oldest first. A few, nearly in order already; the library's sort is 8 KiB of the image.
fn put_in_order<T>(few: &mut [T], age: impl Fn(&T) -> u32) {
    for end in 1..few.len() {
        let mut at = end;
        while at > 0 && age(&few[at - 1]) < age(&few[at]) {
            few.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Everything that was stored before is stored before everything that comes after, as far as the next life sees.
#[inline]
fn in_order() {
    compiler_fence(Ordering::SeqCst);
}

impl<P: SharedPages> Journal<P> {
    /// Bytes of the record of a ring with `slots` slots.
    pub fn bytes(slots: u32) -> usize {
        HEADER + ENTRY * slots as usize
    }

    /// The journal of a ring that was attached just now, in a new record, which is all zero.
    pub fn new(record: P, abi: Abi, slots: u32, req_cons: u32) -> Self {
        let mut journal = Self::empty(record, abi, slots);
        journal.note(req_cons);
        journal
    }

    /// The journal that an earlier life has left of a ring whose frontend was shown responses up to `rsp_prod`, and what is
    /// owed, in the order in which it was consumed.
    ///
    /// # Errors
    /// It cannot be believed.
    pub fn recover(record: P, abi: Abi, slots: u32, rsp_prod: u32) -> Result<(Self, Vec<Slot>), Unsound> {
        if record.len() < Self::bytes(slots) {
            return Err(Unsound("it is of another ring"));
        }
        let mut journal = Self::empty(record, abi, slots);
        let (mut owed, mut free) = (Vec::new(), Vec::new());
        let mut unpublished = 0;
        for slot in (0..slots as u16).map(Slot) {
            let consumed = journal.consumed(slot);
            match journal.state(slot)? {
                State::Free => free.push((u32::MAX, slot)),
                State::Owed => owed.push((consumed, slot)),
                State::Answered(index) if index.wrapping_sub(rsp_prod) < slots => {
                    unpublished = index.wrapping_sub(rsp_prod).wrapping_add(1).max(unpublished);
                    owed.push((consumed, slot));
                }
                // A place is used again after at most `slots` other requests. No more are answered meanwhile than those and
                // the ones that were owed before.
                State::Answered(index) if rsp_prod.wrapping_sub(index) <= 2 * slots => {
                    free.push((rsp_prod.wrapping_sub(index), slot));
                }
                State::Answered(_) => return Err(Unsound("a response is none of these days")),
            }
        }
        let req_cons = rsp_prod.wrapping_add(owed.len() as u32);
        let age = |consumed: u32| req_cons.wrapping_sub(consumed);
        put_in_order(&mut owed, |(consumed, _)| age(*consumed));
        let past = owed
            .iter()
            .all(|(consumed, _)| (1..1 << 31).contains(&age(*consumed)));
        let distinct = owed.windows(2).all(|two| two[0].0 != two[1].0);
        let noted = journal.noted()?;
        // Or the domain failed between a request's last store and this note.
        let agreed = noted == req_cons
            || noted.wrapping_add(1) == req_cons
                && owed.last().is_some_and(|(consumed, _)| *consumed == noted);
        // Responses are written one behind the other.
        if !past || !distinct || unpublished as usize > owed.len() || !agreed {
            return Err(Unsound("what was consumed and what was answered disagree"));
        }
        for (_, slot) in &owed {
            journal.recall(*slot)?;
            journal.take_on(*slot);
        }
        // The record was not changed up to here.
        for (consumed, slot) in &owed {
            journal.set(*slot, State::Owed, *consumed);
        }
        put_in_order(&mut free, |(age, _)| *age);
        for (place, (_, slot)) in journal.free.iter_mut().zip(&free) {
            *place = *slot;
        }
        in_order();
        journal.note(req_cons);
        Ok((journal, owed.into_iter().map(|(_, slot)| slot).collect()))
    }

    fn empty(record: P, abi: Abi, slots: u32) -> Self {
        let progress = || Progress {
            identity: Identity { id: 0, operation: 0 },
            owed: false,
            parts: 0,
            status: Status::Okay,
            maps: Chain::EMPTY,
        };
        Self {
            record,
            abi,
            request: [0; SLOT_WORDS],
            progress: (0..slots).map(|_| progress()).collect(),
            free: (0..slots as u16).map(Slot).collect(),
            next_free: 0,
            owed: 0,
            req_cons: 0,
        }
    }

    /// Copies the next request out of the ring and notes down that it is owed. There is a place for it, because a ring
    /// never holds more unanswered requests than slots.
    #[inline]
    pub fn consume(&mut self, ring: &mut BackRing<P>) -> Slot {
        let abi = self.abi;
        let used = ring.consume_by(&mut self.request, head_words(abi), |first| used_words(abi, first));
        let slot = self.free[self.next_free as usize & (self.free.len() - 1)];
        let at = Self::at(slot);
        let words = &self.request[..used];
        self.record.copy_in(at + WORDS, words);
        let name = u64::from(self.req_cons) << 32 | u64::from(check(self.req_cons.into(), words));
        self.record.store_u64(at + NAME, name);
        in_order();
        self.set(slot, State::Owed, self.req_cons);
        in_order();
        self.note(self.req_cons.wrapping_add(1));
        self.next_free = self.next_free.wrapping_add(1);
        self.take_on(slot);
        slot
    }

    /// The request in `request` is owed.
    #[inline]
    fn take_on(&mut self, slot: Slot) {
        let progress = &mut self.progress[usize::from(slot.0)];
        progress.identity = Identity::of(self.abi, &self.request);
        progress.owed = true;
        progress.parts = 0;
        progress.status = Status::Okay;
        self.owed += 1;
    }

    /// The response to this entry was written as that of index `index`.
    #[inline]
    pub fn close(&mut self, slot: Slot, index: u32) {
        let progress = &mut self.progress[usize::from(slot.0)];
        debug_assert!(progress.owed, "answered once");
        progress.owed = false;
        self.set(slot, State::Answered(index), 0);
        let slots = self.free.len();
        let last = self.next_free as usize + slots - self.owed as usize;
        self.free[last & (slots - 1)] = slot;
        self.owed -= 1;
    }

    /// Nothing of what is owed will be answered. The record stays as it is.
    pub fn renounce(&mut self) {
        for progress in &mut self.progress {
            progress.owed = false;
        }
        self.owed = 0;
    }

    /// Requests consumed and not answered.
    pub fn owed(&self) -> u32 {
        self.owed
    }

    /// The entry that a completion's tag claims, if there is one and it is owed.
    #[inline]
    pub fn owed_at(&self, slot: u16) -> Option<Slot> {
        let progress = self.progress.get(usize::from(slot))?;
        progress.owed.then_some(Slot(slot))
    }

    /// All that is owed but what `is_done`, as if it had never been begun; what was consumed first is the last. `into` has the
    /// capacity.
    pub fn owed_again(&mut self, into: &mut Vec<Slot>, is_done: impl Fn(Slot) -> bool) {
        into.clear();
        into.extend((0..self.progress.len() as u16).filter_map(|slot| self.owed_at(slot)));
        into.retain(|slot| !is_done(*slot));
        put_in_order(into, |slot| self.req_cons.wrapping_sub(self.consumed(*slot)));
        into.reverse();
        for slot in into {
            let progress = self.progress(*slot);
            progress.parts = 0;
            progress.status = Status::Okay;
        }
    }

    /// Brings an owed request back into [`request`](Self::request).
    ///
    /// # Errors
    /// It is not what was noted down.
    #[cold]
    pub fn recall(&mut self, slot: Slot) -> Result<(), Unsound> {
        let at = Self::at(slot);
        let used = used_words(self.abi, self.record.load_u32(at + WORDS));
        let words = &mut self.request[..used];
        self.record.copy_out(at + WORDS, words);
        let name = self.record.load_u64(at + NAME);
        let consumed = (name >> 32) as u32;
        if check(consumed.into(), words) != name as u32 {
            return Err(Unsound("a request is damaged"));
        }
        Ok(())
    }

    #[inline]
    pub fn progress(&mut self, slot: Slot) -> &mut Progress {
        &mut self.progress[usize::from(slot.0)]
    }

    #[inline]
    fn at(slot: Slot) -> usize {
        HEADER + ENTRY * usize::from(slot.0)
    }

    /// As which one of all requests an entry's was consumed.
    fn consumed(&self, slot: Slot) -> u32 {
        (self.record.load_u64(Self::at(slot) + NAME) >> 32) as u32
    }

    fn state(&self, slot: Slot) -> Result<State, Unsound> {
        let word = self.record.load_u64(Self::at(slot) + STATE);
        State::decode(word, slot, self.consumed(slot))
    }

    #[inline]
    fn set(&self, slot: Slot, state: State, consumed: u32) {
        self.record
            .store_u64(Self::at(slot) + STATE, state.encode(slot, consumed));
    }

    /// What the header says was consumed.
    fn noted(&self) -> Result<u32, Unsound> {
        let word = self.record.load_u64(REQ_CONS);
        let (req_cons, inverse) = (word as u32, (word >> 32) as u32);
        if req_cons != !inverse {
            return Err(Unsound("its header is damaged"));
        }
        Ok(req_cons)
    }

    #[inline]
    fn note(&mut self, req_cons: u32) {
        self.req_cons = req_cons;
        self.record
            .store_u64(REQ_CONS, u64::from(req_cons) | u64::from(!req_cons) << 32);
    }
}

#[cfg(test)]
mod tests;
