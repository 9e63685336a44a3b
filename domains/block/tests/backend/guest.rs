//! A guest with a block frontend of its own making.

use std::collections::BTreeMap;

use outrigger_blkif::Abi;
use outrigger_ring::{FrontRing, SharedPages};
use outrigger_xen::fake::{Device, Domain, FakePages};
use outrigger_xen::{Access, EventChannels, GrantRef, Port};

use crate::world::{DD, Host, World};

/// How a frontend connects.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub persistent: bool,
    pub queues: u32,
    pub order: u32,
    pub protocol: Option<&'static str>,
    /// Where the ring's indices start.
    pub first: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            persistent: true,
            queues: 1,
            order: 0,
            protocol: None,
            first: 0,
        }
    }
}

/// `operation`.
pub const READ: u8 = 0;
pub const WRITE: u8 = 1;
pub const BARRIER: u8 = 2;
pub const FLUSH: u8 = 3;
pub const DISCARD: u8 = 5;
pub const INDIRECT: u8 = 6;

pub const OKAY: i16 = 0;
pub const ERROR: i16 = -1;
pub const UNSUPPORTED: i16 = -2;

/// A segment: reference, first and last sector.
pub type Seg = (GrantRef, u8, u8);

/// A page of the guest's that the backend may use.
#[derive(Clone)]
pub struct Buffer {
    pub page: FakePages,
    pub gref: GrantRef,
}

impl Buffer {
    pub fn fill(&self, seed: u64) {
        self.page.write(0, &pattern(seed, 4096));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        self.page.read(0, &mut bytes);
        bytes
    }

    pub fn whole(&self) -> Seg {
        (self.gref, 0, 7)
    }
}

pub fn pattern(mut seed: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e);
            (seed >> 40) as u8
        })
        .collect()
}

struct Asked {
    operation: u8,
    grefs: Vec<GrantRef>,
}

pub struct Guest {
    pub dom: Domain,
    pub device: Device,
    pub abi: Abi,
    pub options: Options,
    pub rings: Vec<FrontRing<FakePages>>,
    pub ring_pages: Vec<FakePages>,
    pub ring_refs: Vec<Vec<GrantRef>>,
    pub ports: Vec<Port>,
    next_id: u64,
    asked: BTreeMap<u64, Asked>,
    answers: BTreeMap<u64, i16>,
    /// Notifications from the backend, as the ring asked for them.
    pub events: u64,
}

impl Guest {
    /// A guest whose frontend has published its rings and gone to state 3.
    pub fn publish(world: &Host, device: Device, options: Options) -> Self {
        let dom = world.xen.domain(device.frontend);
        let abi = Abi::from_protocol(options.protocol).unwrap();
        let fe = world.xs.by(device.frontend);
        let top = device.frontend_path();
        let write = |key: String, value: String| fe.write(&format!("{top}/{key}"), value).unwrap();
        let mut guest = Self {
            dom: dom.clone(),
            device,
            abi,
            options,
            rings: Vec::new(),
            ring_pages: Vec::new(),
            ring_refs: Vec::new(),
            ports: Vec::new(),
            next_id: 0x1_0000_0000,
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            events: 0,
        };
        for key in ["multi-queue-num-queues", "ring-page-order", "protocol"] {
            let path = format!("{top}/{key}");
            if fe.exists(&path) {
                fe.rm(&path).unwrap();
            }
        }
        for queue in 0..options.queues {
            let prefix = if options.queues > 1 {
                format!("queue-{queue}/")
            } else {
                String::new()
            };
            let pages = dom.pages(1 << options.order);
            let ring = FrontRing::init(pages.clone(), abi.slot_bytes(), options.first).unwrap();
            let refs: Vec<GrantRef> = (0..1 << options.order)
                .map(|page| dom.grant(&pages, page, DD, Access::ReadWrite))
                .collect();
            let port = dom.alloc_unbound(DD).unwrap();
            if options.order == 0 {
                write(format!("{prefix}ring-ref"), refs[0].0.to_string());
            } else {
                for (page, gref) in refs.iter().enumerate() {
                    write(format!("{prefix}ring-ref{page}"), gref.0.to_string());
                }
            }
            write(format!("{prefix}event-channel"), port.0.to_string());
            guest.rings.push(ring);
            guest.ring_pages.push(pages);
            guest.ring_refs.push(refs);
            guest.ports.push(port);
        }
        if options.queues > 1 {
            write("multi-queue-num-queues".into(), options.queues.to_string());
        }
        if options.order > 0 {
            write("ring-page-order".into(), options.order.to_string());
        }
        if let Some(protocol) = options.protocol {
            write("protocol".into(), protocol.into());
        }
        write(
            "feature-persistent".into(),
            u8::from(options.persistent).to_string(),
        );
        write("state".into(), "3".into());
        guest
    }

    /// A guest whose frontend is connected.
    pub fn connect(world: &World, device: Device, options: Options) -> Self {
        assert_eq!(world.state(device), "2", "{}", world.error(device));
        let guest = Self::publish(world, device, options);
        world.advance(600);
        assert_eq!(world.state(device), "4", "{}", world.error(device));
        guest.set_state(world, 4);
        world.settle();
        guest
    }

    /// All at once: a vbd of the guest `frontend`, connected.
    pub fn boot(world: &World, device: Device, target: &str, mode: &str, options: Options) -> Self {
        world.attach(device, target, mode);
        Self::connect(world, device, options)
    }

    pub fn set_state(&self, world: &Host, state: u8) {
        let path = format!("{}/state", self.device.frontend_path());
        world
            .xs
            .by(self.device.frontend)
            .write(&path, state.to_string())
            .unwrap();
    }

    pub fn buffer(&self) -> Buffer {
        self.buffer_with(Access::ReadWrite)
    }

    pub fn buffer_with(&self, access: Access) -> Buffer {
        let page = self.dom.pages(1);
        let gref = self.dom.grant(&page, 0, DD, access);
        Buffer { page, gref }
    }

    pub fn buffers(&self, count: usize) -> Vec<Buffer> {
        (0..count).map(|_| self.buffer()).collect()
    }

    fn header(&self, first: [u8; 4], id: u64, sector: u64) -> Vec<u32> {
        let mut words = vec![u32::from_le_bytes(first)];
        if self.abi == Abi::Lp64 {
            // Padding is whatever was there.
            words.push(0xdead_beef);
        }
        for value in [id, sector] {
            words.extend([value as u32, (value >> 32) as u32]);
        }
        words
    }

    /// Queues words as they are; the id is at its place in them.
    pub fn raw(&mut self, ring: usize, operation: u8, id: u64, mut words: Vec<u32>, grefs: Vec<GrantRef>) {
        words.resize(self.abi.slot_words(), 0xabad_1dea);
        self.rings[ring].request(&words);
        self.asked.insert(id, Asked { operation, grefs });
    }

    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 0x1_0000_0001;
        self.next_id
    }

    pub fn data(&mut self, ring: usize, operation: u8, sector: u64, segs: &[Seg]) -> u64 {
        let id = self.fresh_id();
        let mut words = self.header([operation, segs.len() as u8, 0, 0], id, sector);
        for seg in segs {
            words.extend(segment(seg));
        }
        let grefs = segs.iter().map(|seg| seg.0).collect();
        self.raw(ring, operation, id, words, grefs);
        id
    }

    pub fn flush(&mut self, ring: usize) -> u64 {
        self.data(ring, FLUSH, 0, &[])
    }

    pub fn discard(&mut self, ring: usize, sector: u64, sectors: u64, flag: u8) -> u64 {
        let id = self.fresh_id();
        let mut words = self.header([DISCARD, flag, 0, 0], id, sector);
        words.extend([sectors as u32, (sectors >> 32) as u32]);
        self.raw(ring, DISCARD, id, words, Vec::new());
        id
    }

    /// `page` holds the segments.
    pub fn indirect(&mut self, ring: usize, inner: u8, sector: u64, segs: &[Seg], page: &Buffer) -> u64 {
        for (i, seg) in segs.iter().enumerate().take(512) {
            for (j, word) in segment(seg).into_iter().enumerate() {
                page.page.store_u32(8 * i + 4 * j, word);
            }
        }
        self.indirect_raw(ring, inner, sector, segs.len() as u16, page.gref, segs)
    }

    pub fn indirect_raw(
        &mut self,
        ring: usize,
        inner: u8,
        sector: u64,
        count: u16,
        page: GrantRef,
        segs: &[Seg],
    ) -> u64 {
        let id = self.fresh_id();
        let [low, high] = count.to_le_bytes();
        let mut words = self.header([INDIRECT, inner, low, high], id, sector);
        words.push(0x5555_0000);
        words.push(page.0);
        let mut grefs: Vec<GrantRef> = segs.iter().map(|seg| seg.0).collect();
        grefs.push(page);
        self.raw(ring, inner, id, words, grefs);
        id
    }

    /// Publishes, and notifies if asked.
    pub fn kick(&mut self, ring: usize) {
        if self.rings[ring].push() {
            self.dom.notify(self.ports[ring]);
        }
    }

    /// Takes all responses there are, strictly.
    pub fn collect(&mut self) {
        for ring in 0..self.rings.len() {
            loop {
                if self.dom.is_pending(self.ports[ring]) {
                    self.events += 1;
                    self.dom.take_pending(&mut |_| {});
                }
                let pending = self.rings[ring].pending().expect("rsp_prod within bounds");
                for _ in 0..pending {
                    self.take_response(ring);
                }
                if !self.rings[ring].final_check().expect("rsp_prod within bounds") {
                    break;
                }
            }
        }
    }

    fn take_response(&mut self, ring: usize) {
        let len = if self.abi == Abi::Lp64 { 4 } else { 3 };
        let mut words = vec![0; len];
        self.rings[ring].consume(&mut words);
        let id = u64::from(words[0]) | u64::from(words[1]) << 32;
        let asked = self
            .asked
            .remove(&id)
            .unwrap_or_else(|| panic!("a response to {id:#x}, which nobody asked or which was answered"));
        let [operation, padding, low, high] = words[2].to_le_bytes();
        assert_eq!(operation, asked.operation, "the operation is echoed");
        assert_eq!(padding, 0, "every byte of a response is defined");
        assert_eq!(
            words.get(3).copied().unwrap_or(0),
            0,
            "every byte of a response is defined"
        );
        if !self.options.persistent {
            for gref in &asked.grefs {
                // Another request may still use the same page.
                let shared = self.asked.values().any(|other| other.grefs.contains(gref));
                let uses = self.dom.grant_uses(*gref);
                assert!(
                    uses == 0 || shared,
                    "{gref:?} is still mapped when its response arrives"
                );
            }
        }
        self.answers.insert(id, i16::from_le_bytes([low, high]));
    }

    /// Publishes everything, runs the backend, and takes the responses.
    pub fn run(&mut self, world: &World) {
        for ring in 0..self.rings.len() {
            self.kick(ring);
        }
        world.settle();
        self.collect();
    }

    /// The status of a request; `None` if it was not answered.
    pub fn answer(&self, id: u64) -> Option<i16> {
        self.answers.get(&id).copied()
    }

    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// One request to its end.
    pub fn one(&mut self, world: &World, id: u64) -> i16 {
        self.run(world);
        self.answer(id).expect("the request is answered")
    }

    /// A clean end: FE 5, BE 5, FE 6, BE 6.
    pub fn close(&self, world: &World) {
        self.set_state(world, 5);
        world.advance(50);
        self.set_state(world, 6);
        world.advance(50);
        assert_eq!(world.state(self.device), "6");
    }
}

pub fn segment((gref, first, last): &Seg) -> [u32; 2] {
    [gref.0, u32::from_le_bytes([*first, *last, 0x77, 0x77])]
}
