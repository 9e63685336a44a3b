//! A DMA engine and its one ring. Its descriptors lie in its registers.
//!
//! Both rings have all 256 descriptors, and descriptor *i* is that of every index that is *i* modulo 256. What a driver is
//! to set at the start, an index or a pointer, some boot loaders find they cannot: so both are written, and the index that
//! is read then counts.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};

use crate::mac::change;
use crate::mdio::wait;
use crate::registers::dma;

/// How long an engine may go on after it was told to stop: the longest frame at 10 Mb/s takes 3 ms.
const STOP: Duration = Duration::from_millis(10);

/// One of the two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Receive,
    Transmit,
}

impl Engine {
    const fn base(self) -> usize {
        match self {
            Self::Receive => dma::RECEIVE,
            Self::Transmit => dma::TRANSMIT,
        }
    }

    #[inline]
    pub fn read(self, io: &impl RegisterIo, at: usize) -> u32 {
        io.read_u32(self.base() + at)
    }

    #[inline]
    pub fn write(self, io: &impl RegisterIo, at: usize, value: u32) {
        io.write_u32(self.base() + at, value);
    }

    /// Prepares the ring of a stopped engine, for buffers of so many bytes. Returns the index that it begins with.
    pub fn prepare(self, io: &impl RegisterIo, buffer_bytes: usize) -> u16 {
        self.write(io, dma::SCB_BURST_SIZE, dma::BURST);
        self.write(io, dma::ENGINE_INDEX, 0);
        let index = self.read(io, dma::ENGINE_INDEX) as u16;
        self.write(io, dma::DRIVER_INDEX, index.into());
        let words = dma::DESCRIPTOR / 4;
        let pointer = usize::from(index) % dma::DESCRIPTORS * words;
        for (at, value) in [
            (dma::RING_BUF_SIZE, dma::DESCRIPTORS << 16 | buffer_bytes),
            (dma::START_ADDR, 0),
            (dma::START_ADDR + 4, 0),
            (dma::END_ADDR, dma::DESCRIPTORS * words - 1),
            (dma::END_ADDR + 4, 0),
            (dma::ENGINE_PTR, pointer),
            (dma::ENGINE_PTR + 4, 0),
            (dma::DRIVER_PTR, pointer),
            (dma::DRIVER_PTR + 4, 0),
            (dma::MBUF_DONE_THRESH, 1),
            (
                dma::FLOW,
                match self {
                    // Pauses below 5 free buffers, goes on above 16. Zero would pause for ever.
                    Self::Receive => 5 << 16 | dma::DESCRIPTORS >> 4,
                    Self::Transmit => 0,
                },
            ),
        ] {
            self.write(io, at, value as u32);
        }
        if self == Self::Receive {
            self.write(io, dma::RING_TIMEOUT, 0);
            for register in 0..8 {
                self.write(io, dma::INDEX2RING + 4 * register, 0);
            }
        }
        self.write(io, dma::RING_CFG, 1 << dma::QUEUE);
        index
    }

    /// Begins.
    pub fn start(self, io: &impl RegisterIo) {
        self.write(io, dma::CTRL, dma::RING_EN);
        self.write(io, dma::CTRL, dma::RING_EN | dma::EN);
    }

    /// Ends. False if the engine does not say that it has stopped.
    pub fn stop(self, io: &impl RegisterIo, clock: &dyn Clock) -> bool {
        change(io, self.base() + dma::CTRL, 0, dma::EN);
        let stopped = wait(clock, STOP, || self.read(io, dma::STATUS) & dma::DISABLED != 0);
        self.write(io, dma::CTRL, 0);
        stopped
    }

    /// The high half only if it is another one than before: such a write takes a few hundred nanoseconds.
    #[inline]
    pub fn set_address(self, io: &impl RegisterIo, place: usize, bus: u64, high: &mut u32) {
        let at = place * dma::DESCRIPTOR;
        self.write(io, at + 4, bus as u32);
        let above = (bus >> 32) as u32;
        if *high != above {
            *high = above;
            self.write(io, at + 8, above);
        }
    }

    #[inline]
    pub fn set_status(self, io: &impl RegisterIo, place: usize, status: u32) {
        self.write(io, place * dma::DESCRIPTOR, status);
    }

    /// Leads every descriptor to a page that nobody else uses.
    #[cold]
    pub fn park(self, io: &impl RegisterIo, page: u64) {
        for place in 0..dma::DESCRIPTORS {
            let at = place * dma::DESCRIPTOR;
            self.write(io, at + 4, page as u32);
            self.write(io, at + 8, (page >> 32) as u32);
        }
    }
}

/// What no address has above it: so the first write to a descriptor is whole.
pub(crate) const UNKNOWN_HIGH: u32 = u32::MAX;
