//! A network card: memory only over the bus, and a wire that the test holds.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use outrigger_devices::{
    BlankChecksum, Device, DeviceFault, DmaSegment, Gso, GsoKind, Instant, Interrupt, NetDevice, NetLimits,
    QueueFull, RxBuffer, RxChecksum, Tag, Tick, TxFrame,
};
use outrigger_xen::fake::Domain;
use outrigger_xenbus::fake::quiet;

/// What went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub bytes: Vec<u8>,
    pub checksum: Option<BlankChecksum>,
    pub gso: Option<Gso>,
}

/// What comes in.
pub struct Arriving {
    pub bytes: Vec<u8>,
    pub checksum: RxChecksum,
    pub gso: Option<Gso>,
}

pub struct Core {
    domain: Domain,
    pub limits: NetLimits,
    pub sent: Vec<Sent>,
    posted: VecDeque<(Tag, DmaSegment)>,
    submitted: VecDeque<(Tag, Vec<DmaSegment>, Sent)>,
    done: VecDeque<Tag>,
    pub arriving: VecDeque<Arriving>,
    /// Frames are not read meanwhile.
    pub stalled: bool,
    /// Frames that it holds at most.
    pub depth: usize,
    pub lie: Option<&'static str>,
    /// So often it comes back from a reset; and resets so far.
    pub restarts: u32,
    pub resets: u32,
    /// What it comes back as.
    pub returns_as: Option<NetLimits>,
    /// Handed over as they are, once.
    pub wild: Vec<RxBuffer>,
    pub commits: usize,
    pub quiesced: bool,
    /// How often it wants to be looked after, how often it was, and whether it has news then.
    pub every: Option<Duration>,
    pub ticks: usize,
    pub news: bool,
    armed: bool,
}

pub type Handle = Rc<RefCell<Core>>;

pub struct Card(pub Handle);

pub fn limits() -> NetLimits {
    NetLimits {
        mac: [0x52, 0x54, 0, 0, 0, 1],
        mtu: 1500,
        tx_checksum: true,
        tso4: true,
        tso6: true,
        rx_gso: true,
        mergeable: true,
        rx_headroom: 12,
        max_segments: 64,
        queues: 1,
        link: true,
    }
}

pub fn card(domain: &Domain, limits: NetLimits) -> Handle {
    Rc::new(RefCell::new(Core {
        domain: domain.clone(),
        limits,
        sent: Vec::with_capacity(4096),
        posted: VecDeque::with_capacity(4096),
        submitted: VecDeque::with_capacity(4096),
        done: VecDeque::with_capacity(4096),
        arriving: VecDeque::new(),
        stalled: false,
        depth: 256,
        lie: None,
        restarts: u32::MAX,
        resets: 0,
        returns_as: None,
        wild: Vec::new(),
        commits: 0,
        quiesced: false,
        every: None,
        ticks: 0,
        news: false,
        armed: false,
    }))
}

impl Card {
    /// A driver's beginning: the card is reset.
    pub fn probe(handle: &Handle) -> Self {
        handle.borrow_mut().reset();
        Self(handle.clone())
    }

    /// Something is about to happen that the card sees, or that is seen of it.
    fn step(&self) {
        let domain = self.0.borrow().domain.clone();
        quiet(|| domain.step());
    }
}

impl Core {
    /// All that is in flight is forgotten, and it serves.
    fn reset(&mut self) {
        self.posted.clear();
        self.submitted.clear();
        self.done.clear();
        (self.armed, self.quiesced, self.lie) = (false, false, None);
    }

    /// What a reap of it ends with.
    fn verdict(&self) -> Result<(), DeviceFault> {
        self.lie.map_or(Ok(()), |why| Err(DeviceFault(why)))
    }

    pub fn arrive(&mut self, bytes: &[u8]) {
        self.arriving.push_back(Arriving {
            bytes: bytes.to_vec(),
            checksum: RxChecksum::Unknown,
            gso: None,
        });
        self.raise();
    }

    /// A frame of TCP over IPv4 arrives that stands for several, as from a neighbour on the same host.
    pub fn arrive_large(&mut self, bytes: &[u8]) {
        self.arriving.push_back(Arriving {
            bytes: bytes.to_vec(),
            checksum: RxChecksum::Blank(BlankChecksum {
                start: 34,
                offset: 16,
            }),
            gso: Some(Gso {
                kind: GsoKind::TcpV4,
                size: 1448,
                header_len: 66,
            }),
        });
        self.interrupt();
    }

    fn raise(&self) {
        if self.armed {
            self.domain.raise_irq(0);
        }
    }

    pub fn interrupt(&self) {
        self.domain.raise_irq(0);
    }

    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    pub fn in_flight(&self) -> usize {
        self.submitted.len() + self.done.len()
    }

    pub fn posted(&self) -> usize {
        self.posted.len()
    }

    /// Reads the frames that it was told of.
    pub fn run(&mut self) {
        if self.stalled {
            return;
        }
        for (tag, segments, mut sent) in self.submitted.drain(..) {
            for segment in segments {
                let mut bytes = vec![0; segment.len as usize];
                self.domain.dma_read(segment.addr, &mut bytes);
                sent.bytes.extend(bytes);
            }
            self.sent.push(sent);
            self.done.push_back(tag);
        }
    }
}

impl NetDevice for Card {
    fn limits(&self) -> NetLimits {
        self.0.borrow().limits
    }

    fn submit(&mut self, queue: usize, frame: &TxFrame<'_>) -> Result<(), QueueFull> {
        assert_eq!(queue, 0);
        self.step();
        let core = &mut *self.0.borrow_mut();
        assert!(!core.quiesced, "submitted to a stopped card");
        assert!(!frame.segments.is_empty() && frame.segments.len() <= core.limits.max_segments);
        assert!(
            frame.checksum.is_none() || core.limits.tx_checksum,
            "it cannot do checksums"
        );
        if let Some(gso) = frame.gso {
            assert!(core.limits.tso4 && frame.checksum.is_some() && gso.size > 0);
        }
        if core.submitted.len() + core.done.len() >= core.depth {
            return Err(QueueFull);
        }
        quiet(|| {
            let sent = Sent {
                bytes: Vec::new(),
                checksum: frame.checksum,
                gso: frame.gso,
            };
            core.submitted
                .push_back((frame.tag, frame.segments.to_vec(), sent));
        });
        Ok(())
    }

    fn post(&mut self, _: usize, tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull> {
        self.step();
        quiet(|| self.0.borrow_mut().posted.push_back((tag, buffer)));
        Ok(())
    }

    fn commit(&mut self, _: usize) {
        self.step();
        quiet(|| {
            let core = &mut *self.0.borrow_mut();
            core.commits += 1;
            core.run();
        });
    }

    fn reap_tx(&mut self, _: usize, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault> {
        let done = quiet(|| std::mem::take(&mut self.0.borrow_mut().done));
        for tag in &done {
            self.step();
            each(*tag);
        }
        quiet(|| drop(done));
        self.0.borrow().verdict()
    }

    fn reap_rx(&mut self, _: usize, most: usize, each: &mut dyn FnMut(RxBuffer)) -> Result<(), DeviceFault> {
        for buffer in std::mem::take(&mut self.0.borrow_mut().wild) {
            each(buffer);
        }
        let mut handed = 0;
        while handed < most {
            let buffers = quiet(|| self.0.borrow_mut().fill());
            let Some(buffers) = buffers else { break };
            handed += buffers.len();
            for buffer in &buffers {
                self.step();
                each(*buffer);
            }
            quiet(|| drop(buffers));
        }
        self.0.borrow().verdict()
    }

    fn arm(&mut self, _: usize, sent: bool) -> bool {
        self.step();
        let core = &mut *self.0.borrow_mut();
        core.armed = true;
        (!core.arriving.is_empty() && !core.posted.is_empty()) || (sent && !core.done.is_empty())
    }
}

impl Device for Card {
    fn acknowledge(&mut self) -> Interrupt {
        Interrupt {
            completions: true,
            config: true,
        }
    }

    fn tick(&mut self, now: Instant) -> Tick {
        let core = &mut *self.0.borrow_mut();
        core.ticks += 1;
        Tick {
            config: std::mem::take(&mut core.news),
            again: core.every.map(|every| now.after(every)),
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        each("rx-crc", self.0.borrow().ticks as u64);
    }

    fn quiesce(&mut self) {
        self.0.borrow_mut().quiesced = true;
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        let core = &mut *self.0.borrow_mut();
        core.resets += 1;
        if core.restarts == 0 {
            return Err(DeviceFault("it does not come back"));
        }
        core.restarts -= 1;
        core.limits = core.returns_as.take().unwrap_or(core.limits);
        core.reset();
        Ok(())
    }
}

impl Core {
    /// Receives one frame into posted buffers.
    fn fill(&mut self) -> Option<Vec<RxBuffer>> {
        let frame = self.arriving.front()?;
        let headroom = self.limits.rx_headroom as usize;
        let pages = (headroom + frame.bytes.len()).div_ceil(4096);
        if self.posted.len() < pages {
            return None;
        }
        let frame = self.arriving.pop_front()?;
        let mut rest = &frame.bytes[..];
        let mut buffers = Vec::new();
        for index in 0..pages {
            let (tag, segment) = self.posted.pop_front()?;
            let offset = if index == 0 { headroom } else { 0 };
            let (here, later) = rest.split_at(rest.len().min(4096 - offset));
            rest = later;
            self.domain
                .dma_write_at(segment.addr.bits() + offset as u64, here);
            buffers.push(RxBuffer {
                tag,
                offset: offset as u32,
                len: here.len() as u32,
                more: index + 1 < pages,
                checksum: frame.checksum,
                gso: frame.gso,
            });
        }
        Some(buffers)
    }
}
