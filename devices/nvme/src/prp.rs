//! From a request's segments to commands.
//!
//! A PRP list names pages: only the first entry may begin within a page, and only the last may end within one. blkif's
//! segments are sectors within pages, so a request may be no such thing. It then becomes several commands, each of which is:
//! a command ends where its next piece of memory would begin, or its last one has ended, within a page, unless the two
//! follow each other there. Nothing is copied.

use alloc::boxed::Box;

use outrigger_devices::{DmaMemory, DmaPool, DmaSegment, PAGE_SIZE};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::command::Command;
use crate::queue::QueuePair;

/// Entries of a command's list: with PRP1 it names 65 pages.
pub(crate) const LIST_ENTRIES: usize = 64;
const LIST_BYTES: usize = LIST_ENTRIES * 8;
const LISTS_A_PAGE: usize = PAGE_SIZE / LIST_BYTES;

/// The most bytes a command: with any beginning they lie in no more than 65 pages.
pub(crate) const BYTES_MAX: u32 = (LIST_ENTRIES * PAGE_SIZE) as u32;

const PAGE: u64 = PAGE_SIZE as u64;

/// The lists of a queue's commands, by CID.
pub(crate) struct Lists<M> {
    pages: Box<[DmaMemory<M>]>,
}

impl<M: SharedPages + Clone> Lists<M> {
    pub fn new(pool: &impl DmaPool<Memory = M>, commands: u16) -> Result<Self, ProbeError> {
        let pages = (0..usize::from(commands).div_ceil(LISTS_A_PAGE))
            .map(|_| pool.page().ok_or(ProbeError::NoMemory))
            .collect::<Result<_, _>>()?;
        Ok(Self { pages })
    }

    /// Writes a word of a command's list.
    #[inline]
    pub fn write(&self, cid: u16, word: usize, value: u64) {
        let (page, at) = self.place(cid);
        page.memory.store_u64(at + 8 * word, value);
    }

    /// Its address.
    #[inline]
    pub fn address(&self, cid: u16) -> u64 {
        let (page, at) = self.place(cid);
        page.page.at(at).bits()
    }

    #[inline]
    fn place(&self, cid: u16) -> (&DmaMemory<M>, usize) {
        let cid = usize::from(cid);
        (&self.pages[cid / LISTS_A_PAGE], cid % LISTS_A_PAGE * LIST_BYTES)
    }
}

/// How a namespace cuts its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Most bytes a command: a multiple of the block size, at most [`BYTES_MAX`].
    pub bytes: u32,
    /// log₂ of the block size in bytes, 9 or more.
    pub shift: u32,
}

/// Why a request did not become commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The queue is full.
    Full,
    /// A command would end within a block.
    Crooked,
    /// It does not end before the namespace does.
    Beyond,
}

/// Makes commands of segments.
pub(crate) struct Builder<'a, M> {
    pub queue: &'a mut QueuePair<M>,
    pub lists: &'a Lists<M>,
    pub cut: Cut,
    pub opcode: u8,
    pub nsid: u32,
    /// Whose commands they are.
    pub owner: u16,
}

/// The command being made.
struct Open {
    cid: u16,
    prp1: u64,
    /// The second page's address; all from the second on are in the list, too.
    prp2: u64,
    /// Pages named.
    pages: usize,
    bytes: u32,
    /// The address behind its last byte.
    end: u64,
}

impl<M: SharedPages + Clone> Builder<'_, M> {
    /// Pushes commands for `segments`, from block `lba` on; their number. After an error some have been pushed. The request
    /// must end at block `end` or before.
    #[inline]
    pub fn build(&mut self, segments: &[DmaSegment], mut lba: u64, end: u64) -> Result<u16, Unfit> {
        let mut count = 0;
        let mut open: Option<Open> = None;
        for segment in segments {
            let (mut at, mut left) = (segment.addr.bits(), segment.len);
            while left > 0 {
                if let Some(command) = open.take_if(|open| !self.goes_on(open, at)) {
                    lba += self.close(command, lba)?;
                    count += 1;
                }
                let command = match &mut open {
                    Some(command) => {
                        if at.is_multiple_of(PAGE) {
                            self.add_page(command, at);
                        }
                        command
                    }
                    None => open.insert(Open {
                        cid: self.queue.next_cid().ok_or(Unfit::Full)?,
                        prp1: at,
                        prp2: 0,
                        pages: 1,
                        bytes: 0,
                        end: at,
                    }),
                };
                let room = (PAGE - at % PAGE) as u32;
                let part = left.min(room).min(self.cut.bytes - command.bytes);
                command.bytes += part;
                at += u64::from(part);
                command.end = at;
                left -= part;
            }
        }
        if let Some(command) = open {
            lba += self.close(command, lba)?;
            count += 1;
        }
        if lba > end { Err(Unfit::Beyond) } else { Ok(count) }
    }

    /// Whether memory at `at` can be part of the command.
    #[inline]
    fn goes_on(&self, open: &Open, at: u64) -> bool {
        open.bytes < self.cut.bytes
            && (at == open.end || (at.is_multiple_of(PAGE) && open.end.is_multiple_of(PAGE)))
    }

    #[inline]
    fn add_page(&self, open: &mut Open, at: u64) {
        if open.pages == 1 {
            open.prp2 = at;
        }
        self.lists.write(open.cid, open.pages - 1, at);
        open.pages += 1;
    }

    /// Pushes a command; its number of blocks.
    #[inline]
    fn close(&mut self, open: Open, lba: u64) -> Result<u64, Unfit> {
        let blocks = open.bytes >> self.cut.shift;
        if blocks << self.cut.shift != open.bytes {
            return Err(Unfit::Crooked);
        }
        let command = Command {
            opcode: self.opcode,
            nsid: self.nsid,
            prp1: open.prp1,
            prp2: if open.pages > 2 {
                self.lists.address(open.cid)
            } else {
                open.prp2
            },
            cdw10: lba,
            // NLB is one less.
            cdw12: blocks - 1,
        };
        if self.queue.push(&command, self.owner) {
            Ok(blocks.into())
        } else {
            Err(Unfit::Full)
        }
    }
}
