//! The ADMA2 descriptor table (SD Host Controller §1.13), in one page.

use outrigger_devices::{DmaMemory, DmaPath, DmaPool, DmaSegment, DmaView, PAGE_SIZE};
use outrigger_ring::SharedPages;

use crate::host::Adma;

/// Attributes: valid, the last one, a transfer.
const VALID: u32 = 1 << 0;
const END: u32 = 1 << 1;
const TRANSFER: u32 = 2 << 4;

/// Longest piece a descriptor names, in bytes.
pub(crate) const PIECE_MAX: u32 = 0xffff;

#[derive(Debug)]
pub(crate) struct Table<M> {
    memory: DmaMemory<M>,
    /// What the controller calls it.
    bus: u64,
    whole: DmaSegment,
    adma: Adma,
}

impl<M: SharedPages + Clone> Table<M> {
    /// A table in a page of `path`'s pool; `None` if there is none within reach.
    pub fn new<P>(path: &DmaPath<P>, adma: Adma) -> Option<Self>
    where
        P: DmaPool<Memory = M> + DmaView,
    {
        let (memory, bus) = path.page()?;
        let whole = memory.page.segment(0, PAGE_SIZE as u32)?;
        Some(Self {
            memory,
            bus,
            whole,
            adma,
        })
    }

    /// Bytes a descriptor.
    fn stride(&self) -> usize {
        match self.adma {
            Adma::Bits64 => 12,
            Adma::Version4 => 16,
            Adma::Bits32 | Adma::None => 8,
        }
    }

    /// Writes the descriptors of `pieces` (address and length), and makes them visible. Where it is then.
    pub fn write<P>(&self, path: &DmaPath<P>, pieces: impl ExactSizeIterator<Item = (u64, u32)>) -> u64
    where
        P: DmaPool<Memory = M> + DmaView,
    {
        let last = pieces.len().saturating_sub(1);
        for (index, (bus, len)) in pieces.enumerate() {
            let at = index * self.stride();
            let end = if index == last { END } else { 0 };
            // The length is below 64 KiB: the request was checked.
            self.memory
                .memory
                .store_u32(at, len << 16 | TRANSFER | end | VALID);
            self.memory.memory.store_u32(at + 4, bus as u32);
            if self.adma != Adma::Bits32 {
                self.memory.memory.store_u32(at + 8, (bus >> 32) as u32);
            }
        }
        path.publish(self.whole);
        self.bus
    }
}
