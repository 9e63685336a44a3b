//! One queue of frames to send.
//!
//! The slot of a head is one piece of one page: the header, and at byte 16 the indirect table. Its descriptor 0 is the
//! header's, from 1 on follow the segments. Without indirect descriptors a slot is the header alone, and the same
//! descriptors lie in the queue's own table from the head on. Either way the header's descriptor is written once.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use outrigger_devices::{DeviceFault, DmaMemory, DmaPool, GsoKind, PAGE_SIZE, QueueFull, Tag, TxFrame};
use outrigger_ring::SharedPages;
use outrigger_virtio::{DESCRIPTOR_BYTES, Flags, NoMemory, QueueAddresses, SplitQueue, write_descriptor};

use crate::header::{HEADER_BYTES, Header};

const TABLE: usize = 16;

/// The most segments that fit, with an indirect table, into the largest slot: a page.
pub(crate) const SEGMENTS_MAX: usize = (PAGE_SIZE - TABLE) / DESCRIPTOR_BYTES - 1;

/// A queue's shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Number of descriptors.
    pub size: u16,
    /// Most segments a frame.
    pub segments: usize,
    pub indirect: bool,
    pub event_idx: bool,
    /// The card fills in checksums.
    pub checksum: bool,
    /// The card cuts TCP over IPv4.
    pub tso4: bool,
    /// The card cuts TCP over IPv6.
    pub tso6: bool,
}

/// Where the slot of one head is.
#[derive(Debug)]
struct Slot<M> {
    memory: M,
    /// Its offset in that page.
    at: usize,
}

#[derive(Debug)]
pub(crate) struct TransmitQueue<M> {
    ring: SplitQueue<M, Tag>,
    pages: Vec<DmaMemory<M>>,
    /// By head; only heads have one of their own.
    slots: Box<[Slot<M>]>,
    shape: Shape,
    /// Frames that the card would not take, as many as `refusals` says: they come back without having been sent.
    refused: Box<[Tag]>,
    refusals: usize,
}

impl<M: SharedPages + Clone> TransmitQueue<M> {
    /// # Panics
    /// More segments than [`SEGMENTS_MAX`].
    pub fn new(pool: &impl DmaPool<Memory = M>, shape: Shape) -> Result<Self, NoMemory> {
        let descriptors = shape.segments + 1;
        let stride = if shape.indirect { 1 } else { descriptors as u16 };
        let table = if shape.indirect {
            descriptors * DESCRIPTOR_BYTES
        } else {
            0
        };
        let ring = SplitQueue::new(pool, shape.size, stride, shape.event_idx)?;
        let bytes = (TABLE + table).next_power_of_two();
        assert!(bytes <= PAGE_SIZE, "a slot lies within a page");
        let in_page = PAGE_SIZE / bytes;
        let pages = (0..usize::from(shape.size).div_ceil(in_page))
            .map(|_| pool.page().ok_or(NoMemory))
            .collect::<Result<Vec<_>, _>>()?;
        let slots = (0..usize::from(shape.size))
            .map(|head| Slot {
                memory: pages[head / in_page].memory.clone(),
                at: head % in_page * bytes,
            })
            .collect();
        let queue = Self {
            refused: vec![Tag(0); ring.capacity()].into_boxed_slice(),
            refusals: 0,
            ring,
            pages,
            slots,
            shape,
        };
        for head in queue.ring.heads() {
            let page = queue.pages[usize::from(head) / in_page].page;
            let (table, table_at, base) = queue.table(head);
            let slot = &queue.slots[usize::from(head)];
            write_descriptor(
                table,
                table_at,
                page.at(slot.at),
                HEADER_BYTES,
                Flags::NEXT,
                base + 1,
            );
            if shape.indirect {
                let (at, len) = (usize::from(head) * DESCRIPTOR_BYTES, (bytes - TABLE) as u32);
                write_descriptor(
                    queue.ring.table(),
                    at,
                    page.at(slot.at + TABLE),
                    len,
                    Flags::INDIRECT,
                    0,
                );
            }
        }
        Ok(queue)
    }

    pub fn addresses(&self) -> QueueAddresses {
        self.ring.addresses()
    }

    /// The table that the chain at `head` is in, the offset of its first descriptor there, and that one's index.
    #[inline]
    fn table(&self, head: u16) -> (&M, usize, u16) {
        if self.shape.indirect {
            let slot = &self.slots[usize::from(head)];
            (&slot.memory, slot.at + TABLE, 0)
        } else {
            (self.ring.table(), usize::from(head) * DESCRIPTOR_BYTES, head)
        }
    }

    #[inline]
    pub fn submit(&mut self, frame: &TxFrame<'_>) -> Result<(), QueueFull> {
        let Some((last, segments)) = frame.segments.split_last() else {
            return self.refuse(frame.tag);
        };
        if segments.len() >= self.shape.segments || !self.takes(frame) {
            return self.refuse(frame.tag);
        }
        let head = self.ring.next_head().ok_or(QueueFull)?;
        let slot = &self.slots[usize::from(head)];
        Header::to_send(frame.checksum, frame.gso).store(&slot.memory, slot.at);
        let (table, mut at, base) = self.table(head);
        for (next, segment) in (base + 2..).zip(segments) {
            at += DESCRIPTOR_BYTES;
            write_descriptor(table, at, segment.addr, segment.len, Flags::NEXT, next);
        }
        write_descriptor(table, at + DESCRIPTOR_BYTES, last.addr, last.len, Flags::READ, 0);
        self.ring.expose(frame.tag);
        Ok(())
    }

    /// Whether the card agreed to do what the frame needs.
    #[inline]
    fn takes(&self, frame: &TxFrame<'_>) -> bool {
        match (&frame.checksum, &frame.gso) {
            (None, None) => true,
            (Some(_), None) => self.shape.checksum,
            (None, Some(_)) => false,
            (Some(_), Some(gso)) => match gso.kind {
                GsoKind::TcpV4 => self.shape.tso4,
                GsoKind::TcpV6 => self.shape.tso6,
            },
        }
    }

    /// Ends a frame without the card.
    #[cold]
    fn refuse(&mut self, tag: Tag) -> Result<(), QueueFull> {
        let place = self.refused.get_mut(self.refusals).ok_or(QueueFull)?;
        *place = tag;
        self.refusals += 1;
        Ok(())
    }

    /// True if the device is to be notified.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Hands back the tags of frames that are over.
    #[inline]
    pub fn reap(&mut self, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault> {
        for tag in &self.refused[..self.refusals] {
            each(*tag);
        }
        self.refusals = 0;
        self.ring.disarm();
        for _ in 0..self.ring.pending()? {
            // There is nothing to write in these chains, and some devices say what they read: the length means nothing.
            each(self.ring.take()?.token);
        }
        Ok(())
    }

    /// As [`SplitQueue::arm`].
    #[inline]
    pub fn arm(&mut self) -> bool {
        self.ring.arm() || self.refusals > 0
    }

    /// Forgets everything and takes no more frames.
    pub fn retire(&mut self) {
        self.ring.retire();
        self.refusals = 0;
        self.refused = Box::default();
    }
}
