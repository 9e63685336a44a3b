//! Where a request's header, status byte and descriptors lie.
//!
//! With indirect descriptors a slot is one piece of one page:
//!
//! | Byte | What |
//! |---|---|
//! | 0 | header: `le32 type, le32 reserved, le64 sector` |
//! | 16 | range of a discard or write-zeroes: `le64 sector, le32 num_sectors, le32 flags` |
//! | 32 | status byte, for the device to write |
//! | 64 | the indirect table |
//!
//! Without them it ends at byte 64, and the same descriptors lie in the queue's own table, from the head on. Either way
//! they are: 0 the header, 1 the status, from 2 on the data. The chain runs 0, 2, 3, …, 1, so neither of the first two
//! moves with the number of segments, and both are written once, at the start.

use alloc::boxed::Box;
use alloc::vec::Vec;

use outrigger_devices::{BlockOp, DmaAddr, DmaMemory, DmaPool, DmaSegment, PAGE_SIZE};
use outrigger_ring::SharedPages;
use outrigger_virtio::{DESCRIPTOR_BYTES, Flags, NoMemory, write_descriptor, write_link};

const HEADER: usize = 0;
const RANGE: usize = 16;
const STATUS: usize = 32;
const TABLE: usize = 64;

const HEADER_BYTES: u32 = 16;
const RANGE_BYTES: u32 = 16;
const STATUS_BYTES: u32 = 1;

/// Descriptors of a request besides its segments: header and status.
pub(crate) const FIXED_DESCRIPTORS: u16 = 2;

/// The most segments that fit, with an indirect table, into the largest slot: a page.
pub(crate) const SEGMENTS_MAX: usize = (PAGE_SIZE - TABLE) / DESCRIPTOR_BYTES - FIXED_DESCRIPTORS as usize;

/// No device answers this.
const NOT_YET: u8 = 0xff;

/// Request types (§5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum RequestType {
    In = 0,
    Out = 1,
    Flush = 4,
    Discard = 11,
    WriteZeroes = 13,
}

/// `VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP`.
const UNMAP: u32 = 1;

/// Where the slot of one head is.
#[derive(Debug)]
struct Slot<M> {
    memory: M,
    /// Its offset in that page.
    at: usize,
    /// Its range, as the device sees it.
    range: DmaAddr,
}

/// The slots of one queue.
#[derive(Debug)]
pub(crate) struct Slots<M> {
    pages: Vec<DmaMemory<M>>,
    /// By head.
    slots: Box<[Slot<M>]>,
    /// Bytes of each indirect table.
    table_bytes: usize,
}

impl<M: SharedPages + Clone> Slots<M> {
    /// `count` slots, each with room for an indirect table of `segments` segments, or for none.
    ///
    /// # Panics
    /// `segments` is more than [`SEGMENTS_MAX`].
    pub fn new(
        pool: &impl DmaPool<Memory = M>,
        count: u16,
        segments: Option<usize>,
    ) -> Result<Self, NoMemory> {
        let table = segments.map_or(0, |n| (n + usize::from(FIXED_DESCRIPTORS)) * DESCRIPTOR_BYTES);
        let bytes = (TABLE + table).next_power_of_two();
        assert!(bytes <= PAGE_SIZE, "a slot lies within a page");
        let in_page = PAGE_SIZE / bytes;
        let pages = (0..usize::from(count).div_ceil(in_page))
            .map(|_| pool.page().ok_or(NoMemory))
            .collect::<Result<Vec<_>, _>>()?;
        let slot = |head: usize| {
            let (page, at) = (&pages[head / in_page], head % in_page * bytes);
            Slot {
                memory: page.memory.clone(),
                at,
                range: page.page.at(at + RANGE),
            }
        };
        Ok(Self {
            slots: (0..count.into()).map(slot).collect(),
            pages,
            table_bytes: bytes - TABLE,
        })
    }

    /// Writes all of a request at `head` that never changes. `table` is the queue's own descriptor table.
    pub fn prepare(&self, head: u16, table: &M, indirect: bool) {
        let slots_in_page = PAGE_SIZE / (TABLE + self.table_bytes);
        let page = self.pages[usize::from(head) / slots_in_page].page;
        let chain = self.chain(head, table, indirect);
        let at = chain.slot.at;
        write_descriptor(
            chain.table,
            chain.descriptor(0),
            page.at(at + HEADER),
            HEADER_BYTES,
            Flags::NEXT,
            chain.base + 2,
        );
        write_descriptor(
            chain.table,
            chain.descriptor(1),
            page.at(at + STATUS),
            STATUS_BYTES,
            Flags::WRITE,
            0,
        );
        if indirect {
            let (addr, len) = (page.at(at + TABLE), self.table_bytes as u32);
            write_descriptor(
                table,
                usize::from(head) * DESCRIPTOR_BYTES,
                addr,
                len,
                Flags::INDIRECT,
                0,
            );
        }
    }

    /// The changing part of the request at `head`.
    #[inline]
    pub fn chain<'a>(&'a self, head: u16, table: &'a M, indirect: bool) -> Chain<'a, M> {
        let slot = &self.slots[usize::from(head)];
        let (table, table_at, base) = if indirect {
            (&slot.memory, slot.at + TABLE, 0)
        } else {
            (table, usize::from(head) * DESCRIPTOR_BYTES, head)
        };
        Chain {
            slot,
            table,
            table_at,
            base,
        }
    }

    /// What the device made of the request at `head`.
    #[inline]
    pub fn status(&self, head: u16) -> u8 {
        let slot = &self.slots[usize::from(head)];
        slot.memory.load_u8(slot.at + STATUS)
    }
}

/// One request being written.
pub(crate) struct Chain<'a, M> {
    slot: &'a Slot<M>,
    table: &'a M,
    /// Offset of the chain's descriptor 0 in `table`.
    table_at: usize,
    /// Index of that descriptor, as `next` fields count.
    base: u16,
}

impl<M: SharedPages> Chain<'_, M> {
    /// A read or write of `first` and then `rest`. Returns the bytes that the device may write, status included.
    #[inline]
    pub fn data(&self, request: RequestType, sector: u64, segments: &[DmaSegment], last: DmaSegment) -> u32 {
        self.header(request, sector, self.base + 2);
        let write = request == RequestType::In;
        let (more, end) = if write {
            (Flags::NEXT.and(Flags::WRITE), Flags::WRITE.and(Flags::NEXT))
        } else {
            (Flags::NEXT, Flags::NEXT)
        };
        let mut at = self.descriptor(2);
        let mut bytes = 0u32;
        for (next, segment) in (self.base + 3..).zip(segments) {
            write_descriptor(self.table, at, segment.addr, segment.len, more, next);
            bytes = bytes.wrapping_add(segment.len);
            at += DESCRIPTOR_BYTES;
        }
        write_descriptor(self.table, at, last.addr, last.len, end, self.base + 1);
        if write {
            bytes.wrapping_add(last.len).wrapping_add(STATUS_BYTES)
        } else {
            STATUS_BYTES
        }
    }

    /// A flush.
    pub fn flush(&self) -> u32 {
        self.header(RequestType::Flush, 0, self.base + 1);
        STATUS_BYTES
    }

    /// A discard or write-zeroes.
    pub fn range(&self, op: BlockOp, sector: u64, sectors: u32) -> u32 {
        let (request, flags) = match op {
            BlockOp::WriteZeroes { may_unmap: true } => (RequestType::WriteZeroes, UNMAP),
            BlockOp::WriteZeroes { may_unmap: false } => (RequestType::WriteZeroes, 0),
            _ => (RequestType::Discard, 0),
        };
        // The sector is in the range; the header's is reserved.
        self.header(request, 0, self.base + 2);
        let Slot { memory, at, range } = self.slot;
        memory.store_u64(at + RANGE, sector);
        memory.store_u32(at + RANGE + 8, sectors);
        memory.store_u32(at + RANGE + 12, flags);
        let at = self.descriptor(2);
        write_descriptor(self.table, at, *range, RANGE_BYTES, Flags::NEXT, self.base + 1);
        STATUS_BYTES
    }

    #[inline(always)]
    fn header(&self, request: RequestType, sector: u64, next: u16) {
        let Slot { memory, at, .. } = self.slot;
        memory.store_u64(at + HEADER, u64::from(request as u32));
        memory.store_u64(at + HEADER + 8, sector);
        memory.store_u8(at + STATUS, NOT_YET);
        write_link(self.table, self.table_at, HEADER_BYTES, Flags::NEXT, next);
    }

    #[inline]
    fn descriptor(&self, index: usize) -> usize {
        self.table_at + index * DESCRIPTOR_BYTES
    }
}
