//! One I/O queue pair, and the requests that it serves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use outrigger_devices::{
    BlockOp, BlockRequest, Completion, DeviceFault, DmaPool, Instant, QueueFull, Status, Tag,
};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::command::{Command, StatusField, nvm};
use crate::controller::Part;
use crate::identify::Format;
use crate::prp::{Builder, Lists, Unfit};
use crate::queue::QueuePair;

/// A request under way.
#[derive(Clone, Copy)]
struct Request {
    tag: Tag,
    /// Its commands that have not completed.
    left: u16,
    status: Status,
}

/// A queue of requests.
pub(crate) struct RequestQueue<M> {
    pub pair: QueuePair<M>,
    lists: Lists<M>,
    requests: Box<[Request]>,
    /// Places in `requests` that are free.
    free: Vec<u16>,
    /// Ended without the controller, to be handed over at the next reap.
    answered: Box<[Completion]>,
    answers: usize,
    /// When to ask the controller whether it is well, if nothing completes until then. Set while something is in flight.
    pub look: Option<Instant>,
    /// Something has completed since that was set.
    pub progress: bool,
    /// Commands that the controller failed.
    pub failed: u64,
}

impl<M: SharedPages + Clone> RequestQueue<M> {
    /// A queue of `size` entries.
    pub fn new(pool: &impl DmaPool<Memory = M>, size: u16) -> Result<Self, ProbeError> {
        let none = Request {
            tag: Tag(0),
            left: 0,
            status: Status::Ok,
        };
        let answer = Completion {
            tag: Tag(0),
            status: Status::Ok,
        };
        Ok(Self {
            pair: QueuePair::new(pool, size)?,
            lists: Lists::new(pool, size)?,
            requests: alloc::vec![none; size.into()].into_boxed_slice(),
            free: (0..size).collect(),
            answered: alloc::vec![answer; size.into()].into_boxed_slice(),
            answers: 0,
            look: None,
            progress: false,
            failed: 0,
        })
    }

    /// Empty, as at the beginning.
    pub fn begin_again(&mut self) {
        self.pair.begin_again();
        self.free.clear();
        self.free.extend(0..self.pair.size());
        (self.answers, self.look, self.progress) = (0, None, false);
    }

    /// Requests that have not been handed back.
    pub fn in_flight(&self) -> usize {
        self.pair.in_flight() + self.answers
    }

    /// Queues a request.
    #[inline]
    pub fn submit(&mut self, request: &BlockRequest<'_>, part: &Part) -> Result<(), QueueFull> {
        let format = &part.format;
        let opcode = match request.op {
            BlockOp::Read => nvm::READ,
            BlockOp::Write => nvm::WRITE,
            _ => return self.submit_dataless(request, format),
        };
        let Some(lba) = format.lba(request.sector).filter(|lba| *lba < format.blocks()) else {
            return self.answer(request.tag, Status::IoError);
        };
        let is_refused = request.segments.is_empty() || (format.read_only && opcode == nvm::WRITE);
        if is_refused || request.segments.len() > part.limits.max_segments {
            return self.answer(request.tag, Status::IoError);
        }
        let owner = *self.free.last().ok_or(QueueFull)?;
        let (mark, was_idle) = (self.pair.mark(), self.pair.in_flight() == 0);
        let mut builder = Builder {
            queue: &mut self.pair,
            lists: &self.lists,
            cut: format.cut,
            opcode,
            nsid: format.nsid,
            owner,
        };
        match builder.build(request.segments, lba, format.blocks()) {
            Ok(commands) => {
                self.take_on(request.tag, commands);
                Ok(())
            }
            Err(unfit) => {
                self.pair.go_back(mark);
                // One that does not fit an empty queue never will.
                if unfit == Unfit::Full && !was_idle {
                    return Err(QueueFull);
                }
                self.answer(request.tag, Status::IoError)
            }
        }
    }

    /// The request in the place that was last free has so many commands.
    #[inline]
    fn take_on(&mut self, tag: Tag, left: u16) {
        if let Some(place) = self.free.pop() {
            self.requests[usize::from(place)] = Request {
                tag,
                left,
                status: Status::Ok,
            };
        }
    }

    #[cold]
    fn submit_dataless(&mut self, request: &BlockRequest<'_>, format: &Format) -> Result<(), QueueFull> {
        let tag = request.tag;
        let most = match request.op {
            BlockOp::Flush if !format.flush => return self.answer(tag, Status::Ok),
            BlockOp::Flush => None,
            BlockOp::Discard => Some(format.max_discard_sectors),
            _ => Some(format.max_write_zeroes_sectors),
        };
        let mut command = Command {
            nsid: format.nsid,
            opcode: nvm::FLUSH,
            ..Command::default()
        };
        let owner = *self.free.last().ok_or(QueueFull)?;
        let cid = self.pair.next_cid().ok_or(QueueFull)?;
        if let Some(most) = most {
            if most == 0 {
                return self.answer(tag, Status::Unsupported);
            }
            let range = format.lba(request.sector).zip(format.lba(request.sectors));
            // Not left to the controller: QEMU's takes a discard past the end for done.
            let end = request.sector.checked_add(request.sectors);
            let fits = (1..=u64::from(most)).contains(&request.sectors)
                && end.is_some_and(|end| end <= format.sectors);
            let Some((lba, blocks)) = range.filter(|_| fits) else {
                return self.answer(tag, Status::IoError);
            };
            if let BlockOp::WriteZeroes { may_unmap } = request.op {
                command.opcode = nvm::WRITE_ZEROES;
                command.cdw10 = lba;
                command.cdw12 = (blocks - 1) as u32 | if may_unmap { nvm::DEAC } else { 0 };
            } else {
                command.opcode = nvm::DATASET_MANAGEMENT;
                // One range, in the place of the list: attributes, length, first block.
                self.lists.write(cid, 0, blocks << 32);
                self.lists.write(cid, 1, lba);
                command.prp1 = self.lists.address(cid);
                command.cdw10 = u64::from(nvm::AD) << 32;
            }
        }
        if !self.pair.push(&command, owner) {
            return Err(QueueFull);
        }
        self.take_on(tag, 1);
        Ok(())
    }

    /// Ends a request without the controller.
    #[cold]
    pub fn answer(&mut self, tag: Tag, status: Status) -> Result<(), QueueFull> {
        let place = self.answered.get_mut(self.answers).ok_or(QueueFull)?;
        *place = Completion { tag, status };
        self.answers += 1;
        Ok(())
    }

    /// Forgets what ended without the controller.
    pub fn forget_answers(&mut self) {
        self.answers = 0;
    }

    /// Hands over the requests that have ended; whether the controller has completed anything. Bounded by what is in flight.
    #[inline]
    pub fn reap(&mut self, id: u16, each: &mut dyn FnMut(Completion)) -> Result<bool, DeviceFault> {
        for answer in &self.answered[..self.answers] {
            each(*answer);
        }
        self.answers = 0;
        let mut any = false;
        while let Some(taken) = self.pair.take(id)? {
            any = true;
            let request = &mut self.requests[usize::from(taken.owner)];
            if !taken.status.is_success() {
                request.status = judge(taken.status);
                self.failed += 1;
            }
            request.left -= 1;
            if request.left == 0 {
                each(Completion {
                    tag: request.tag,
                    status: request.status,
                });
                self.free.push(taken.owner);
            }
        }
        Ok(any)
    }

    /// Whether there is something to hand over.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.answers > 0 || self.pair.has_news()
    }
}

#[cold]
fn judge(status: StatusField) -> Status {
    if status.is_unsupported() {
        Status::Unsupported
    } else {
        Status::IoError
    }
}
