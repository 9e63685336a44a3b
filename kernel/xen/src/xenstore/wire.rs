//! The bytes of XenStore's protocol (`public/io/xs_wire.h`): message headers, and the two byte rings in the shared page.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use outrigger_ring::{Overflow, SharedPages, StreamPlace, StreamReader, StreamWriter};
use xen_unikernel_abi::io::xs_wire as xs;

pub(crate) use xs::XENSTORE_PAYLOAD_MAX as PAYLOAD_MAX;

/// Bytes of each ring.
pub(crate) const RING: u32 = xs::XENSTORE_RING_SIZE as u32;
/// Bytes of a message header.
pub(crate) const HEADER: usize = size_of::<xs::XsdSockmsg>();

/// Offsets in `struct xenstore_domain_interface`.
pub(crate) mod at {
    use core::mem::offset_of;

    use xen_unikernel_abi::io::xs_wire::XenstoreDomainInterface;

    pub const REQ: usize = offset_of!(XenstoreDomainInterface, req);
    pub const RSP: usize = offset_of!(XenstoreDomainInterface, rsp);
    pub const REQ_CONS: usize = offset_of!(XenstoreDomainInterface, req_cons);
    pub const REQ_PROD: usize = offset_of!(XenstoreDomainInterface, req_prod);
    pub const RSP_CONS: usize = offset_of!(XenstoreDomainInterface, rsp_cons);
    pub const RSP_PROD: usize = offset_of!(XenstoreDomainInterface, rsp_prod);
}

const REQUESTS: StreamPlace = StreamPlace {
    ring: at::REQ,
    size: RING,
    prod: at::REQ_PROD,
    cons: at::REQ_CONS,
};
const REPLIES: StreamPlace = StreamPlace {
    ring: at::RSP,
    size: RING,
    prod: at::RSP_PROD,
    cons: at::RSP_CONS,
};

/// `struct xsd_sockmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `XS_*`.
    pub kind: u32,
    /// Ties a reply to its request.
    pub req_id: u32,
    /// 0 outside transactions.
    pub tx_id: u32,
    /// Bytes of payload that follow.
    pub len: u32,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        for (field, value) in bytes
            .chunks_exact_mut(4)
            .zip([self.kind, self.req_id, self.tx_id, self.len])
        {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    pub fn decode(bytes: &[u8; HEADER]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            kind: word(0),
            req_id: word(4),
            tx_id: word(8),
            len: word(12),
        }
    }
}

/// Why the connection can no longer be used. Nothing that comes after it can be told from garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A ring index claims more than the ring holds.
    Index {
        /// What xenstored wrote.
        claimed: u32,
        /// Our own end of the same ring.
        ours: u32,
    },
    /// A message claims a payload of more than 4096 bytes: this many.
    Oversized(u32),
}

impl From<Overflow> for Fault {
    fn from(Overflow { claimed, consumed }: Overflow) -> Self {
        Self::Index {
            claimed,
            ours: consumed,
        }
    }
}

/// Our end of the shared page. Our two indices are private; the page only ever receives them.
pub(crate) struct Pipe<P> {
    page: P,
    /// Where our indices and the rest of what is half way through are kept for the next life: two words.
    place: Option<P>,
    requests: StreamWriter,
    /// Bytes of a message that has begun and is not wholly in the ring.
    unsent: u32,
    replies: StreamReader,
    /// Bytes of a message that an earlier life has begun to take.
    skip: u32,
    out: VecDeque<u8>,
    header: Option<Header>,
    body: Vec<u8>,
}

/// Bytes of the longest message.
const MESSAGE_MAX: u32 = (HEADER + PAYLOAD_MAX) as u32;

/// Where [`Pipe`] keeps its place.
mod kept {
    pub const OUT: usize = 0;
    pub const IN: usize = 8;
}

impl<P: SharedPages> Pipe<P> {
    pub fn new(page: P) -> Self {
        Self {
            requests: StreamWriter::attach(REQUESTS, &page),
            replies: StreamReader::attach(REPLIES, &page),
            page,
            place: None,
            unsent: 0,
            skip: 0,
            out: VecDeque::new(),
            header: None,
            body: Vec::with_capacity(PAYLOAD_MAX),
        }
    }

    /// A pipe that keeps its place in `place`, 16 bytes that outlive a restart in place; goes on where an earlier life was
    /// (`resume`), if that is where the page can be.
    pub fn keeping(page: P, place: P, resume: bool) -> Self {
        let mut pipe = Self::new(page);
        let half = |word: u64| ((word >> 32) as u32, word as u32);
        let (req_prod, unsent) = half(place.load_u64(kept::OUT));
        let (rsp_cons, skip) = half(place.load_u64(kept::IN));
        let requests = StreamWriter::new(REQUESTS, req_prod);
        let replies = StreamReader::new(REPLIES, rsp_cons);
        let possible = requests.unread(&pipe.page).is_ok() && replies.pending(&pipe.page).is_ok();
        if resume && possible && unsent < MESSAGE_MAX && skip < MESSAGE_MAX {
            (pipe.requests, pipe.unsent) = (requests, unsent);
            (pipe.replies, pipe.skip) = (replies, skip);
            // xenstored waits for the rest of a message whose end nobody knows any more. Only one that is longer than the
            // ring can be in this state, and this client sends none but values of kilobytes.
            pipe.out.extend(core::iter::repeat_n(0, unsent as usize));
            pipe.requests.publish(&pipe.page);
            pipe.replies.give_back(&pipe.page);
        }
        pipe.place = Some(place);
        pipe.keep_place();
        pipe
    }

    fn keep_place(&self) {
        if let Some(place) = &self.place {
            let body = self
                .header
                .map_or(0, |header| header.len - self.body.len() as u32);
            place.store_u64(
                kept::OUT,
                u64::from(self.requests.prod) << 32 | u64::from(self.unsent),
            );
            place.store_u64(
                kept::IN,
                u64::from(self.replies.cons) << 32 | u64::from(self.skip + body),
            );
        }
    }

    /// Queues a message whose payload is known to be short enough.
    pub fn queue(&mut self, kind: u32, req_id: u32, tx_id: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("payloads are checked before they are queued");
        self.out.extend(
            Header {
                kind,
                req_id,
                tx_id,
                len,
            }
            .encode(),
        );
        self.out.extend(payload);
    }

    /// Bytes of the first message in `out`, which has not begun.
    fn next_message(&self) -> u32 {
        let mut header = [0; HEADER];
        header
            .iter_mut()
            .zip(&self.out)
            .for_each(|(byte, next)| *byte = *next);
        HEADER as u32 + Header::decode(&header).len
    }

    /// Moves queued bytes into the request ring, as many as fit; a message that fits the ring goes into it whole, so that
    /// none is cut off by the end of this life. True if it moved any.
    pub fn send(&mut self) -> Result<bool, Fault> {
        let before = self.requests.prod;
        while !self.out.is_empty() {
            let room = self.requests.room(&self.page)?;
            let left = if self.unsent > 0 {
                self.unsent
            } else {
                self.next_message()
            };
            let begins = self.unsent == 0 && left <= RING;
            if room == 0 || (begins && room < left) {
                break;
            }
            let fit = left.min(room);
            self.requests.put(&self.page, self.out.drain(..fit as usize));
            self.unsent = left - fit;
            self.keep_place();
            self.requests.publish(&self.page);
        }
        Ok(self.requests.prod != before)
    }

    /// Takes what is in the response ring now and hands over each message that became complete. True if it took anything.
    pub fn receive(&mut self, mut each: impl FnMut(Header, &[u8])) -> Result<bool, Fault> {
        let before = self.replies.cons;
        // What comes meanwhile is taken the next time.
        let end = before.wrapping_add(self.replies.pending(&self.page)?);
        loop {
            let skipped = self.skip.min(end.wrapping_sub(self.replies.cons));
            self.replies.cons = self.replies.cons.wrapping_add(skipped);
            self.skip -= skipped;
            let waiting = end.wrapping_sub(self.replies.cons);
            let header = match self.header {
                Some(header) => header,
                None if waiting < HEADER as u32 => break,
                None => {
                    let mut bytes = [0; HEADER];
                    bytes
                        .iter_mut()
                        .for_each(|byte| *byte = self.replies.byte(&self.page));
                    let header = Header::decode(&bytes);
                    if header.len as usize > PAYLOAD_MAX {
                        return Err(Fault::Oversized(header.len));
                    }
                    *self.header.insert(header)
                }
            };
            while self.body.len() < header.len as usize && self.replies.cons != end {
                let byte = self.replies.byte(&self.page);
                self.body.push(byte);
            }
            if self.body.len() < header.len as usize {
                break;
            }
            each(header, &self.body);
            self.body.clear();
            self.header = None;
        }
        if self.replies.cons != before {
            self.keep_place();
            self.replies.give_back(&self.page);
        }
        Ok(self.replies.cons != before)
    }
}
