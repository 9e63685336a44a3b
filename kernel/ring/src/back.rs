//! The backend's end.

use crate::SharedPages;
use crate::shape::{Overflow, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, RingShape, ShapeError, passes};

/// The end that consumes requests and produces responses.
///
/// Indices are free running and private; the shared page only ever receives `rsp_prod` and `req_event`.
/// Invariant: `req_cons - rsp_prod_pvt` (the debt: requests consumed and not yet answered) is at most `slots`.
#[derive(Debug)]
pub struct BackRing<P> {
    pages: P,
    shape: RingShape,
    req_cons: u32,
    rsp_prod_pvt: u32,
    rsp_prod: u32,
}

impl<P: SharedPages> BackRing<P> {
    /// Attaches to a ring that a frontend has set up, new or in use: consumption goes on where the published
    /// responses end, as Linux's backends do.
    ///
    /// # Errors
    /// The pages are too small for a slot, or the frontend's `req_prod` already claims more than the ring holds.
    pub fn attach(pages: P, slot_bytes: usize) -> Result<Self, AttachError> {
        let shape = RingShape::new(pages.len(), slot_bytes).map_err(|ShapeError| AttachError::Shape)?;
        let rsp_prod = pages.load_u32(RSP_PROD);
        let ring = Self {
            pages,
            shape,
            req_cons: rsp_prod,
            rsp_prod_pvt: rsp_prod,
            rsp_prod,
        };
        ring.pending().map_err(AttachError::Overflow)?;
        Ok(ring)
    }

    /// Goes on where an earlier life of this backend was, which had consumed `owed` requests that are not answered: they
    /// are owed responses, and consumption goes on behind them. For a ring that was just attached.
    ///
    /// # Errors
    /// The frontend's `req_prod` does not claim as many requests, or there cannot be so many.
    pub fn resume(&mut self, owed: u32) -> Result<(), Overflow> {
        let req_cons = self.req_cons.wrapping_add(owed);
        if self.debt() > 0 || owed > self.shape.slots() {
            return Err(Overflow {
                claimed: self.req_cons,
                consumed: req_cons,
            });
        }
        self.req_cons = req_cons;
        self.pending().map(|_| ())
    }

    /// The ring's geometry.
    pub fn shape(&self) -> RingShape {
        self.shape
    }

    /// Requests that wait to be consumed.
    ///
    /// # Errors
    /// `req_prod` claims more requests than there can be: close this ring, trust nothing in it.
    #[inline]
    pub fn pending(&self) -> Result<u32, Overflow> {
        let claimed = self.pages.acquire_u32(REQ_PROD);
        let pending = claimed.wrapping_sub(self.req_cons);
        if pending > self.shape.slots() - self.debt() {
            return Err(Overflow {
                claimed,
                consumed: self.req_cons,
            });
        }
        Ok(pending)
    }

    /// Copies the next request out, once, by value; `words` may be shorter than a slot, never longer.
    /// Call it only as often as [`pending`](Self::pending) said. The slot is now owed one response.
    #[inline]
    pub fn consume(&mut self, words: &mut [u32]) {
        assert!(
            words.len() * 4 <= self.shape.slot_bytes(),
            "a request is read within its slot"
        );
        assert!(
            self.debt() < self.shape.slots(),
            "no more is consumed than was pending"
        );
        self.pages.copy_out(self.shape.at(self.req_cons), words);
        self.req_cons = self.req_cons.wrapping_add(1);
    }

    /// As [`consume`](Self::consume), but copies only what means anything: the first `head` words, and then those up to
    /// the length that `length` makes of the first one, which is also what it returns. A word is still fetched once.
    #[inline]
    pub fn consume_by(&mut self, words: &mut [u32], head: usize, length: impl FnOnce(u32) -> usize) -> usize {
        let (first, rest) = words.split_at_mut(head);
        let at = self.shape.at(self.req_cons);
        self.consume(first);
        let used = length(first[0]).clamp(head, self.shape.slot_bytes() / 4);
        if let Some(rest) = rest.get_mut(..used - head) {
            self.pages.copy_out(at + 4 * head, rest);
        }
        used
    }

    /// Requests consumed and not yet answered.
    #[inline]
    pub fn debt(&self) -> u32 {
        self.req_cons.wrapping_sub(self.rsp_prod_pvt)
    }

    /// Index (free running) of the next response slot; the position that a protocol such as netif RX answers by.
    pub fn rsp_prod_pvt(&self) -> u32 {
        self.rsp_prod_pvt
    }

    /// Writes one response into the next slot, unpublished until [`push`](Self::push).
    #[inline]
    pub fn respond(&mut self, words: &[u32]) {
        assert!(
            words.len() * 4 <= self.shape.slot_bytes(),
            "a response fits its slot"
        );
        assert!(self.debt() > 0, "a response answers a consumed request");
        self.pages.copy_in(self.shape.at(self.rsp_prod_pvt), words);
        self.rsp_prod_pvt = self.rsp_prod_pvt.wrapping_add(1);
    }

    /// Publishes the responses written so far. True if the frontend asked to be notified of one of them.
    #[inline]
    #[must_use = "the frontend may be waiting for its notification"]
    pub fn push(&mut self) -> bool {
        let old = self.rsp_prod;
        if old == self.rsp_prod_pvt {
            return false;
        }
        self.rsp_prod = self.rsp_prod_pvt;
        self.pages.release_u32(RSP_PROD, self.rsp_prod);
        // The frontend sets rsp_event and then looks for responses; we publish and then look at rsp_event. Without the
        // barrier both could miss each other.
        self.pages.full_barrier();
        passes(self.pages.load_u32(RSP_EVENT), old, self.rsp_prod)
    }

    /// Asks to be notified of the next request, then looks once more: true if one slipped in meanwhile, so that the
    /// caller must take another turn instead of sleeping (`RING_FINAL_CHECK_FOR_REQUESTS`).
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    #[inline]
    pub fn final_check(&mut self) -> Result<bool, Overflow> {
        if self.pending()? > 0 {
            return Ok(true);
        }
        self.pages.store_u32(REQ_EVENT, self.req_cons.wrapping_add(1));
        self.pages.full_barrier();
        Ok(self.pending()? > 0)
    }

    /// Asks to be notified of the next request beyond `seen` ones, which wait already but are too few to go on with; then
    /// looks once more: how many wait now.
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    pub fn await_more(&mut self, seen: u32) -> Result<u32, Overflow> {
        let event = self.req_cons.wrapping_add(seen).wrapping_add(1);
        self.pages.store_u32(REQ_EVENT, event);
        self.pages.full_barrier();
        self.pending()
    }

    /// Gives the pages back, to be unmapped.
    pub fn into_pages(self) -> P {
        self.pages
    }
}

/// Why a ring cannot be attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// Not one slot fits the pages.
    Shape,
    /// The frontend's indices are inconsistent.
    Overflow(Overflow),
}
