//! Block devices, as a backend sees them.

use alloc::boxed::Box;

use outrigger_xen::{DmaSegment, Instant};

use crate::DmaCounters;

/// The backend's own name for a request in flight; it comes back in the [`Completion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOp {
    /// Device to memory.
    Read,
    /// Memory to device.
    Write,
    /// Make every write that has completed durable. Carries no sectors.
    Flush,
    /// The contents are no longer wanted. Carries no memory.
    Discard,
    /// The contents become zero. Carries no memory.
    WriteZeroes {
        /// The device may deallocate the sectors.
        may_unmap: bool,
    },
}

/// One request. All sectors are 512 bytes, whatever the device's logical block size.
#[derive(Clone, Copy, Debug)]
pub struct BlockRequest<'a> {
    /// What to do.
    pub op: BlockOp,
    /// First sector.
    pub sector: u64,
    /// Number of sectors: for `Discard` and `WriteZeroes`; reads and writes take theirs from the segments.
    pub sectors: u64,
    /// Memory, at most [`BlockLimits::max_segments`] pieces.
    pub segments: &'a [DmaSegment],
    /// Comes back with the completion.
    pub tag: Tag,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// The device failed it.
    IoError,
    /// The device cannot do this.
    Unsupported,
}

/// The end of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As submitted.
    pub tag: Tag,
    /// How it ended.
    pub status: Status,
}

/// There is no room for this request now; some completion will make some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// The device broke its contract (an impossible index, a completion of nothing …), or asks for a reset. It serves no more
/// requests; those in flight will not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault(pub &'static str);

/// Whether a device still serves, as its driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// It was stopped: what was in flight will not complete.
    Quiesced,
    /// It is not to be believed any more, and was stopped.
    Faulty(DeviceFault),
}

impl Health {
    /// Whether it serves.
    #[inline]
    pub fn is_serving(self) -> bool {
        self == Self::Serving
    }

    /// `None` if it serves; otherwise what a reap of it ends with.
    #[inline]
    pub fn out_of_service(self) -> Option<Result<(), DeviceFault>> {
        match self {
            Self::Serving => None,
            Self::Quiesced => Some(Ok(())),
            Self::Faulty(fault) => Some(Err(fault)),
        }
    }
}

/// What the device is. Sizes in 512-byte sectors unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Capacity in sectors. May change while running (see [`Interrupt::config`]).
    pub sectors: u64,
    /// Writes and discards fail.
    pub read_only: bool,
    /// Smallest unit the device reads or writes, in bytes: 512 or more, a power of two.
    pub logical_block_size: u32,
    /// Unit it likes, in bytes.
    pub physical_block_size: u32,
    /// A write that completed may still be lost without a flush.
    pub flush: bool,
    /// Most memory segments a request, at least 1.
    pub max_segments: usize,
    /// Most sectors a discard; 0 if it cannot.
    pub max_discard_sectors: u32,
    /// Discards should be aligned to this many sectors.
    pub discard_alignment: u32,
    /// Most sectors a write-zeroes; 0 if it cannot.
    pub max_write_zeroes_sectors: u32,
    /// Number of queues, at least 1.
    pub queues: usize,
}

/// Why the device interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// Completions may wait on some queue.
    pub completions: bool,
    /// [`BlockLimits`] changed.
    pub config: bool,
}

/// A block device behind a driver. The calls on the data path neither allocate nor wait.
pub trait BlockDevice {
    /// What the device is now.
    fn limits(&self) -> BlockLimits;

    /// Queues a request; the device may not hear of it before [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`QueueFull`]: nothing was queued, try again after a completion on this queue.
    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull>;

    /// Tells the device of all that was submitted since the last commit: at most one doorbell, none if the device is
    /// looking anyway.
    fn commit(&mut self, queue: usize);

    /// Hands over what has completed, at most as much as was in flight.
    ///
    /// # Errors
    /// The device lied; the completions handed over so far are good.
    fn reap(&mut self, queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault>;

    /// Asks for an interrupt at the next completion, then looks once more: true if there is one already, so that the
    /// caller takes another turn instead of sleeping.
    fn arm(&mut self, queue: usize) -> bool;

    /// Reads and acknowledges the device's interrupt cause.
    fn acknowledge(&mut self) -> Interrupt;

    /// When to [`reap`](Self::reap) although nothing has been heard of the device: it may never be heard of again. `None`
    /// while nothing is in flight, and for devices that have no such bound.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What the processor had to do so far because of what the device does not reach.
    fn dma_counters(&self) -> DmaCounters {
        DmaCounters::default()
    }

    /// Stops the device: no DMA and no interrupt after this returns. Everything in flight is forgotten.
    fn quiesce(&mut self);

    /// Resets the device and brings it up again, in the memory it has; everything in flight is forgotten. Writes that have
    /// completed are not lost: where a reset empties the device's cache, it is flushed before, or not used. Also after a
    /// [`DeviceFault`] or [`quiesce`](Self::quiesce). Bounded.
    ///
    /// # Errors
    /// It does not come back, and is as after `quiesce`.
    fn restart(&mut self) -> Result<(), DeviceFault>;
}

/// A disk whose driver is known only when the machine is.
impl<D: BlockDevice + ?Sized> BlockDevice for Box<D> {
    fn limits(&self) -> BlockLimits {
        (**self).limits()
    }
    #[inline]
    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        (**self).submit(queue, request)
    }
    #[inline]
    fn commit(&mut self, queue: usize) {
        (**self).commit(queue);
    }
    #[inline]
    fn reap(&mut self, queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        (**self).reap(queue, each)
    }
    #[inline]
    fn arm(&mut self, queue: usize) -> bool {
        (**self).arm(queue)
    }
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        (**self).acknowledge()
    }
    #[inline]
    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
    fn dma_counters(&self) -> DmaCounters {
        (**self).dma_counters()
    }
    fn quiesce(&mut self) {
        (**self).quiesce();
    }
    fn restart(&mut self) -> Result<(), DeviceFault> {
        (**self).restart()
    }
}
