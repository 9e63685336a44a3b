//! Frames to send.
//!
//! Before each frame the engine wants a status block of 64 bytes, in one piece with the frame's headers (FreeBSD found that
//! frames get lost otherwise). A backend's frame has no room before it, so its first bytes are copied behind a block of
//! ours, in the slot of its first descriptor; the rest goes from where it is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use outrigger_devices::{
    DeviceFault, Direction, DmaLoan, DmaMemory, DmaPath, DmaPool, DmaSegment, DmaView, PAGE_SIZE, QueueFull,
    RegisterIo, Tag, TxFrame,
};
use outrigger_ring::SharedPages;

use crate::engine::{Engine, UNKNOWN_HIGH};
use crate::registers::{block, dma};
use crate::{Options, ProbeError};

/// Most segments of a frame.
pub(crate) const SEGMENTS_MAX: usize = 16;
/// Descriptors in use at most. One stays free, as other drivers leave it.
const IN_FLIGHT_MAX: u16 = dma::DESCRIPTORS as u16 - 1;

/// Bytes of a slot: the status block, and the copied part of a frame.
const SLOT: usize = 256;
const SLOTS_A_PAGE: usize = PAGE_SIZE / SLOT;
/// Pages with slots.
pub(crate) const PAGES: usize = dma::DESCRIPTORS / SLOTS_A_PAGE;
/// Bytes of a frame that are copied: a cache line, and with it Ethernet, IP and most of a transport header.
const HEAD: u32 = 64;
/// At most, if a checksum lies farther in.
const HEAD_MAX: u32 = (SLOT - block::BYTES) as u32;
/// Bytes of the transport header that are copied with a checksum's: a whole TCP header without options.
const TRANSPORT: u32 = 20;

/// Frames that may wait for [`TransmitQueue::reap`] without having been sent.
const REFUSALS_MAX: usize = dma::DESCRIPTORS;

/// The pages with slots, and what the engine calls them.
pub(crate) type Slots<M> = Box<[(DmaMemory<M>, u64)]>;

/// What belongs to a descriptor.
#[derive(Debug)]
struct Place {
    /// Of the frame's last descriptor only.
    tag: Option<Tag>,
    loan: Option<DmaLoan>,
    /// The high half of its address, as it was last written.
    high: u32,
}

#[derive(Debug)]
pub(crate) struct TransmitQueue<M> {
    slots: Slots<M>,
    places: Box<[Place]>,
    /// The next descriptor to fill.
    produced: u16,
    /// What the engine knows of.
    published: u16,
    /// The next descriptor that the engine may be through with.
    reaped: u16,
    /// Most bytes of a frame.
    len_max: u32,
    refused: Vec<Tag>,
    /// Frames refused so far.
    pub refusals: u64,
}

impl<M: SharedPages> TransmitQueue<M> {
    /// A queue for a stopped engine, with [`PAGES`] pages.
    pub fn new(io: &impl RegisterIo, slots: Slots<M>, options: &Options) -> Self {
        let index = Engine::Transmit.prepare(io, options.buffer_bytes());
        let empty = || Place {
            tag: None,
            loan: None,
            high: UNKNOWN_HIGH,
        };
        Self {
            slots,
            places: core::iter::repeat_with(empty).take(dma::DESCRIPTORS).collect(),
            produced: index,
            published: index,
            reaped: index,
            // Without the frame check sequence.
            len_max: u32::from(options.mtu) + 18,
            refused: Vec::with_capacity(REFUSALS_MAX),
            refusals: 0,
        }
    }

    #[inline]
    pub fn submit<P: DmaPool<Memory = M> + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &mut DmaPath<P>,
        frame: &TxFrame<'_>,
    ) -> Result<(), QueueFull> {
        let Some((checksum, head)) = self.plan(frame) else {
            return self.refuse(frame.tag);
        };
        let [first, others @ ..] = frame.segments else {
            return self.refuse(frame.tag);
        };
        let rest = first.behind(head);
        let count = 1 + u16::from(rest.is_some()) + others.len() as u16;
        if self.produced.wrapping_sub(self.reaped) + count > IN_FLIGHT_MAX {
            return Err(QueueFull);
        }
        let mut place = self.produced;
        for segment in rest.into_iter().chain(others.iter().copied()) {
            place = place.wrapping_add(1);
            match path.lend(segment, Direction::ToDevice) {
                Ok(loan) => self.places[index(place)].loan = Some(loan),
                Err(_) => {
                    self.take_back(path, self.produced, place);
                    return self.refuse(frame.tag);
                }
            }
        }
        self.write_head(io, path, *first, head, checksum, count == 1);
        for further in 1..count {
            let place = index(self.produced.wrapping_add(further));
            let Place { loan, high, .. } = &mut self.places[place];
            let Some(loan) = loan else { continue };
            Engine::Transmit.set_address(io, place, loan.bus(), high);
            let end = if further + 1 == count { dma::EOP } else { 0 };
            Engine::Transmit.set_status(io, place, status(loan.len()) | end);
        }
        self.produced = self.produced.wrapping_add(count);
        self.places[index(self.produced.wrapping_sub(1))].tag = Some(frame.tag);
        Ok(())
    }

    /// What the status block says of the checksum, and how many bytes of the first segment are copied; `None` if the
    /// engine cannot do it.
    #[inline]
    fn plan(&self, frame: &TxFrame<'_>) -> Option<(u32, u32)> {
        let first = frame.segments.first()?;
        let mut len = 0u32;
        for segment in frame.segments {
            len = len.checked_add(segment.len)?;
        }
        let fits = frame.segments.len() <= SEGMENTS_MAX && (14..=self.len_max).contains(&len);
        // What is copied is copied in words.
        if !fits || frame.gso.is_some() || !first.addr.bits().is_multiple_of(4) {
            return None;
        }
        let Some(blank) = frame.checksum else {
            return Some((0, first.len.min(HEAD)));
        };
        let start = u32::from(blank.start);
        let store = start + u32::from(blank.offset);
        let transport = start + TRANSPORT;
        // The copied part ends on a multiple of 4, so that what follows begins on one.
        let head = first.len.min(transport.next_multiple_of(4).clamp(HEAD, HEAD_MAX));
        if store + 2 > head {
            return None;
        }
        let udp = if blank.offset == 6 { block::TX_CSUM_UDP } else { 0 };
        let word = block::TX_CSUM_VALID | start << block::TX_CSUM_START_SHIFT | store | udp;
        Some((word, head))
    }

    /// Fills the slot of the next descriptor, and the descriptor.
    #[inline]
    fn write_head<P: DmaPool<Memory = M> + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &DmaPath<P>,
        first: DmaSegment,
        head: u32,
        checksum: u32,
        whole: bool,
    ) {
        let place = index(self.produced);
        let (page, bus) = &self.slots[place / SLOTS_A_PAGE];
        let at = place % SLOTS_A_PAGE * SLOT;
        // A slot's other words stay zero.
        page.memory.store_u32(at + block::TX_CSUM, checksum);
        let mut words = [0; HEAD_MAX as usize / 4];
        let words = &mut words[..head.div_ceil(4) as usize];
        // The bytes that round it up are of the same page, and stay here.
        let from = DmaSegment {
            len: 4 * words.len() as u32,
            ..first
        };
        path.view().copy_out(from, 0, words);
        page.memory.copy_in(at + block::BYTES, words);
        let len = block::BYTES as u32 + head;
        if let Some(slot) = page.page.segment(at as u32, len) {
            path.publish(slot);
        }
        let high = &mut self.places[place].high;
        Engine::Transmit.set_address(io, place, bus + at as u64, high);
        let sum = if checksum != 0 { dma::TX_DO_CSUM } else { 0 };
        let end = if whole { dma::EOP } else { 0 };
        Engine::Transmit.set_status(io, place, status(len) | dma::SOP | sum | end);
    }

    /// Ends a frame without the engine.
    #[cold]
    fn refuse(&mut self, tag: Tag) -> Result<(), QueueFull> {
        if self.refused.len() == REFUSALS_MAX {
            return Err(QueueFull);
        }
        self.refused.push(tag);
        self.refusals += 1;
        Ok(())
    }

    /// Ends the loans of these descriptors.
    #[cold]
    fn take_back<P: DmaPool<Memory = M> + DmaView>(&mut self, path: &mut DmaPath<P>, from: u16, to: u16) {
        for place in 0..to.wrapping_sub(from) {
            let place = index(from.wrapping_add(place));
            if let Some(loan) = self.places[place].loan.take() {
                path.take_back(loan, false);
            }
        }
    }

    /// Tells the engine of all that was submitted.
    #[inline]
    pub fn publish(&mut self, io: &impl RegisterIo) {
        if self.published != self.produced {
            self.published = self.produced;
            Engine::Transmit.write(io, dma::DRIVER_INDEX, self.produced.into());
        }
    }

    /// Hands back the tags of frames that are over.
    #[inline]
    pub fn reap<P: DmaPool<Memory = M> + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &mut DmaPath<P>,
        each: &mut dyn FnMut(Tag),
    ) -> Result<(), DeviceFault> {
        self.refused.drain(..).for_each(&mut *each);
        if !self.is_busy() {
            return Ok(());
        }
        for _ in 0..self.done(io)? {
            let place = &mut self.places[index(self.reaped)];
            self.reaped = self.reaped.wrapping_add(1);
            if let Some(loan) = place.loan.take() {
                path.take_back(loan, true);
            }
            if let Some(tag) = place.tag.take() {
                each(tag);
            }
        }
        Ok(())
    }

    /// Descriptors that the engine is through with.
    #[inline]
    fn done(&self, io: &impl RegisterIo) -> Result<u16, DeviceFault> {
        let consumed = Engine::Transmit.read(io, dma::ENGINE_INDEX) as u16;
        let done = consumed.wrapping_sub(self.reaped);
        if done > self.published.wrapping_sub(self.reaped) {
            return Err(DeviceFault("more descriptors sent than it was given"));
        }
        Ok(done)
    }

    /// Whether there is something to reap. A lie counts, so that it is found out.
    #[inline]
    pub fn has_done(&self, io: &impl RegisterIo) -> bool {
        !self.refused.is_empty() || self.is_busy() && self.done(io) != Ok(0)
    }

    /// The engine has something to send.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.published != self.reaped
    }

    /// How far it got.
    pub fn progress(&self) -> u16 {
        self.reaped
    }

    /// Forgets everything.
    pub fn retire<P: DmaPool<Memory = M> + DmaView>(&mut self, path: &mut DmaPath<P>) {
        self.take_back(path, self.reaped, self.produced);
        self.places.iter_mut().for_each(|place| place.tag = None);
        (self.produced, self.published) = (self.reaped, self.reaped);
        self.refused.clear();
    }

    /// Gives the pages back, for the queue that takes its place.
    pub fn take_slots(&mut self) -> Slots<M> {
        core::mem::take(&mut self.slots)
    }
}

/// The pages of a queue.
pub(crate) fn pages<P: DmaPool + DmaView>(path: &DmaPath<P>) -> Result<Slots<P::Memory>, ProbeError> {
    (0..PAGES)
        .map(|_| path.page().ok_or(ProbeError::NoMemory))
        .collect()
}

#[inline]
fn index(count: u16) -> usize {
    usize::from(count) % dma::DESCRIPTORS
}

/// What every descriptor says, with its length in bytes.
#[inline]
fn status(len: u32) -> u32 {
    len << dma::LEN_SHIFT | dma::TX_QTAG | dma::TX_APPEND_CRC
}
