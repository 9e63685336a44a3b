//! A controller on its model, and what must come out at either end.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_bus_model::{Bus, Direction, TestPage, TestPool};
use outrigger_devices::{
    BlankChecksum, Clock, Device, DeviceFault, DmaMemory, DmaPath, DmaReach, DmaSegment, NetDevice,
    QueueFull, RxBuffer, RxChecksum, Tag, TxFrame,
};
use outrigger_genet::{Genet, Options, ProbeError};
use outrigger_genet_model::{GenetModel, Offer, Partner, udp4};

/// Pages to receive into.
pub const BUFFERS: usize = 300;
/// Nobody's address.
pub const STATION: [u8; 6] = [2, 0, 0, 0, 0, 7];

pub type Net = Genet<'static, GenetModel, TestPool>;

pub struct Rig {
    pub bus: Bus,
    pub model: GenetModel,
    pub net: Net,
    buffers: Vec<DmaMemory<TestPage>>,
    free: Vec<Tag>,
    posted: BTreeMap<Tag, DmaSegment>,
    sending: BTreeMap<Tag, Vec<DmaSegment>>,
    /// Tags in the order in which they came back.
    pub returned: Vec<Tag>,
    next_tag: u32,
    spare: Vec<DmaMemory<TestPage>>,
    /// When it asked to be called again.
    again: Option<u64>,
}

/// What a device that sees no caches, behind 40 bits, reaches.
pub const INCOHERENT: DmaReach = DmaReach {
    start: 0,
    end: 1 << 40,
    offset: 0,
    coherent: false,
};

pub fn bus(reach: DmaReach) -> Bus {
    let bus = Bus::default();
    bus.set_reach(reach);
    bus
}

/// Probes a controller that is on a cable unless `partner` is `None`.
pub fn probe(
    bus: &Bus,
    reach: DmaReach,
    offer: Offer,
    options: Options,
) -> (GenetModel, Result<Net, ProbeError>) {
    let model = GenetModel::new(bus, offer);
    let path = DmaPath::new(bus.pool(64), reach, 0);
    // A test ends soon.
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let net = Genet::probe(model.clone(), clock, path, options);
    (model, net)
}

impl Rig {
    pub fn new() -> Self {
        Self::with(INCOHERENT, Offer::default(), Options::default())
    }

    pub fn with(reach: DmaReach, offer: Offer, options: Options) -> Self {
        let bus = bus(reach);
        let (model, net) = probe(&bus, reach, offer, options);
        let buffers: Vec<_> = (0..BUFFERS).map(|_| bus.data_page()).collect();
        model.assert_clean();
        Self {
            bus,
            model,
            net: net.expect("a controller"),
            buffers,
            free: (0..BUFFERS as u32).map(Tag).collect(),
            posted: BTreeMap::new(),
            sending: BTreeMap::new(),
            returned: Vec::new(),
            next_tag: 1000,
            spare: Vec::new(),
            again: Some(0),
        }
    }

    /// One with a link and all its buffers.
    pub fn up() -> Self {
        let mut rig = Self::new();
        rig.connect(Partner::GIGABIT);
        rig.post(256);
        rig
    }

    /// Plugs a cable in, and waits for the link.
    pub fn connect(&mut self, partner: Partner) {
        self.model.connect(Some(partner));
        self.live(Duration::from_secs(3));
        assert!(self.net.limits().link, "the link came");
    }

    /// Lets time pass as a backend does: interrupts are acknowledged, and it is called when it asked for that. Returns how
    /// often its limits changed.
    pub fn live(&mut self, time: Duration) -> usize {
        let end = self.model.now().after(time);
        let mut changes = 0;
        loop {
            let now = self.model.now();
            if self.model.interrupts() {
                changes += usize::from(self.net.acknowledge().config);
                self.again = Some(0);
            }
            if self.again.is_some_and(|at| at <= now.0) {
                let tick = self.net.tick(now);
                changes += usize::from(tick.config);
                self.again = tick.again.map(|at| at.0);
            }
            if now >= end {
                return changes;
            }
            let next = self.again.unwrap_or(end.0).min(end.0);
            self.model.pass(Duration::from_nanos(next.saturating_sub(now.0)));
        }
    }

    pub fn sending(&self) -> usize {
        self.sending.len()
    }

    pub fn posted(&self) -> usize {
        self.posted.len()
    }

    /// Posts a page.
    pub fn post_one(&mut self, len: u32) -> Result<Tag, QueueFull> {
        let tag = *self.free.last().ok_or(QueueFull)?;
        let segment = self.buffers[tag.0 as usize]
            .page
            .segment(0, len)
            .expect("within a page");
        self.bus.lend(segment, Direction::FromDevice);
        self.bus.lend(segment, Direction::ToDevice);
        if let Err(full) = self.net.post(0, tag, segment) {
            self.close(segment);
            return Err(full);
        }
        self.free.pop();
        self.posted.insert(tag, segment);
        Ok(tag)
    }

    fn close(&self, segment: DmaSegment) {
        self.bus.take_back(segment, Direction::FromDevice);
        self.bus.take_back(segment, Direction::ToDevice);
    }

    pub fn post(&mut self, count: usize) {
        for _ in 0..count {
            self.post_one(4096).expect("room");
        }
        self.net.commit(0);
    }

    /// Submits a frame that lies in such pieces (offset in a page, length).
    pub fn submit(
        &mut self,
        bytes: &[u8],
        pieces: &[(u32, u32)],
        checksum: Option<BlankChecksum>,
    ) -> Result<Tag, QueueFull> {
        let tag = Tag(self.next_tag);
        let mut segments = Vec::new();
        let mut from = 0;
        for (offset, len) in pieces {
            let page = self.spare.pop().unwrap_or_else(|| self.bus.data_page());
            page.memory
                .poke(*offset as usize, &bytes[from..from + *len as usize]);
            from += *len as usize;
            segments.push(page.page.segment(*offset, *len).expect("within a page"));
        }
        assert_eq!(from, bytes.len(), "all bytes have a place");
        // A driver may look at whole words.
        for segment in &segments {
            self.bus.lend(round(*segment), Direction::ToDevice);
        }
        let frame = TxFrame {
            segments: &segments,
            checksum,
            gso: None,
            tag,
        };
        let result = self.net.submit(0, &frame);
        if let Err(full) = result {
            for segment in segments {
                self.bus.take_back(round(segment), Direction::ToDevice);
            }
            return Err(full);
        }
        self.next_tag += 1;
        self.sending.insert(tag, segments);
        Ok(tag)
    }

    /// Sends a frame, and returns what was seen on the wire.
    pub fn send(&mut self, bytes: &[u8], pieces: &[(u32, u32)], checksum: Option<BlankChecksum>) -> Vec<u8> {
        let tag = self.submit(bytes, pieces, checksum).expect("room");
        self.net.commit(0);
        self.reap_tx().expect("no lie");
        assert_eq!(self.returned.pop(), Some(tag), "the tag comes back");
        let mut sent = self.model.take_sent();
        assert_eq!(sent.len(), 1, "one frame went out");
        sent.remove(0)
    }

    pub fn reap_tx(&mut self) -> Result<(), DeviceFault> {
        let Self {
            net,
            sending,
            returned,
            bus,
            ..
        } = self;
        net.reap_tx(0, &mut |tag| {
            let segments = sending.remove(&tag).expect("a tag that was submitted, once");
            for segment in segments {
                bus.take_back(round(segment), Direction::ToDevice);
            }
            returned.push(tag);
        })
    }

    /// Reaps what has been received, at most so many frames.
    pub fn reap_rx(&mut self, most: usize) -> Result<Vec<(Vec<u8>, RxChecksum)>, DeviceFault> {
        let mut frames = Vec::new();
        let mut seen = BTreeSet::new();
        let Self {
            net,
            posted,
            bus,
            buffers,
            free,
            ..
        } = self;
        net.reap_rx(0, most, &mut |buffer: RxBuffer| {
            let segment = posted
                .remove(&buffer.tag)
                .expect("a buffer that was posted, once");
            assert!(seen.insert(buffer.tag), "each buffer once");
            assert!(!buffer.more && buffer.gso.is_none(), "a frame is in one buffer");
            bus.take_back(segment, Direction::FromDevice);
            bus.take_back(segment, Direction::ToDevice);
            let mut bytes = vec![0; buffer.len as usize];
            buffers[buffer.tag.0 as usize]
                .memory
                .peek(buffer.offset as usize, &mut bytes);
            free.push(buffer.tag);
            frames.push((bytes, buffer.checksum));
        })?;
        Ok(frames)
    }

    /// Receives one frame.
    pub fn receive(&mut self, frame: &[u8]) -> (Vec<u8>, RxChecksum) {
        self.model.arrive(frame.to_vec());
        let mut frames = self.reap_rx(16).expect("no lie");
        assert_eq!(frames.len(), 1, "one frame came in");
        frames.remove(0)
    }

    /// It still works both ways.
    pub fn assert_works(&mut self) {
        let frame = udp4(STATION, 200, true);
        assert_eq!(self.receive(&frame), (frame.clone(), RxChecksum::Validated));
        assert_eq!(self.send(&frame, &[(64, frame.len() as u32)], None), frame);
        self.model.assert_clean();
    }

    /// What a backend does when a device is out of service: all memory is its own again.
    pub fn forget(&mut self) {
        self.bus.take_all_back();
        self.free.extend(self.posted.keys());
        self.posted.clear();
        self.sending.clear();
    }

    /// Starts over.
    pub fn restart(&mut self) {
        self.forget();
        self.net.restart().expect("it comes up again");
        self.again = Some(0);
    }
}

fn round(segment: DmaSegment) -> DmaSegment {
    DmaSegment {
        len: segment.len.next_multiple_of(4),
        ..segment
    }
}
