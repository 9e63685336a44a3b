//! One ring of a vbd: what it owes, what it waits for, and its turn.

use alloc::vec::Vec;

use outrigger_blkif::{Abi, DataOp, Refusal, Request, Segment, Segments};
use outrigger_devices::{BlockDevice, BlockOp, QueueFull, Tag};
use outrigger_ring::{BackRing, Overflow, SharedPages};
use outrigger_xen::{DomId, GrantRef, GrantTable, Key, MappedPages, Port};

use crate::barrier::Barrier;
use crate::batch::Batch;
use crate::counters::Counters;
use crate::gather::{Gather, Gathered, Mapped, SEGMENT_BUDGET};
use crate::indirect::IndirectPages;
use crate::journal::{Journal, Slot};
use crate::other::Other;
use crate::submit::{Item, Queue};
use crate::view::DiskView;

/// Most requests that a ring may have taken in one turn, so that a busy one does not starve another.
pub(crate) const REQUEST_BUDGET: u32 = 64;

/// What a ring is made of.
pub(crate) struct Parts<P> {
    pub dom: DomId,
    pub abi: Abi,
    pub ring: BackRing<P>,
    /// The journal's record.
    pub key: Key,
    pub journal: Journal<P>,
    /// What an earlier life owed, in the order in which it was consumed.
    pub owed: Vec<Slot>,
    pub mapped: MappedPages<P>,
    pub port: Port,
    pub view: DiskView,
    /// An earlier life may have left pages mapped for requests, not by agreement.
    pub unswept: bool,
    /// Pages that may stay mapped for devices; 0 if the frontend does not keep its grants.
    pub persistent: usize,
    /// Pages that may be mapped for devices besides.
    pub transients: usize,
    /// Indirect pages that may stay mapped for the CPU.
    pub indirect: usize,
    /// In the upper bits of every tag, see [`Ring::tag`].
    pub tag_base: u32,
}

/// What a ring works with, lent for one turn.
pub(crate) struct Io<'a, H, D> {
    pub hv: &'a H,
    pub device: &'a mut D,
    pub queue: usize,
    pub load: &'a mut Queue,
    pub batch: &'a mut Batch,
    /// The device serves no more.
    pub failed: bool,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more to take.
    Drained,
    /// The budget is spent, or more can be taken at once.
    More,
    /// Something has to complete first.
    Waiting,
    /// There is no room to map anything more, neither ours nor Xen's.
    Exhausted,
}

pub(crate) struct Ring<P> {
    pub(crate) dom: DomId,
    pub(crate) abi: Abi,
    pub port: Port,
    pub(crate) ring: BackRing<P>,
    pub(crate) mapped: MappedPages<P>,
    pub view: DiskView,
    tag_base: u32,
    pub(crate) key: Key,
    pub(crate) journal: Journal<P>,
    /// Requests in the journal that are to be carried out again before any is taken from the ring; the next one is the last.
    pub(crate) again: Vec<Slot>,
    /// Pages that an earlier life had mapped for requests may be mapped still, and no response is written before they are not.
    pub(crate) unswept: bool,
    pub(crate) gather: Gather,
    pub(crate) indirect: IndirectPages<P>,
    /// Indirect requests whose page could not be read at once.
    pub(crate) unread: Vec<(Slot, GrantRef)>,
    /// What the device had no room for, in order. While there is any, nothing is taken from the ring.
    pub(crate) backlog: Vec<Item>,
    pub(crate) barrier: Option<Barrier>,
    /// Device requests in flight.
    pub(crate) in_flight: u32,
    /// Requests to be answered at the end of the turn.
    pub(crate) done: Vec<Slot>,
    /// So many of them, the first ones, hold no pages of their own any more.
    pub(crate) released: usize,
    pub(crate) closing: bool,
    pub(crate) counters: Counters,
}

impl<P: SharedPages + Clone> Ring<P> {
    /// A ring, ready for its first turn. Allocates all that it will ever need.
    pub fn new(parts: Parts<P>) -> Self {
        let capacity = parts.ring.shape().slots() as usize;
        let mut again = parts.owed;
        again.reverse();
        again.reserve_exact(capacity - again.len());
        Self {
            dom: parts.dom,
            abi: parts.abi,
            port: parts.port,
            ring: parts.ring,
            mapped: parts.mapped,
            view: parts.view,
            tag_base: parts.tag_base,
            key: parts.key,
            journal: parts.journal,
            again,
            unswept: parts.unswept,
            gather: Gather::new(parts.dom, parts.persistent, parts.transients),
            indirect: IndirectPages::new(parts.indirect),
            unread: Vec::with_capacity(capacity),
            backlog: Vec::with_capacity(capacity),
            barrier: None,
            in_flight: 0,
            done: Vec::with_capacity(capacity),
            released: 0,
            closing: false,
            counters: Counters::default(),
        }
    }

    /// The name of a request's parts towards the device: the ring's bits and the journal's slot, 10 bits.
    #[inline]
    pub(crate) fn tag(&self, slot: Slot) -> Tag {
        Tag(self.tag_base | u32::from(slot.0))
    }

    /// From now on its tags have these bits: no completion of before is believed.
    pub fn rename(&mut self, tag_base: u32) {
        self.tag_base = tag_base;
    }

    /// Whether a completion's tag is one of this ring's, by the ring's bits.
    #[inline]
    pub fn owns(&self, tag: Tag) -> bool {
        tag.0 & !0x3ff == self.tag_base
    }

    /// One turn: goes on with what waits, then takes what the budget allows and hands it to the device.
    ///
    /// # Errors
    /// The frontend broke the ring; close it.
    pub fn turn<H, D>(&mut self, io: &mut Io<'_, H, D>) -> Result<Turn, Overflow>
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        if self.closing || io.failed {
            self.cancel();
        }
        if self.closing {
            return Ok(Turn::Drained);
        }
        if let Some(wait) = self.resume(io) {
            return Ok(wait);
        }
        let pending = self.ring.pending()? + self.again.len() as u32;
        let (mut taken, mut segments) = (0, 0);
        while taken < pending.min(REQUEST_BUDGET)
            && segments < SEGMENT_BUDGET
            && self.backlog.is_empty()
            && self.barrier.is_none()
        {
            segments += self.take(io);
            taken += 1;
        }
        Ok(match self.resume(io) {
            Some(wait) => wait,
            None if taken < pending => Turn::More,
            None => Turn::Drained,
        })
    }

    /// Goes on with what waits, as far as it goes now. `None`: nothing waits any more.
    #[inline]
    fn resume<H, D>(&mut self, io: &mut Io<'_, H, D>) -> Option<Turn>
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        if self.backlog.is_empty()
            && self.unread.is_empty()
            && !self.gather.has_plan()
            && self.barrier.is_none()
        {
            return None;
        }
        self.resume_waiting(io)
    }

    fn resume_waiting<H, D>(&mut self, io: &mut Io<'_, H, D>) -> Option<Turn>
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        loop {
            if self.drain_backlog(io).is_err() {
                return Some(Turn::Waiting);
            }
            let exhausted = !self.unread.is_empty() && self.read_indirect(io);
            let rest = if self.gather.has_plan() {
                self.map_plan(io)
            } else {
                None
            };
            if exhausted {
                return Some(Turn::Exhausted);
            }
            if rest.is_some() {
                return rest;
            }
            if !self.backlog.is_empty() || !self.unread.is_empty() || self.gather.has_plan() {
                return Some(Turn::Waiting);
            }
            self.barrier?;
            if !self.advance_barrier(io) {
                return Some(Turn::Waiting);
            }
        }
    }

    /// Takes one request from the ring; its number of segments.
    #[inline]
    fn take<H, D>(&mut self, io: &mut Io<'_, H, D>) -> usize
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        let (slot, noted) = match self.again.pop() {
            None => (self.journal.consume(&mut self.ring), Ok(())),
            Some(slot) => {
                self.counters.replayed += 1;
                (slot, self.journal.recall(slot))
            }
        };
        if io.failed || noted.is_err() {
            self.refuse(slot, Refusal::Gone);
            return 0;
        }
        match Request::decode(self.abi, &self.journal.request, self.view.max_indirect) {
            Ok(Request::Data { op, sector, segments }) => {
                let count = segments.len();
                let gathered = self.gather.gather(&self.view, slot, op, sector, segments);
                self.go_on(io, slot, gathered);
                count
            }
            Ok(Request::Indirect {
                op,
                sector,
                nr_segments,
                pages: [page, ..],
            }) => {
                let words = &mut io.batch.words[..Segment::WORDS * nr_segments];
                match self.indirect.find(page) {
                    Some(pages) => {
                        pages.copy_out(0, words);
                        let gathered = self
                            .gather
                            .gather(&self.view, slot, op, sector, Segments::new(words));
                        self.go_on(io, slot, gathered);
                    }
                    None => self.unread.push((slot, page)),
                }
                nr_segments
            }
            Ok(other) => {
                self.take_other(io, slot, Other::of(&other));
                0
            }
            Err(why) => {
                self.refuse(slot, why);
                0
            }
        }
    }

    /// A request was gathered: to the device with it, unless it waits for a page or is refused.
    #[inline]
    pub(crate) fn go_on<H, D>(
        &mut self,
        io: &mut Io<'_, H, D>,
        slot: Slot,
        gathered: Result<Option<Gathered>, Refusal>,
    ) where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        match gathered {
            Ok(Some(gathered)) => {
                self.launch(io, gathered);
                self.reuse_segments();
            }
            // It stays unanswerable until it is mapped.
            Ok(None) => self.journal.progress(slot).parts = 1,
            Err(why) => self.refuse(slot, why),
        }
    }

    /// Everything that was gathered is with the device, or else its memory is still wanted.
    #[inline]
    fn reuse_segments(&mut self) {
        if self.backlog.is_empty() {
            self.gather.segments.clear();
        }
    }

    /// Gives a gathered read or write to the device.
    #[inline]
    fn launch<H, D: BlockDevice>(&mut self, io: &mut Io<'_, H, D>, gathered: Gathered) {
        let op = match gathered.op {
            DataOp::Read => {
                self.counters.reads += 1;
                self.counters.sectors_read += u64::from(gathered.sectors);
                BlockOp::Read
            }
            DataOp::Write => {
                self.counters.writes += 1;
                self.counters.sectors_written += u64::from(gathered.sectors);
                BlockOp::Write
            }
        };
        let count = gathered.end - gathered.start;
        let parts = self.view.parts(count);
        self.journal.progress(gathered.slot).parts = parts;
        let item = Item {
            slot: gathered.slot,
            op,
            sector: gathered.sector,
            sectors: gathered.sectors.into(),
            start: gathered.start,
            end: gathered.end,
        };
        if parts == 1 && self.backlog.is_empty() {
            // As nearly all are.
            match self.send_part(io, &item, (item.start, item.end), 0) {
                Ok(()) => {}
                Err(QueueFull) => self.backlog.push(item),
            }
        } else {
            self.send_or_wait(io, item);
        }
    }

    /// Maps what the planned requests need, and launches them; what the rest waits for.
    #[cold]
    fn map_plan<H, D>(&mut self, io: &mut Io<'_, H, D>) -> Option<Turn>
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        let rest = self.gather.map(io.hv, io.batch, &mut self.journal);
        let mut outcomes = core::mem::take(&mut io.batch.outcomes);
        for outcome in outcomes.drain(..) {
            match outcome {
                Mapped::Ready(gathered) => self.launch(io, gathered),
                Mapped::Refused(slot) => self.refuse(slot, Refusal::Grant),
            }
        }
        io.batch.outcomes = outcomes;
        self.reuse_segments();
        rest
    }

    /// Requests that it can hold.
    pub fn slots(&self) -> usize {
        self.ring.shape().slots() as usize
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            maps: self.gather.maps,
            unmaps: self.gather.unmaps,
            ..self.counters
        }
    }
}
