//! From completions to responses: each request is answered once.

use outrigger_blkif::{Refusal, Status};
use outrigger_devices::{BlockDevice, Status as DeviceStatus, Tag};
use outrigger_ring::{Overflow, SharedPages};
use outrigger_xen::{EventChannels, GrantTable, Hypervisor, Survivors};

use crate::batch::Batch;
use crate::disk::{Disk, OWN_TAG, Reading};
use crate::journal::Slot;
use crate::ring::Ring;
use crate::service::State;
use crate::transient::Chain;

/// Pages unmapped by one call.
const SWEEP: usize = 128;

impl<P: SharedPages + Clone> Ring<P> {
    /// Answers a request without carrying it out.
    #[cold]
    pub(crate) fn refuse(&mut self, slot: Slot, why: Refusal) {
        self.counters.refused[why as usize] += 1;
        let progress = self.journal.progress(slot);
        progress.status = why.status();
        progress.parts = 0;
        self.finish(slot);
    }

    /// All parts of a request are over: it is answered at the end of the turn, after its pages were unmapped.
    #[inline]
    pub(crate) fn finish(&mut self, slot: Slot) {
        if self.barrier.is_some_and(|barrier| barrier.slot == slot) {
            // A step of it; the barrier itself goes on.
            return;
        }
        self.done.push(slot);
    }

    /// A device request completed. False if there was none of that name.
    #[inline]
    pub fn complete(&mut self, tag: Tag, status: Status) -> bool {
        let Some(slot) = self.journal.owed_at((tag.0 & 0x3ff) as u16) else {
            return false;
        };
        let progress = self.journal.progress(slot);
        if progress.parts == 0 || self.in_flight == 0 {
            return false;
        }
        progress.parts -= 1;
        self.in_flight -= 1;
        if status != Status::Okay {
            progress.status = status;
            self.counters.errors += 1;
        }
        if progress.parts == 0 {
            self.finish(slot);
        }
        true
    }

    /// Gives up the pages of what is done, to be unmapped with the batch, as far as the turn goes.
    #[inline]
    pub fn release_done<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch) {
        while let Some(slot) = self.done.get(self.released) {
            let maps = &mut self.journal.progress(*slot).maps;
            if *maps != Chain::EMPTY && batch.unmaps_left == 0 {
                break;
            }
            self.gather.release(hv, batch, maps);
            self.released += 1;
        }
    }

    /// Answers what is done and has given up its pages. The caller has unmapped the batch, so that no page of
    /// these requests is mapped any more but by agreement (XSA-396). True if there is something left to
    /// answer.
    #[inline]
    pub fn answer<H: EventChannels + Survivors>(&mut self, hv: &H, batch: &mut Batch) -> bool {
        if self.unswept && !self.sweep(hv, batch) {
            return true;
        }
        for slot in self.done.drain(..self.released) {
            let progress = self.journal.progress(slot);
            let response = progress.identity.response(self.abi, progress.status);
            let index = self.ring.rsp_prod_pvt();
            self.ring.respond(response.as_slice());
            self.journal.close(slot, index);
        }
        self.released = 0;
        if self.ring.push() {
            self.counters.notifications += 1;
            hv.notify(self.port);
        }
        self.has_answers()
    }

    /// Unmaps some of what an earlier life had mapped for this guest's requests and nobody has claimed; true
    /// if that was all.
    #[cold]
    fn sweep<H: Survivors>(&mut self, hv: &H, batch: &mut Batch) -> bool {
        if batch.unmaps_left > 0 && hv.unclaimed(self.dom) > 0 {
            batch.unmaps_left = batch.unmaps_left.saturating_sub(SWEEP);
            hv.sweep(Some(self.dom), SWEEP);
        }
        self.unswept = hv.unclaimed(self.dom) > 0;
        !self.unswept
    }

    /// Whether there is something to answer.
    #[inline]
    pub fn has_answers(&self) -> bool {
        !self.done.is_empty()
    }

    /// Before the domain sleeps: true if there is something to take after all.
    ///
    /// # Errors
    /// The frontend broke the ring.
    #[inline]
    pub fn final_check(&mut self) -> Result<bool, Overflow> {
        if self.closing {
            Ok(false)
        } else {
            self.ring.final_check()
        }
    }
    /// Whether the frontend has added requests, without asking it to tell.
    ///
    /// # Errors
    /// The frontend broke the ring.
    #[inline]
    pub fn has_requests(&self) -> Result<bool, Overflow> {
        Ok(!self.closing && self.ring.pending()? > 0)
    }
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Takes what the devices have completed.
    #[inline]
    pub fn reap<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        for disk in 0..self.disks.len() {
            self.reap_disk(hv, disk);
        }
    }

    pub(crate) fn reap_disk<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize) {
        let Self {
            disks,
            rings,
            answerable,
            ..
        } = self;
        let Disk {
            device,
            queues,
            reading,
            ..
        } = &mut disks[index];
        let mut fault = None;
        let mut completions = 0_u32;
        let mut own = false;
        for (number, queue) in queues.iter_mut().enumerate() {
            if queue.in_flight == 0 {
                continue;
            }
            let mut completed = 0;
            let reaped = device.reap(number, &mut |completion| {
                completed += 1;
                if completion.tag == OWN_TAG {
                    *reading = Reading::Done(completion.status);
                    own = true;
                    return;
                }
                let status = match completion.status {
                    DeviceStatus::Ok => Status::Okay,
                    DeviceStatus::IoError => Status::Error,
                    DeviceStatus::Unsupported => Status::Unsupported,
                };
                // A tag is believed as far as it names a request that is in flight.
                let at = (completion.tag.0 >> 16) as usize;
                if let Some(Some(served)) = rings.get_mut(at)
                    && served.ring.owns(completion.tag)
                    && served.ring.complete(completion.tag, status)
                {
                    answerable.insert(at);
                }
            });
            queue.in_flight = queue.in_flight.saturating_sub(completed);
            completions = completions.wrapping_add(completed);
            if let Err(error) = reaped {
                fault = Some(error);
                break;
            }
        }
        if completions > 0 {
            self.found = true;
            let waiting = self.waiting.take();
            self.active.extend(waiting);
            // Our own read may wait for room.
            self.poke |= own || self.read_by.is_some();
        }
        self.disks[index].completed = self.disks[index].completed.wrapping_add(completions);
        if own && self.disks[index].failed.is_some() {
            self.end_trial(hv, index);
        }
        if let Some(fault) = fault {
            self.reset_disk(hv, index, fault.0);
        }
    }

    /// Writes the responses, after everything that their requests had mapped is unmapped; as many as the turn
    /// goes.
    #[inline]
    pub fn respond<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        let Self { rings, batch, .. } = self;
        let answerable = self.answerable.take();
        for index in answerable.iter_from(self.first) {
            if let Some(served) = &mut rings[index] {
                served.ring.release_done(hv, batch);
            }
        }
        batch.unmap(hv);
        for index in answerable.iter() {
            hv.still_alive();
            if let Some(served) = &mut rings[index]
                && served.ring.answer(hv, batch)
            {
                self.answerable.insert(index);
            }
        }
    }
}
