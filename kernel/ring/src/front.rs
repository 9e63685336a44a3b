//! The frontend's end: for tests, and for frontends of our own.

use crate::SharedPages;
use crate::shape::{Overflow, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, RingShape, ShapeError, passes};

/// The end that produces requests and consumes responses.
#[derive(Debug)]
pub struct FrontRing<P> {
    pages: P,
    shape: RingShape,
    req_prod_pvt: u32,
    req_prod: u32,
    rsp_cons: u32,
}

impl<P: SharedPages> FrontRing<P> {
    /// Initialises the shared page (`SHARED_RING_INIT`: producers 0, events 1) and starts at `first`, which is 0 but for
    /// tests near the wrap.
    ///
    /// # Errors
    /// Not one slot fits.
    pub fn init(pages: P, slot_bytes: usize, first: u32) -> Result<Self, ShapeError> {
        let shape = RingShape::new(pages.len(), slot_bytes)?;
        for (at, value) in [
            (REQ_PROD, first),
            (RSP_PROD, first),
            (REQ_EVENT, first.wrapping_add(1)),
            (RSP_EVENT, first.wrapping_add(1)),
        ] {
            pages.store_u32(at, value);
        }
        Ok(Self {
            pages,
            shape,
            req_prod_pvt: first,
            req_prod: first,
            rsp_cons: first,
        })
    }

    /// The ring's geometry.
    pub fn shape(&self) -> RingShape {
        self.shape
    }

    /// Slots free for requests.
    pub fn free(&self) -> u32 {
        self.shape.slots() - self.req_prod_pvt.wrapping_sub(self.rsp_cons)
    }

    /// Writes a request into the next slot, unpublished until [`push`](Self::push).
    pub fn request(&mut self, words: &[u32]) {
        assert!(
            words.len() * 4 <= self.shape.slot_bytes(),
            "a request fits its slot"
        );
        assert!(self.free() > 0, "a request needs a free slot");
        self.pages.copy_in(self.shape.at(self.req_prod_pvt), words);
        self.req_prod_pvt = self.req_prod_pvt.wrapping_add(1);
    }

    /// Publishes; true if the backend asked to be notified.
    #[must_use = "the backend may be waiting for its notification"]
    pub fn push(&mut self) -> bool {
        let old = self.req_prod;
        self.req_prod = self.req_prod_pvt;
        self.pages.release_u32(REQ_PROD, self.req_prod);
        self.pages.full_barrier();
        passes(self.pages.load_u32(REQ_EVENT), old, self.req_prod)
    }

    /// Responses that wait.
    ///
    /// # Errors
    /// `rsp_prod` answers more than was asked.
    pub fn pending(&self) -> Result<u32, Overflow> {
        let claimed = self.pages.acquire_u32(RSP_PROD);
        let pending = claimed.wrapping_sub(self.rsp_cons);
        if pending > self.req_prod.wrapping_sub(self.rsp_cons) {
            return Err(Overflow {
                claimed,
                consumed: self.rsp_cons,
            });
        }
        Ok(pending)
    }

    /// Copies the next response out. Call it only as often as [`pending`](Self::pending) said.
    pub fn consume(&mut self, words: &mut [u32]) {
        assert!(
            words.len() * 4 <= self.shape.slot_bytes(),
            "a response is read within its slot"
        );
        assert!(
            self.rsp_cons != self.req_prod,
            "no more is consumed than was asked for"
        );
        self.pages.copy_out(self.shape.at(self.rsp_cons), words);
        self.rsp_cons = self.rsp_cons.wrapping_add(1);
    }

    /// Asks to be notified of the next response, then looks once more (`RING_FINAL_CHECK_FOR_RESPONSES`).
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    pub fn final_check(&mut self) -> Result<bool, Overflow> {
        if self.pending()? > 0 {
            return Ok(true);
        }
        self.pages.store_u32(RSP_EVENT, self.rsp_cons.wrapping_add(1));
        self.pages.full_barrier();
        Ok(self.pending()? > 0)
    }

    /// The shared pages.
    pub fn pages(&self) -> &P {
        &self.pages
    }
}
