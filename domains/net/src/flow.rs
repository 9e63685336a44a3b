//! What makes two TCP segments one: the headers of the first, and what the next one must be.
//!
//! Headers are looked at as the words that memory gives. After an Ethernet header everything is 2 bytes off: an address or a
//! port is half of one word and half of the next.

use outrigger_devices::{BlankChecksum, Gso, GsoKind};

use crate::checksum::{Sum, fold};
use crate::packet::{ETH_HLEN, Mac, TCP};

/// Words of the longest headers, without a VLAN tag or IP options, and with as many TCP options as there can be.
pub const WORDS: usize = (ETH_HLEN + 40 + 60).div_ceil(4);

const ACK: u32 = 0x10;
const PSH: u32 = 0x08;
/// Longest IP packet.
const IP_MAX: usize = 65535;

/// Halves of a word, as its bytes come.
const FIRST: u32 = 0xffff;
const SECOND: u32 = 0xffff_0000;

/// Where TCP's first word is, whose second half is the source port: behind IPv4's header, and behind IPv6's.
const TCP_V4: usize = 8;
const TCP_V6: usize = 13;

/// A segment of a stream that carries data and nothing else: no other flags, no fragment, no IP options.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    words: &'a [u32; WORDS],
    len: usize,
    v4: bool,
    header_len: usize,
}

impl<'a> Segment<'a> {
    /// The segment in a frame of `len` bytes that begins with these words. `None` if it is anything else.
    #[inline]
    pub fn peek(words: &'a [u32; WORDS], len: usize) -> Option<Self> {
        let (v4, ip_len) = match words[3].to_le_bytes() {
            // Never to be fragmented, so that the identification means nothing (RFC 6864).
            [0x08, 0x00, 0x45, _] if words[5] & 0xff00_ffff == u32::from(TCP) << 24 | 0x40 => {
                (true, be16(words[4]))
            }
            [0x86, 0xdd, 0x60..=0x6f, _] if words[5] & 0xff == u32::from(TCP) => {
                (false, 40 + be16(words[4] >> 16))
            }
            _ => return None,
        };
        let mut segment = Self {
            words,
            len,
            v4,
            header_len: 0,
        };
        let [.., offset, flags] = segment.tcp(3).to_le_bytes();
        segment.header_len = segment.transport() + usize::from(offset >> 4) * 4;
        let plain = u32::from(flags) & !PSH == ACK && segment.header_len >= segment.transport() + 20;
        (plain && ETH_HLEN + ip_len == len && segment.header_len < len).then_some(segment)
    }

    /// A word of the TCP header; number 0 is the one whose second half is the source port.
    #[inline]
    fn tcp(&self, index: usize) -> u32 {
        self.words[self.first_tcp() + index]
    }

    #[inline]
    fn first_tcp(&self) -> usize {
        if self.v4 { TCP_V4 } else { TCP_V6 }
    }

    /// A number that segments of one stream have in common: of its ports, and of half of an address. Its upper bits are the good ones.
    #[inline]
    pub fn hash(&self) -> u32 {
        (self.tcp(0) ^ (self.tcp(1) << 16)).wrapping_mul(0x9e37_79b1)
    }

    /// To whom it is sent.
    pub fn destination(&self) -> Mac {
        let ([a, b, c, d], [e, f, ..]) = (self.words[0].to_le_bytes(), self.words[1].to_le_bytes());
        Mac([a, b, c, d, e, f])
    }

    /// Whether it is IPv4.
    pub fn is_v4(&self) -> bool {
        self.v4
    }

    /// Where its TCP header begins: all from there on is in the checksum.
    pub fn transport(&self) -> usize {
        4 * self.first_tcp() + 2
    }

    /// Where the sum begins that [`is_right`](Self::is_right) wants: at the word that the TCP header begins in. What is in it
    /// before that is of the destination's address, which is in the checksum, too.
    #[inline]
    pub fn summed(&self) -> usize {
        4 * self.first_tcp()
    }

    /// Bytes of its headers.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    fn payload(&self) -> usize {
        self.len - self.header_len
    }

    fn sequence(&self) -> u32 {
        (self.tcp(1) >> 16 | self.tcp(2) << 16).swap_bytes()
    }

    /// The sum of the words between the halves `SECOND` of `from` and `FIRST` of `to`.
    #[inline]
    fn sum(&self, from: usize, to: usize) -> u64 {
        let whole: u64 = self.words[from + 1..to].iter().copied().map(u64::from).sum();
        whole + u64::from(self.words[from] >> 16) + u64::from(self.words[to] & FIRST)
    }

    /// The sum of the pseudo header of a frame of `len` bytes.
    fn pseudo_header(&self, len: usize) -> u64 {
        let addresses = if self.v4 { self.sum(6, 8) } else { self.sum(5, 13) };
        let len = ((len - self.transport()) as u16).swap_bytes();
        addresses + (u64::from(TCP) << 8) + u64::from(len)
    }

    /// Whether its checksums are right, if `all` is the sum of all from [`summed`](Self::summed) on.
    #[inline]
    pub fn is_right(&self, all: Sum) -> bool {
        let network = !self.v4 || fold(self.sum(3, 8)) == 0xffff;
        let summed = u64::from(self.tcp(0) & FIRST);
        network && all.with_part(self.pseudo_header(self.len) - summed).is_right()
    }
}

/// Segments that follow each other, as one.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The first one's headers.
    words: [u32; WORDS],
    v4: bool,
    header_len: usize,
    /// Payload of the first.
    payload: usize,
    next: u32,
    count: usize,
    len: usize,
    push: bool,
    closed: bool,
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is of another stream.
    Elsewhere,
    /// It is the next one.
    Next,
    /// It is of this stream, which ends here: what comes after it must not overtake it.
    After,
}

impl Flow {
    /// Begins with a segment.
    #[inline]
    pub fn new(first: Segment<'_>) -> Self {
        let push = first.tcp(3) & PSH << 24 != 0;
        Self {
            words: *first.words,
            v4: first.v4,
            header_len: first.header_len,
            payload: first.payload(),
            next: first.sequence().wrapping_add(first.payload() as u32),
            count: 1,
            len: first.len,
            push,
            closed: push,
        }
    }

    /// Where a segment belongs. All that a receiver looks at must be the same: of IP everything but length, identification and
    /// checksum; of TCP the acknowledgement, the window and the options.
    #[inline]
    pub fn place(&self, segment: &Segment<'_>) -> Place {
        match (self.v4, segment.v4) {
            (true, true) => self.place_by::<TCP_V4>(segment),
            (false, false) => self.place_by::<TCP_V6>(segment),
            _ => Place::Elsewhere,
        }
    }

    /// The same, of one whose TCP header is where ours is.
    #[inline]
    fn place_by<const TCP: usize>(&self, segment: &Segment<'_>) -> Place {
        let differ = |at: usize, mask: u32| (self.words[at] ^ segment.words[at]) & mask;
        let v4 = TCP == TCP_V4;
        // The ports, by which most streams are told apart; then addresses, and the Ethernet header.
        if differ(TCP, !0) | differ(TCP + 1, FIRST) != 0 {
            return Place::Elsewhere;
        }
        let mut other = differ(0, !0) | differ(1, !0) | differ(2, !0) | differ(3, FIRST);
        other |= differ(if v4 { 6 } else { 5 }, SECOND);
        for at in if v4 { 7..8 } else { 6..13 } {
            other |= differ(at, !0);
        }
        if other != 0 {
            return Place::Elsewhere;
        }
        // Class of service, flow label, hop limit.
        let mut changed = differ(3, SECOND);
        changed |= if v4 {
            differ(5, !0)
        } else {
            differ(4, FIRST) | differ(5, FIRST)
        };
        // Acknowledgement, length of the header, window, urgent pointer, options.
        changed |= differ(TCP + 2, SECOND) | differ(TCP + 3, !(PSH << 24)) | differ(TCP + 4, FIRST);
        let last = self.header_len / 4;
        let options = self.words[TCP + 5..last]
            .iter()
            .zip(&segment.words[TCP + 5..last]);
        changed |= options.fold(differ(last, FIRST), |changed, (mine, its)| changed | mine ^ its);
        let payload = segment.payload();
        let next = !self.closed
            && changed == 0
            && segment.sequence() == self.next
            && payload <= self.payload
            && self.len + payload - ETH_HLEN <= IP_MAX;
        if next { Place::Next } else { Place::After }
    }

    /// Adds the next segment.
    #[inline]
    pub fn add(&mut self, segment: &Segment<'_>) {
        let payload = segment.payload();
        self.next = self.next.wrapping_add(payload as u32);
        self.count += 1;
        self.len += payload;
        self.push = segment.tcp(3) & PSH << 24 != 0;
        self.closed = self.push || payload < self.payload;
    }

    /// Whether it is more than one segment.
    pub fn is_merged(&self) -> bool {
        self.count > 1
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// Its first segment, as far as its headers go.
    fn first(&self) -> Segment<'_> {
        Segment {
            words: &self.words,
            len: self.header_len + self.payload,
            v4: self.v4,
            header_len: self.header_len,
        }
    }

    /// What a card would say of it.
    pub fn offloads(&self) -> (Gso, BlankChecksum) {
        let gso = Gso {
            kind: if self.v4 { GsoKind::TcpV4 } else { GsoKind::TcpV6 },
            // Both within a frame of a wire.
            size: self.payload as u16,
            header_len: self.header_len as u16,
        };
        let blank = BlankChecksum {
            start: self.first().transport() as u16,
            offset: 16,
        };
        (gso, blank)
    }

    /// Its headers: the first one's, with the length of all, and a blank checksum. Which bytes of these are for the frame.
    pub fn headers(&mut self) -> ([u8; 4 * WORDS], usize) {
        let pseudo = u32::from(fold(self.first().pseudo_header(self.len)));
        let tcp = self.first().first_tcp();
        let len = self.len - ETH_HLEN;
        let put = |word: &mut u32, half: u32, value: u32| *word = *word & !half | value & half;
        if self.v4 {
            put(&mut self.words[4], FIRST, u32::from((len as u16).swap_bytes()));
            put(&mut self.words[6], FIRST, 0);
            let sum = !fold(self.first().sum(3, 8));
            put(&mut self.words[6], FIRST, u32::from(sum));
        } else {
            let len = u32::from(((len - 40) as u16).swap_bytes());
            put(&mut self.words[4], SECOND, len << 16);
        }
        if self.push {
            self.words[tcp + 3] |= PSH << 24;
        }
        put(&mut self.words[tcp + 4], SECOND, pseudo << 16);
        let mut bytes = [0; 4 * WORDS];
        for (to, from) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&self.words) {
            *to = from.to_le_bytes();
        }
        (bytes, self.header_len)
    }
}

/// The first half of a word, as a number in network order.
fn be16(word: u32) -> usize {
    (word as u16).swap_bytes().into()
}
