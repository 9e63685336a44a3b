//! The driver's side of a split virtqueue (VIRTIO 1.2 §2.7).

use alloc::boxed::Box;
use alloc::vec;

use outrigger_devices::{DeviceFault, DmaAddr, DmaMemory, DmaPool};
use outrigger_ring::SharedPages;

use crate::need_event;

// The available and the used ring share one page: 518 and 2054 bytes at most. The used ring begins 4 bytes past an
// 8-byte boundary, so that each of its 8-byte entries is one aligned load; the specification asks for 4.
const AVAIL_FLAGS: usize = 0;
const AVAIL_IDX: usize = 2;
const AVAIL_RING: usize = 4;
const USED: usize = 1028;
const USED_FLAGS: usize = USED;
const USED_IDX: usize = USED + 2;
const USED_RING: usize = USED + 4;

/// `VIRTQ_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;

/// The pool had no page left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Where a queue lies, for the transport to tell the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAddresses {
    /// Number of descriptors.
    pub size: u16,
    /// Descriptor table ("queue desc").
    pub desc: DmaAddr,
    /// Available ring ("queue driver").
    pub driver: DmaAddr,
    /// Used ring ("queue device").
    pub device: DmaAddr,
}

/// A chain that the device has finished with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used<T> {
    /// Its first descriptor; free again.
    pub head: u16,
    /// What [`SplitQueue::expose`] was given.
    pub token: T,
    /// Bytes the device says it wrote into the chain's device-writable part: an allegation.
    pub len: u32,
}

/// A split virtqueue of at most [`SplitQueue::MAX_SIZE`] descriptors, so that each part lies within one page.
///
/// Its descriptors are dealt in chains of a fixed number of consecutive ones, the *stride*: 1 where every chain is one
/// indirect descriptor, more where chains lie in the table itself. A chain is named by its first descriptor, the head,
/// and everything about a head that does not change can therefore be written once, at the start.
///
/// All indices are free running, modulo 2¹⁶. Invariant: `used_idx` ≤ `published` ≤ `avail_idx`, in that modulus and at
/// most one queue size apart; a chain is in flight exactly while `chains[head]` holds its token.
#[derive(Debug)]
pub struct SplitQueue<M, T> {
    table: DmaMemory<M>,
    rings: DmaMemory<M>,
    size: u16,
    /// `size - 1`.
    mask: u16,
    stride: u16,
    event_idx: bool,
    /// Only without event-idx: interrupts are on.
    interrupts: bool,
    /// Next place in the available ring.
    avail_idx: u16,
    /// As the device sees it.
    published: u16,
    /// Next used entry to take.
    used_idx: u16,
    free: Box<[u16]>,
    free_len: usize,
    chains: Box<[Option<T>]>,
}

impl<M: SharedPages, T: Copy> SplitQueue<M, T> {
    /// The largest queue whose parts each fit in a page.
    pub const MAX_SIZE: u16 = 256;

    /// An empty queue of `size` descriptors, in chains of `stride`, with two pages from `pool`. Interrupts are off until
    /// [`arm`](Self::arm) asks for one.
    ///
    /// # Errors
    /// The pool is empty.
    ///
    /// # Panics
    /// `size` is not a power of two up to [`MAX_SIZE`](Self::MAX_SIZE), or `stride` is 0 or more than `size`.
    pub fn new(
        pool: &impl DmaPool<Memory = M>,
        size: u16,
        stride: u16,
        event_idx: bool,
    ) -> Result<Self, NoMemory> {
        assert!(
            size.is_power_of_two() && size <= Self::MAX_SIZE,
            "a queue size is a power of two, at most 256"
        );
        assert!((1..=size).contains(&stride), "a chain fits its queue");
        let table = pool.page().ok_or(NoMemory)?;
        let rings = pool.page().ok_or(NoMemory)?;
        let free: Box<[u16]> = (0..size / stride).rev().map(|chain| chain * stride).collect();
        let queue = Self {
            table,
            rings,
            size,
            mask: size - 1,
            stride,
            event_idx,
            interrupts: false,
            avail_idx: 0,
            published: 0,
            used_idx: 0,
            free_len: free.len(),
            free,
            chains: vec![None; usize::from(size)].into_boxed_slice(),
        };
        if event_idx {
            // Just behind the index: not one of the first 65535 completions passes it.
            queue.rings.memory.store_u16(queue.used_event(), u16::MAX);
        } else {
            queue.rings.memory.store_u16(AVAIL_FLAGS, NO_INTERRUPT);
        }
        Ok(queue)
    }

    /// Where the device finds the queue.
    pub fn addresses(&self) -> QueueAddresses {
        QueueAddresses {
            size: self.size,
            desc: self.table.page.at(0),
            driver: self.rings.page.at(0),
            device: self.rings.page.at(USED),
        }
    }

    /// The descriptor table. Descriptor `i` is at byte `16 * i`.
    #[inline]
    pub fn table(&self) -> &M {
        &self.table.memory
    }

    /// Every head there is.
    pub fn heads(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.size / self.stride).map(|chain| chain * self.stride)
    }

    /// Number of chains that there can be in flight.
    pub fn capacity(&self) -> usize {
        self.free.len()
    }

    /// The head that the next [`expose`](Self::expose) takes: write its descriptors first. `None` if all are in flight.
    #[inline]
    pub fn next_head(&self) -> Option<u16> {
        self.free[..self.free_len].last().copied()
    }

    /// Puts the chain at [`next_head`](Self::next_head) into the available ring, unpublished until
    /// [`publish`](Self::publish). `token` comes back with it.
    ///
    /// # Panics
    /// There is no free head.
    #[inline(always)]
    pub fn expose(&mut self, token: T) {
        assert!(self.free_len > 0, "a chain is exposed at a free head");
        self.free_len -= 1;
        let head = self.free[self.free_len];
        self.chains[usize::from(head)] = Some(token);
        let at = AVAIL_RING + 2 * usize::from(self.avail_idx & self.mask);
        self.rings.memory.store_u16(at, head);
        self.avail_idx = self.avail_idx.wrapping_add(1);
    }

    /// Shows the device what was exposed. True if it asked to be notified of one of these chains.
    #[inline]
    #[must_use = "the device may be waiting for its notification"]
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if old == self.avail_idx {
            return false;
        }
        self.published = self.avail_idx;
        let rings = &self.rings.memory;
        rings.release_u16(AVAIL_IDX, self.published);
        // The device writes avail_event and then looks for chains; we publish one and then look at avail_event. Without
        // the barrier both could miss each other (§2.7.13.4.1).
        rings.full_barrier();
        if self.event_idx {
            need_event(rings.load_u16(self.avail_event()), self.published, old)
        } else {
            rings.load_u16(USED_FLAGS) & NO_NOTIFY == 0
        }
    }

    /// Used chains that wait to be taken.
    ///
    /// # Errors
    /// The device claims to have used more than it was shown.
    #[inline]
    pub fn pending(&self) -> Result<u16, DeviceFault> {
        let claimed = self.rings.memory.acquire_u16(USED_IDX);
        let pending = claimed.wrapping_sub(self.used_idx);
        if pending > self.published.wrapping_sub(self.used_idx) {
            return Err(DeviceFault("used index is ahead of the available one"));
        }
        Ok(pending)
    }

    /// Takes the next used chain; its head is free again. Call it only as often as [`pending`](Self::pending) said.
    ///
    /// # Errors
    /// The device names a chain that it does not have.
    #[inline]
    pub fn take(&mut self) -> Result<Used<T>, DeviceFault> {
        let at = USED_RING + 8 * usize::from(self.used_idx & self.mask);
        let entry = self.rings.memory.load_u64(at);
        let (id, len) = (entry as u32, (entry >> 32) as u32);
        let token = self.chains.get_mut(id as usize).and_then(Option::take);
        let Some(token) = token else {
            return Err(DeviceFault("used entry names no chain in flight"));
        };
        // `id` indexed a table of `size` entries, and its chain came from the stack that it now goes back to.
        let head = id as u16;
        self.free[self.free_len] = head;
        self.free_len += 1;
        self.used_idx = self.used_idx.wrapping_add(1);
        Ok(Used { head, token, len })
    }

    /// Asks for an interrupt at the next used chain, then looks once more: true if one is there already.
    ///
    /// With event-idx the request lasts for one interrupt: what is used afterwards leaves `used_event` behind, and the
    /// device stays quiet until the next call. Without it, call [`disarm`](Self::disarm) before polling.
    #[inline]
    pub fn arm(&mut self) -> bool {
        let rings = &self.rings.memory;
        if self.event_idx {
            rings.store_u16(self.used_event(), self.used_idx);
        } else {
            rings.store_u16(AVAIL_FLAGS, 0);
            self.interrupts = true;
        }
        // The device moves used.idx and then looks whether we want to hear of it; we say so and then look at used.idx.
        rings.full_barrier();
        rings.load_u16(USED_IDX) != self.used_idx
    }

    /// Without event-idx, tells the device to keep quiet again; with it there is nothing to say.
    #[inline]
    pub fn disarm(&mut self) {
        if self.interrupts {
            self.rings.memory.store_u16(AVAIL_FLAGS, NO_INTERRUPT);
            self.interrupts = false;
        }
    }

    /// Ends the queue: every chain is forgotten, no head is free, nothing is left to publish or to take. For after the
    /// device was reset, or when it is not to be believed any more.
    pub fn retire(&mut self) {
        self.chains.fill(None);
        self.free_len = 0;
        self.published = self.avail_idx;
        self.used_idx = self.avail_idx;
    }

    #[inline]
    fn used_event(&self) -> usize {
        AVAIL_RING + 2 * usize::from(self.size)
    }

    #[inline]
    fn avail_event(&self) -> usize {
        USED_RING + 8 * usize::from(self.size)
    }
}
