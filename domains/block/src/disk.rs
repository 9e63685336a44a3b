//! A device of this domain.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use outrigger_devices::{
    BlockDevice, BlockLimits, BlockOp, BlockRequest, DmaMemory, DmaSegment, Status, Tag,
};
use outrigger_ring::SharedPages;
use outrigger_xen::{Instant, IrqSet, PAGE_SIZE};

use crate::patience::{Due, Trial};
use crate::submit::Queue;

/// Most queues of a device that are used.
const MAX_QUEUES: usize = 16;

/// The tag of our own reads. No ring has this number.
pub(crate) const OWN_TAG: Tag = Tag(u32::MAX);

/// Our own read of the device, of which there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Idle,
    /// The page is the device's.
    Pending,
    Done(Status),
}

/// A device, by the name that guests' disk specifications call it.
pub(crate) struct Disk<D, M> {
    pub name: String,
    /// Its interrupts in [`outrigger_xen::Wake::devices`].
    pub interrupts: IrqSet,
    pub device: D,
    pub limits: BlockLimits,
    pub queues: Box<[Queue]>,
    /// Requests completed so far.
    pub completed: u32,
    /// When it is to have completed more than that, if it had anything to do.
    pub due: Option<Due>,
    /// How often it was reset, and when last, since it was well for [`WELL`].
    pub resets: (u32, Instant),
    /// The same since the domain began.
    pub all_resets: u32,
    /// Why it serves no more.
    pub failed: Option<&'static str>,
    /// When it is tried again after it has failed.
    pub trial: Trial,
    pub reading: Reading,
    /// Why the last read of ours went wrong, and until when none is tried.
    pub unreadable: Option<(&'static str, Instant)>,
    /// Where our own reads go.
    page: DmaMemory<M>,
}

impl<D: BlockDevice, M: SharedPages> Disk<D, M> {
    pub fn new(name: String, interrupts: IrqSet, device: D, page: DmaMemory<M>) -> Self {
        let limits = device.limits();
        Self {
            name,
            interrupts,
            device,
            limits,
            queues: alloc::vec![Queue::default(); limits.queues.clamp(1, MAX_QUEUES)].into_boxed_slice(),
            completed: 0,
            due: None,
            resets: (0, Instant(0)),
            all_resets: 0,
            failed: None,
            trial: Trial::default(),
            reading: Reading::Idle,
            unreadable: None,
            page,
        }
    }

    /// The queue that the vbd of number `vbd` uses. All rings of a vbd share one, so that a turn of it costs one doorbell;
    /// different vbds have different ones while there are enough, so that one does not fill another's.
    pub fn queue_of(&self, vbd: usize) -> usize {
        vbd % self.queues.len()
    }

    /// Tells the device of all that was submitted.
    #[inline]
    pub fn commit(&mut self) {
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if queue.dirty {
                queue.dirty = false;
                self.device.commit(index);
            }
        }
    }

    /// Everything in flight is forgotten, by the device too.
    pub fn forget_requests(&mut self) {
        for queue in &mut self.queues {
            queue.in_flight = 0;
            queue.dirty = false;
        }
        if self.reading == Reading::Pending {
            self.reading = Reading::Done(Status::IoError);
        }
        self.due = None;
    }

    /// Asks for an interrupt at the next completion, if any is due. True if there is one already.
    #[inline]
    pub fn arm(&mut self) -> bool {
        let mut completed = false;
        for (index, queue) in self.queues.iter().enumerate() {
            if queue.in_flight > 0 {
                completed |= self.device.arm(index);
            }
        }
        completed
    }

    /// Begins to read up to a page for ourselves. False if there is no room now.
    pub fn begin_read(&mut self, sector: u64, bytes: usize) -> bool {
        let len = u32::try_from(bytes.min(PAGE_SIZE)).unwrap_or(0);
        let Some(segment) = self.page.page.segment(0, len) else {
            return false;
        };
        let segments: [DmaSegment; 1] = [segment];
        let request = BlockRequest {
            op: BlockOp::Read,
            sector,
            sectors: u64::from(len / 512),
            segments: &segments,
            tag: OWN_TAG,
        };
        let begun = self.queues[0].submit(&mut self.device, 0, &request).is_ok();
        if begun {
            self.reading = Reading::Pending;
        }
        begun
    }

    /// What happened to it since the domain began, for all its vbds; words to follow a vbd's counters: its
    /// driver's counters, how often it was reset, and whether it is given up.
    pub fn counted(&self) -> String {
        let mut words = String::new();
        self.device
            .counters(&mut |name, count| words.push_str(&format!(" {name}={count}")));
        if self.all_resets > 0 {
            words += &format!(" disk-resets={}", self.all_resets);
        }
        if self.failed.is_some() {
            words += " disk-failed=1";
        }
        words
    }

    /// Copies out what was read.
    pub fn copy_out(&self, into: &mut [u8]) {
        for (at, bytes) in (0..).step_by(4).zip(into.chunks_mut(4)) {
            let word = self.page.memory.load_u32(at).to_le_bytes();
            bytes.copy_from_slice(&word[..bytes.len()]);
        }
    }
}
