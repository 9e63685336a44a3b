//! Cutting a TCP frame that stands for several, where neither the wire nor the guest takes it whole.

use core::ops::Range;

use outrigger_devices::{BlankChecksum, Gso, GsoKind};

use crate::checksum::Sum;
use crate::packet::{HEAD_BYTES, Ip, Network, Packet, TCP};

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// How a frame is to be cut. Its headers are a private copy.
#[derive(Clone, Debug)]
pub struct Segmenter {
    /// Those of the segment that was asked for last; what follows is what differs.
    headers: [u8; HEAD_BYTES],
    identification: u16,
    sequence: u32,
    flags: u8,
    /// Sums of what is the same in all segments: of the IPv4 header, of the pseudo header, and of the TCP header.
    network: Sum,
    pseudo: Sum,
    tcp: Sum,
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
        let (mut network, mut pseudo, mut tcp) = (Sum::new(), Sum::new(), Sum::new());
        let mut same = headers;
        for differs in [ip.offset + 2..ip.offset + 6, ip.offset + 10..ip.offset + 12] {
            same[differs].fill(0);
        }
        network.bytes(&same[ip.offset..transport]);
        for differs in [4..8, 13..14, 16..18] {
            same[transport + differs.start..transport + differs.end].fill(0);
        }
        tcp.bytes(&same[transport..header_len]);
        pseudo.pseudo_header(ip.source, ip.destination, TCP, 0);
        let [a, b, c, d] = [4, 5, 6, 7].map(|at| headers[transport + at]);
        (ip.protocol == TCP && gso.size > 0 && len > header_len).then_some(Self {
            identification: u16::from_be_bytes([headers[ip.offset + 4], headers[ip.offset + 5]]),
            sequence: u32::from_be_bytes([a, b, c, d]),
            flags: headers[transport + 13],
            network,
            pseudo,
            tcp,
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
    #[inline]
    pub fn payload(&self, index: usize) -> Range<usize> {
        let start = self.header_len + index * self.size;
        start.min(self.len)..(start + self.size).min(self.len)
    }

    /// The headers of segment `index`, whose checksum is blank: it holds the sum of the pseudo header. And the sum of that and of
    /// the TCP header.
    #[inline]
    pub fn headers(&mut self, index: usize) -> (&mut [u8], Sum) {
        let payload = self.payload(index);
        let last = payload.end == self.len;
        let headers = &mut self.headers;
        let ip = self.ip.offset;
        let total = self.header_len - ip + payload.len();
        if self.v4 {
            headers[ip + 2..ip + 4].copy_from_slice(&be16(total));
            let id = self.identification.wrapping_add(index as u16);
            headers[ip + 4..ip + 6].copy_from_slice(&id.to_be_bytes());
            let sum = self.network.with(be16(total)).with(id.to_be_bytes());
            headers[ip + 10..ip + 12].copy_from_slice(&sum.inverted());
        } else {
            headers[ip + 4..ip + 6].copy_from_slice(&be16(total - 40));
        }
        let tcp = self.transport;
        let sequence = self.sequence.wrapping_add((index * self.size) as u32);
        headers[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        let not_last = if last { 0 } else { FIN_PSH };
        let not_first = if index > 0 { CWR } else { 0 };
        headers[tcp + 13] = self.flags & !not_last & !not_first;
        let sum = self.pseudo.with(be16(self.header_len - tcp + payload.len()));
        headers[tcp + 16..tcp + 18].copy_from_slice(&sum.partial());
        let [a, b, c, d] = sequence.to_be_bytes();
        let sum = sum.with([a, b]).with([c, d]).with([0, headers[tcp + 13]]);
        (&mut headers[..self.header_len], sum.plus(self.tcp))
    }
}

/// A length, which is below 2¹⁶ because a frame's is.
fn be16(len: usize) -> [u8; 2] {
    (len as u16).to_be_bytes()
}
