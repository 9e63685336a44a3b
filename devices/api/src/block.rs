//! Block devices, as a backend sees them.

use alloc::boxed::Box;

use outrigger_hal::DmaSegment;

use crate::{Device, DeviceFault, QueueFull, Tag};

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

/// What the device is. Sizes in 512-byte sectors unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Capacity in sectors. May change while running (see [`Interrupt::config`](crate::Interrupt::config)).
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

/// A block device behind a driver. The calls on the data path neither allocate nor wait.
pub trait BlockDevice: Device {
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
}
