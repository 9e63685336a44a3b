//! What we do where the card or the guest cannot: fill in checksums, cut frames, put tags on.

use outrigger_devices::{BlankChecksum, NetDevice, RxChecksum};
use outrigger_netif::Checksum;
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant};

use crate::batch::Source;
use crate::checksum::Sum;
use crate::counters::Drop;
use crate::nic::{Cut, Outgoing};
use crate::packet::VLAN_HLEN;
use crate::plan::Head;
use crate::pool::{Cursor, Piece};
use crate::queue::{Notes, told};
use crate::segment::Segmenter;
use crate::service::State;
use crate::switch::MAX_VIFS;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Gives frames that needed work to their guests. All of them is in our pages by now.
    #[cold]
    pub(crate) fn work<H: Hypervisor<Pages = P>>(&mut self, hv: &H, now: Instant) {
        for index in 0..self.batch.later.len() {
            let (at, to) = self.batch.later[index];
            let (at, to) = (usize::from(at), usize::from(to));
            let incoming = self.batch.incoming[at];
            if incoming.dropped.is_some() {
                continue;
            }
            if to >= MAX_VIFS {
                if let Err(why) = self.accept_own(at, to, now) {
                    self.batch.incoming[at].dropped = Some(why);
                }
                continue;
            }
            if let Err(why) = self.work_for(hv, at, to)
                && let Some(vif) = &mut self.vifs[to]
            {
                vif.counters.drop_rx(why);
            }
        }
        self.batch.flush(hv);
    }

    fn work_for<H: Hypervisor<Pages = P>>(&mut self, hv: &H, at: usize, to: usize) -> Result<(), Drop> {
        let (head, packet) = self.head(at).ok_or(Drop::Malformed)?;
        let takes = self.vifs[to].as_ref().map(|vif| vif.takes).unwrap_or_default();
        if !takes.whole(self.batch.incoming[at].gso) {
            let cut = self.cut(at, &head, &packet, None, true)?;
            for segment in 0..cut.count {
                let payload = payload(&cut, segment, self.batch.incoming[at].len);
                self.gather_segment(at, &cut, segment, &payload)?;
                let notes = Notes {
                    len: cut.header_len + payload.len(),
                    checksum: Checksum::Validated,
                    extras: [None; 2],
                };
                if !self.deliver(hv, to, notes, None, &packet, head.bytes()) {
                    return Err(Drop::NoBuffer);
                }
            }
            return Ok(());
        }
        // The guest takes the frame whole, but not with a blank checksum. A frame to be cut has no other.
        if self.batch.incoming[at].gso.is_some() {
            return Err(Drop::Malformed);
        }
        self.fill_in(at);
        let incoming = self.batch.incoming[at];
        self.gather_range(at, 0, incoming.len);
        let notes = Notes {
            len: incoming.len,
            checksum: told(incoming.checksum),
            extras: [None; 2],
        };
        if self.deliver(hv, to, notes, None, &packet, head.bytes()) {
            Ok(())
        } else {
            Err(Drop::NoBuffer)
        }
    }

    /// The parts of a frame's bytes `start..end`, as what is copied from.
    fn gather_range(&mut self, at: usize, start: usize, end: usize) {
        let frame = self.batch.incoming[at].frame;
        self.batch.sources.clear();
        for piece in self.pool.frame(frame).range(start, end) {
            self.batch.sources.push(Source {
                side: self.pool.side(piece.page),
                offset: piece.offset,
                len: piece.len,
            });
        }
    }

    /// The same of one segment: its headers, then its payload.
    fn gather_segment(
        &mut self,
        at: usize,
        cut: &Cut,
        segment: usize,
        payload: &core::ops::Range<usize>,
    ) -> Result<(), Drop> {
        let frame = self.batch.incoming[at].frame;
        let (page, offset) = Cut::header_place(segment);
        let page = self.pool.frame(frame).header_page(page).ok_or(Drop::NoMemory)?;
        self.gather_range(at, payload.start, payload.end);
        let headers = Source {
            side: self.pool.side(page),
            offset,
            len: cut.stored_header_len as u16,
        };
        self.batch.sources.insert(0, headers);
        Ok(())
    }

    /// Fills in a frame's checksum, if it is blank.
    pub(crate) fn fill_in(&mut self, at: usize) {
        let incoming = &mut self.batch.incoming[at];
        let RxChecksum::Blank(blank) = incoming.checksum else {
            return;
        };
        let start = usize::from(blank.start);
        let mut sum = Sum::new();
        for Piece { page, offset, len } in self.pool.frame(incoming.frame).range(start, incoming.len) {
            sum.memory(&self.pool.buffer(page).memory, offset.into(), len.into());
        }
        let field = start + usize::from(blank.offset);
        self.pool.write(incoming.frame, field, &sum.finish());
        incoming.checksum = RxChecksum::Validated;
    }

    /// Writes the headers of all segments of a frame, with a VLAN tag or without, checksums filled in or blank.
    fn cut(
        &mut self,
        at: usize,
        head: &Head,
        packet: &crate::packet::Packet,
        tag: Option<u16>,
        fill_in: bool,
    ) -> Result<Cut, Drop> {
        let incoming = self.batch.incoming[at];
        let gso = incoming.gso.ok_or(Drop::Malformed)?;
        let mut segmenter = Segmenter::new(head.bytes(), packet, gso, incoming.len).ok_or(Drop::Malformed)?;
        let count = segmenter.count();
        // They are there if the frame was cut before.
        if self.pool.frame(incoming.frame).header_page(0).is_none()
            && !self
                .pool
                .add_header_pages(incoming.frame, Cut::header_pages(count))
        {
            return Err(Drop::NoMemory);
        }
        let header_len = segmenter.header_len();
        let blank = segmenter.blank_checksum();
        let field = usize::from(blank.start + blank.offset);
        let mut payload = Cursor::at(self.pool.frame(incoming.frame), header_len);
        for segment in 0..count {
            let len = segmenter.payload(segment).len();
            let (headers, header_sum) = segmenter.headers(segment);
            if fill_in {
                let mut sum = header_sum;
                for Piece { page, offset, len } in payload.take(self.pool.frame(incoming.frame), len) {
                    sum.memory(&self.pool.buffer(page).memory, offset.into(), len.into());
                }
                headers[field..field + 2].copy_from_slice(&sum.finish());
            }
            let (page, offset) = Cut::header_place(segment);
            let page = self.pool.frame(incoming.frame).header_page(page);
            let page = page.ok_or(Drop::NoMemory)?;
            // A slot begins at a whole word, and has room for one more.
            let (memory, at) = (&self.pool.buffer(page).memory, usize::from(offset));
            match tag {
                None => memory.write(at, headers),
                Some(tag) => {
                    let [high, low] = tag.to_be_bytes();
                    memory.write(at, &headers[..12]);
                    memory.write(at + 12, &[0x81, 0, high, low]);
                    memory.write(at + 16, &headers[12..]);
                }
            }
        }
        Ok(Cut {
            header_len,
            stored_header_len: header_len + if tag.is_some() { VLAN_HLEN } else { 0 },
            size: gso.size.into(),
            count,
        })
    }

    /// Hands the frames that go to a wire over to its card.
    #[inline]
    pub(crate) fn drive(&mut self, now: Instant) {
        for at in 0..self.batch.incoming.len() {
            let incoming = self.batch.incoming[at];
            let Some(nic) = incoming.wire else { continue };
            let sent = match incoming.dropped {
                None => self.send(at, nic),
                Some(why) => Err(why),
            };
            if let Err(why) = sent {
                let incoming = &mut self.batch.incoming[at];
                incoming.wire = None;
                // What a guest got of it stands.
                if !incoming.delivered {
                    incoming.dropped = Some(why);
                }
            }
        }
        for nic in &mut self.nics {
            nic.drive(&mut self.pool);
            nic.expect(now);
        }
    }

    fn send(&mut self, at: usize, nic: usize) -> Result<(), Drop> {
        let vlan = self.batch.incoming[at].vlan;
        let tag = (vlan != 0).then_some(vlan);
        let offloads = {
            let card = self.nics.get(nic).ok_or(Drop::NoCarrier)?;
            let incoming = &self.batch.incoming[at];
            (
                card.limits.tx_checksum,
                incoming.gso.is_none_or(|gso| card.cuts(gso)),
            )
        };
        let (fills_in, cuts) = offloads;
        let cut = if cuts {
            if !fills_in {
                self.fill_in(at);
            }
            None
        } else {
            let (head, packet) = self.head(at).ok_or(Drop::Malformed)?;
            Some(self.cut(at, &head, &packet, tag, !fills_in)?)
        };
        let incoming = self.batch.incoming[at];
        let shift = if tag.is_some() { VLAN_HLEN as u16 } else { 0 };
        let checksum = match incoming.checksum {
            RxChecksum::Blank(blank) if fills_in => Some(BlankChecksum {
                start: blank.start + shift,
                ..blank
            }),
            _ => None,
        };
        let mut outgoing = Outgoing {
            frame: incoming.frame,
            len: incoming.len,
            checksum,
            gso: None,
            cut,
            sent: 0,
            payload: Cursor::default(),
        };
        if let Some(cut) = cut {
            outgoing.payload = Cursor::at(self.pool.frame(incoming.frame), cut.header_len);
        }
        if cut.is_none() {
            outgoing.gso = incoming.gso.map(|gso| outrigger_devices::Gso {
                header_len: gso.header_len + shift,
                ..gso
            });
            if tag.is_some() && !self.pool.retag(incoming.frame, tag) {
                return Err(Drop::Malformed);
            }
        }
        let Self { nics, pool, .. } = self;
        let card = nics.get_mut(nic).ok_or(Drop::NoCarrier)?;
        if card.queue(pool, outgoing) {
            Ok(())
        } else {
            Err(Drop::NoMemory)
        }
    }
}

/// Which bytes of a frame of `len` bytes segment `index` carries.
fn payload(cut: &Cut, index: usize, len: usize) -> core::ops::Range<usize> {
    let start = cut.header_len + index * cut.size;
    start.min(len)..(start + cut.size).min(len)
}
