//! A disk in memory that reaches guests' pages only over the bus, so that a stray address fails the test.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use outrigger_devices::{
    BlockDevice, BlockLimits, BlockOp, BlockRequest, Completion, Device, DeviceFault, DmaCounters,
    DmaSegment, Interrupt, QueueFull, Status, Tag,
};
use outrigger_xen::Instant;
use outrigger_xen::fake::Domain;
use outrigger_xenbus::fake::quiet;

pub const SECTOR: usize = 512;

/// One request as the device saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub op: BlockOp,
    pub sector: u64,
    pub sectors: u64,
    request: Vec<DmaSegment>,
    tag: Tag,
}

/// In which order requests complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    First,
    Last,
    /// By this seed.
    Any(u64),
}

pub struct Core {
    dd: Domain,
    irq: u32,
    /// What a read finds.
    pub data: Vec<u8>,
    /// What would be there after a power failure.
    pub durable: Vec<u8>,
    pub limits: BlockLimits,
    /// Requests a queue takes.
    pub capacity: usize,
    /// Nothing completes.
    pub held: bool,
    /// What was committed completes right after the next reap, so that only `arm` sees it in that turn.
    pub late: bool,
    lagged: bool,
    /// This many complete although `held`.
    pub allowed: usize,
    pub order: Order,
    /// What the next requests end with, instead of well.
    pub failures: VecDeque<Status>,
    pub fault: Option<DeviceFault>,
    /// So often it comes back from a reset.
    pub restarts: u32,
    pub config_changed: bool,
    /// What it says that the processor did for it.
    pub helped: DmaCounters,
    /// When it wants to be looked at.
    pub deadline: Option<Instant>,
    /// All requests, in the order of their submission.
    pub seen: Vec<Seen>,
    pub commits: usize,
    pub most_in_flight: usize,
    pub quiesced: bool,
    queues: Vec<Queue>,
}

#[derive(Default)]
struct Queue {
    submitted: Vec<Seen>,
    committed: Vec<Seen>,
    armed: bool,
}

/// The test's hand on the disk.
pub type Handle = Rc<RefCell<Core>>;

/// What the backend has of it.
pub struct FakeDisk(Handle);

pub fn limits(sectors: u64) -> BlockLimits {
    BlockLimits {
        sectors,
        read_only: false,
        logical_block_size: 512,
        physical_block_size: 4096,
        flush: true,
        max_segments: 126,
        max_discard_sectors: 64,
        discard_alignment: 8,
        max_write_zeroes_sectors: 0,
        queues: 1,
    }
}

pub fn disk(dd: &Domain, irq: u32, limits: BlockLimits) -> Handle {
    Rc::new(RefCell::new(Core {
        dd: dd.clone(),
        irq,
        data: vec![0; limits.sectors as usize * SECTOR],
        durable: vec![0; limits.sectors as usize * SECTOR],
        capacity: 128,
        held: false,
        late: false,
        lagged: false,
        allowed: 0,
        order: Order::First,
        failures: VecDeque::new(),
        fault: None,
        restarts: 0,
        config_changed: false,
        helped: DmaCounters::default(),
        deadline: None,
        seen: Vec::new(),
        commits: 0,
        most_in_flight: 0,
        quiesced: false,
        queues: (0..limits.queues).map(|_| Queue::default()).collect(),
        limits,
    }))
}

impl FakeDisk {
    /// A driver's beginning: the device is reset.
    pub fn probe(handle: &Handle) -> Self {
        let core = &mut *handle.borrow_mut();
        core.reset();
        core.quiesced = false;
        Self(handle.clone())
    }

    /// Something is about to happen that the device sees, or that is seen of it.
    fn step(&self) {
        let dd = self.0.borrow().dd.clone();
        quiet(|| dd.step());
    }
}

impl Core {
    /// All that is in flight is forgotten. What a volatile cache holds stays there.
    fn reset(&mut self) {
        for queue in &mut self.queues {
            queue.submitted.clear();
            queue.committed.clear();
            queue.armed = false;
        }
    }

    pub fn in_flight(&self) -> usize {
        self.queues
            .iter()
            .map(|queue| queue.submitted.len() + queue.committed.len())
            .sum()
    }

    /// Lets `count` requests complete, or all.
    pub fn release(&mut self, count: usize) {
        self.allowed = self.allowed.saturating_add(count);
        self.interrupt();
    }

    pub fn let_go(&mut self) {
        self.held = false;
        self.interrupt();
    }

    pub fn resize(&mut self, sectors: u64) {
        self.limits.sectors = sectors;
        self.data.resize(sectors as usize * SECTOR, 0);
        self.durable.resize(sectors as usize * SECTOR, 0);
        self.config_changed = true;
        self.dd.raise_irq(self.irq);
    }

    /// Interrupts, if the driver has asked for it since the last time.
    fn interrupt(&mut self) {
        let ready = !self.held || self.allowed > 0;
        for queue in &mut self.queues {
            if ready && queue.armed && !queue.committed.is_empty() {
                queue.armed = false;
                self.dd.raise_irq(self.irq);
            }
        }
    }

    /// Carries one request out.
    fn perform(&mut self, request: &Seen) -> Status {
        if let Some(status) = self.failures.pop_front()
            && status != Status::Ok
        {
            return status;
        }
        let mut at = request.sector as usize * SECTOR;
        match request.op {
            BlockOp::Read => {
                for segment in &request.request {
                    let len = segment.len as usize;
                    self.dd.dma_write(segment.addr, &self.data[at..at + len]);
                    at += len;
                }
            }
            BlockOp::Write => {
                assert!(!self.limits.read_only, "a write reached a read-only device");
                for segment in &request.request {
                    let len = segment.len as usize;
                    self.dd.dma_read(segment.addr, &mut self.data[at..at + len]);
                    at += len;
                }
            }
            BlockOp::Flush => self.durable.clone_from(&self.data),
            BlockOp::Discard => self.data[at..at + request.sectors as usize * SECTOR].fill(0),
            BlockOp::WriteZeroes { .. } => panic!("nobody asks for it"),
        }
        Status::Ok
    }
}

impl Core {
    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        let core = self;
        assert!(!core.quiesced, "submitted to a stopped device");
        let bytes: u64 = request
            .segments
            .iter()
            .map(|segment| u64::from(segment.len))
            .sum();
        let sectors = match request.op {
            BlockOp::Read | BlockOp::Write => {
                assert!(bytes > 0 && request.segments.len() <= core.limits.max_segments);
                assert_eq!(bytes % u64::from(core.limits.logical_block_size), 0);
                bytes / SECTOR as u64
            }
            BlockOp::Flush => 0,
            BlockOp::Discard | BlockOp::WriteZeroes { .. } => {
                assert!(request.sectors > 0 && request.sectors <= core.limits.max_discard_sectors.into());
                request.sectors
            }
        };
        assert!(
            request.sector + sectors <= core.limits.sectors,
            "the request leaves the disk"
        );
        let in_queue = core.queues[queue].submitted.len() + core.queues[queue].committed.len();
        if in_queue >= core.capacity {
            return Err(QueueFull);
        }
        let seen = Seen {
            op: request.op,
            sector: request.sector,
            sectors,
            request: request.segments.to_vec(),
            tag: request.tag,
        };
        core.seen.push(seen.clone());
        core.queues[queue].submitted.push(seen);
        core.most_in_flight = core.most_in_flight.max(core.in_flight());
        Ok(())
    }

    fn commit(&mut self, queue: usize) {
        let core = self;
        core.commits += 1;
        let Queue {
            submitted, committed, ..
        } = &mut core.queues[queue];
        committed.append(submitted);
    }

    fn reap(&mut self, queue: usize) -> (Vec<Completion>, Option<DeviceFault>) {
        let core = self;
        let mut completions = Vec::new();
        core.queues[queue].armed = false;
        if core.late && !core.lagged {
            core.lagged = true;
            return (completions, core.fault);
        }
        core.lagged = false;
        while !core.queues[queue].committed.is_empty() && (!core.held || core.allowed > 0) {
            if core.fault.is_some() {
                break;
            }
            core.allowed = core.allowed.saturating_sub(1);
            let committed = &mut core.queues[queue].committed;
            let at = match &mut core.order {
                Order::First => 0,
                Order::Last => committed.len() - 1,
                Order::Any(seed) => {
                    *seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    (*seed >> 33) as usize % committed.len()
                }
            };
            let request = committed.remove(at);
            let status = core.perform(&request);
            completions.push(Completion {
                tag: request.tag,
                status,
            });
        }
        (completions, core.fault)
    }
}

impl BlockDevice for FakeDisk {
    fn limits(&self) -> BlockLimits {
        self.0.borrow().limits
    }

    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        self.step();
        quiet(|| self.0.borrow_mut().submit(queue, request))
    }

    fn commit(&mut self, queue: usize) {
        self.step();
        quiet(|| self.0.borrow_mut().commit(queue));
    }

    fn reap(&mut self, queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        let (completions, fault) = quiet(|| self.0.borrow_mut().reap(queue));
        for completion in completions {
            self.step();
            each(completion);
        }
        fault.map_or(Ok(()), Err)
    }

    fn arm(&mut self, queue: usize) -> bool {
        self.step();
        let core = &mut *self.0.borrow_mut();
        let ready = !core.held || core.allowed > 0;
        if ready && !core.queues[queue].committed.is_empty() {
            return true;
        }
        core.queues[queue].armed = true;
        false
    }
}

impl Device for FakeDisk {
    fn acknowledge(&mut self) -> Interrupt {
        self.step();
        let config = std::mem::take(&mut self.0.borrow_mut().config_changed);
        Interrupt {
            completions: true,
            config,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.borrow().deadline
    }

    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        self.0.borrow().helped.each(each);
    }

    fn quiesce(&mut self) {
        let core = &mut *self.0.borrow_mut();
        core.quiesced = true;
        core.reset();
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        self.step();
        let core = &mut *self.0.borrow_mut();
        core.reset();
        core.quiesced = core.restarts == 0;
        core.restarts = core.restarts.saturating_sub(1);
        if core.quiesced {
            return Err(DeviceFault("it stays silent"));
        }
        core.fault = None;
        Ok(())
    }
}
