//! A submission queue and its completion queue, each in one page.

use alloc::boxed::Box;
use alloc::vec::Vec;

use outrigger_devices::{DeviceFault, DmaMemory, DmaPool, PAGE_SIZE};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::command::{Command, StatusField};

/// Bytes of an entry.
const SQ_ENTRY: usize = 64;
const CQ_ENTRY: usize = 16;
/// Entries of a submission queue in one page.
pub(crate) const ENTRIES_MAX: u16 = (PAGE_SIZE / SQ_ENTRY) as u16;

/// Nothing has this number.
const NONE: u16 = u16::MAX;

/// One queue pair. A command is named by a number below the queue's size (CID), which is dealt again when it has completed;
/// one entry stays empty, so there are never more commands in flight than fit either queue, whatever the controller says of
/// its head.
pub(crate) struct QueuePair<M> {
    size: u16,
    sq: DmaMemory<M>,
    cq: DmaMemory<M>,
    /// The next entry to fill, and what the controller was told of it.
    tail: u16,
    told: u16,
    /// The next entry to look at, and the phase tag that makes it new.
    head: u16,
    phase: bool,
    /// By CID: the owner's own number for it.
    owners: Box<[u16]>,
    /// CIDs; those below `free` are to be had.
    cids: Box<[u16]>,
    free: usize,
}

/// One completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What [`QueuePair::push`] was given.
    pub owner: u16,
    pub status: StatusField,
    /// The first word, which a few commands use.
    pub result: u32,
}

/// A place to come back to if a request turns out not to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    tail: u16,
    free: usize,
}

impl<M: SharedPages + Clone> QueuePair<M> {
    /// A pair of `size` entries, at least 2 and at most [`ENTRIES_MAX`].
    pub fn new(pool: &impl DmaPool<Memory = M>, size: u16) -> Result<Self, ProbeError> {
        let page = || pool.page().ok_or(ProbeError::NoMemory);
        let capacity = usize::from(size) - 1;
        Ok(Self {
            size,
            sq: page()?,
            cq: page()?,
            tail: 0,
            told: 0,
            head: 0,
            phase: true,
            owners: alloc::vec![NONE; size.into()].into_boxed_slice(),
            cids: (0..size - 1).collect::<Vec<_>>().into_boxed_slice(),
            free: capacity,
        })
    }

    /// Empty, as at the beginning. The controller does not know the pages.
    pub fn begin_again(&mut self) {
        for page in [&self.sq, &self.cq] {
            for at in (0..PAGE_SIZE).step_by(8) {
                page.memory.store_u64(at, 0);
            }
        }
        (self.tail, self.told, self.head, self.phase) = (0, 0, 0, true);
        self.owners.fill(NONE);
        for (cid, place) in (0..).zip(&mut self.cids) {
            *place = cid;
        }
        self.free = self.cids.len();
    }

    /// Entries of either queue.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// The addresses of submission and completion queue.
    pub fn addresses(&self) -> (u64, u64) {
        (self.sq.page.at(0).bits(), self.cq.page.at(0).bits())
    }

    /// Commands in flight, those included that the controller has not heard of.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.cids.len() - self.free
    }

    /// The CID of the next command; `None` if there is no room for it.
    #[inline]
    pub fn next_cid(&self) -> Option<u16> {
        self.cids.get(self.free.checked_sub(1)?).copied()
    }

    /// Where the queue stands.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark {
            tail: self.tail,
            free: self.free,
        }
    }

    /// Takes back what was pushed since, of which the controller has not been told.
    #[cold]
    pub fn go_back(&mut self, mark: Mark) {
        for cid in &self.cids[self.free..mark.free] {
            self.owners[usize::from(*cid)] = NONE;
        }
        (self.tail, self.free) = (mark.tail, mark.free);
    }

    /// Writes the command whose CID is [`next_cid`](Self::next_cid). False if there is no room.
    #[inline]
    pub fn push(&mut self, command: &Command, owner: u16) -> bool {
        let Some(cid) = self.next_cid() else {
            return false;
        };
        self.free -= 1;
        self.owners[usize::from(cid)] = owner;
        let at = usize::from(self.tail) * SQ_ENTRY;
        let memory = &self.sq.memory;
        let first = u64::from(command.opcode) | u64::from(cid) << 16 | u64::from(command.nsid) << 32;
        memory.store_u64(at, first);
        memory.store_u64(at + 24, command.prp1);
        memory.store_u64(at + 32, command.prp2);
        memory.store_u64(at + 40, command.cdw10);
        memory.store_u64(at + 48, command.cdw12.into());
        self.tail = if self.tail + 1 == self.size {
            0
        } else {
            self.tail + 1
        };
        true
    }

    /// The tail to tell the controller, if it does not know it.
    #[inline]
    pub fn publish(&mut self) -> Option<u16> {
        if self.told == self.tail {
            return None;
        }
        self.told = self.tail;
        Some(self.tail)
    }

    /// Whether the controller has completed a command.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.free < self.cids.len() && self.is_new(self.cq.memory.acquire_u32(self.entry() + 12))
    }

    /// Takes a completion, if there is one, of queue `id`.
    ///
    /// # Errors
    /// It is of no command in flight.
    #[inline]
    pub fn take(&mut self, id: u16) -> Result<Option<Taken>, DeviceFault> {
        if self.free == self.cids.len() {
            return Ok(None);
        }
        let at = self.entry();
        let last = self.cq.memory.acquire_u32(at + 12);
        if !self.is_new(last) {
            return Ok(None);
        }
        let cid = last as u16;
        if (self.cq.memory.load_u32(at + 8) >> 16) as u16 != id {
            return Err(DeviceFault("a completion for another queue"));
        }
        let owner = match self.owners.get_mut(usize::from(cid)) {
            Some(owner) if *owner != NONE => core::mem::replace(owner, NONE),
            _ => return Err(DeviceFault("a completion of no command in flight")),
        };
        self.cids[self.free] = cid;
        self.free += 1;
        let result = self.cq.memory.load_u32(at);
        self.head += 1;
        if self.head == self.size {
            (self.head, self.phase) = (0, !self.phase);
        }
        Ok(Some(Taken {
            owner,
            status: StatusField((last >> 17) as u16),
            result,
        }))
    }

    /// The head, as the controller is to be told.
    #[inline]
    pub fn head(&self) -> u16 {
        self.head
    }

    #[inline]
    fn entry(&self) -> usize {
        usize::from(self.head) * CQ_ENTRY
    }

    #[inline]
    fn is_new(&self, last: u32) -> bool {
        (last >> 16 & 1 != 0) == self.phase
    }
}
