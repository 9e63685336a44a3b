//! A disk on its model, and a plain `Vec<u8>` that says what must be on it.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use outrigger_bus_model::{Bus, Direction, TestPage, TestPool};
use outrigger_devices::{
    BlockDevice, BlockOp, BlockRequest, Completion, Device as _, DeviceFault, DmaMemory, DmaReach,
    DmaSegment, QueueFull, Status, Tag, Watched,
};
use outrigger_nvme::{Namespace, Options, ProbeError, Signal, probe};
use outrigger_nvme_model::{DISCARDED, NvmeModel, Offer};
use outrigger_pci::{BusWindow, Ecam, Function, Message};
use outrigger_pci_model::{EcamPage, TestClock, WINDOW_BUS, WINDOW_BYTES, WindowModel};

pub const SECTOR: usize = 512;

/// A GICv2m frame's address, and an interrupt's number.
pub const MESSAGE: Message = Message {
    address: 0x802_0040,
    data: 80,
};

pub const SIGNAL: Signal = Signal::Message(MESSAGE);

pub type Disk = Namespace<Ecam<EcamPage>, Watched<WindowModel>, TestPage, TestClock>;

/// Registers whose model allocates unseen.
fn watched(window: WindowModel) -> Watched<WindowModel> {
    Watched::new(window, |access| allocation_counter::opt_out(access))
}

/// The controller of a model, brought up.
pub fn bring_up(
    model: &NvmeModel,
    pool: &TestPool,
    signal: Signal,
    options: Options,
) -> Result<Vec<Disk>, ProbeError> {
    let function = model.function();
    let place = BusWindow {
        start: WINDOW_BUS,
        size: WINDOW_BYTES,
    };
    let found = Function::find(Ecam(function.ecam()), watched(function.window()), place)?;
    probe(found, pool, function.clock(), DmaReach::ALL, signal, options)
}

pub struct Rig {
    pub bus: Bus,
    pub pool: TestPool,
    pub clock: TestClock,
    pub model: NvmeModel,
    pub disk: Disk,
    /// Namespaces besides the first.
    pub others: Vec<Disk>,
    pub nsid: u32,
    pub oracle: Vec<u8>,
    /// What the last flush that completed made durable.
    pub flushed: Vec<u8>,
    read_only: bool,
    pending: BTreeMap<Tag, Pending>,
    spare: Vec<DmaMemory<TestPage>>,
    next_tag: u32,
}

struct Pending {
    op: BlockOp,
    sector: u64,
    len: usize,
    data: Vec<u8>,
    memory: Vec<(DmaMemory<TestPage>, DmaSegment)>,
}

impl Pending {
    /// Whether some piece ends within a page and within a block, and the next does not go on there.
    fn cut_within_blocks(&self, block: usize) -> bool {
        let mut bytes = 0;
        self.memory.windows(2).any(|pair| {
            let (one, next) = (pair[0].1, pair[1].1);
            let end = one.addr.bits() + u64::from(one.len);
            bytes += one.len as usize;
            let goes_on = end % 4096 == 0 && next.addr.bits() % 4096 == 0;
            bytes = if goes_on { bytes } else { bytes % block };
            !goes_on && bytes != 0
        })
    }
}

/// A piece of a page, in sectors: offset and length.
pub type Piece = (u32, u32);

/// Pieces of whole pages.
pub fn pages(count: usize) -> Vec<Piece> {
    vec![(0, 8); count]
}

fn direction(op: BlockOp) -> Direction {
    if op == BlockOp::Read {
        Direction::FromDevice
    } else {
        Direction::ToDevice
    }
}

impl Rig {
    pub fn new(offer: Offer, options: Options) -> Self {
        Self::signalled(offer, options, SIGNAL)
    }

    pub fn signalled(offer: Offer, options: Options, signal: Signal) -> Self {
        let (bus, clock) = (Bus::default(), TestClock::default());
        let pool = bus.pool(1024);
        let first = &offer.namespaces[0];
        let (nsid, read_only) = (first.nsid, first.read_only);
        let model = NvmeModel::new(offer, &bus, &clock);
        let mut others = bring_up(&model, &pool, signal, options).expect("a disk");
        let disk = others.remove(0);
        model.assert_clean();
        // Admin commands are waited for; that they interrupt does no harm.
        model.function().take_messages();
        let oracle = model.contents(nsid);
        Self {
            bus,
            pool,
            clock,
            model,
            disk,
            others,
            nsid,
            flushed: oracle.clone(),
            oracle,
            read_only,
            pending: BTreeMap::new(),
            spare: Vec::new(),
            next_tag: 7,
        }
    }

    /// Whether a request in flight touches these sectors.
    pub fn overlaps(&self, sector: u64, sectors: u64) -> bool {
        self.pending.values().any(|pending| {
            let end = pending.sector + (pending.len / SECTOR) as u64;
            pending.sector < sector + sectors && sector < end
        })
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Submits a read or write of `pieces`; a write's data follows from its tag.
    pub fn transfer(
        &mut self,
        queue: usize,
        op: BlockOp,
        sector: u64,
        pieces: &[Piece],
    ) -> Result<Tag, QueueFull> {
        let tag = Tag(self.next_tag);
        let memory: Vec<_> = pieces
            .iter()
            .map(|(offset, len)| {
                let page = self.spare.pop().unwrap_or_else(|| self.bus.data_page());
                let segment = page.page.segment(offset * 512, len * 512).expect("within a page");
                (page, segment)
            })
            .collect();
        let segments: Vec<_> = memory.iter().map(|(_, segment)| *segment).collect();
        let mut data = Vec::new();
        for ((page, segment), (offset, _)) in memory.iter().zip(pieces) {
            let bytes: Vec<u8> = (0..segment.len)
                .map(|i| (tag.0.wrapping_mul(31) + (data.len() as u32 + i) / 3) as u8)
                .collect();
            if op == BlockOp::Write {
                page.memory.poke(*offset as usize * SECTOR, &bytes);
            } else {
                page.memory
                    .poke(*offset as usize * SECTOR, &vec![0xee; bytes.len()]);
            }
            self.bus.lend(*segment, direction(op));
            data.extend(bytes);
        }
        let request = BlockRequest {
            op,
            sector,
            sectors: 0,
            segments: &segments,
            tag,
        };
        let result = self.disk.submit(queue, &request);
        let pending = Pending {
            op,
            sector,
            len: data.len(),
            data,
            memory,
        };
        if let Err(full) = result {
            self.give_back(pending);
            return Err(full);
        }
        self.next_tag += 1;
        self.pending.insert(tag, pending);
        Ok(tag)
    }

    /// Submits a request without data.
    pub fn dataless(
        &mut self,
        queue: usize,
        op: BlockOp,
        sector: u64,
        sectors: u64,
    ) -> Result<Tag, QueueFull> {
        let tag = Tag(self.next_tag);
        let request = BlockRequest {
            op,
            sector,
            sectors,
            segments: &[],
            tag,
        };
        self.disk.submit(queue, &request)?;
        self.next_tag += 1;
        let pending = Pending {
            op,
            sector,
            len: sectors as usize * SECTOR,
            data: Vec::new(),
            memory: Vec::new(),
        };
        self.pending.insert(tag, pending);
        Ok(tag)
    }

    /// Reaps a queue and checks each completion against the oracle.
    pub fn reap(&mut self, queue: usize) -> Result<usize, DeviceFault> {
        let completions = RefCell::new(VecDeque::new());
        let result = self.disk.reap(queue, &mut |completion| {
            completions.borrow_mut().push_back(completion)
        });
        let completions = completions.into_inner();
        let count = completions.len();
        for completion in completions {
            self.check(completion);
        }
        result.map(|()| count)
    }

    /// Reaps without an oracle.
    pub fn reap_raw(&mut self, queue: usize) -> (Vec<Completion>, Result<(), DeviceFault>) {
        let mut completions = Vec::new();
        let result = self
            .disk
            .reap(queue, &mut |completion| completions.push(completion));
        for completion in &completions {
            if let Some(pending) = self.pending.remove(&completion.tag) {
                self.give_back(pending);
            }
        }
        (completions, result)
    }

    fn check(&mut self, Completion { tag, status }: Completion) {
        let pending = self
            .pending
            .remove(&tag)
            .expect("a completion of something in flight, once");
        let limits = self.disk.limits();
        let from = pending.sector as usize * SECTOR;
        let range = from..from + pending.len;
        let fits = range.end <= self.oracle.len();
        let block = limits.logical_block_size as usize;
        let crooked = !from.is_multiple_of(block) || !pending.len.is_multiple_of(block);
        let refused = |most: u32| pending.len / SECTOR > most as usize || pending.len == 0 || crooked;
        let expected = match pending.op {
            BlockOp::Flush => Status::Ok,
            BlockOp::Discard if limits.max_discard_sectors == 0 => Status::Unsupported,
            BlockOp::WriteZeroes { .. } if limits.max_write_zeroes_sectors == 0 => Status::Unsupported,
            BlockOp::Discard if refused(limits.max_discard_sectors) => Status::IoError,
            BlockOp::WriteZeroes { .. } if refused(limits.max_write_zeroes_sectors) => Status::IoError,
            BlockOp::Write if self.read_only => Status::IoError,
            BlockOp::Read | BlockOp::Write
                if pending.memory.is_empty()
                    || pending.memory.len() > limits.max_segments
                    || crooked
                    || pending.cut_within_blocks(block) =>
            {
                Status::IoError
            }
            _ if !fits => Status::IoError,
            _ => Status::Ok,
        };
        assert_eq!(
            status, expected,
            "{:?} at {} of {}",
            pending.op, pending.sector, pending.len
        );
        if status == Status::Ok {
            match pending.op {
                BlockOp::Read => assert_eq!(read_back(&pending), self.oracle[range], "what a read brought"),
                BlockOp::Write => self.oracle[range].copy_from_slice(&pending.data),
                BlockOp::Discard => self.oracle[range].fill(DISCARDED),
                BlockOp::WriteZeroes { .. } => self.oracle[range].fill(0),
                BlockOp::Flush => self.flushed.clone_from(&self.oracle),
            }
        }
        self.give_back(pending);
    }

    fn give_back(&mut self, pending: Pending) {
        for (page, segment) in pending.memory {
            self.bus.take_back(segment, direction(pending.op));
            self.spare.push(page);
        }
    }

    /// Lets everything end, and checks that it did.
    pub fn drain(&mut self) {
        let queues = self.disk.limits().queues;
        for _ in 0..4 {
            for queue in 0..queues {
                self.disk.commit(queue);
            }
            self.model.run();
            for queue in 0..queues {
                self.reap(queue).expect("an honest device");
            }
        }
        self.model.assert_clean();
        assert_eq!(self.pending.len(), 0, "every request has completed");
        assert_eq!(self.model.in_flight(), 0);
        assert!(
            self.model.contents(self.nsid) == self.oracle,
            "the disk holds what was written"
        );
    }

    /// The same disk, up again.
    pub fn restart(mut self) -> Result<Self, DeviceFault> {
        self.disk.restart()?;
        Ok(self)
    }

    /// Forgets what is in flight, as after a fault: no memory is open to the device any more.
    pub fn forget(&mut self) {
        self.bus.take_all_back();
        self.pending.clear();
    }
}

fn read_back(pending: &Pending) -> Vec<u8> {
    let mut all = Vec::new();
    for (page, segment) in &pending.memory {
        let offset = (segment.addr.bits() - page.page.at(0).bits()) as usize;
        let mut bytes = vec![0; segment.len as usize];
        page.memory.peek(offset, &mut bytes);
        all.extend(bytes);
    }
    all
}
