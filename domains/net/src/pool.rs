//! Pages of our own, and the frames that lie in them.

use alloc::vec::Vec;

use outrigger_devices::{DmaPage, DmaSegment, PAGE_SIZE};
use outrigger_ring::SharedPages;
use outrigger_xen::CopySide;

use crate::frame::Frame;
pub(crate) use crate::frame::{Cursor, MAX_HEADER_PAGES, MAX_PIECES, Piece};

/// A page for frames: for the CPU, for the device, and for Xen to copy from and to.
#[derive(Clone, Debug)]
pub struct Buffer<M> {
    /// The CPU's view.
    pub memory: M,
    /// The device's view.
    pub page: DmaPage,
    /// Xen's: its guest frame number.
    pub gfn: u64,
}

/// Where a frame of a guest begins in its first page: room for a VLAN tag, and aligned for whoever sums it up.
pub(crate) const FRAME_START: u16 = 64;

/// All of our pages and frames. Nothing here allocates after [`add`](Self::add).
pub(crate) struct Pool<M> {
    buffers: Vec<Buffer<M>>,
    free: Vec<u16>,
    /// Free pages that frames of this turn may still need.
    promised: usize,
    frames: Vec<Frame>,
    free_frames: Vec<u16>,
}

impl<M: SharedPages> Pool<M> {
    pub fn new() -> Self {
        Self {
            buffers: Vec::new(),
            free: Vec::new(),
            promised: 0,
            frames: Vec::new(),
            free_frames: Vec::new(),
        }
    }

    /// Makes room for so many pages more.
    pub fn reserve(&mut self, pages: usize) {
        self.buffers.reserve_exact(pages);
        self.free.reserve_exact(pages);
        self.frames.reserve_exact(pages);
        self.free_frames.reserve_exact(pages);
    }

    /// Adds a page. There are at most 65,535.
    pub fn add(&mut self, buffer: Buffer<M>) {
        let Ok(number) = u16::try_from(self.buffers.len()) else {
            return;
        };
        self.buffers.push(buffer);
        self.free.push(number);
        self.free.reserve(self.buffers.len() - self.free.len());
        // A frame has at least a page, so this many are enough.
        self.frames.push(Frame::EMPTY);
        self.free_frames.push(number);
        self.free_frames
            .reserve(self.frames.len() - self.free_frames.len());
    }

    /// Pages that are free and not promised.
    pub fn free(&self) -> usize {
        self.free.len() - self.promised
    }

    /// Promises pages, to be taken by [`take_promised`](Self::take_promised).
    pub fn promise(&mut self, pages: usize) -> bool {
        let may = self.free() >= pages;
        if may {
            self.promised += pages;
        }
        may
    }

    /// The turn is over: what was promised and not taken is free.
    pub fn end_promises(&mut self) {
        self.promised = 0;
    }

    fn take_promised(&mut self) -> Option<u16> {
        self.promised = self.promised.saturating_sub(1);
        self.free.pop()
    }

    /// A page that is not promised to anybody.
    pub fn take(&mut self) -> Option<u16> {
        if self.free() > 0 { self.free.pop() } else { None }
    }

    pub fn put_back(&mut self, page: u16) {
        debug_assert!(!self.free.contains(&page), "a page is free once");
        self.free.push(page);
    }

    #[inline]
    pub fn buffer(&self, page: u16) -> &Buffer<M> {
        &self.buffers[usize::from(page)]
    }

    pub fn side(&self, page: u16) -> CopySide {
        CopySide::Own(self.buffer(page).gfn)
    }

    #[inline]
    pub fn segment(&self, piece: Piece) -> Option<DmaSegment> {
        let page = self.buffer(piece.page).page;
        page.segment(piece.offset.into(), piece.len.into())
    }

    /// A frame without pieces. There is one for each page.
    pub fn begin(&mut self) -> Option<u16> {
        self.free_frames.pop()
    }

    pub fn frame(&self, frame: u16) -> &Frame {
        &self.frames[usize::from(frame)]
    }

    pub fn frame_mut(&mut self, frame: u16) -> &mut Frame {
        &mut self.frames[usize::from(frame)]
    }

    /// Gives a frame promised pages for `parts` more bytes, which are copied from as many places. Each has its place in one page
    /// if it fits one and that takes no more than [`MAX_PIECES`]: then it is one copy. Otherwise there are no gaps.
    pub fn extend(&mut self, frame: u16, parts: impl Iterator<Item = usize> + Clone) -> bool {
        let last = self.frame(frame).pieces().last();
        let mut end = last.map(|piece| usize::from(piece.offset) + usize::from(piece.len));
        let mut pieces = self.frame(frame).pieces().len();
        for part in parts.clone() {
            let here = end.filter(|end| part <= PAGE_SIZE - end);
            let start = here.unwrap_or(if end.is_none() { FRAME_START.into() } else { 0 });
            // More than one if it is the first, and a page has no room for it behind where a frame begins.
            let pages = (start + part).div_ceil(PAGE_SIZE).max(1);
            pieces += pages - usize::from(here.is_some());
            end = Some(start + part - (pages - 1) * PAGE_SIZE);
        }
        if pieces <= MAX_PIECES {
            parts.into_iter().all(|part| self.add_bytes(frame, part, true))
        } else {
            self.add_bytes(frame, parts.sum(), false)
        }
    }

    /// Gives a frame promised pages for `len` more bytes; `whole`: all of them in one.
    fn add_bytes(&mut self, frame: u16, len: usize, whole: bool) -> bool {
        let pieces = self.frame(frame).pieces();
        let mut offset = if pieces.is_empty() { FRAME_START } else { 0 };
        let mut left = len;
        if let Some(last) = usize::from(self.frame(frame).count).checked_sub(1) {
            // The last page may have room still.
            let piece = &mut self.frames[usize::from(frame)].pieces[last];
            let room = PAGE_SIZE - usize::from(piece.offset) - usize::from(piece.len);
            if !whole || room >= left {
                let more = room.min(left);
                piece.len += more as u16;
                left -= more;
            }
        }
        while left > 0 {
            let Some(page) = self.take_promised() else {
                return false;
            };
            let more = (PAGE_SIZE - usize::from(offset)).min(left);
            let piece = Piece {
                page,
                offset,
                len: more as u16,
            };
            if !self.frame_mut(frame).push(piece) {
                self.put_back(page);
                return false;
            }
            left -= more;
            offset = 0;
        }
        true
    }

    /// Gives a frame pages for headers.
    pub fn add_header_pages(&mut self, frame: u16, pages: usize) -> bool {
        if pages > MAX_HEADER_PAGES || self.free() < pages {
            return false;
        }
        for index in 0..pages {
            let Some(page) = self.take() else { return false };
            let frame = self.frame_mut(frame);
            frame.headers[index] = page;
            frame.header_pages += 1;
        }
        true
    }

    /// A frame is over: its pages are free.
    #[inline]
    pub fn end(&mut self, frame: u16) {
        let Self { frames, free, .. } = self;
        let it = &mut frames[usize::from(frame)];
        let mut give = |page: u16| {
            debug_assert!(!free.contains(&page), "a page is free once");
            free.push(page);
        };
        it.pieces().iter().for_each(|piece| give(piece.page));
        let headers = &it.headers[..usize::from(it.header_pages)];
        headers.iter().for_each(|page| give(*page));
        // As it is for the next one.
        (it.count, it.header_pages, it.in_flight) = (0, 0, 0);
        self.free_frames.push(frame);
    }

    /// The frame `from` is over; what it has behind its first `skip` bytes is the end of `to`, moved to where that one's last
    /// page has room and to the start of its own: Xen then copies whole pages, and our copying bytes costs less than Xen's
    /// looking at one more page. False, and nothing has happened, if that is not possible.
    #[inline]
    pub fn append(&mut self, to: u16, from: u16, skip: usize) -> bool {
        let &[piece] = self.frame(from).pieces() else {
            return false;
        };
        let its = self.frame(to).pieces();
        let Some(&last) = its.last() else {
            return false;
        };
        let place = its.len() - 1;
        let skip = skip.min(piece.len.into()) as u16;
        let (len, end) = (piece.len - skip, last.offset + last.len);
        let moved = len.min(PAGE_SIZE as u16 - end);
        let rest = Piece {
            page: piece.page,
            offset: 0,
            len: len - moved,
        };
        if rest.len > 0 {
            if !self.frame_mut(to).push(rest) {
                return false;
            }
            self.frame_mut(from).count = 0;
        }
        self.frame_mut(to).pieces[place].len += moved;
        let memory = &self.buffer(piece.page).memory;
        let start = usize::from(piece.offset + skip);
        self.buffer(last.page)
            .memory
            .copy_from(end.into(), memory, start, moved.into());
        memory.copy_from(0, memory, start + usize::from(moved), rest.len.into());
        self.end(from);
        true
    }

    /// One thing that held a frame is over; the frame is, too, if it was the last.
    pub fn release(&mut self, frame: u16) {
        let in_flight = &mut self.frame_mut(frame).in_flight;
        *in_flight -= 1;
        if *in_flight == 0 {
            self.end(frame);
        }
    }

    /// How many pages there are.
    pub fn size(&self) -> usize {
        self.buffers.len()
    }

    /// Copies a frame's first bytes out, as many as there are and fit. How many, in whole words read once.
    pub fn read_head(&self, frame: u16, out: &mut [u8], most: usize) -> usize {
        let most = most.min(out.len());
        let mut len = 0;
        for piece in self.frame(frame).pieces() {
            if len >= most {
                break;
            }
            let memory = &self.buffer(piece.page).memory;
            let (mut at, mut left) = (usize::from(piece.offset), usize::from(piece.len).min(most - len));
            while left > 0 && !at.is_multiple_of(4) {
                out[len] = memory.load_u8(at);
                (at, len, left) = (at + 1, len + 1, left - 1);
            }
            memory.read(at, &mut out[len..len + left]);
            len += left;
        }
        len
    }

    /// Writes bytes of a frame.
    pub fn write(&self, frame: u16, start: usize, bytes: &[u8]) {
        let mut done = 0;
        for piece in self.frame(frame).range(start, start + bytes.len()) {
            let memory = &self.buffer(piece.page).memory;
            for at in 0..usize::from(piece.len) {
                memory.store_u8(usize::from(piece.offset) + at, bytes[done]);
                done += 1;
            }
        }
    }

    /// Takes the VLAN tag out, or puts one in: the addresses move.
    pub fn retag(&mut self, frame: u16, tag: Option<u16>) -> bool {
        let mut addresses = [0; 16];
        if self.read_head(frame, &mut addresses, 16) < 16 {
            return false;
        }
        let first = self.frame(frame).pieces()[0];
        match tag {
            Some(tag) if first.offset >= 4 && usize::from(first.len) + 4 <= PAGE_SIZE => {
                self.frame_mut(frame).move_start(-4);
                let [high, low] = tag.to_be_bytes();
                addresses[12..].copy_from_slice(&[0x81, 0, high, low]);
                self.write(frame, 0, &addresses);
            }
            None if first.len > 4 => {
                self.frame_mut(frame).move_start(4);
                self.write(frame, 0, &addresses[..12]);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use outrigger_xen::DomId;
    use outrigger_xen::fake::{FakePages, FakeXen};

    use super::*;

    fn pool(pages: usize) -> Pool<FakePages> {
        let mut pool = Pool::new();
        let domain = FakeXen::new().domain(DomId(1));
        for _ in 0..pages {
            let (memory, page) = domain.pool_page().unwrap();
            let gfn = memory.gfn(0);
            pool.add(Buffer { memory, page, gfn });
        }
        pool
    }

    #[test]
    fn a_frame_is_where_it_is_and_gives_all_back() {
        let mut pool = pool(20);
        let frame = pool.begin().unwrap();
        assert!(pool.promise(3) && !pool.promise(18));
        assert!(pool.extend(frame, [100].into_iter()) && pool.extend(frame, [8900].into_iter()));
        let data: Vec<u8> = (0..9000u32).map(|byte| byte as u8 ^ (byte >> 8) as u8).collect();
        pool.write(frame, 0, &data);
        let mut head = [0; 192];
        assert_eq!(pool.read_head(frame, &mut head, 192), 192);
        assert_eq!(head[..], data[..192]);
        let total: usize = pool
            .frame(frame)
            .range(4000, 8500)
            .map(|piece| usize::from(piece.len))
            .sum();
        assert_eq!((total, pool.frame(frame).range(4000, 8500).count()), (4500, 3));
        assert!(pool.retag(frame, Some(0x2005)));
        pool.read_head(frame, &mut head, 192);
        assert_eq!(head[..12], data[..12]);
        assert_eq!(head[12..16], [0x81, 0, 0x20, 5]);
        assert_eq!(head[16..192], data[12..188]);
        assert!(pool.retag(frame, None));
        pool.read_head(frame, &mut head, 192);
        assert_eq!(head[..], data[..192]);
        assert!(pool.add_header_pages(frame, 2) && !pool.add_header_pages(frame, 45));
        pool.end(frame);
        pool.end_promises();
        assert_eq!(pool.free(), 20);
    }

    #[test]
    fn each_part_lies_in_one_page_if_that_is_possible() {
        let mut pool = pool(40);
        assert!(pool.promise(40));
        let pieces = |pool: &Pool<FakePages>, frame| -> Vec<(u16, u16)> {
            let pieces = pool.frame(frame).pieces().iter();
            pieces.map(|piece| (piece.offset, piece.len)).collect()
        };
        let frame = pool.begin().unwrap();
        assert!(pool.extend(frame, [192].into_iter()));
        assert!(pool.extend(frame, [3000, 4096, 100, 4000].into_iter()));
        assert_eq!(pieces(&pool, frame), [(64, 3192), (0, 4096), (0, 100), (0, 4000)]);
        // Behind where a frame begins there is no room for a whole page.
        let frame = pool.begin().unwrap();
        assert!(pool.extend(frame, [4096, 4000, 96, 10].into_iter()));
        assert_eq!(pieces(&pool, frame), [(64, 4032), (0, 4064), (0, 106)]);
        let frame = pool.begin().unwrap();
        assert!(pool.extend(frame, [192].into_iter()));
        assert!(pool.extend(frame, (0..18).map(|_| 3900)));
        assert_eq!(pieces(&pool, frame).len(), 18);
        assert_eq!(pieces(&pool, frame)[..2], [(64, 4032), (0, 4096)]);
    }

    #[test]
    fn there_is_no_more_than_there_is() {
        let mut pool = pool(2);
        let frame = pool.begin().unwrap();
        assert!(pool.promise(2) && !pool.promise(1));
        assert!(pool.take().is_none(), "promised");
        assert!(!pool.extend(frame, [9000].into_iter()));
        pool.end(frame);
        pool.end_promises();
        assert_eq!(pool.free(), 2);
    }
}
