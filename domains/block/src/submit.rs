//! From requests to the device, in as many parts as it needs, as fast as it takes them.

use outrigger_devices::{BlockDevice, BlockOp, BlockRequest, QueueFull};
use outrigger_ring::SharedPages;

use crate::journal::Slot;
use crate::ring::{Io, Ring};

/// Most discards that a ring may have with the device: they can be many and slow, and the queue is not its alone.
const DISCARDS_IN_FLIGHT: u32 = 16;

/// One of the device's queues.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queue {
    /// Requests that the device has.
    pub in_flight: u32,
    /// Requests were submitted that it has not been told of.
    pub dirty: bool,
}

impl Queue {
    #[inline]
    pub fn submit<D: BlockDevice>(
        &mut self,
        device: &mut D,
        index: usize,
        request: &BlockRequest<'_>,
    ) -> Result<(), QueueFull> {
        device.submit(index, request)?;
        self.in_flight += 1;
        self.dirty = true;
        Ok(())
    }
}

/// What of one request the device has not taken yet. It shrinks as parts of it are submitted.
#[derive(Clone, Copy)]
pub(crate) struct Item {
    pub slot: Slot,
    pub op: BlockOp,
    /// First sector, on the device.
    pub sector: u64,
    /// Sectors left, of a discard.
    pub sectors: u64,
    /// The memory left: `segments[start..end]` of the ring's `Gather`.
    pub start: usize,
    pub end: usize,
}

impl<P: SharedPages + Clone> Ring<P> {
    /// Submits what is left of a request. On an error some may be left.
    #[cold]
    pub(crate) fn send<H, D: BlockDevice>(
        &mut self,
        io: &mut Io<'_, H, D>,
        item: &mut Item,
    ) -> Result<(), QueueFull> {
        match item.op {
            BlockOp::Read | BlockOp::Write => {
                while item.start < item.end {
                    let end = item.end.min(item.start + self.view.max_segments);
                    self.send_part(io, item, (item.start, end), 0)?;
                    if end < item.end {
                        let sent = &self.gather.segments[item.start..end];
                        let bytes: u32 = sent.iter().map(|segment| segment.len).sum();
                        item.sector += u64::from(bytes / 512);
                    }
                    item.start = end;
                }
            }
            BlockOp::Discard | BlockOp::WriteZeroes { .. } => {
                while item.sectors > 0 {
                    if self.in_flight >= DISCARDS_IN_FLIGHT {
                        return Err(QueueFull);
                    }
                    let sectors = item.sectors.min(self.view.max_discard.into());
                    self.send_part(io, item, (0, 0), sectors)?;
                    item.sector += sectors;
                    item.sectors -= sectors;
                }
            }
            BlockOp::Flush => self.send_part(io, item, (0, 0), 0)?,
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn send_part<H, D: BlockDevice>(
        &mut self,
        io: &mut Io<'_, H, D>,
        item: &Item,
        (start, end): (usize, usize),
        sectors: u64,
    ) -> Result<(), QueueFull> {
        let request = BlockRequest {
            op: item.op,
            sector: item.sector,
            sectors,
            segments: &self.gather.segments[start..end],
            tag: self.tag(item.slot),
        };
        io.load.submit(io.device, io.queue, &request)?;
        self.in_flight += 1;
        Ok(())
    }

    /// A request that is a device request of its own.
    pub(crate) fn flush<H, D: BlockDevice>(&mut self, io: &mut Io<'_, H, D>, slot: Slot) {
        self.counters.flushes += 1;
        self.journal.progress(slot).parts = 1;
        self.send_or_wait(
            io,
            Item {
                slot,
                op: BlockOp::Flush,
                sector: 0,
                sectors: 0,
                start: 0,
                end: 0,
            },
        );
    }

    /// A discard that was checked; `sector` on the device.
    pub(crate) fn discard<H, D: BlockDevice>(
        &mut self,
        io: &mut Io<'_, H, D>,
        slot: Slot,
        sector: u64,
        sectors: u64,
    ) {
        // However large: the parts are counted, and made one after the other.
        let parts = sectors.div_ceil(self.view.max_discard.into());
        self.journal.progress(slot).parts = u32::try_from(parts).unwrap_or(u32::MAX);
        self.send_or_wait(
            io,
            Item {
                slot,
                op: BlockOp::Discard,
                sector,
                sectors,
                start: 0,
                end: 0,
            },
        );
    }

    /// Submits a request, or notes down what is left of it behind what waits already.
    pub(crate) fn send_or_wait<H, D: BlockDevice>(&mut self, io: &mut Io<'_, H, D>, mut item: Item) {
        if !self.backlog.is_empty() || self.send(io, &mut item).is_err() {
            self.backlog.push(item);
        }
    }

    /// Submits what waits, in order.
    pub(crate) fn drain_backlog<H, D: BlockDevice>(
        &mut self,
        io: &mut Io<'_, H, D>,
    ) -> Result<(), QueueFull> {
        let mut sent = 0;
        let mut outcome = Ok(());
        for at in 0..self.backlog.len() {
            let mut item = self.backlog[at];
            outcome = self.send(io, &mut item);
            self.backlog[at] = item;
            if outcome.is_err() {
                break;
            }
            sent = at + 1;
        }
        self.backlog.drain(..sent);
        if self.backlog.is_empty() {
            self.gather.segments.clear();
        }
        outcome
    }

    /// Fails what waits.
    pub(crate) fn cancel_backlog(&mut self) {
        let mut backlog = core::mem::take(&mut self.backlog);
        for item in backlog.drain(..) {
            let unsent = match item.op {
                BlockOp::Flush => 1,
                BlockOp::Read | BlockOp::Write => self.view.parts(item.end - item.start),
                // What was submitted is in flight, the rest is not.
                BlockOp::Discard | BlockOp::WriteZeroes { .. } => {
                    let parts = item.sectors.div_ceil(self.view.max_discard.max(1).into());
                    u32::try_from(parts).unwrap_or(u32::MAX)
                }
            };
            self.withdraw(item.slot, unsent);
        }
        self.backlog = backlog;
        self.gather.segments.clear();
    }
}
