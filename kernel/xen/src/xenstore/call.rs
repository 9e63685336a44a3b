//! A request and the wait for its reply.

use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use outrigger_ring::SharedPages;
use xen_unikernel_abi::io::xs_wire as xs;

use super::wire::{Header, PAYLOAD_MAX};
use super::{XenStore, XsError};

/// Most requests in flight; xenstored grants a domain 20. Further ones wait for their turn.
const IN_FLIGHT: usize = 16;

type Reply = Result<Vec<u8>, XsError>;

struct InFlight {
    req_id: u32,
    kind: u32,
    reply: Option<Reply>,
    waker: Option<Waker>,
}

/// Requests that are sent, or answered and not yet looked at.
#[derive(Default)]
pub(super) struct Calls {
    in_flight: Vec<InFlight>,
    waiting: Vec<Waker>,
    last_req_id: u32,
}

impl Calls {
    fn begin(&mut self, kind: u32) -> u32 {
        let req_id = self.next_req_id();
        self.in_flight.push(InFlight {
            req_id,
            kind,
            reply: None,
            waker: None,
        });
        req_id
    }

    /// Numbers requests so that replies to an earlier life are nobody's.
    pub fn begin_life(&mut self, life: u32) {
        self.last_req_id = life << 20;
    }

    /// A number that no request in flight has.
    pub fn next_req_id(&mut self) -> u32 {
        loop {
            self.last_req_id = self.last_req_id.wrapping_add(1);
            if self.in_flight.iter().all(|call| call.req_id != self.last_req_id) {
                return self.last_req_id;
            }
        }
    }

    /// Takes in a reply. One that nobody waits for is dropped.
    pub fn answer(&mut self, header: Header, payload: &[u8]) {
        let waiting = |call: &&mut InFlight| call.req_id == header.req_id && call.reply.is_none();
        let Some(call) = self.in_flight.iter_mut().find(waiting) else {
            return;
        };
        call.reply = Some(match header.kind {
            xs::XS_ERROR => Err(XsError::from_reply(payload)),
            kind if kind == call.kind => Ok(payload.into()),
            _ => Err(XsError::Protocol),
        });
        if let Some(waker) = call.waker.take() {
            waker.wake();
        }
    }

    /// Nothing will be answered any more.
    pub fn fail_all(&mut self) {
        for call in self.in_flight.iter_mut().filter(|call| call.reply.is_none()) {
            call.reply = Some(Err(XsError::Protocol));
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
        self.wake_waiting();
    }

    fn take(&mut self, req_id: u32, context: &Context<'_>) -> Poll<Reply> {
        let at = self.in_flight.iter().position(|call| call.req_id == req_id);
        let at = at.expect("a request stays until its reply is taken");
        match self.in_flight[at].reply.take() {
            Some(reply) => {
                self.forget(req_id);
                Poll::Ready(reply)
            }
            None => {
                self.in_flight[at].waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn forget(&mut self, req_id: u32) {
        self.in_flight.retain(|call| call.req_id != req_id);
        self.wake_waiting();
    }

    fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// One request. It is sent when it is first polled; dropped before its end, its reply is ignored.
pub(super) struct Call<'s, P: SharedPages> {
    store: &'s XenStore<P>,
    kind: u32,
    tx_id: u32,
    payload: Vec<u8>,
    req_id: Option<u32>,
}

impl<'s, P: SharedPages> Call<'s, P> {
    pub fn new(store: &'s XenStore<P>, kind: u32, tx_id: u32, payload: Vec<u8>) -> Self {
        Self {
            store,
            kind,
            tx_id,
            payload,
            req_id: None,
        }
    }
}

impl<P: SharedPages> Future for Call<'_, P> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let this = &mut *self;
        let mut calls = this.store.calls.borrow_mut();
        if let Some(req_id) = this.req_id {
            let reply = calls.take(req_id, context);
            if reply.is_ready() {
                this.req_id = None;
            }
            return reply;
        }
        if this.payload.len() > PAYLOAD_MAX {
            return Poll::Ready(Err(XsError::TooBig));
        }
        if this.store.fault().is_some() {
            return Poll::Ready(Err(XsError::Protocol));
        }
        if calls.in_flight.len() >= IN_FLIGHT {
            if !calls.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                calls.waiting.push(context.waker().clone());
            }
            return Poll::Pending;
        }
        let req_id = calls.begin(this.kind);
        this.req_id = Some(req_id);
        // Sent at once: nobody may poll the store again before it has something to say.
        drop(calls);
        this.store.send(this.kind, req_id, this.tx_id, &this.payload);
        match this.store.calls.borrow_mut().take(req_id, context) {
            Poll::Ready(reply) => {
                this.req_id = None;
                Poll::Ready(reply)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<P: SharedPages> Drop for Call<'_, P> {
    fn drop(&mut self) {
        if let Some(req_id) = self.req_id {
            self.store.calls.borrow_mut().forget(req_id);
        }
    }
}
