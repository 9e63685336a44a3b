//! A card on its model, and a plain `Vec<u8>` that says what must be on it.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_bus_model::Direction;
use outrigger_devices::{
    BlockDevice, BlockOp, BlockRequest, Completion, Device, DeviceFault, DmaMemory, DmaReach, DmaSegment,
    QueueFull, Status, Tag,
};
use outrigger_sdhci::{Chip, Options, ProbeError, Sdhci};
use outrigger_sdhci_model::{Bus, CardOffer, SdhciModel, Slot, TestClock, TestPage, TestPool};

pub const SECTOR: usize = 512;
/// What a discarded sector of the model holds.
pub const DISCARDED: u8 = 0xdd;

pub type Disk = Sdhci<SdhciModel, TestPool, TestClock>;

/// Memory and controller of a test.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub slot: Slot,
    pub chip: Chip,
    pub card: CardOffer,
    pub options: Options,
    pub reach: DmaReach,
    /// Where pages of the pool, and of data, lie.
    pub pool_at: u64,
    pub data_at: u64,
}

/// The first GiB and a bit more is where memory is, and the controller sees all of it at other addresses.
pub const PI: DmaReach = DmaReach {
    start: 0,
    end: 1 << 30,
    offset: 0xc000_0000,
    coherent: false,
};

impl Default for Setup {
    /// A Raspberry Pi 4 of the first revisions with an SD card.
    fn default() -> Self {
        Self {
            slot: Slot::BCM2711,
            chip: Chip::BCM2711,
            card: CardOffer::SD,
            options: Options::default(),
            reach: PI,
            pool_at: 0x1000_0000,
            data_at: 0x2000_0000,
        }
    }
}

impl Setup {
    pub fn generic(slot: Slot, card: CardOffer) -> Self {
        Self {
            slot,
            card,
            chip: Chip {
                eight_lines: slot.lines == 8,
                ..Chip::GENERIC
            },
            reach: DmaReach::ALL,
            ..Self::default()
        }
    }

    pub fn model(&self) -> (Bus, SdhciModel) {
        let bus = Bus::default();
        bus.set_reach(self.reach);
        bus.place_at(self.pool_at, 1 << 12);
        let model = SdhciModel::new(self.slot, Some(self.card), &bus);
        (bus, model)
    }

    pub fn probe(&self, bus: &Bus, model: &SdhciModel, clock: &TestClock) -> Result<Disk, ProbeError> {
        let pool = bus.pool(512);
        Sdhci::probe(
            model.clone(),
            pool,
            clock.clone(),
            self.chip,
            self.reach,
            self.options,
        )
    }

    pub fn rig(&self) -> Rig {
        let (bus, model) = self.model();
        let clock = model.clock();
        let disk = self.probe(&bus, &model, &clock).expect("a card");
        model.assert_clean();
        bus.place_at(self.data_at, 1 << 12);
        let contents = vec![0; self.card.sectors as usize * SECTOR];
        Rig {
            bus,
            model,
            clock,
            disk,
            oracle: contents,
            pending: BTreeMap::new(),
            spare: Vec::new(),
            next_tag: 7,
            ended: Vec::new(),
        }
    }
}

pub struct Rig {
    pub bus: Bus,
    pub model: SdhciModel,
    pub clock: TestClock,
    pub disk: Disk,
    pub oracle: Vec<u8>,
    pub pending: BTreeMap<Tag, Pending>,
    spare: Vec<DmaMemory<TestPage>>,
    next_tag: u32,
    /// How requests ended, in that order.
    pub ended: Vec<(BlockOp, Status)>,
}

pub struct Pending {
    op: BlockOp,
    sector: u64,
    len: usize,
    data: Vec<u8>,
    memory: Vec<(DmaMemory<TestPage>, DmaSegment)>,
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
    /// Submits a read or write of `pieces`; a write's data follows from its tag.
    pub fn transfer(&mut self, op: BlockOp, sector: u64, pieces: &[Piece]) -> Result<Tag, QueueFull> {
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
            let filled = if op == BlockOp::Write {
                bytes.clone()
            } else {
                vec![0xee; bytes.len()]
            };
            page.memory.poke(*offset as usize * SECTOR, &filled);
            self.bus.lend(*segment, direction(op));
            data.extend(bytes);
        }
        let pending = Pending {
            op,
            sector,
            len: data.len(),
            data,
            memory,
        };
        self.submit(tag, sector, 0, &segments, pending)
    }

    /// Submits a request without data.
    pub fn dataless(&mut self, op: BlockOp, sector: u64, sectors: u64) -> Result<Tag, QueueFull> {
        let pending = Pending {
            op,
            sector,
            len: sectors as usize * SECTOR,
            data: Vec::new(),
            memory: Vec::new(),
        };
        self.submit(Tag(self.next_tag), sector, sectors, &[], pending)
    }

    fn submit(
        &mut self,
        tag: Tag,
        sector: u64,
        sectors: u64,
        segments: &[DmaSegment],
        pending: Pending,
    ) -> Result<Tag, QueueFull> {
        let request = BlockRequest {
            op: pending.op,
            sector,
            sectors,
            segments,
            tag,
        };
        if let Err(full) = self.disk.submit(0, &request) {
            self.give_back(pending);
            return Err(full);
        }
        self.next_tag += 1;
        self.pending.insert(tag, pending);
        Ok(tag)
    }

    /// One turn of a backend's loop: reap, and sleep until an interrupt or the deadline if there is nothing to do.
    pub fn turn(&mut self) -> Result<usize, DeviceFault> {
        self.disk.commit(0);
        let mut completions = Vec::new();
        let result = self.disk.reap(0, &mut |completion| completions.push(completion));
        for completion in &completions {
            self.check(*completion);
        }
        result?;
        if !self.pending.is_empty() && !self.disk.arm(0) {
            // The device works while the processor sleeps, and what it has to say wakes it. A look at nothing moves it, too.
            self.model.run();
            if self.model.interrupt() {
                self.disk.acknowledge();
            } else {
                let deadline = self
                    .disk
                    .deadline()
                    .expect("something is under way, so there is an end to it");
                self.clock.advance_to(deadline);
            }
        } else {
            // A turn takes its time.
            self.clock.advance(Duration::from_micros(200));
        }
        Ok(completions.len())
    }

    /// Lets everything end, in a bounded number of turns.
    pub fn drain(&mut self) -> Result<(), DeviceFault> {
        for _ in 0..200_000 {
            if self.pending.is_empty() {
                return Ok(());
            }
            self.turn()?;
        }
        panic!("{} requests never ended", self.pending.len());
    }

    /// Lets everything end well, and checks the card.
    pub fn settle(&mut self) {
        self.drain().expect("no fault");
        self.model.assert_clean();
        assert!(
            *self.model.contents() == self.oracle,
            "the card holds what was written"
        );
        assert!(self.disk.deadline().is_none(), "nothing is under way any more");
    }

    /// All that was written is durable when a flush is over.
    pub fn flush(&mut self) {
        self.drain().expect("no fault");
        self.dataless(BlockOp::Flush, 0, 0).expect("room");
        assert_eq!(self.outcome(), Ok(Status::Ok));
        assert!(*self.model.durable() == self.oracle, "a flush makes all durable");
    }

    /// How the one request in flight ends.
    pub fn outcome(&mut self) -> Result<Status, DeviceFault> {
        self.drain()?;
        Ok(self.ended.last().expect("a request has ended").1)
    }

    fn check(&mut self, Completion { tag, status }: Completion) {
        let pending = self
            .pending
            .remove(&tag)
            .expect("a completion of something in flight, once");
        self.ended.push((pending.op, status));
        if status == Status::Ok {
            let limits = self.disk.limits();
            let from = pending.sector as usize * SECTOR;
            let range = from..from + pending.len;
            match pending.op {
                BlockOp::Read => assert!(read_back(&pending) == self.oracle[range], "what a read brought"),
                BlockOp::Write => self.oracle[range].copy_from_slice(&pending.data),
                BlockOp::Discard => {
                    let group = limits.discard_alignment as u64;
                    let first = pending.sector.next_multiple_of(group) as usize * SECTOR;
                    let after = (range.end / SECTOR) as u64 / group * group;
                    if first < after as usize * SECTOR {
                        self.oracle[first..after as usize * SECTOR].fill(DISCARDED);
                    }
                }
                BlockOp::WriteZeroes { .. } => self.oracle[range].fill(0),
                BlockOp::Flush => {}
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

    /// Forgets what is in flight, as after a fault: no memory is open to the controller any more.
    pub fn forget(&mut self) {
        self.bus.take_all_back();
        self.pending.clear();
    }

    /// What a failed write may have left is what is there now.
    pub fn believe_the_card(&mut self) {
        self.oracle = self.model.contents().to_vec();
    }

    /// As [`believe_the_card`](Self::believe_the_card), after a test's own lies.
    pub fn believe_the_card_where_it_lied(&mut self, fault: outrigger_sdhci_model::Fault) {
        if matches!(fault, outrigger_sdhci_model::Fault::Garbage(bits) if bits & 3 != 0) {
            self.believe_the_card();
        }
    }

    /// The same card, up again.
    pub fn restart(&mut self) -> Result<(), DeviceFault> {
        self.disk.restart()
    }

    /// What the driver has counted under this name.
    pub fn counter(&self, name: &str) -> u64 {
        let mut found = 0;
        self.disk.counters(&mut |other, count| {
            if other == name {
                found = count;
            }
        });
        found
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
