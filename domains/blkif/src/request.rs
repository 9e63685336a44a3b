//! Requests.

use outrigger_xen::GrantRef;
use xen_unikernel_abi::io::blkif::{
    self, BLKIF_DISCARD_SECURE, BLKIF_OP_DISCARD, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_INDIRECT, BLKIF_OP_READ,
    BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER,
};

use crate::segment::{Segment, Segments};
use crate::{Abi, SLOT_WORDS, Status};

/// A private copy of one slot. A shorter slot leaves its last word as it was; no field lies there.
pub type SlotWords = [u32; SLOT_WORDS];

/// Most segments in the slot itself.
pub const MAX_SEGMENTS_PER_REQUEST: usize = blkif::BLKIF_MAX_SEGMENTS_PER_REQUEST;

/// Segments that one indirect page holds.
pub const MAX_SEGMENTS_PER_INDIRECT_PAGE: usize = blkif::SEGMENTS_PER_INDIRECT_PAGE;

/// Indirect pages that a request can name.
const INDIRECT_PAGES: usize = blkif::BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST;

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataOp {
    /// From the disk to the guest.
    Read,
    /// From the guest to the disk.
    Write,
}

/// Why a request is answered without having been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// An operation that nobody knows, or that this backend has not offered.
    Unsupported,
    /// A read or write of nothing, or more segments than the slot or the offer allows.
    SegmentCount,
    /// A segment that does not lie within its page.
    SegmentBounds,
    /// Sectors outside the virtual disk.
    OutOfRange,
    /// Not aligned to the device's logical block size.
    Misaligned,
    /// A write or discard to a read-only disk.
    ReadOnly,
    /// A reference that Xen refused to map.
    Grant,
    /// The disk is gone: its device failed, or the frontend is being disconnected.
    Gone,
}

impl Refusal {
    /// How many reasons there are, for tables of counters.
    pub const COUNT: usize = 8;

    /// The status that the frontend reads.
    pub fn status(self) -> Status {
        match self {
            Self::Unsupported => Status::Unsupported,
            _ => Status::Error,
        }
    }
}

/// One request, decoded. `sector` and `sectors` count 512 bytes, are relative to the virtual disk and not yet compared with
/// its size.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// A read or write whose segments are in the slot.
    Data {
        /// Which way.
        op: DataOp,
        /// First sector.
        sector: u64,
        /// 1 to 11 segments.
        segments: Segments<'a>,
    },
    /// A read or write whose segments are in granted pages.
    Indirect {
        /// Which way.
        op: DataOp,
        /// First sector.
        sector: u64,
        /// Number of segments: at least 1, at most what was offered.
        nr_segments: usize,
        /// The pages that hold the segments, 512 a page; only as many as `nr_segments` needs mean anything.
        pages: [GrantRef; INDIRECT_PAGES],
    },
    /// Make the writes that have been answered durable.
    Flush,
    /// A write in between two flushes, after all that came before it (`WRITE_BARRIER`, or a flush that
    /// carries data). An empty `WRITE_BARRIER` is a flush after all that came before it.
    Barrier {
        /// First sector.
        sector: u64,
        /// 0 to 11 segments.
        segments: Segments<'a>,
    },
    /// The sectors' contents are no longer wanted.
    Discard {
        /// First sector.
        sector: u64,
        /// Number of sectors.
        sectors: u64,
    },
}

impl<'a> Request<'a> {
    /// Decodes a private copy of a slot. `max_indirect` is the number of segments offered to the frontend
    /// (`feature-max-indirect-segments`, 0 if not offered), at most 4096.
    ///
    /// # Errors
    /// Why this can be no request; answer it with [`Refusal::status`].
    #[inline]
    pub fn decode(abi: Abi, words: &'a SlotWords, max_indirect: usize) -> Result<Self, Refusal> {
        let [operation, count, _, _] = words[0].to_le_bytes();
        let id = abi.id_word();
        let sector = u64_at(words, id + 2);
        let body = &words[id + 4..];
        match operation {
            BLKIF_OP_READ | BLKIF_OP_WRITE => Ok(Self::Data {
                op: if operation == BLKIF_OP_READ {
                    DataOp::Read
                } else {
                    DataOp::Write
                },
                sector,
                segments: inline_segments(body, count)?,
            }),
            BLKIF_OP_INDIRECT => {
                let op = match count {
                    BLKIF_OP_READ => DataOp::Read,
                    BLKIF_OP_WRITE => DataOp::Write,
                    _ => return Err(Refusal::Unsupported),
                };
                let nr_segments = (words[0] >> 16) as usize;
                if max_indirect == 0 {
                    return Err(Refusal::Unsupported);
                }
                if nr_segments == 0 || nr_segments > max_indirect {
                    return Err(Refusal::SegmentCount);
                }
                // One word of handle and padding, then the references.
                let mut pages = [GrantRef(0); INDIRECT_PAGES];
                for (page, word) in pages.iter_mut().zip(&body[1..]) {
                    *page = GrantRef(*word);
                }
                Ok(Self::Indirect {
                    op,
                    sector,
                    nr_segments,
                    pages,
                })
            }
            BLKIF_OP_FLUSH_DISKCACHE if count == 0 => Ok(Self::Flush),
            BLKIF_OP_WRITE_BARRIER if count == 0 => Ok(Self::Barrier {
                sector,
                segments: Segments::new(&[]),
            }),
            BLKIF_OP_FLUSH_DISKCACHE | BLKIF_OP_WRITE_BARRIER => Ok(Self::Barrier {
                sector,
                segments: inline_segments(body, count)?,
            }),
            // No device of ours can erase securely, so that is not offered.
            BLKIF_OP_DISCARD if count & BLKIF_DISCARD_SECURE != 0 => Err(Refusal::Unsupported),
            BLKIF_OP_DISCARD => Ok(Self::Discard {
                sector,
                sectors: u64_at(words, id + 4),
            }),
            _ => Err(Refusal::Unsupported),
        }
    }
}

/// Words of a request's beginning: what tells how long it is, and who asks what of where.
pub const fn head_words(abi: Abi) -> usize {
    abi.id_word() + 4
}

/// How many words of a slot mean anything, by the first of them: what is behind them changes neither what
/// [`Request::decode`] says nor the response. At least [`head_words`], at most the slot.
#[inline]
pub fn used_words(abi: Abi, first: u32) -> usize {
    let [operation, count, _, _] = first.to_le_bytes();
    let body = match operation {
        BLKIF_OP_READ | BLKIF_OP_WRITE | BLKIF_OP_FLUSH_DISKCACHE | BLKIF_OP_WRITE_BARRIER => {
            Segment::WORDS * usize::from(count).min(MAX_SEGMENTS_PER_REQUEST)
        }
        BLKIF_OP_INDIRECT => {
            let pages = ((first >> 16) as usize).div_ceil(MAX_SEGMENTS_PER_INDIRECT_PAGE);
            1 + pages.min(INDIRECT_PAGES)
        }
        BLKIF_OP_DISCARD => 2,
        _ => 0,
    };
    head_words(abi) + body
}

#[inline]
fn inline_segments(body: &[u32], count: u8) -> Result<Segments<'_>, Refusal> {
    let count = usize::from(count);
    if count == 0 || count > MAX_SEGMENTS_PER_REQUEST {
        return Err(Refusal::SegmentCount);
    }
    Ok(Segments::new(&body[..Segment::WORDS * count]))
}

/// A 64-bit field, low word first.
#[inline]
pub(crate) fn u64_at(words: &SlotWords, at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}
