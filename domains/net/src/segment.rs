//! Cutting a TCP frame that stands for several, where neither the wire nor the guest takes it whole.

use core::ops::Range;

use outrigger_devices::{BlankChecksum, Gso, GsoKind};

use crate::checksum::{self, Sum};
use crate::packet::{HEAD_BYTES, Ip, Network, Packet, TCP};

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// How a frame is to be cut. Its headers are a private copy.
#[derive(Clone, Debug)]
pub struct Segmenter {
    headers: [u8; HEAD_BYTES],
    header_len: usize,
    ip: Ip,
    transport: usize,
    v4: bool,
    size: usize,
    len: usize,
}

impl Segmenter {
    /// For a frame of `len` bytes with these first bytes. `None` if it is not what `gso` says.
    pub fn new(head: &[u8], packet: &Packet, gso: Gso, len: usize) -> Option<Self> {
        let header_len = usize::from(gso.header_len);
        let Network::Ip(ip) = packet.network else {
            return None;
        };
        let transport = ip.transport.filter(|transport| transport + 20 <= header_len)?;
        let mut headers = [0; HEAD_BYTES];
        headers
            .get_mut(..header_len)?
            .copy_from_slice(head.get(..header_len)?);
        (ip.protocol == TCP && gso.size > 0 && len > header_len).then_some(Self {
            headers,
            header_len,
            ip,
            transport,
            v4: gso.kind == GsoKind::TcpV4,
            size: gso.size.into(),
            len,
        })
    }

    /// How many segments it makes.
    pub fn count(&self) -> usize {
        (self.len - self.header_len).div_ceil(self.size)
    }

    /// Bytes of a segment's headers.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Where each segment's checksum is.
    pub fn blank_checksum(&self) -> BlankChecksum {
        BlankChecksum {
            // Within the head.
            start: self.transport as u16,
            offset: 16,
        }
    }

    /// Which bytes of the frame are the payload of segment `index`.
    pub fn payload(&self, index: usize) -> Range<usize> {
        let start = self.header_len + index * self.size;
        start.min(self.len)..(start + self.size).min(self.len)
    }

    /// The headers of segment `index`, whose checksum is blank: it holds the sum of the pseudo header.
    pub fn headers(&self, index: usize) -> [u8; HEAD_BYTES] {
        let payload = self.payload(index);
        let last = payload.end == self.len;
        let mut headers = self.headers;
        let ip = self.ip.offset;
        let total = self.header_len - ip + payload.len();
        if self.v4 {
            headers[ip + 2..ip + 4].copy_from_slice(&be16(total));
            let id = u16::from_be_bytes([headers[ip + 4], headers[ip + 5]]);
            headers[ip + 4..ip + 6].copy_from_slice(&id.wrapping_add(index as u16).to_be_bytes());
            let sum = checksum::ipv4_header(&headers[ip..self.transport]);
            headers[ip + 10..ip + 12].copy_from_slice(&sum);
        } else {
            headers[ip + 4..ip + 6].copy_from_slice(&be16(total - 40));
        }
        let tcp = self.transport;
        let [a, b, c, d] = [4, 5, 6, 7].map(|at| headers[tcp + at]);
        let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add((index * self.size) as u32);
        headers[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        if !last {
            headers[tcp + 13] &= !FIN_PSH;
        }
        if index > 0 {
            headers[tcp + 13] &= !CWR;
        }
        let mut sum = Sum::new();
        sum.pseudo_header(
            self.ip.source,
            self.ip.destination,
            TCP,
            self.header_len - tcp + payload.len(),
        );
        headers[tcp + 16..tcp + 18].copy_from_slice(&sum.partial());
        headers
    }
}

/// A length, which is below 2¹⁶ because a frame's is.
fn be16(len: usize) -> [u8; 2] {
    (len as u16).to_be_bytes()
}
