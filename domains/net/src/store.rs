//! What of a guest's frame is copied into our pages: its first bytes, and more of it where those were not enough.

use outrigger_devices::NetDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::{CopyOp, CopySide, Hypervisor};

use crate::batch::{Origin, Purpose};
use crate::counters::Drop;
use crate::packet::{HEAD_BYTES, Packet};
use crate::plan::Head;
use crate::pool::{MAX_PIECES, Piece};
use crate::service::State;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Has the first [`HEAD_BYTES`] of a frame in our pages, whose first slot did not hold its headers.
    #[cold]
    pub(crate) fn fetch_headers<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        at: usize,
    ) -> Result<(Head, Packet), Drop> {
        let incoming = self.batch.incoming[at];
        if let Origin::Guest { vif, .. } = incoming.origin
            && let Some(vif) = &mut self.vifs[vif]
        {
            vif.splits_headers = true;
        }
        let end = incoming.len.min(HEAD_BYTES);
        let mut left = end - incoming.stored;
        let parts = self.batch.granted(&incoming, incoming.stored).map(move |part| {
            let part = left.min(part.len.into());
            left -= part;
            part
        });
        if !self.pool.extend(incoming.frame, parts) || !self.copy_in(hv, at, incoming.stored, end) {
            return Err(Drop::NoMemory);
        }
        self.batch.flush(hv);
        let incoming = &mut self.batch.incoming[at];
        incoming.stored = end;
        match incoming.dropped {
            Some(why) => Err(why),
            None => self.head(at).ok_or(Drop::Malformed),
        }
    }

    /// Plans to have all of a frame in our pages. False if there is no memory.
    pub(crate) fn store_rest<H: Hypervisor<Pages = P>>(&mut self, hv: &H, at: usize) -> bool {
        let incoming = self.batch.incoming[at];
        let parts = self.batch.granted(&incoming, incoming.stored);
        incoming.stored == incoming.len
            || self
                .pool
                .extend(incoming.frame, parts.map(|part| part.len.into()))
                && self.copy_in(hv, at, incoming.stored, incoming.len)
    }

    /// Plans to copy the bytes `start..end` of a guest's frame into our pages, where they have a place.
    pub(crate) fn copy_in<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        at: usize,
        start: usize,
        end: usize,
    ) -> bool {
        let incoming = self.batch.incoming[at];
        let Origin::Guest { vif, .. } = incoming.origin else {
            return false;
        };
        let Some(dom) = self.doms[vif] else { return false };
        self.batch.make_room(hv);
        let mut ours = [Piece::default(); MAX_PIECES];
        let mut count = 0;
        for (place, piece) in ours
            .iter_mut()
            .zip(self.pool.frame(incoming.frame).range(start, end))
        {
            *place = piece;
            count += 1;
        }
        let mut ours = ours[..count].iter().copied();
        let Some(mut to) = ours.next() else { return false };
        let (mut skip, mut wanted) = (start, end - start);
        for index in incoming.first_fragment..incoming.first_fragment + incoming.fragments {
            let fragment = self.batch.fragments[index];
            let here = skip.min(fragment.len.into());
            skip -= here;
            let mut offset = fragment.offset + here as u16;
            let mut left = wanted.min(usize::from(fragment.len) - here) as u16;
            wanted -= usize::from(left);
            while left > 0 {
                if to.len == 0 {
                    let Some(next) = ours.next() else { return false };
                    to = next;
                }
                let len = left.min(to.len);
                let op = CopyOp {
                    from: (CopySide::Granted(dom, fragment.gref), offset),
                    to: (self.pool.side(to.page), to.offset),
                    len,
                };
                self.batch.copy(op, Purpose::Store(at as u16));
                (offset, left) = (offset + len, left - len);
                (to.offset, to.len) = (to.offset + len, to.len - len);
            }
        }
        true
    }
}
