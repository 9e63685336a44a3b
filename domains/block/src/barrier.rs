//! Barriers: a write between two flushes, or a flush alone, after all that came before.

use outrigger_blkif::{DataOp, Refusal, Request, Status};
use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::GrantTable;

use crate::journal::Slot;
use crate::ring::{Io, Ring};

/// A write between two flushes, after everything before it.
#[derive(Clone, Copy)]
pub(crate) struct Barrier {
    pub slot: Slot,
    /// Without a write: the first flush is all.
    pub empty: bool,
    pub step: Step,
}

/// The last step of a barrier that was begun.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Drain,
    FlushBefore,
    Write,
    FlushAfter,
}

impl<P: SharedPages + Clone> Ring<P> {
    /// Takes the barrier's next step if the last one is over. False if it is not, or the next one cannot be over yet.
    #[cold]
    pub(crate) fn advance_barrier<H, D>(&mut self, io: &mut Io<'_, H, D>) -> bool
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        let Some(Barrier { slot, empty, step }) = self.barrier else {
            return true;
        };
        let progress = self.journal.progress(slot);
        if progress.parts > 0 {
            return false;
        }
        let failed = progress.status != Status::Okay;
        let next = match step {
            _ if failed => None,
            Step::Drain if self.in_flight > 0 => return false,
            Step::Drain => Some(Step::FlushBefore),
            Step::FlushBefore if empty => None,
            Step::FlushBefore => Some(Step::Write),
            Step::Write => Some(Step::FlushAfter),
            Step::FlushAfter => None,
        };
        self.barrier = next.map(|step| Barrier { slot, empty, step });
        match next {
            None => self.finish(slot),
            Some(Step::Drain | Step::FlushBefore | Step::FlushAfter) => self.flush(io, slot),
            Some(Step::Write) => {
                let noted = self.journal.recall(slot).map_err(|_| Refusal::Gone);
                let Ok(Request::Barrier { sector, segments }) = noted
                    .and_then(|()| Request::decode(self.abi, &self.journal.request, self.view.max_indirect))
                else {
                    self.refuse(slot, Refusal::Unsupported);
                    return true;
                };
                let gathered = self
                    .gather
                    .gather(&self.view, slot, DataOp::Write, sector, segments);
                self.go_on(io, slot, gathered);
            }
        }
        true
    }
}
