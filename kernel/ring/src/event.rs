//! A page of events, from one end to the other without answers: sndif's and displif's event pages, and both rings of kbdif's.
//!
//! A number of slots that is no power of two is a hazard where the indices wrap at 2³²: the slots of the two sides may be the
//! same. So the writer lets the ring run empty there.

use crate::SharedPages;
use crate::shape::Overflow;

/// Where the events are, in bytes from the start of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// The writer's index, free running (`in_prod` of `struct xensnd_event_page` and the like).
    pub prod: usize,
    /// The reader's index, free running (`in_cons`).
    pub cons: usize,
    /// The first slot.
    pub slots: usize,
    /// Bytes per slot: a multiple of 4.
    pub slot_bytes: usize,
    /// Number of slots.
    pub count: u32,
}

impl EventPlace {
    #[inline]
    fn at(&self, index: u32) -> usize {
        self.slots + (index % self.count) as usize * self.slot_bytes
    }
}

/// The end that writes events.
#[derive(Debug)]
pub struct EventWriter<P> {
    pages: P,
    place: EventPlace,
    prod_pvt: u32,
    prod: u32,
}

impl<P: SharedPages> EventWriter<P> {
    /// Goes on where the page says that an earlier writer was; a page that is new says 0.
    ///
    /// # Errors
    /// The reader's index makes no sense.
    pub fn attach(pages: P, place: EventPlace) -> Result<Self, Overflow> {
        let prod = pages.load_u32(place.prod);
        let writer = Self {
            pages,
            place,
            prod_pvt: prod,
            prod,
        };
        writer.room()?;
        Ok(writer)
    }

    /// Events that there is room for.
    ///
    /// # Errors
    /// The reader claims to have read what was never written, or is further behind than there are slots.
    pub fn room(&self) -> Result<u32, Overflow> {
        let (claimed, prod) = (self.pages.acquire_u32(self.place.cons), self.prod_pvt);
        let unread = prod.wrapping_sub(claimed);
        if unread > self.place.count {
            return Err(Overflow {
                claimed,
                consumed: prod,
            });
        }
        if unread > prod {
            // Some of them lie before the wrap.
            return Ok(0);
        }
        // At most up to the wrap.
        Ok((self.place.count - unread).min((u32::MAX - prod).saturating_add(1)))
    }

    /// Writes one event into the next slot, unpublished until [`push`](Self::push). Write at most as many as there was
    /// [`room`](Self::room) for.
    pub fn put(&mut self, words: &[u32]) {
        assert!(words.len() * 4 <= self.place.slot_bytes, "an event fits its slot");
        self.pages.copy_in(self.place.at(self.prod_pvt), words);
        self.prod_pvt = self.prod_pvt.wrapping_add(1);
    }

    /// Publishes the events written so far. True if there were any: the reader is to be notified, since these pages have no
    /// word by which it could ask for less.
    #[must_use = "the reader waits for its notification"]
    pub fn push(&mut self) -> bool {
        let news = self.prod != self.prod_pvt;
        if news {
            self.prod = self.prod_pvt;
            self.pages.release_u32(self.place.prod, self.prod);
        }
        news
    }
}

/// The end that reads events: a frontend's, and a backend's of events that come from a frontend.
#[derive(Debug)]
pub struct EventReader<P> {
    pages: P,
    place: EventPlace,
    cons: u32,
}

impl<P: SharedPages> EventReader<P> {
    /// Goes on where the page says that an earlier reader was.
    pub fn attach(pages: P, place: EventPlace) -> Self {
        let cons = pages.load_u32(place.cons);
        Self { pages, place, cons }
    }

    /// Events that wait to be read.
    ///
    /// # Errors
    /// The writer claims more events than there are slots.
    pub fn pending(&self) -> Result<u32, Overflow> {
        let claimed = self.pages.acquire_u32(self.place.prod);
        let pending = claimed.wrapping_sub(self.cons);
        if pending > self.place.count {
            return Err(Overflow {
                claimed,
                consumed: self.cons,
            });
        }
        Ok(pending)
    }

    /// Copies the next event out, once, by value. Call it only as often as [`pending`](Self::pending) said.
    pub fn take(&mut self, words: &mut [u32]) {
        assert!(
            words.len() * 4 <= self.place.slot_bytes,
            "an event is read within its slot"
        );
        self.pages.copy_out(self.place.at(self.cons), words);
        self.cons = self.cons.wrapping_add(1);
    }

    /// Gives the slots of all that was read back to the writer.
    pub fn give_back(&self) {
        self.pages.release_u32(self.place.cons, self.cons);
    }
}
