//! The middle of a turn: where each frame goes, and which bytes have to be copied for that. Each byte of a guest's frame is
//! copied once for each receiver: its first bytes into a page of ours, where they are looked at and from where they are
//! handed on (what was checked is what arrives, whatever the sender does to its page meanwhile), the rest straight from
//! the sender's page into the receiver's, or into ours if it goes to the wire.

use outrigger_devices::{Gso, NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_xen::{CopySide, Hypervisor, Instant, PAGE_SIZE};

use crate::batch::{Origin, Source};
use crate::checksum::Sum;
use crate::counters::Drop;
use crate::own::Crossing;
use crate::packet::{ETH_HLEN, HEAD_BYTES, Network, Packet, TCP};
use crate::pool::MAX_PIECES;
use crate::queue::{Notes, Queue, told};
use crate::service::State;
use crate::switch::{MAX_VIFS, Targets};
use crate::vif::Vif;

/// Least payload of a segment: nobody's TCP has less, and a card is not to be made to send 65,000 frames for one.
const GSO_SIZE_MIN: u16 = 48;

/// A frame's first bytes.
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Decides about every frame of this turn, and plans its copies.
    #[inline]
    pub(crate) fn switch_all<H: Hypervisor<Pages = P>>(&mut self, hv: &H, now: Instant) {
        for at in 0..self.batch.incoming.len() {
            if self.batch.incoming[at].dropped.is_none()
                && let Err(why) = self.route(hv, at, now)
            {
                self.batch.incoming[at].dropped = Some(why);
            }
        }
    }

    /// The first bytes of a frame, as far as they are in our pages.
    pub(crate) fn head(&self, at: usize) -> Option<(Head, Packet)> {
        let incoming = &self.batch.incoming[at];
        let mut head = Head {
            bytes: [0; HEAD_BYTES],
            len: 0,
        };
        head.len = self
            .pool
            .read_head(incoming.frame, &mut head.bytes, incoming.stored);
        let packet = Packet::peek(head.bytes())?;
        Some((head, packet))
    }

    fn route<H: Hypervisor<Pages = P>>(&mut self, hv: &H, at: usize, now: Instant) -> Result<(), Drop> {
        let (mut head, mut packet) = self.head(at).ok_or(Drop::Malformed)?;
        let incoming = &self.batch.incoming[at];
        if incoming.stored < incoming.len.min(HEAD_BYTES) && !packet.is_complete(head.bytes()) {
            (head, packet) = self.fetch_headers(hv, at)?;
        }
        let mut targets = match self.batch.incoming[at].origin {
            Origin::Guest { vif: port, .. } | Origin::Own { port } => {
                self.switch.route_guest(port, &packet, head.bytes(), now)?
            }
            Origin::Wire { nic } => {
                let targets = self.switch.route_wire(nic, &packet, now)?;
                if packet.vlan.is_some() {
                    (head, packet) = self.untag(at)?;
                }
                targets
            }
        };
        self.settle_offloads(at, &head, &packet)?;
        let incoming = self.batch.incoming[at];
        let mtu = on_wire(incoming.len, incoming.gso, &packet);
        if let Origin::Guest { vif, .. } = incoming.origin
            && self.vifs[vif].as_ref().is_none_or(|vif| mtu > vif.wanted.mtu)
        {
            return Err(Drop::Malformed);
        }
        let (mut lost, mut work) = (None, false);
        if let Some(own) = targets.vifs.at_least(MAX_VIFS) {
            match self.cross(at, own, (&mut head, &mut packet), mtu, now)? {
                Crossing::Stays => {}
                Crossing::Goes(others) => targets = others,
                Crossing::Waits(port) => {
                    targets = Targets::default();
                    work = self.later(at, port);
                }
            }
        }
        if let Some(nic) = targets.wire {
            match self.nics.get(nic) {
                Some(nic) if !nic.has_carrier() => lost = Some(Drop::NoCarrier),
                Some(card) if mtu <= usize::from(card.limits.mtu) => {
                    let incoming = &mut self.batch.incoming[at];
                    (incoming.wire, incoming.vlan) = (Some(nic), targets.vlan);
                }
                _ => lost = Some(Drop::Malformed),
            }
        }
        if let Origin::Guest { vif, .. } = incoming.origin
            && let Some(vif) = &mut self.vifs[vif]
        {
            vif.to_wire = targets.wire.map(|nic| nic as u8);
        }
        for vif in targets.vifs.iter() {
            work |= self.give(hv, at, vif, &head, &packet, mtu);
        }
        if work || self.batch.incoming[at].wire.is_some() {
            if self.store_rest(hv, at) {
                // As soon as the copies are made.
                let incoming = &mut self.batch.incoming[at];
                incoming.stored = incoming.len;
            } else {
                self.batch.incoming[at].wire = None;
                lost = Some(Drop::NoMemory);
            }
        }
        match lost {
            Some(why) if targets.vifs.is_empty() => Err(why),
            _ => Ok(()),
        }
    }

    /// Takes a frame's tag out, so that guests in its VLAN get it untagged.
    fn untag(&mut self, at: usize) -> Result<(Head, Packet), Drop> {
        let incoming = &mut self.batch.incoming[at];
        if !self.pool.retag(incoming.frame, None) {
            return Err(Drop::Malformed);
        }
        incoming.len -= 4;
        incoming.stored -= 4;
        let again = self.head(at).ok_or(Drop::Malformed)?;
        // A tag within a tag is nobody's.
        if again.1.vlan.is_some() {
            return Err(Drop::Vlan);
        }
        Ok(again)
    }

    /// Checks what is alleged of checksum and segments against the headers.
    fn settle_offloads(&mut self, at: usize, head: &Head, packet: &Packet) -> Result<(), Drop> {
        let incoming = &mut self.batch.incoming[at];
        if let RxChecksum::Blank(_) = incoming.checksum {
            let blank = packet.blank_checksum(incoming.len).ok_or(Drop::Malformed)?;
            incoming.checksum = RxChecksum::Blank(blank);
        }
        let Some(alleged) = incoming.gso else {
            return Ok(());
        };
        let gso = packet
            .gso(head.bytes(), alleged.kind, alleged.size)
            .filter(|gso| gso.size >= GSO_SIZE_MIN)
            .ok_or(Drop::Malformed)?;
        if incoming.len <= usize::from(gso.header_len) + usize::from(gso.size) {
            // One segment is a frame like any other.
            incoming.gso = None;
            return Ok(());
        }
        incoming.gso = Some(gso);
        if let RxChecksum::Blank(_) = incoming.checksum {
            return Ok(());
        }
        // Some frontends fill in the checksum of what is to be cut, which nobody downstream expects.
        let blank = packet.blank_checksum(incoming.len).ok_or(Drop::Malformed)?;
        let Network::Ip(ip) = packet.network else {
            return Err(Drop::Malformed);
        };
        let start = usize::from(blank.start);
        let mut sum = Sum::new();
        sum.pseudo_header(ip.source, ip.destination, TCP, incoming.len - start);
        let field = start + usize::from(blank.offset);
        self.pool.write(incoming.frame, field, &sum.partial());
        incoming.checksum = RxChecksum::Blank(blank);
        Ok(())
    }

    /// Gives a frame to a guest, or notes that it needs work first: then true.
    fn give<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        at: usize,
        to: usize,
        head: &Head,
        packet: &Packet,
        mtu: usize,
    ) -> bool {
        if to >= MAX_VIFS {
            return self.later(at, to);
        }
        let Some(vif) = self.vifs[to].as_mut().filter(|vif| vif.is_served()) else {
            return false;
        };
        let incoming = &mut self.batch.incoming[at];
        if mtu > vif.wanted.mtu {
            vif.counters.drop_rx(Drop::Malformed);
            return false;
        }
        incoming.delivered = true;
        if !vif.takes.whole(incoming.gso) || !vif.takes.checksum(incoming.checksum, packet) {
            if self.batch.later.len() == self.batch.later.capacity() {
                vif.counters.drop_rx(Drop::NoMemory);
                return false;
            }
            self.batch.later.push((at as u16, to as u8));
            return true;
        }
        let incoming = *incoming;
        // A guest that sends waits when its ring is full, and TCP for its receiver's window. A wire's datagrams wait for nobody.
        let unpaced = matches!(incoming.origin, Origin::Wire { .. }) && !packet.is_windowed();
        let ahead = unpaced && vif.queues.iter_mut().any(Queue::is_ahead);
        if ahead || !vif.waiting.is_empty() || self.awaited.contains(to) {
            // Behind those that wait already.
            return self.wait(at, to);
        }
        let (frame, stored) = (incoming.frame, incoming.stored);
        self.batch.sources.clear();
        for piece in self.pool.frame(frame).range(0, stored) {
            self.batch.sources.push(Source {
                side: self.pool.side(piece.page),
                offset: piece.offset,
                len: piece.len,
            });
        }
        if let Origin::Guest { vif: from, .. } = incoming.origin
            && let Some(dom) = self.doms[from]
        {
            let mut sources = core::mem::take(&mut self.batch.sources);
            sources.extend(self.batch.granted(&incoming, stored).map(|fragment| Source {
                side: CopySide::Granted(dom, fragment.gref),
                offset: fragment.offset,
                len: fragment.len,
            }));
            self.batch.sources = sources;
        }
        let notes = Notes {
            len: incoming.len,
            checksum: told(incoming.checksum),
            extras: [None; 2],
        };
        if self.deliver(hv, to, notes, incoming.gso, packet, head.bytes()) {
            return false;
        }
        self.wait(at, to)
    }

    /// A frame is for a station of ours, which gets it when all of it is in our pages: true, if there is room.
    #[cold]
    fn later(&mut self, at: usize, port: usize) -> bool {
        let room = self.batch.later.len() < self.batch.later.capacity();
        if room {
            self.batch.later.push((at as u16, port as u8));
        }
        room
    }

    /// A frame finds no pages: it waits, if it may, and then it has to be in our pages as a whole: true.
    #[cold]
    fn wait(&mut self, at: usize, to: usize) -> bool {
        let pages = MAX_PIECES.min(1 + self.batch.incoming[at].len / PAGE_SIZE);
        let tagged = self.batch.incoming[at].wire.is_some() && self.batch.incoming[at].vlan != 0;
        let full = self.batch.waiting.len() == self.batch.waiting.capacity();
        // What is tagged for the wire is no more what a guest may get.
        if tagged || full || !self.may_wait(to, pages) {
            if let Some(vif) = &mut self.vifs[to] {
                vif.counters.drop_rx(Drop::NoBuffer);
            }
            return false;
        }
        self.batch.waiting.push((at as u16, to as u8));
        self.awaited.insert(to);
        true
    }

    /// Gives what `batch.sources` says to a guest. False if it has not posted enough pages.
    #[inline]
    pub(crate) fn deliver<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        to: usize,
        mut notes: Notes,
        gso: Option<Gso>,
        packet: &Packet,
        head: &[u8],
    ) -> bool {
        let Some(vif) = self.vifs[to].as_mut().filter(|vif| vif.is_served()) else {
            return true;
        };
        let (queue, hash) = vif.spread(packet, head);
        notes.extras = Vif::<P>::extras(gso, hash);
        let Some(ring) = vif.queues.get_mut(queue) else {
            return true;
        };
        match ring.deliver(hv, &mut self.batch, vif.takes.headroom, &notes, (to, queue)) {
            Ok(true) => self.touched.insert(vif.first_queue + queue),
            Ok(false) => return false,
            Err(overflow) => {
                vif.break_off(overflow.into());
                self.poke = true;
            }
        }
        true
    }
}

/// Bytes after the Ethernet header of the largest frame that this one is, or stands for.
fn on_wire(len: usize, gso: Option<Gso>, packet: &Packet) -> usize {
    let header = if packet.vlan.is_some() {
        packet.payload
    } else {
        ETH_HLEN
    };
    match gso {
        Some(gso) => usize::from(gso.header_len) + usize::from(gso.size),
        None => len,
    }
    .saturating_sub(header)
}
