//! A stream of bytes through a ring in shared memory: the PV console's, XenStore's, libxenvchan's.
//!
//! Each end keeps its own index; the page only ever receives it. The other end's index is checked against the ring's size at
//! each use. Both ends are plain numbers and borrow the memory for each call, since one page holds several rings.

use crate::SharedPages;
use crate::shape::Overflow;

/// Where a stream is: its ring, and the words that hold the two indices, in bytes from the start of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// The ring.
    pub ring: usize,
    /// Its size in bytes: a power of two.
    pub size: u32,
    /// The producer's index, free running.
    pub prod: usize,
    /// The consumer's index, free running.
    pub cons: usize,
}

impl StreamPlace {
    /// Byte offset of the byte that `index` names.
    #[inline]
    fn at(&self, index: u32) -> usize {
        self.ring + (index & (self.size - 1)) as usize
    }

    /// `claimed` is the other end's index. How many bytes are in the ring?
    fn used(&self, prod: u32, cons: u32, claimed: u32, consumed: u32) -> Result<u32, Overflow> {
        match prod.wrapping_sub(cons) {
            used if used <= self.size => Ok(used),
            _ => Err(Overflow { claimed, consumed }),
        }
    }
}

/// The end that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamWriter {
    place: StreamPlace,
    /// Bytes written so far, published or not.
    pub prod: u32,
}

impl StreamWriter {
    /// A writer that has written `prod` bytes.
    pub const fn new(place: StreamPlace, prod: u32) -> Self {
        Self { place, prod }
    }

    /// A writer that goes on where the memory says.
    pub fn attach(place: StreamPlace, pages: &impl SharedPages) -> Self {
        Self::new(place, pages.load_u32(place.prod))
    }

    /// Bytes that the reader has not taken yet.
    ///
    /// # Errors
    /// The reader claims to have taken what was never written, or less than it had taken already.
    pub fn unread(&self, pages: &impl SharedPages) -> Result<u32, Overflow> {
        let claimed = pages.acquire_u32(self.place.cons);
        self.place.used(self.prod, claimed, claimed, self.prod)
    }

    /// Bytes that there is room for.
    ///
    /// # Errors
    /// As [`unread`](Self::unread).
    pub fn room(&self, pages: &impl SharedPages) -> Result<u32, Overflow> {
        Ok(self.place.size - self.unread(pages)?)
    }

    /// Writes bytes behind those written so far, unpublished. Write at most as many as there was [`room`](Self::room) for.
    pub fn put(&mut self, pages: &impl SharedPages, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            pages.store_u8(self.place.at(self.prod), byte);
            self.prod = self.prod.wrapping_add(1);
        }
    }

    /// Shows the reader all that was written.
    pub fn publish(&self, pages: &impl SharedPages) {
        pages.release_u32(self.place.prod, self.prod);
    }

    /// Writes and publishes as many of `bytes` as there is room for; how many.
    ///
    /// # Errors
    /// As [`unread`](Self::unread).
    pub fn write(&mut self, pages: &impl SharedPages, bytes: &[u8]) -> Result<usize, Overflow> {
        let fit = bytes.len().min(self.room(pages)? as usize);
        self.put(pages, bytes[..fit].iter().copied());
        self.publish(pages);
        Ok(fit)
    }
}

/// The end that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamReader {
    place: StreamPlace,
    /// Bytes read so far, given back or not.
    pub cons: u32,
}

impl StreamReader {
    /// A reader that has read `cons` bytes.
    pub const fn new(place: StreamPlace, cons: u32) -> Self {
        Self { place, cons }
    }

    /// A reader that goes on where the memory says.
    pub fn attach(place: StreamPlace, pages: &impl SharedPages) -> Self {
        Self::new(place, pages.load_u32(place.cons))
    }

    /// Bytes that wait to be read.
    ///
    /// # Errors
    /// The writer claims to have written more than the ring holds.
    pub fn pending(&self, pages: &impl SharedPages) -> Result<u32, Overflow> {
        let claimed = pages.acquire_u32(self.place.prod);
        self.place.used(claimed, self.cons, claimed, self.cons)
    }

    /// Fetches the next byte, once. Call it only as often as [`pending`](Self::pending) said.
    pub fn byte(&mut self, pages: &impl SharedPages) -> u8 {
        let byte = pages.load_u8(self.place.at(self.cons));
        self.cons = self.cons.wrapping_add(1);
        byte
    }

    /// Gives the writer the room of all that was read.
    pub fn give_back(&self, pages: &impl SharedPages) {
        pages.release_u32(self.place.cons, self.cons);
    }

    /// Reads as many bytes as wait and as `out` has room for, and gives their room back; how many.
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    pub fn read(&mut self, pages: &impl SharedPages, out: &mut [u8]) -> Result<usize, Overflow> {
        let count = out.len().min(self.pending(pages)? as usize);
        out[..count].fill_with(|| self.byte(pages));
        self.give_back(pages);
        Ok(count)
    }
}
