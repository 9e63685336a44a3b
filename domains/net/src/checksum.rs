//! The internet checksum (RFC 1071, RFC 1624), over bytes and over pages.

use core::net::IpAddr;

use outrigger_ring::SharedPages;
pub(crate) use outrigger_router::checksum::fold;
pub use outrigger_router::checksum::update;

/// A running one's complement sum. Bytes are taken as little-endian 16-bit words, which changes nothing but the byte order of
/// the result (RFC 1071, 2.B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    sum: u64,
    /// An odd number of bytes was added so far.
    odd: bool,
}

impl Sum {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, part: u64, len: usize) {
        let part = fold(part);
        let part = if self.odd { part.swap_bytes() } else { part };
        self.sum += u64::from(part);
        self.odd ^= len % 2 == 1;
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut part: u64 = words
            .iter()
            .map(|word| u64::from(u32::from_le_bytes(*word)))
            .sum();
        for (at, byte) in rest.iter().enumerate() {
            part += u64::from(*byte) << (8 * at);
        }
        self.add(part, bytes.len());
    }

    /// With two more bytes, after an even number.
    #[inline]
    pub fn with(self, bytes: [u8; 2]) -> Self {
        Self {
            sum: self.sum + u64::from(u16::from_le_bytes(bytes)),
            ..self
        }
    }

    /// With a part more that begins after an even number of bytes, summed as little-endian words of any size.
    #[inline]
    pub fn with_part(self, part: u64) -> Self {
        Self {
            sum: self.sum + u64::from(fold(part)),
            ..self
        }
    }

    /// The sum of both, of which the other has an even number of bytes before it.
    #[inline]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            odd: other.odd,
        }
    }

    /// Adds `len` bytes of memory from `at` on.
    pub fn memory<M: SharedPages>(&mut self, memory: &M, at: usize, len: usize) {
        let (mut here, end) = (at, at + len);
        let mut part: u64 = 0;
        // By memory's own alignment: a byte at an odd address is the upper half of its word.
        if !here.is_multiple_of(2) && here < end {
            part += u64::from(memory.load_u8(here)) << 8;
            here += 1;
        }
        if !here.is_multiple_of(4) && here + 2 <= end {
            part += u64::from(memory.load_u16(here));
            here += 2;
        }
        if here + 4 <= end {
            let words = (end - here) / 4;
            part += memory.sum(here, words);
            here += 4 * words;
        }
        if here + 2 <= end {
            part += u64::from(memory.load_u16(here));
            here += 2;
        }
        if here < end {
            part += u64::from(memory.load_u8(here));
        }
        let part = fold(part);
        let part = if at.is_multiple_of(2) {
            part
        } else {
            part.swap_bytes()
        };
        self.add(u64::from(part), len);
    }

    /// Adds the pseudo header of TCP or UDP: addresses, protocol, and the length of transport header and payload.
    pub fn pseudo_header(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, len: usize) {
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => self.bytes(&address.octets()),
                IpAddr::V6(address) => self.bytes(&address.octets()),
            }
        }
        // Below 2¹⁶ always: a frame is no longer.
        let [.., high, low] = len.to_be_bytes();
        self.bytes(&[0, protocol, high, low]);
    }

    /// The sum, as the two bytes that a partial checksum is stored as.
    pub fn partial(self) -> [u8; 2] {
        fold(self.sum).to_le_bytes()
    }

    /// The checksum of an IPv4 header, as it is stored.
    pub fn inverted(self) -> [u8; 2] {
        (!fold(self.sum)).to_le_bytes()
    }

    /// Whether this is right, of data that its checksum is in.
    pub fn is_right(self) -> bool {
        fold(self.sum) == 0xffff
    }

    /// The checksum, as it is stored. Never 0, which UDP takes for "none"; 0xffff means the same number.
    pub fn finish(self) -> [u8; 2] {
        match !fold(self.sum) {
            0 => [0xff, 0xff],
            sum => sum.to_le_bytes(),
        }
    }
}

/// The checksum of an IPv4 header, whose own field is taken for 0.
pub fn ipv4_header(header: &[u8]) -> [u8; 2] {
    let mut sum = Sum::new();
    let (before, after) = header.split_at(header.len().min(10));
    sum.bytes(before);
    sum.bytes(after.get(2..).unwrap_or_default());
    sum.inverted()
}
