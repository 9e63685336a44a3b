//! What memory a device reaches, and its way there: straight, or through pages of ours that it does reach.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{DmaMemory, DmaPage, DmaPool, DmaSegment, DmaView, PAGE_SIZE};

/// What a device sees of memory: `dma-ranges` and `dma-coherent` of the device tree (Devicetree Specification 2.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaReach {
    /// The first address that it reaches, as the processors count.
    pub start: u64,
    /// The first address that it does not reach any more.
    pub end: u64,
    /// What the device adds to such an address (modulo 2⁶⁴).
    pub offset: u64,
    /// It sees what the processors' caches hold.
    pub coherent: bool,
}

impl DmaReach {
    /// All memory, under the processors' own addresses, coherently: what a device has of which the device tree says nothing
    /// else but `dma-coherent`.
    pub const ALL: Self = Self {
        start: 0,
        end: u64::MAX,
        offset: 0,
        coherent: true,
    };

    /// The part of it under addresses of so many bits (at most 64) of the device's.
    #[must_use]
    pub fn limited(self, bits: u32) -> Self {
        let top = 1u128 << bits;
        let room = top.saturating_sub(u128::from(self.start.wrapping_add(self.offset)));
        let end = u128::from(self.start).saturating_add(room).min(self.end.into());
        Self {
            // Not above the old end, which was 64 bits.
            end: end as u64,
            ..self
        }
    }

    /// The address under which the device knows a segment; `None` if it does not reach all of it.
    #[inline]
    pub fn bus(&self, segment: DmaSegment) -> Option<u64> {
        let first = segment.addr.bits();
        let after = first.checked_add(segment.len.into())?;
        (first >= self.start && after <= self.end).then(|| first.wrapping_add(self.offset))
    }

    /// Whether it reaches a whole page.
    pub fn holds(&self, page: DmaPage) -> bool {
        let whole = page.segment(0, PAGE_SIZE as u32);
        whole.is_some_and(|segment| self.bus(segment).is_some())
    }
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads memory.
    ToDevice,
    /// The device writes memory.
    FromDevice,
}

/// What the processor had to do for a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DmaCounters {
    /// Segments that went through a page of ours, because the device does not reach them.
    pub bounces: u64,
    /// Segments that the processor moved itself, because the device has no DMA.
    pub by_hand: u64,
}

impl DmaCounters {
    /// Those that are not zero, with their names.
    pub fn each(&self, each: &mut dyn FnMut(&'static str, u64)) {
        for (name, count) in [("bounced", self.bounces), ("by-hand", self.by_hand)] {
            if count > 0 {
                each(name, count);
            }
        }
    }
}

/// There is no page left to bounce through, until some loan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoBounce;

/// A segment that a device is told of. It ends with [`DmaPath::take_back`], when the device has let go of it.
#[derive(Debug)]
#[must_use = "what is lent must be taken back"]
pub struct DmaLoan {
    segment: DmaSegment,
    way: Direction,
    bus: u64,
    /// The page of ours that the device uses instead.
    bounce: Option<(usize, DmaSegment)>,
}

impl DmaLoan {
    /// The address to tell the device.
    #[inline]
    pub fn bus(&self) -> u64 {
        self.bus
    }

    /// The segment's length in bytes.
    #[inline]
    pub fn len(&self) -> u32 {
        self.segment.len
    }

    /// Never true: a segment has bytes.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// One device's way to memory. Before a segment is the device's it is [lent](Self::lend): translated, bounced if it is out
/// of reach, and cleaned from caches that the device does not see; afterwards it is [taken back](Self::take_back). For a
/// coherent device that reaches everything both are a comparison.
pub struct DmaPath<P: DmaPool> {
    pool: P,
    reach: DmaReach,
    pages: Box<[DmaMemory<P::Memory>]>,
    free: Vec<usize>,
    counters: DmaCounters,
}

/// Words copied at a time.
const CHUNK: usize = 64;

impl<P: DmaPool + DmaView> DmaPath<P> {
    /// A way for a device with that reach, with up to `bounces` pages of `pool` within it. Fewer if there are fewer: then
    /// less is lent at once. None at all if the device reaches everything.
    pub fn new(pool: P, reach: DmaReach, bounces: usize) -> Self {
        let all = reach.start == 0 && reach.end == u64::MAX;
        let bounces = if all { 0 } else { bounces };
        let pages: Box<[_]> = (0..bounces).map_while(|_| pool.page_within(&reach)).collect();
        Self {
            free: (0..pages.len()).collect(),
            pages,
            pool,
            reach,
            counters: DmaCounters::default(),
        }
    }

    /// A page of the pool for the device and its driver, within reach: the page, and what the device calls it.
    pub fn page(&self) -> Option<(DmaMemory<P::Memory>, u64)> {
        let memory = self.pool.page_within(&self.reach)?;
        let bus = self.reach.bus(memory.page.segment(0, PAGE_SIZE as u32)?)?;
        Some((memory, bus))
    }

    /// The CPU's view, for what it has to do itself.
    pub fn view(&self) -> &P {
        &self.pool
    }

    /// What the device reaches.
    pub fn reach(&self) -> DmaReach {
        self.reach
    }

    /// What the processor had to do so far.
    pub fn counters(&self) -> DmaCounters {
        self.counters
    }

    /// The processor moves the bytes of so many segments itself.
    pub fn count_by_hand(&mut self, segments: usize) {
        self.counters.by_hand += segments as u64;
    }

    /// Makes what the processor wrote to a piece of a page of ours visible to the device.
    #[inline]
    pub fn publish(&self, segment: DmaSegment) {
        if !self.reach.coherent {
            self.pool.clean(segment);
        }
    }

    /// Makes a segment the device's, for data that goes `way`. If it has to bounce, its address and length are multiples of
    /// 4, at most a page.
    ///
    /// # Errors
    /// It is out of reach and there is no page to bounce through; nothing was done.
    pub fn lend(&mut self, segment: DmaSegment, way: Direction) -> Result<DmaLoan, NoBounce> {
        let (bus, bounce) = match self.reach.bus(segment) {
            Some(bus) => (bus, None),
            None => {
                let (bus, index, own) = self.bounce(segment).ok_or(NoBounce)?;
                if way == Direction::ToDevice {
                    copy(&self.pool, segment, own);
                }
                (bus, Some((index, own)))
            }
        };
        if !self.reach.coherent {
            let used = bounce.map_or(segment, |(_, own)| own);
            match way {
                Direction::ToDevice => self.pool.clean(used),
                // Also now: a line that is dirty could be written back over what the device has written.
                Direction::FromDevice => self.pool.clean_and_invalidate(used),
            }
        }
        Ok(DmaLoan {
            segment,
            way,
            bus,
            bounce,
        })
    }

    /// Finds a page for a segment to bounce through.
    #[cold]
    fn bounce(&mut self, segment: DmaSegment) -> Option<(u64, usize, DmaSegment)> {
        let index = *self.free.last()?;
        let own = self.pages[index].page.segment(0, segment.len)?;
        let bus = self.reach.bus(own)?;
        self.free.pop();
        self.counters.bounces += 1;
        Some((bus, index, own))
    }

    /// The device has let go of it. `done`: what the device wrote is to be seen in the segment; false if it failed, and then
    /// what is there is nobody's concern.
    pub fn take_back(&mut self, loan: DmaLoan, done: bool) {
        let written = done && loan.way == Direction::FromDevice;
        if written && !self.reach.coherent {
            // The processor may have read old bytes ahead while the device was writing.
            let used = loan.bounce.map_or(loan.segment, |(_, own)| own);
            self.pool.clean_and_invalidate(used);
        }
        if let Some((index, own)) = loan.bounce {
            if written {
                copy(&self.pool, own, loan.segment);
            }
            self.free.push(index);
        }
    }

    /// Ends, and gives the pages that were bounced through back.
    pub fn into_pages(self) -> (P, Vec<DmaMemory<P::Memory>>) {
        (self.pool, self.pages.into_vec())
    }
}

#[cold]
fn copy(view: &impl DmaView, from: DmaSegment, to: DmaSegment) {
    let mut words = [0; CHUNK];
    let mut at = 0;
    while at < from.len {
        let count = CHUNK.min((from.len - at) as usize / 4);
        assert!(count > 0, "what bounces is whole words");
        view.copy_out(from, at, &mut words[..count]);
        view.copy_in(to, at, &words[..count]);
        at += 4 * count as u32;
    }
}
