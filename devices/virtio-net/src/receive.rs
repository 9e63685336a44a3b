//! One queue of empty buffers.

use outrigger_devices::{
    DeviceFault, DmaMemory, DmaPool, DmaSegment, PAGE_SIZE, QueueFull, RxBuffer, RxChecksum, Tag,
};
use outrigger_ring::SharedPages;
use outrigger_virtio::{DESCRIPTOR_BYTES, Flags, NoMemory, QueueAddresses, SplitQueue, write_descriptor};

use crate::config::feature;
use crate::header::{HEADER_BYTES, Header};

/// A buffer that the card has.
#[derive(Clone, Copy, Debug)]
struct Posted {
    tag: Tag,
    /// Where it begins in its page.
    at: u16,
    /// Its bytes.
    len: u16,
}

#[derive(Debug)]
pub(crate) struct ReceiveQueue<M> {
    ring: SplitQueue<M, Posted>,
    /// Those in force.
    features: u64,
}

/// Here `pages` are the backend's, by tag.
impl<M: SharedPages + Clone> ReceiveQueue<M> {
    pub fn new(
        pool: &impl DmaPool<Memory = M>,
        size: u16,
        event_idx: bool,
        features: u64,
    ) -> Result<Self, NoMemory> {
        let ring = SplitQueue::new(pool, size, 1, event_idx)?;
        Ok(Self { ring, features })
    }

    pub fn addresses(&self) -> QueueAddresses {
        self.ring.addresses()
    }

    /// # Panics
    /// The buffer is not in the page that its tag names, or has no room for a header, or is not aligned to 8 bytes.
    #[inline]
    pub fn post(&mut self, pages: &[DmaMemory<M>], tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull> {
        let head = self.ring.next_head().ok_or(QueueFull)?;
        let page = pages[tag.0 as usize].page;
        let at = buffer.addr.bits().wrapping_sub(page.at(0).bits());
        let (room, len) = ((PAGE_SIZE as u64).wrapping_sub(at), u64::from(buffer.len));
        assert!(
            at.is_multiple_of(8) && at < PAGE_SIZE as u64 && len <= room && len >= u64::from(HEADER_BYTES),
            "a receive buffer lies in the page that its tag names"
        );
        let descriptor = usize::from(head) * DESCRIPTOR_BYTES;
        write_descriptor(
            self.ring.table(),
            descriptor,
            buffer.addr,
            buffer.len,
            Flags::WRITE,
            0,
        );
        self.ring.expose(Posted {
            tag,
            at: at as u16,
            len: buffer.len as u16,
        });
        Ok(())
    }

    /// True if the device is to be notified.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Hands over whole frames. A device shows the buffers of a frame all at once, so one look at the index is enough.
    #[inline]
    pub fn reap(
        &mut self,
        pages: &[DmaMemory<M>],
        most: usize,
        each: &mut dyn FnMut(RxBuffer),
    ) -> Result<(), DeviceFault> {
        self.ring.disarm();
        let mut pending = self.ring.pending()?;
        let mut left = most;
        while pending > 0 && left > 0 {
            let (buffers, header, tag, len) = self.first(pages, pending)?;
            let (checksum, gso) = header.received(self.features, len);
            each(RxBuffer {
                tag,
                offset: HEADER_BYTES,
                len,
                more: buffers > 1,
                checksum,
                gso,
            });
            for more in (0..buffers - 1).rev() {
                let (posted, len) = self.take()?;
                each(RxBuffer {
                    tag: posted.tag,
                    offset: 0,
                    len,
                    more: more > 0,
                    checksum: RxChecksum::Unknown,
                    gso: None,
                });
            }
            pending -= buffers;
            left = left.saturating_sub(buffers.into());
        }
        Ok(())
    }

    /// The first buffer of a frame: the number of its buffers, at least 1 and at most `pending`; its header; and the tag
    /// of this one and the bytes in it.
    #[inline]
    fn first(
        &mut self,
        pages: &[DmaMemory<M>],
        pending: u16,
    ) -> Result<(u16, Header, Tag, u32), DeviceFault> {
        let (posted, len) = self.take()?;
        let Some(len) = len.checked_sub(HEADER_BYTES) else {
            return Err(DeviceFault("a received frame without its header"));
        };
        let memory = &pages[posted.tag.0 as usize].memory;
        let header = Header::load(memory, posted.at.into());
        // Without mergeable buffers older devices leave the number as it was.
        let buffers = if self.features & feature::MRG_RXBUF != 0 {
            header.num_buffers()
        } else {
            1
        };
        if !(1..=pending).contains(&buffers) {
            return Err(DeviceFault(
                "a received frame of no buffer, or of more than were used",
            ));
        }
        Ok((buffers, header, posted.tag, len))
    }

    #[inline]
    fn take(&mut self) -> Result<(Posted, u32), DeviceFault> {
        let used = self.ring.take()?;
        if used.len > used.token.len.into() {
            return Err(DeviceFault("more bytes received than a buffer has room for"));
        }
        Ok((used.token, used.len))
    }

    /// As [`SplitQueue::arm`].
    #[inline]
    pub fn arm(&mut self) -> bool {
        self.ring.arm()
    }

    /// Forgets everything and takes no more buffers.
    pub fn retire(&mut self) {
        self.ring.retire();
    }
}
