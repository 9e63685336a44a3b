//! Where a frame lies in our pages, and how one goes through it.

/// Most pieces that a frame lies in: one of 64 KiB that begins anywhere.
pub(crate) const MAX_PIECES: usize = 18;
/// Most pages besides, for the headers of the segments that it is cut into.
pub(crate) const MAX_HEADER_PAGES: usize = 44;

/// Bytes of one frame in one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub page: u16,
    pub offset: u16,
    pub len: u16,
}

/// A frame in our pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub pieces: [Piece; MAX_PIECES],
    pub count: u8,
    pub headers: [u16; MAX_HEADER_PAGES],
    pub header_pages: u8,
    /// Who holds it: device requests that read it, one if it waits to become some, and each guest that it waits for.
    pub in_flight: u16,
}

impl Frame {
    pub const EMPTY: Self = Self {
        pieces: [Piece {
            page: 0,
            offset: 0,
            len: 0,
        }; MAX_PIECES],
        count: 0,
        headers: [0; MAX_HEADER_PAGES],
        header_pages: 0,
        in_flight: 0,
    };

    #[inline]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces[..usize::from(self.count)]
    }

    #[inline]
    pub fn header_page(&self, index: usize) -> Option<u16> {
        self.headers[..usize::from(self.header_pages)].get(index).copied()
    }

    /// Adds a piece. False if there are too many.
    pub fn push(&mut self, piece: Piece) -> bool {
        let Some(place) = self.pieces.get_mut(usize::from(self.count)) else {
            return false;
        };
        *place = piece;
        self.count += 1;
        true
    }

    /// The first piece begins `by` bytes later, or earlier.
    pub fn move_start(&mut self, by: i16) {
        let first = &mut self.pieces[0];
        first.offset = first.offset.wrapping_add_signed(by);
        first.len = first.len.wrapping_sub(by.cast_unsigned());
    }

    /// The parts of the bytes `start..end`, as pieces.
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = Piece> {
        let mut at = 0;
        self.pieces().iter().filter_map(move |piece| {
            let (first, last) = (at, at + usize::from(piece.len));
            at = last;
            let (from, to) = (start.max(first), end.min(last));
            (from < to).then(|| Piece {
                page: piece.page,
                // Within the piece, so within a page.
                offset: piece.offset + (from - first) as u16,
                len: (to - from) as u16,
            })
        })
    }
}

/// A place in a frame, for whoever goes through it piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    piece: u8,
    /// Bytes of it that were passed.
    passed: u16,
}

impl Cursor {
    /// At byte `at` of `frame`.
    pub fn at(frame: &Frame, at: usize) -> Self {
        let mut cursor = Self::default();
        cursor.take(frame, at).for_each(drop);
        cursor
    }

    /// The next `len` bytes, as pieces; the cursor is behind them when all were asked for.
    #[inline]
    pub fn take<'a>(&'a mut self, frame: &'a Frame, len: usize) -> impl Iterator<Item = Piece> + 'a {
        let mut left = len;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let piece = frame.pieces().get(usize::from(self.piece))?;
            let room = piece.len - self.passed;
            let here = left.min(room.into()) as u16;
            let taken = Piece {
                page: piece.page,
                offset: piece.offset + self.passed,
                len: here,
            };
            left -= usize::from(here);
            if here == room {
                (self.piece, self.passed) = (self.piece + 1, 0);
            } else {
                self.passed += here;
            }
            Some(taken)
        })
    }
}
