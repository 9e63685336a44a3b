//! One queue of requests.

use alloc::boxed::Box;
use alloc::vec;

use outrigger_devices::{
    BlockLimits, BlockOp, BlockRequest, Completion, DeviceFault, DmaPool, QueueFull, Status, Tag,
};
use outrigger_ring::SharedPages;
use outrigger_virtio::{NoMemory, QueueAddresses, SplitQueue};

use crate::slot::{FIXED_DESCRIPTORS, RequestType, Slots};

/// Status bytes (§5.2.6).
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

/// A request that the device has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    tag: Tag,
    /// Bytes the device may write, and does if all goes well.
    writable: u32,
}

/// A queue's shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Number of descriptors.
    pub size: u16,
    /// Most segments a request.
    pub segments: usize,
    /// Longest segment in bytes.
    pub size_max: u32,
    pub indirect: bool,
    pub event_idx: bool,
}

#[derive(Debug)]
pub(crate) struct RequestQueue<M> {
    ring: SplitQueue<M, InFlight>,
    slots: Slots<M>,
    shape: Shape,
    /// Requests that needed no device, in order; as many as `answers` says.
    answered: Box<[Completion]>,
    answers: usize,
}

impl<M: SharedPages + Clone> RequestQueue<M> {
    pub fn new(pool: &impl DmaPool<Memory = M>, shape: Shape) -> Result<Self, NoMemory> {
        let stride = if shape.indirect {
            1
        } else {
            shape.segments as u16 + FIXED_DESCRIPTORS
        };
        let ring = SplitQueue::new(pool, shape.size, stride, shape.event_idx)?;
        let slots = Slots::new(pool, shape.size, shape.indirect.then_some(shape.segments))?;
        for head in ring.heads() {
            slots.prepare(head, ring.table(), shape.indirect);
        }
        let none = Completion {
            tag: Tag(0),
            status: Status::IoError,
        };
        Ok(Self {
            answered: vec![none; ring.capacity()].into_boxed_slice(),
            answers: 0,
            ring,
            slots,
            shape,
        })
    }

    pub fn addresses(&self) -> QueueAddresses {
        self.ring.addresses()
    }

    #[inline]
    pub fn submit(&mut self, request: &BlockRequest<'_>, limits: &BlockLimits) -> Result<(), QueueFull> {
        let kind = match request.op {
            BlockOp::Read => RequestType::In,
            BlockOp::Write => RequestType::Out,
            _ => return self.submit_dataless(request, limits),
        };
        let Some((last, segments)) = request.segments.split_last() else {
            return self.answer(request.tag, Status::IoError);
        };
        if segments.len() >= self.shape.segments || self.too_long(request) {
            return self.answer(request.tag, Status::IoError);
        }
        let head = self.ring.next_head().ok_or(QueueFull)?;
        let chain = self.slots.chain(head, self.ring.table(), self.shape.indirect);
        let writable = chain.data(kind, request.sector, segments, *last);
        self.ring.expose(InFlight {
            tag: request.tag,
            writable,
        });
        Ok(())
    }

    /// Most devices set no bound, and then nothing is looked at.
    #[inline]
    fn too_long(&self, request: &BlockRequest<'_>) -> bool {
        let bound = self.shape.size_max;
        bound != u32::MAX && request.segments.iter().any(|segment| segment.len > bound)
    }

    #[cold]
    fn submit_dataless(&mut self, request: &BlockRequest<'_>, limits: &BlockLimits) -> Result<(), QueueFull> {
        let most = match request.op {
            BlockOp::Flush if limits.flush => None,
            // Without a volatile cache a write that has completed is durable.
            BlockOp::Flush => return self.answer(request.tag, Status::Ok),
            BlockOp::Discard => Some(limits.max_discard_sectors),
            _ => Some(limits.max_write_zeroes_sectors),
        };
        let sectors = match (most, u32::try_from(request.sectors)) {
            (None, _) => 0,
            (Some(0), _) => return self.answer(request.tag, Status::Unsupported),
            (Some(most), Ok(sectors)) if sectors > 0 && sectors <= most => sectors,
            _ => return self.answer(request.tag, Status::IoError),
        };
        let head = self.ring.next_head().ok_or(QueueFull)?;
        let chain = self.slots.chain(head, self.ring.table(), self.shape.indirect);
        let writable = match request.op {
            BlockOp::Flush => chain.flush(),
            op => chain.range(op, request.sector, sectors),
        };
        self.ring.expose(InFlight {
            tag: request.tag,
            writable,
        });
        Ok(())
    }

    /// Ends a request without the device.
    #[cold]
    fn answer(&mut self, tag: Tag, status: Status) -> Result<(), QueueFull> {
        let place = self.answered.get_mut(self.answers).ok_or(QueueFull)?;
        *place = Completion { tag, status };
        self.answers += 1;
        Ok(())
    }

    /// True if the device is to be notified.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Hands over what has ended. Bounded: nothing is submitted meanwhile.
    #[inline]
    pub fn reap(&mut self, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        for answer in &self.answered[..self.answers] {
            each(*answer);
        }
        self.answers = 0;
        self.ring.disarm();
        loop {
            let pending = self.ring.pending()?;
            if pending == 0 {
                return Ok(());
            }
            for _ in 0..pending {
                let used = self.ring.take()?;
                let InFlight { tag, writable } = used.token;
                let status = match self.slots.status(used.head) {
                    OK if used.len == writable => Status::Ok,
                    status => judge(status, used.len, writable)?,
                };
                each(Completion { tag, status });
            }
        }
    }

    /// As [`BlockDevice::arm`](outrigger_devices::BlockDevice::arm).
    #[inline]
    pub fn arm(&mut self) -> bool {
        self.ring.arm() || self.answers > 0
    }

    /// Forgets everything and takes no more requests.
    pub fn retire(&mut self) {
        self.ring.retire();
        self.answers = 0;
        self.answered = Box::default();
    }
}

/// How a request ended that did not simply succeed; `len` bytes were written, says the device, of `writable`.
#[cold]
fn judge(status: u8, len: u32, writable: u32) -> Result<Status, DeviceFault> {
    if len > writable {
        return Err(DeviceFault("more bytes written than a request had room for"));
    }
    match status {
        // Some devices count no status byte; data that was not written is another matter (§2.7.8.2).
        OK if len.saturating_add(1) >= writable => Ok(Status::Ok),
        OK | IOERR => Ok(Status::IoError),
        UNSUPP => Ok(Status::Unsupported),
        _ => Err(DeviceFault("a status that no request can end with")),
    }
}
