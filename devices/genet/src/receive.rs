//! Empty buffers, and frames in them.

use alloc::boxed::Box;

use outrigger_devices::{
    DeviceFault, Direction, DmaLoan, DmaPath, DmaPool, DmaSegment, DmaView, QueueFull, RegisterIo, RxBuffer,
    RxChecksum, Tag,
};

use crate::Options;
use crate::counters::Counters;
use crate::engine::{Engine, UNKNOWN_HIGH};
use crate::registers::{block, dma};

/// The shortest frame's Ethernet header.
const HEADER: u32 = 14;
/// The count of frames without a buffer begins anew above this, before it ends.
const DISCARDS_MAX: u16 = 0xc000;
/// Buffers of a frame at most: the MAC counts its bytes in 14 bits.
const PARTS_MAX: u8 = 8;
/// Buffers that the engine has at most.
const POSTED_MAX: u16 = dma::DESCRIPTORS as u16;

/// A buffer that the engine has.
#[derive(Debug)]
struct Posted {
    tag: Tag,
    /// The part of it that the engine may use.
    piece: DmaSegment,
    loan: DmaLoan,
}

#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    places: Box<[Option<Posted>]>,
    /// The high half of each descriptor's address, as it was last written.
    high: Box<[u32]>,
    /// The next descriptor to give a buffer.
    posted: u16,
    /// What the engine knows of.
    published: u16,
    /// The next descriptor that the engine may be through with.
    taken: u16,
    /// Bytes of a buffer.
    buffer: u32,
    /// The engine runs.
    started: bool,
    /// So many buffers at most go on with a frame that does not fit into one.
    goes_on: u8,
    /// Its count of frames without a buffer, as it was last read.
    discards: u16,
}

impl ReceiveQueue {
    /// A queue for a stopped engine.
    pub fn new(io: &impl RegisterIo, options: &Options) -> Self {
        let index = Engine::Receive.prepare(io, options.buffer_bytes());
        Self {
            places: core::iter::repeat_with(|| None).take(dma::DESCRIPTORS).collect(),
            high: alloc::vec![UNKNOWN_HIGH; dma::DESCRIPTORS].into(),
            posted: index,
            published: index,
            taken: index,
            buffer: options.buffer_bytes() as u32,
            started: false,
            goes_on: 0,
            discards: 0,
        }
    }

    /// # Panics
    /// The buffer is too short for a frame of the MTU, or does not begin with a cache line.
    #[inline]
    pub fn post<P: DmaPool + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &mut DmaPath<P>,
        tag: Tag,
        buffer: DmaSegment,
    ) -> Result<(), QueueFull> {
        assert!(
            buffer.len >= self.buffer && buffer.addr.bits().is_multiple_of(64),
            "a receive buffer has room for a whole frame and begins with a cache line"
        );
        let piece = DmaSegment {
            len: self.buffer,
            ..buffer
        };
        self.give(io, path, tag, piece)
    }

    #[inline]
    fn give<P: DmaPool + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &mut DmaPath<P>,
        tag: Tag,
        piece: DmaSegment,
    ) -> Result<(), QueueFull> {
        if self.posted.wrapping_sub(self.taken) == POSTED_MAX {
            return Err(QueueFull);
        }
        // So that a buffer without a status, or with an older one's, is found out.
        path.view().copy_in(piece, block::LENGTH_STATUS as u32, &[0]);
        let loan = path.lend(piece, Direction::FromDevice).map_err(|_| QueueFull)?;
        let place = index(self.posted);
        Engine::Receive.set_address(io, place, loan.bus(), &mut self.high[place]);
        Engine::Receive.set_status(io, place, 0);
        self.places[place] = Some(Posted { tag, piece, loan });
        self.posted = self.posted.wrapping_add(1);
        Ok(())
    }

    /// Tells the engine of all that was posted. True if it begins with these.
    #[inline]
    pub fn publish(&mut self, io: &impl RegisterIo) -> bool {
        if self.published == self.posted {
            return false;
        }
        self.published = self.posted;
        // A descriptor whose frame was consumed is free: of a ring that is not full, some look as if theirs had not been.
        let consumed = self.posted.wrapping_sub(POSTED_MAX);
        Engine::Receive.write(io, dma::DRIVER_INDEX, consumed.into());
        if self.started {
            return false;
        }
        self.started = true;
        Engine::Receive.start(io);
        true
    }

    /// Hands over frames. Those that cannot be used are counted, and their buffers posted again.
    #[inline]
    pub fn reap<P: DmaPool + DmaView>(
        &mut self,
        io: &impl RegisterIo,
        path: &mut DmaPath<P>,
        counters: &mut Counters,
        most: usize,
        each: &mut dyn FnMut(RxBuffer),
    ) -> Result<(), DeviceFault> {
        if !self.started {
            return Ok(());
        }
        let produced = Engine::Receive.read(io, dma::ENGINE_INDEX);
        self.count_discards(io, counters, (produced >> 16) as u16);
        let filled = self.filled(produced)?;
        let mut left = most;
        let mut again = false;
        for _ in 0..filled {
            if left == 0 {
                break;
            }
            let Some(Posted { tag, piece, loan }) = self.places[index(self.taken)].take() else {
                return Err(DeviceFault("a frame in a buffer that it was not given"));
            };
            path.take_back(loan, true);
            let mut words = [0; block::RX_CSUM / 4 + 1];
            path.view().copy_out(piece, 0, &mut words);
            let [status, _, checksum] = words;
            let judgement = if self.goes_on > 0 || status & dma::EOP == 0 {
                self.follow(io, status, checksum)?
            } else {
                self.judge(status, checksum)?
            };
            self.taken = self.taken.wrapping_add(1);
            match judgement {
                Ok((len, checksum)) => {
                    left -= 1;
                    each(RxBuffer {
                        tag,
                        offset: block::BYTES as u32,
                        len,
                        more: false,
                        checksum,
                        gso: None,
                    });
                }
                Err(why) => {
                    counters.count(why);
                    // There is room: one was taken.
                    let _ = self.give(io, path, tag, piece);
                    again = true;
                }
            }
        }
        if again {
            self.publish(io);
        }
        Ok(())
    }

    /// A frame in parts, or one that was handed over before its end: none of it is used. What comes next cannot be told from
    /// memory, for where a status block would be are bytes of the frame, which a neighbour chose. The descriptors know: they
    /// were cleared before.
    #[cold]
    fn follow(
        &mut self,
        io: &impl RegisterIo,
        status: u32,
        checksum: u32,
    ) -> Result<Result<(u32, RxChecksum), Bad>, DeviceFault> {
        let known = Engine::Receive.read(io, index(self.taken) * dma::DESCRIPTOR);
        let ends = known & dma::EOP != 0;
        if self.goes_on == 0 {
            self.goes_on = if ends { 0 } else { PARTS_MAX };
        } else if known & dma::SOP != 0 {
            self.goes_on = 0;
            // Another frame.
            if status & dma::EOP != 0 {
                return self.judge(status, checksum);
            }
            return self.follow(io, status, checksum);
        } else {
            self.goes_on = if ends { 0 } else { self.goes_on - 1 };
        }
        Ok(Err(if status == 0 { Bad::NoStatus } else { Bad::InParts }))
    }

    /// What a status block says of its frame: bytes and checksum, or why it cannot be used.
    #[inline]
    fn judge(&self, status: u32, checksum: u32) -> Result<Result<(u32, RxChecksum), Bad>, DeviceFault> {
        let len = status >> dma::LEN_SHIFT & dma::LEN_MASK;
        if len > self.buffer {
            return Err(DeviceFault("more bytes received than a buffer has room for"));
        }
        let bad = match status {
            _ if status & dma::RX_OV != 0 => Some(Bad::Overrun),
            _ if status & dma::RX_CRC_ERROR != 0 => Some(Bad::Crc),
            _ if status & dma::RX_NO != 0 => Some(Bad::Alignment),
            _ if status & dma::RX_LG != 0 => Some(Bad::TooLong),
            _ if status & dma::RX_ER != 0 => Some(Bad::Phy),
            _ if status & dma::SOP == 0 => Some(Bad::InParts),
            _ => None,
        };
        let len = len.saturating_sub(block::BYTES as u32);
        Ok(match bad {
            Some(bad) => Err(bad),
            None if len < HEADER => Err(Bad::NoStatus),
            None if status & dma::RX_CHK_OK != 0 && checksum & block::RX_CSUM_FRAGMENT == 0 => {
                Ok((len, RxChecksum::Validated))
            }
            None => Ok((len, RxChecksum::Unknown)),
        })
    }

    /// How many buffers the engine is through with, by its word.
    #[inline]
    fn filled(&self, produced: u32) -> Result<u16, DeviceFault> {
        let filled = (produced as u16).wrapping_sub(self.taken);
        if filled > self.published.wrapping_sub(self.taken) {
            return Err(DeviceFault("more buffers filled than it was given"));
        }
        Ok(filled)
    }

    #[inline]
    fn count_discards(&mut self, io: &impl RegisterIo, counters: &mut Counters, discards: u16) {
        if discards == self.discards {
            return;
        }
        counters.no_buffer += u64::from(discards.saturating_sub(self.discards));
        self.discards = discards;
        if discards > DISCARDS_MAX {
            // Clears the count, and leaves the index alone.
            Engine::Receive.write(io, dma::ENGINE_INDEX, 0);
            self.discards = 0;
        }
    }

    /// Whether there is something to reap. A lie counts, so that it is found out.
    #[inline]
    pub fn has_filled(&self, io: &impl RegisterIo) -> bool {
        self.started && self.filled(Engine::Receive.read(io, dma::ENGINE_INDEX)) != Ok(0)
    }

    /// Forgets everything.
    pub fn retire<P: DmaPool + DmaView>(&mut self, path: &mut DmaPath<P>) {
        for place in &mut self.places {
            if let Some(Posted { loan, .. }) = place.take() {
                path.take_back(loan, false);
            }
        }
        (self.posted, self.published) = (self.taken, self.taken);
        (self.started, self.goes_on) = (false, 0);
    }
}

/// Why a frame cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    NoStatus,
    Overrun,
    Crc,
    Alignment,
    TooLong,
    Phy,
    InParts,
}

#[inline]
fn index(count: u16) -> usize {
    usize::from(count) % dma::DESCRIPTORS
}
