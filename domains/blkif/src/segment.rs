//! Segments: pieces of granted pages.

use outrigger_xen::GrantRef;

use crate::Refusal;

/// Bytes of a sector, whatever the device's logical block size: blkif counts in these alone.
pub const SECTOR_BYTES: u32 = 512;

/// Sectors of a page.
const SECTORS_PER_PAGE: u8 = 8;

/// One segment (`struct blkif_request_segment`), its sector range checked to lie within a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The granted page.
    pub gref: GrantRef,
    first_sect: u8,
    last_sect: u8,
}

impl Segment {
    /// Words that a segment takes in a request or in an indirect page.
    pub const WORDS: usize = 2;

    /// Decodes and checks one segment.
    ///
    /// # Errors
    /// [`Refusal::SegmentBounds`]: the last sector comes before the first, or lies outside the page.
    #[inline]
    pub fn decode(gref: u32, sectors: u32) -> Result<Self, Refusal> {
        let [first_sect, last_sect, _, _] = sectors.to_le_bytes();
        if first_sect > last_sect || last_sect >= SECTORS_PER_PAGE {
            return Err(Refusal::SegmentBounds);
        }
        Ok(Self {
            gref: GrantRef(gref),
            first_sect,
            last_sect,
        })
    }

    /// Where it begins in its page, in sectors: 0 to 7.
    #[inline]
    pub fn first_sector(self) -> u32 {
        u32::from(self.first_sect)
    }

    /// Its length in sectors: 1 to 8.
    #[inline]
    pub fn sectors(self) -> u32 {
        u32::from(self.last_sect - self.first_sect) + 1
    }
}

/// The segments of one request, still as words, checked one by one as they are taken.
#[derive(Clone, Copy, Debug)]
pub struct Segments<'a> {
    words: &'a [u32],
}

impl<'a> Segments<'a> {
    /// Segments from a private copy of words, two a segment; a last odd word is ignored.
    pub fn new(words: &'a [u32]) -> Self {
        Self { words }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.words.len() / Segment::WORDS
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Checks and yields one segment after the other.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Result<Segment, Refusal>> + use<'a> {
        self.words
            .chunks_exact(Segment::WORDS)
            .map(|pair| Segment::decode(pair[0], pair[1]))
    }
}
