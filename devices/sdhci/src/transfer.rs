//! A read or write: by ADMA, or by hand through the data port.

use core::time::Duration;

use outrigger_devices::{BlockOp, Clock, Direction, DmaPool, DmaView, RegisterIo};
use outrigger_ring::SharedPages;

use crate::command::{self, Command, Response};
use crate::engine::{Active, Engine, Step};
use crate::host::Data;
use crate::queue::Request;
use crate::register::{mode, status};

/// How long the transfer of one request may take.
const TRANSFER_LIMIT: Duration = Duration::from_secs(3);

/// Blocks moved through the data port in one go: 4 KiB, which is 1024 accesses.
const BLOCKS_AT_ONCE: u32 = 8;

const BLOCK: u32 = 512;

/// How far the processor has moved a request's data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    segment: usize,
    at: u32,
    pub blocks_left: u32,
}

impl<R, P, C> Engine<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    /// Sends a read or write, by ADMA if that is possible, otherwise by hand.
    pub(crate) fn transfer(&mut self, request: &Request<'_>) {
        let read = request.op == BlockOp::Read;
        // Checked: a request is at most a few pages.
        let blocks = request.sectors as u32;
        let by_hand = self.active.is_some_and(|active| active.by_hand) || !self.lend(request);
        let several = blocks > 1;
        let mut bits = if read { mode::READ } else { 0 };
        if several {
            let count = !by_hand && self.card.set_block_count && self.host.chip().auto_cmd23;
            bits |= mode::MULTI | mode::BLOCK_COUNT;
            bits |= if count { mode::AUTO_CMD23 } else { mode::AUTO_CMD12 };
        }
        let mut table = None;
        let mut awaited = status::COMMAND_COMPLETE | status::TRANSFER_COMPLETE;
        if by_hand {
            self.path.count_by_hand(request.segments.len());
            awaited |= if read {
                status::READ_READY
            } else {
                status::WRITE_READY
            };
        } else if let Some(descriptors) = &self.table {
            bits |= mode::DMA;
            let pieces = self.loans.iter().map(|loan| (loan.bus(), loan.len()));
            table = Some(descriptors.write(&self.path, pieces));
        }
        self.expect(Step::Transfer, awaited, TRANSFER_LIMIT);
        if let Some(active) = &mut self.active {
            active.by_hand = by_hand;
            active.cursor = Cursor {
                blocks_left: blocks,
                ..Cursor::default()
            };
        }
        let index = match (read, several) {
            (true, false) => command::READ_SINGLE_BLOCK,
            (true, true) => command::READ_MULTIPLE_BLOCK,
            (false, false) => command::WRITE_SINGLE_BLOCK,
            (false, true) => command::WRITE_MULTIPLE_BLOCK,
        };
        let command = Command::new(index, self.card.address(request.sector), Response::R1);
        let data = Data {
            size: BLOCK,
            blocks,
            mode: bits,
        };
        self.host.begin(command, Some(data), table);
    }

    /// Makes a request's memory the controller's. False if there is no DMA, or not enough to bounce through.
    fn lend(&mut self, request: &Request<'_>) -> bool {
        if self.table.is_none() {
            return false;
        }
        let way = match request.op {
            BlockOp::Read => Direction::FromDevice,
            _ => Direction::ToDevice,
        };
        for segment in request.segments {
            match self.path.lend(*segment, way) {
                Ok(loan) => self.loans.push(loan),
                Err(_) => {
                    self.take_back(false);
                    return false;
                }
            }
        }
        true
    }

    /// The controller has let go of all memory.
    pub fn take_back(&mut self, done: bool) {
        while let Some(loan) = self.loans.pop() {
            self.path.take_back(loan, done);
        }
    }

    /// Moves blocks through the data port while there are any, but not for ever.
    pub(crate) fn by_hand(&mut self, active: &mut Active, request: &Request<'_>) {
        let read = request.op == BlockOp::Read;
        let ready = if read {
            status::READ_READY
        } else {
            status::WRITE_READY
        };
        for _ in 0..BLOCKS_AT_ONCE {
            if active.cursor.blocks_left == 0 || self.host.status() & ready == 0 {
                break;
            }
            // Before the block is moved: the next one may be there right after.
            self.host.clear(ready);
            self.block(&mut active.cursor, request, read);
            self.moved += 1;
            // A word at a time takes long where each one is an exit to somewhere else.
            self.host.still_alive();
        }
        if active.cursor.blocks_left == 0 {
            active.awaited &= !ready;
        }
    }

    fn block(&self, cursor: &mut Cursor, request: &Request<'_>, read: bool) {
        let mut left = BLOCK;
        while left > 0 {
            let Some(segment) = request.segments.get(cursor.segment) else {
                break;
            };
            let mut words = [0; (BLOCK / 4) as usize];
            let bytes = left.min(segment.len - cursor.at);
            let words = &mut words[..(bytes / 4) as usize];
            if read {
                words.iter_mut().for_each(|word| *word = self.host.read_word());
                self.path.view().copy_in(*segment, cursor.at, words);
            } else {
                self.path.view().copy_out(*segment, cursor.at, words);
                words.iter().for_each(|word| self.host.write_word(*word));
            }
            left -= bytes;
            cursor.at += bytes;
            if cursor.at == segment.len {
                (cursor.segment, cursor.at) = (cursor.segment + 1, 0);
            }
        }
        cursor.blocks_left -= 1;
    }
}
