//! The end of a ring: what is owed is paid or failed, and everything is given back.

use outrigger_blkif::{Refusal, Status};
use outrigger_ring::SharedPages;
use outrigger_xen::{Clock, EventChannels, GrantRef, GrantTable, Survivors};

use crate::barrier::Barrier;
use crate::batch::Batch;
use crate::counters::Counters;
use crate::journal::Slot;
use crate::ring::Ring;

impl<P: SharedPages + Clone> Ring<P> {
    /// From now on nothing is taken; what is with the device is awaited, the rest fails.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Fails all that the device has not seen.
    #[cold]
    pub(crate) fn cancel(&mut self) {
        self.cancel_backlog();
        let gather = &mut self.gather;
        let mut cancelled = core::mem::take(&mut self.unread);
        gather.cancel(|slot| cancelled.push((slot, GrantRef(0))));
        cancelled.extend(self.again.drain(..).rev().map(|slot| (slot, GrantRef(0))));
        for (slot, _) in cancelled.drain(..) {
            self.refuse(slot, Refusal::Gone);
        }
        self.unread = cancelled;
        if let Some(Barrier { slot, .. }) = self.barrier
            && self.journal.progress(slot).parts == 0
        {
            self.barrier = None;
            self.refuse(slot, Refusal::Gone);
        }
    }

    /// Takes back a request's parts that the device has not seen, failing it.
    pub(crate) fn withdraw(&mut self, slot: Slot, parts: u32) {
        self.counters.refused[Refusal::Gone as usize] += 1;
        let progress = self.journal.progress(slot);
        progress.status = Status::Error;
        progress.parts -= parts;
        if progress.parts == 0 {
            self.finish(slot);
        }
    }

    /// The device was stopped and has forgotten everything: what it had in flight fails.
    pub fn abandon<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch) {
        self.begin_again(hv, batch);
        while let Some(slot) = self.again.pop() {
            self.journal.progress(slot).status = Status::Error;
            self.counters.errors += 1;
            self.finish(slot);
        }
    }

    /// The device was reset and has forgotten everything: what is owed and not done is carried out again.
    #[cold]
    pub fn begin_again<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch) {
        self.in_flight = 0;
        self.barrier = None;
        self.backlog.clear();
        self.unread.clear();
        self.gather.cancel(|_| ());
        self.gather.segments.clear();
        let done = &self.done;
        self.journal
            .owed_again(&mut self.again, |slot| done.contains(&slot));
        for slot in &self.again {
            let maps = &mut self.journal.progress(*slot).maps;
            self.gather.release(hv, batch, maps);
        }
    }

    /// Nothing that it has mapped is in use.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.backlog.is_empty() && self.done.is_empty()
    }

    /// Pages that only stay mapped to save work.
    pub fn kept(&self) -> usize {
        self.gather.persistent.len()
    }

    /// Gives up the pages that only stay mapped to save work, which are in nobody's use, and keeps at most
    /// `capacity` from now on.
    pub fn shed(&mut self, capacity: usize) {
        debug_assert!(self.is_idle(), "a device may be using them");
        self.gather.persistent.retire(capacity);
    }

    /// Unmaps at most `most` pages of what was shed, or of a ring that is settled; how many. None: that was
    /// all.
    pub fn unmap_some<H: GrantTable<Pages = P> + Clock>(
        &mut self,
        hv: &H,
        batch: &mut Batch,
        most: usize,
    ) -> usize {
        let mut count = self.gather.unmap_retired(hv, batch, most);
        while self.closing
            && count < most
            && let Some(page) = self.indirect.pop()
        {
            count += 1;
            self.gather.unmaps += 1;
            hv.still_alive();
            hv.unmap_pages(page);
        }
        count
    }

    /// For a ring that has had no turn: what an earlier life owed is not answered.
    pub fn renounce(&mut self) {
        self.again.clear();
        self.journal.renounce();
    }

    /// Whether nothing is owed any more, so that it may be [`release`](Self::release)d.
    pub fn is_settled(&self) -> bool {
        self.closing && self.in_flight == 0 && self.journal.owed() == 0
    }

    /// Gives the rest back: port, the ring itself. What it kept was shed and unmapped before. Its counters
    /// remain.
    pub fn release<H: GrantTable<Pages = P> + EventChannels + Survivors>(mut self, hv: &H) -> Counters {
        debug_assert!(self.is_settled(), "nothing may be in flight");
        debug_assert!(
            self.gather.transients.held() == 0,
            "each request gave back its pages"
        );
        debug_assert!(
            self.gather.persistent.len() + self.gather.persistent.retired().len() == 0,
            "what was kept was unmapped"
        );
        hv.close(self.port);
        drop(self.ring);
        hv.unmap_pages(self.mapped);
        // Last: without it the next life could not tell what was owed, and would not serve the ring.
        hv.forget(self.key);
        Counters {
            maps: self.gather.maps,
            unmaps: self.gather.unmaps,
            ..self.counters
        }
    }
}
