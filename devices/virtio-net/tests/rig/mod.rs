//! A network card on its model, and two lists that say what must come out at either end.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::{BTreeMap, VecDeque};

use outrigger_devices::{
    BlankChecksum, Device, DeviceFault, DmaMemory, DmaSegment, Gso, GsoKind, NetDevice, QueueFull, RxBuffer,
    RxChecksum, Tag, TxFrame,
};
use outrigger_virtio_model::{
    Bus, Direction, NetHeader, NetOffer, Nic, Sent, TestPage, TestPool, VirtioModel,
};
use outrigger_virtio_net::{Options, VirtioNet};

/// Pages to receive into.
pub const BUFFERS: usize = 600;

/// Where a TCP checksum is, over IPv4.
pub const TCP: BlankChecksum = BlankChecksum {
    start: 34,
    offset: 16,
};

pub struct Rig {
    pub bus: Bus,
    pub pool: TestPool,
    pub model: VirtioModel<Nic>,
    pub net: VirtioNet<VirtioModel<Nic>, TestPage>,
    buffers: Vec<DmaMemory<TestPage>>,
    /// Buffers that nobody has.
    free: Vec<Tag>,
    posted: BTreeMap<Tag, DmaSegment>,
    /// Frames to send that the card has.
    sending: BTreeMap<Tag, Sending>,
    sent: BTreeMap<Tag, Sent>,
    /// By pair: frames on the wire that must be received, in this order.
    wire: Vec<VecDeque<Expected>>,
    spare: Vec<DmaMemory<TestPage>>,
    next_tag: u32,
    /// Buffers stay open to a card that may write into those that it says it is through with.
    pub open: bool,
}

struct Sending {
    pair: usize,
    header: NetHeader,
    bytes: Vec<u8>,
    memory: Vec<(DmaMemory<TestPage>, DmaSegment)>,
    refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub checksum: RxChecksum,
    pub gso: Option<Gso>,
    pub bytes: Vec<u8>,
}

/// What is to be done to a frame, or has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    None,
    Valid,
    Blank,
    Segments(GsoKind, u16),
}

impl Offload {
    fn header(self) -> NetHeader {
        let blank = NetHeader {
            flags: 1,
            csum_start: TCP.start,
            csum_offset: TCP.offset,
            ..NetHeader::default()
        };
        match self {
            Self::None => NetHeader::default(),
            Self::Valid => NetHeader {
                flags: 2,
                ..NetHeader::default()
            },
            Self::Blank => blank,
            Self::Segments(kind, gso_size) => NetHeader {
                gso_type: if kind == GsoKind::TcpV4 { 1 } else { 4 },
                hdr_len: 54,
                gso_size,
                ..blank
            },
        }
    }

    pub fn gso(self) -> Option<Gso> {
        match self {
            Self::Segments(kind, size) => Some(Gso {
                kind,
                size,
                header_len: 54,
            }),
            _ => None,
        }
    }

    pub fn checksum(self) -> Option<BlankChecksum> {
        matches!(self, Self::Blank | Self::Segments(..)).then_some(TCP)
    }
}

impl Rig {
    pub fn new(offer: NetOffer, options: Options) -> Self {
        let bus = Bus::default();
        let pool = bus.pool(1024);
        let pairs = offer.pairs.unwrap_or(1).into();
        let model = VirtioModel::network(offer, &bus);
        let buffers: Vec<_> = (0..BUFFERS).map(|_| bus.data_page()).collect();
        let net = VirtioNet::probe(model.clone(), &pool, buffers.clone(), options).expect("a card");
        model.assert_clean();
        Self {
            bus,
            pool,
            model,
            net,
            buffers,
            free: (0..BUFFERS as u32).map(Tag).collect(),
            posted: BTreeMap::new(),
            sending: BTreeMap::new(),
            sent: BTreeMap::new(),
            wire: vec![VecDeque::new(); pairs],
            spare: Vec::new(),
            next_tag: 7,
            open: false,
        }
    }

    pub fn sending(&self) -> usize {
        self.sending.len()
    }

    pub fn posted(&self) -> usize {
        self.posted.len()
    }

    pub fn expected(&self) -> usize {
        self.wire.iter().map(VecDeque::len).sum()
    }

    /// Posts a piece of a page.
    pub fn post(&mut self, pair: usize, offset: u32, len: u32) -> Result<Tag, QueueFull> {
        let tag = *self.free.last().ok_or(QueueFull)?;
        let page = &self.buffers[tag.0 as usize];
        let segment = page.page.segment(offset, len).expect("within a page");
        self.bus.lend(segment, Direction::FromDevice);
        if let Err(full) = self.net.post(pair, tag, segment) {
            self.bus.take_back(segment, Direction::FromDevice);
            return Err(full);
        }
        self.free.pop();
        self.posted.insert(tag, segment);
        Ok(tag)
    }

    /// Where posted buffers are.
    pub fn segments(&self, tags: &[Tag]) -> Vec<(Tag, DmaSegment)> {
        tags.iter().map(|tag| (*tag, self.posted[tag])).collect()
    }

    /// Posts whole pages.
    pub fn post_pages(&mut self, pair: usize, count: usize) {
        for _ in 0..count {
            self.post(pair, 0, 4096).expect("room");
        }
        self.net.commit(pair);
    }

    /// Whether the card agreed to cut, or to hand over, such frames.
    fn agreed(&self, offload: Offload, bits: [u32; 3]) -> bool {
        let features = self.model.features();
        let has = |bit: u32| features & (1 << bit) != 0;
        match offload {
            Offload::None | Offload::Valid => true,
            Offload::Blank => has(bits[0]),
            Offload::Segments(GsoKind::TcpV4, _) => has(bits[1]),
            Offload::Segments(GsoKind::TcpV6, _) => has(bits[2]),
        }
    }

    /// Sends a frame of such pieces (offset, length); its bytes follow from its tag.
    pub fn send(&mut self, pair: usize, pieces: &[(u32, u32)], offload: Offload) -> Result<Tag, QueueFull> {
        let tag = Tag(self.next_tag);
        let mut bytes = Vec::new();
        let mut memory = Vec::new();
        for (offset, len) in pieces {
            let page = self.spare.pop().unwrap_or_else(|| self.bus.data_page());
            let segment = page.page.segment(*offset, *len).expect("within a page");
            let from = bytes.len();
            bytes.extend((0..*len).map(|i| (tag.0.wrapping_mul(31) + (from as u32 + i) / 3) as u8));
            if from == 0 && *len >= 4 {
                bytes[..4].copy_from_slice(&tag.0.to_le_bytes());
            }
            page.memory.poke(*offset as usize, &bytes[from..]);
            self.bus.lend(segment, Direction::ToDevice);
            memory.push((page, segment));
        }
        let segments: Vec<_> = memory.iter().map(|(_, segment)| *segment).collect();
        let frame = TxFrame {
            segments: &segments,
            checksum: offload.checksum(),
            gso: offload.gso(),
            tag,
        };
        let result = self.net.submit(pair, &frame);
        let fits = (1..=self.net.limits().max_segments).contains(&pieces.len());
        let sending = Sending {
            pair,
            header: offload.header(),
            bytes,
            memory,
            refused: !fits || !self.agreed(offload, [0, 11, 12]),
        };
        if let Err(full) = result {
            self.give_back(sending);
            return Err(full);
        }
        self.next_tag += 1;
        self.sending.insert(tag, sending);
        Ok(tag)
    }

    /// A frame comes over the wire, for somebody else.
    pub fn wire(&mut self, pair: usize, len: usize, offload: Offload) {
        let seed = self.next_tag;
        self.next_tag += 1;
        let bytes: Vec<u8> = (0..len as u32)
            .map(|i| (seed.wrapping_mul(37) + i / 5) as u8 & 0xfe)
            .collect();
        let expected = Expected {
            checksum: match offload {
                _ if self.model.features() & 2 == 0 => RxChecksum::Unknown,
                Offload::None => RxChecksum::Unknown,
                Offload::Valid => RxChecksum::Validated,
                _ => RxChecksum::Blank(TCP),
            },
            gso: offload.gso(),
            bytes: bytes.clone(),
        };
        if offload.gso().is_none() || self.agreed(offload, [1, 7, 8]) {
            self.wire[pair].push_back(expected);
        }
        self.model.receive(pair, offload.header(), &bytes);
    }

    /// Takes back what was sent, and checks it; how many.
    pub fn reap_tx(&mut self, pair: usize) -> Result<usize, DeviceFault> {
        let mut tags = Vec::new();
        let result = self.net.reap_tx(pair, &mut |tag| tags.push(tag));
        for sent in self.model.sent() {
            let tag = u32::from_le_bytes(sent.frame[..4].try_into().expect("four bytes"));
            assert_eq!(self.sent.insert(Tag(tag), sent), None, "a frame is sent once");
        }
        for tag in &tags {
            let sending = self.sending.remove(tag).expect("a tag in flight, once");
            if sending.refused {
                assert!(!self.sent.contains_key(tag), "a refused frame is not sent");
            } else {
                let sent = self
                    .sent
                    .remove(tag)
                    .expect("a frame is sent before its tag comes back");
                assert_eq!((sent.pair, sent.header), (sending.pair, sending.header));
                assert!(sent.frame == sending.bytes, "what is sent is what was submitted");
            }
            self.give_back(sending);
        }
        result.map(|()| tags.len())
    }

    /// Takes what was received, and checks it; how many frames and buffers.
    pub fn reap_rx(&mut self, pair: usize, most: usize) -> Result<(usize, usize), DeviceFault> {
        let (frames, buffers, result) = self.reap_rx_raw(pair, most);
        let count = frames.len();
        for frame in frames {
            let expected = self.wire[pair].pop_front().expect("a frame that was on the wire");
            assert!(frame == expected, "what is received is what came");
        }
        result.map(|()| (count, buffers))
    }

    /// Takes what was received, believing it.
    pub fn reap_rx_raw(
        &mut self,
        pair: usize,
        most: usize,
    ) -> (Vec<Expected>, usize, Result<(), DeviceFault>) {
        let mut buffers: Vec<RxBuffer> = Vec::new();
        let result = self.net.reap_rx(pair, most, &mut |buffer| buffers.push(buffer));
        let mut frames = Vec::new();
        let mut current: Option<Expected> = None;
        for buffer in &buffers {
            let segment = self
                .posted
                .remove(&buffer.tag)
                .expect("a buffer that was posted, once");
            if !self.open {
                self.bus.take_back(segment, Direction::FromDevice);
            }
            self.free.push(buffer.tag);
            assert!(
                buffer.offset + buffer.len <= segment.len,
                "a frame lies in its buffers"
            );
            let page = &self.buffers[buffer.tag.0 as usize];
            let start = (segment.addr.bits() - page.page.at(0).bits()) as usize;
            let mut bytes = vec![0; buffer.len as usize];
            page.memory.peek(start + buffer.offset as usize, &mut bytes);
            let frame = current.get_or_insert_with(|| Expected {
                checksum: buffer.checksum,
                gso: buffer.gso,
                bytes: Vec::new(),
            });
            frame.bytes.extend(bytes);
            if !buffer.more {
                frames.extend(current.take());
            }
        }
        assert!(current.is_none() || result.is_err(), "only whole frames");
        (frames, buffers.len(), result)
    }

    fn give_back(&mut self, sending: Sending) {
        for (page, segment) in sending.memory {
            self.bus.take_back(segment, Direction::ToDevice);
            self.spare.push(page);
        }
    }

    /// Lets everything be sent and received, and checks that it was.
    pub fn drain(&mut self) {
        let pairs = self.net.limits().queues;
        for _ in 0..40 {
            for pair in 0..pairs {
                if !self.wire[pair].is_empty() {
                    while self.post(pair, 0, 4096).is_ok() {}
                }
                self.net.commit(pair);
            }
            self.model.run();
            for pair in 0..pairs {
                self.reap_tx(pair).expect("an honest card");
                self.reap_rx(pair, usize::MAX).expect("an honest card");
            }
            if self.sending.is_empty() && self.expected() == 0 {
                break;
            }
        }
        self.model.assert_clean();
        assert_eq!(
            (self.sending.len(), self.expected()),
            (0, 0),
            "all is sent and received"
        );
        assert!(self.sent.is_empty());
        assert_eq!(
            self.model.in_flight(),
            self.posted.len(),
            "the card has empty buffers alone"
        );
    }

    /// The same card, up again.
    pub fn restart(mut self) -> Result<Self, DeviceFault> {
        self.net.restart()?;
        Ok(self)
    }

    /// Forgets what is in flight, as after a fault: no memory is open to the card any more.
    pub fn forget(&mut self) {
        self.bus.take_all_back();
        self.sending.clear();
        self.sent.clear();
        self.model.sent();
        self.free.extend(self.posted.keys());
        self.posted.clear();
        self.wire.iter_mut().for_each(VecDeque::clear);
    }
}
