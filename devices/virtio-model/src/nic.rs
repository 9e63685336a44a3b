//! The network card behind the transport (§5.1.6).

use std::collections::VecDeque;

use crate::device::{Device, Field, gather, scatter, write_last};
use crate::net_offer::{NET_FIELDS, NEVER_NET};
use crate::queue::{Chain, Piece};
use crate::{Bus, Fault, NetHeader, NetOffer, VirtioModel};

/// Feature bits.
const CSUM: u64 = 1;
const GUEST_CSUM: u64 = 1 << 1;
const GUEST_TSO: u64 = (1 << 7) | (1 << 8);
const HOST_TSO: u64 = (1 << 11) | (1 << 12);
const ECN: u64 = (1 << 9) | (1 << 13);
const MRG_RXBUF: u64 = 1 << 15;
const CTRL_VQ: u64 = 1 << 17;
const CTRL_RX: u64 = 1 << 18;
const MQ: u64 = 1 << 22;

/// Header and the longest frame of an MTU of 1500.
const PLAIN_BUFFER: usize = 1526;

/// A frame that the driver had sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The pair of queues it came by.
    pub pair: usize,
    /// What it said of the frame.
    pub header: NetHeader,
    /// From the Ethernet header on.
    pub frame: Vec<u8>,
}

/// A network card.
pub struct Nic {
    offer: NetOffer,
    link: bool,
    /// By pair of queues: what is on the wire and not yet received.
    wire: Vec<VecDeque<(NetHeader, Vec<u8>)>>,
    sent: Vec<Sent>,
    promiscuous: bool,
    /// Pairs of queues in use.
    pairs: usize,
    dropped: usize,
}

impl VirtioModel<Nic> {
    /// A network card after power-on, its link up.
    pub fn network(offer: NetOffer, bus: &Bus) -> Self {
        let nic = Nic {
            link: true,
            wire: vec![VecDeque::new(); offer.pair_count()],
            sent: Vec::new(),
            promiscuous: !offer.control_rx,
            pairs: 1,
            dropped: 0,
            offer: offer.clone(),
        };
        Self::with(offer.transport(), nic, bus)
    }

    /// A frame comes in from the wire; `header` is what the card would like to say of it.
    pub fn receive(&self, pair: usize, header: NetHeader, frame: &[u8]) {
        let mut model = self.0.borrow_mut();
        model.device.wire[pair].push_back((header, frame.to_vec()));
        if !model.held {
            model.run();
        }
    }

    /// What the driver had sent since the last call.
    pub fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.borrow_mut().device.sent)
    }

    /// Frames from the wire that the driver will never see.
    pub fn dropped(&self) -> usize {
        self.0.borrow().device.dropped
    }

    /// Hands over frames for any address.
    pub fn is_promiscuous(&self) -> bool {
        self.0.borrow().device.promiscuous
    }

    /// Pairs of queues in use.
    pub fn pairs(&self) -> usize {
        self.0.borrow().device.pairs
    }

    /// The link goes up or down.
    pub fn set_link(&self, up: bool) {
        let mut model = self.0.borrow_mut();
        model.device.link = up;
        model.config_changed();
    }
}

impl Device for Nic {
    fn features(&self) -> u64 {
        self.offer.features()
    }

    fn refuses(&self, taken: u64) -> Option<String> {
        let needs = |what: u64, needed: u64| taken & what != 0 && taken & needed == 0;
        if taken & (NEVER_NET | ECN) != 0 {
            return Some(format!(
                "features {:#x} are more than this driver can",
                taken & NEVER_NET
            ));
        }
        // Without mergeable buffers, big frames need buffers of 64 KiB, which this driver does not have.
        let bad = needs(GUEST_TSO, GUEST_CSUM)
            || needs(GUEST_TSO, MRG_RXBUF)
            || needs(HOST_TSO, CSUM)
            || needs(CTRL_RX | MQ, CTRL_VQ);
        bad.then(|| format!("features {taken:#x} lack some that they need"))
    }

    fn config(&self) -> Vec<u8> {
        self.offer.config(self.link).to_vec()
    }

    fn fields(&self) -> &'static [Field] {
        &NET_FIELDS
    }

    fn config_was_read(&mut self, _at: usize) -> bool {
        false
    }

    fn queues(&self) -> usize {
        2 * self.offer.pair_count() + usize::from(self.offer.control)
    }

    fn reset(&mut self) {
        self.promiscuous = !self.offer.control_rx;
        self.pairs = 1;
        self.wire.iter_mut().for_each(VecDeque::clear);
    }

    fn wants(&mut self, queue: usize, features: u64, taken: &[Chain]) -> usize {
        if queue / 2 >= self.offer.pair_count() || queue % 2 == 1 {
            return taken.len().min(1);
        }
        self.filter(queue / 2, features);
        let Some((_, frame)) = self.wire[queue / 2].front() else {
            return 0;
        };
        if features & MRG_RXBUF == 0 {
            return taken.len().min(1);
        }
        let room = |chain: &Chain| -> usize { chain.pieces.iter().map(|piece| piece.len as usize).sum() };
        let least = taken.iter().map(room).min().unwrap_or(1);
        let wanted = (NetHeader::BYTES + frame.len()).div_ceil(least.max(1));
        if wanted <= taken.len() { wanted } else { 0 }
    }

    fn perform(
        &mut self,
        bus: &Bus,
        queue: usize,
        features: u64,
        chains: &[Chain],
        fault: Option<Fault>,
    ) -> Result<Vec<u32>, String> {
        let pair = queue / 2;
        if pair >= self.offer.pair_count() {
            return self.command(bus, &chains[0].pieces, fault);
        }
        if pair >= self.pairs {
            return Err(format!("pair {pair} is used and was not asked for"));
        }
        if queue % 2 == 1 {
            return self.send(bus, pair, features, &chains[0].pieces);
        }
        self.fill(bus, pair, features, chains, fault)
    }
}

impl Nic {
    /// Drops what the driver is not to see, from the head of the wire.
    fn filter(&mut self, pair: usize, features: u64) {
        let wire = &mut self.wire[pair];
        while let Some((header, frame)) = wire.front_mut() {
            let to_us = self.promiscuous
                || frame[0] & 1 != 0
                || self.offer.mac.is_some_and(|mac| frame.starts_with(&mac));
            let negotiated = match header.gso_type {
                1 => features & (1 << 7),
                4 => features & (1 << 8),
                _ => 1,
            };
            if to_us && negotiated != 0 {
                if features & GUEST_CSUM == 0 {
                    header.flags = 0;
                }
                return;
            }
            self.dropped += 1;
            wire.pop_front();
        }
    }

    /// Receives the next frame (§5.1.6.4).
    fn fill(
        &mut self,
        bus: &Bus,
        pair: usize,
        features: u64,
        chains: &[Chain],
        fault: Option<Fault>,
    ) -> Result<Vec<u32>, String> {
        let Some((mut header, frame)) = self.wire[pair].pop_front() else {
            return Err("no frame to receive".into());
        };
        let least = if features & MRG_RXBUF == 0 {
            PLAIN_BUFFER
        } else {
            NetHeader::BYTES
        };
        let mut data = vec![0; NetHeader::BYTES];
        data.extend(&frame);
        let mut written = Vec::new();
        let mut done = 0;
        for chain in chains {
            let room: usize = chain.pieces.iter().map(|piece| piece.len as usize).sum();
            if chain.pieces.iter().any(|piece| !piece.write) || room < least {
                return Err(format!("a receive buffer of {:?}", chain.pieces));
            }
            let now = room.min(data.len() - done);
            if now > 0 {
                scatter(bus, &chain.pieces, &data[done..done + now]);
                written.push(now as u32);
            }
            done += now;
        }
        header.num_buffers = written.len() as u16;
        match fault {
            Some(Fault::NumBuffers(other)) => header.num_buffers = other,
            Some(Fault::Header(other)) => {
                header = NetHeader {
                    num_buffers: header.num_buffers,
                    ..other
                }
            }
            _ => {}
        }
        scatter(bus, &chains[0].pieces, &header.to_bytes());
        Ok(written)
    }

    /// Sends a frame (§5.1.6.2).
    fn send(&mut self, bus: &Bus, pair: usize, features: u64, pieces: &[Piece]) -> Result<Vec<u32>, String> {
        if pieces.iter().any(|piece| piece.write) {
            return Err("a frame to send that is device-writable".into());
        }
        let mut frame = gather(bus, pieces);
        if frame.len() <= NetHeader::BYTES {
            return Err(format!(
                "a frame to send of {} bytes, header included",
                frame.len()
            ));
        }
        let header = NetHeader::from_bytes(&frame);
        frame.drain(..NetHeader::BYTES);
        if let Some(what) = header.fault_to_send(features, frame.len()) {
            return Err(what);
        }
        self.sent.push(Sent { pair, header, frame });
        Ok(vec![0])
    }

    /// Obeys a command (§5.1.6.5).
    fn command(&mut self, bus: &Bus, pieces: &[Piece], fault: Option<Fault>) -> Result<Vec<u32>, String> {
        let (readable, writable): (Vec<Piece>, Vec<Piece>) = pieces.iter().partition(|piece| !piece.write);
        if writable.iter().map(|piece| piece.len).sum::<u32>() != 1 {
            return Err("a command without exactly one byte for its acknowledgement".into());
        }
        match gather(bus, &readable)[..] {
            [0, 0, on] if on <= 1 && self.offer.control_rx => self.promiscuous = on == 1,
            [4, 0, low, high] if self.offer.pairs.is_some() => {
                let pairs = usize::from(u16::from_le_bytes([low, high]));
                if pairs == 0 || pairs > self.offer.pair_count() {
                    return Err(format!("{pairs} pairs of queues"));
                }
                self.pairs = pairs;
            }
            ref other => return Err(format!("command {other:?}")),
        }
        match fault {
            Some(Fault::Status(ack)) => write_last(bus, pieces, ack),
            Some(Fault::NoStatus) => {}
            _ => write_last(bus, pieces, 0),
        }
        Ok(vec![1])
    }
}
