//! One domain's ring page, from xenstored's side.

use std::collections::{BTreeMap, VecDeque};
use std::vec;
use std::vec::Vec;

use outrigger_ring::SharedPages;

use super::super::FakePages;
use super::transaction::Tx;
use crate::DomId;
use crate::xenstore::wire::{HEADER, Header, RING, at};

pub(super) struct Connection {
    pub domain: DomId,
    pub page: FakePages,
    input: Vec<u8>,
    output: VecDeque<u8>,
    pub transactions: BTreeMap<u32, Tx>,
    pub last_tx: u32,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl Connection {
    pub fn new(domain: DomId, page: FakePages) -> Self {
        Self {
            domain,
            page,
            input: Vec::new(),
            output: VecDeque::new(),
            transactions: BTreeMap::new(),
            last_tx: 0,
        }
    }

    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Takes at most `most` bytes of requests in, and gives what is complete.
    pub fn receive(&mut self, most: usize) -> (bool, Vec<Message>) {
        let (prod, cons) = (self.page.load_u32(at::REQ_PROD), self.page.load_u32(at::REQ_CONS));
        let waiting = prod.wrapping_sub(cons) as usize;
        assert!(waiting <= RING as usize, "the client keeps to its ring");
        let take = waiting.min(most);
        for i in 0..take {
            let index = cons.wrapping_add(u32::try_from(i).expect("below the ring's size"));
            self.input
                .push(self.page.load_u8(at::REQ + (index % RING) as usize));
        }
        self.page.store_u32(
            at::REQ_CONS,
            cons.wrapping_add(u32::try_from(take).expect("below the ring's size")),
        );
        let mut messages = vec![];
        while let Some(head) = self.input.first_chunk::<HEADER>() {
            let header = Header::decode(head);
            assert!(header.len <= 4096, "the client's requests fit a message");
            let end = HEADER + header.len as usize;
            if self.input.len() < end {
                break;
            }
            let payload = self.input[HEADER..end].to_vec();
            self.input.drain(..end);
            messages.push(Message { header, payload });
        }
        (take > 0, messages)
    }

    /// Gives at most `most` bytes of what is queued out.
    pub fn send(&mut self, most: usize) -> bool {
        let (prod, cons) = (self.page.load_u32(at::RSP_PROD), self.page.load_u32(at::RSP_CONS));
        let free = (RING as usize).saturating_sub(prod.wrapping_sub(cons) as usize);
        let give = self.output.len().min(free).min(most);
        for (i, byte) in self.output.drain(..give).enumerate() {
            let index = prod.wrapping_add(u32::try_from(i).expect("below the ring's size"));
            self.page.store_u8(at::RSP + (index % RING) as usize, byte);
        }
        if give > 0 {
            let give = u32::try_from(give).expect("below the ring's size");
            self.page.store_u32(at::RSP_PROD, prod.wrapping_add(give));
        }
        give > 0
    }
}
