//! The bytes of XenStore's protocol (`public/io/xs_wire.h`): message headers, and the two byte rings in the shared page.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
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

/// Our end of the shared page. Our two indices are private; the page only ever receives them.
pub(crate) struct Pipe<P> {
    page: P,
    req_prod: u32,
    rsp_cons: u32,
    out: VecDeque<u8>,
    header: [u8; HEADER],
    body: Vec<u8>,
    received: usize,
}

impl<P: SharedPages> Pipe<P> {
    pub fn new(page: P) -> Self {
        let (req_prod, rsp_cons) = (page.load_u32(at::REQ_PROD), page.load_u32(at::RSP_CONS));
        Self {
            page,
            req_prod,
            rsp_cons,
            out: VecDeque::new(),
            header: [0; HEADER],
            body: Vec::with_capacity(PAYLOAD_MAX),
            received: 0,
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

    /// Moves queued bytes into the request ring, as many as fit. True if it moved any.
    pub fn send(&mut self) -> Result<bool, Fault> {
        if self.out.is_empty() {
            return Ok(false);
        }
        let used = self.req_prod.wrapping_sub(self.page.acquire_u32(at::REQ_CONS));
        if used > RING {
            return Err(Fault::Index {
                claimed: self.req_prod.wrapping_sub(used),
                ours: self.req_prod,
            });
        }
        let fit = self.out.len().min((RING - used) as usize);
        for byte in self.out.drain(..fit) {
            self.page
                .store_u8(at::REQ + (self.req_prod % RING) as usize, byte);
            self.req_prod = self.req_prod.wrapping_add(1);
        }
        self.page.release_u32(at::REQ_PROD, self.req_prod);
        Ok(fit > 0)
    }

    /// Takes what is in the response ring now and hands over each message that became complete. True if it took anything.
    pub fn receive(&mut self, mut each: impl FnMut(Header, &[u8])) -> Result<bool, Fault> {
        let claimed = self.page.acquire_u32(at::RSP_PROD);
        let waiting = claimed.wrapping_sub(self.rsp_cons);
        if waiting > RING {
            return Err(Fault::Index {
                claimed,
                ours: self.rsp_cons,
            });
        }
        for _ in 0..waiting {
            let byte = self.page.load_u8(at::RSP + (self.rsp_cons % RING) as usize);
            self.rsp_cons = self.rsp_cons.wrapping_add(1);
            self.take(byte, &mut each)?;
        }
        if waiting > 0 {
            self.page.release_u32(at::RSP_CONS, self.rsp_cons);
        }
        Ok(waiting > 0)
    }

    fn take(&mut self, byte: u8, each: &mut impl FnMut(Header, &[u8])) -> Result<(), Fault> {
        if self.received < HEADER {
            self.header[self.received] = byte;
        } else {
            self.body.push(byte);
        }
        self.received += 1;
        if self.received < HEADER {
            return Ok(());
        }
        let header = Header::decode(&self.header);
        if header.len as usize > PAYLOAD_MAX {
            return Err(Fault::Oversized(header.len));
        }
        if self.body.len() == header.len as usize {
            each(header, &self.body);
            self.body.clear();
            self.received = 0;
        }
        Ok(())
    }
}
