//! The IPv4 headers of a frame, as far as a translator needs them, and changing them with their checksums.
//!
//! It works on a private copy of the frame's first bytes. Every offset that is handed out was looked at: what it names is
//! within the copy, and within the packet.

use core::net::Ipv4Addr;

use crate::checksum;

/// The protocol number of TCP.
pub const TCP: u8 = 6;
/// The protocol number of UDP.
pub const UDP: u8 = 17;
/// The protocol number of ICMP.
pub const ICMP: u8 = 1;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// What part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its first fragment, with the transport's header.
    First,
    /// A later fragment; `last`: the last one.
    Rest {
        /// No more follow.
        last: bool,
    },
}

/// An IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where it begins.
    pub ip: usize,
    /// Where what it carries begins.
    pub transport: usize,
    /// Where what was looked at ends: the packet's end, or the copy's.
    pub end: usize,
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub protocol: u8,
    /// How many more routers it may pass.
    pub ttl: u8,
    /// Which datagram the fragment is of.
    pub id: u16,
    /// Must not be cut.
    pub dont_fragment: bool,
    /// Which part it is.
    pub part: Part,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// TCP: ports, flags.
    Tcp {
        /// Source and destination.
        ports: [u16; 2],
        /// The header's flags.
        flags: u8,
    },
    /// UDP: ports.
    Udp {
        /// Source and destination.
        ports: [u16; 2],
    },
    /// An ICMP echo, and its identifier.
    Echo {
        /// Of whoever asked.
        ident: u16,
        /// A reply.
        reply: bool,
    },
    /// An ICMP error, and the packet that it quotes.
    Error(Headers),
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(octets.into())
}

impl Headers {
    /// Looks at the header at `ip` of a frame of `len` bytes, of which `head` are the first. `None` if it makes no sense.
    pub fn look(head: &[u8], ip: usize, len: usize) -> Option<Self> {
        let headers = Self::quoted(head, ip)?;
        let total = usize::from(be16(head, ip + 2)?);
        let end = ip + total;
        (headers.transport <= end && end <= len).then_some(Self {
            end: end.min(head.len()),
            ..headers
        })
    }

    /// The same of a packet that is quoted: not all of it is there.
    fn quoted(head: &[u8], ip: usize) -> Option<Self> {
        let version_ihl = *head.get(ip)?;
        let header = 4 * usize::from(version_ihl & 0xf);
        let transport = ip + header;
        if version_ihl >> 4 != 4 || header < 20 || transport > head.len() {
            return None;
        }
        let fragment = be16(head, ip + 6)?;
        let (more, offset) = (fragment & 0x2000 != 0, fragment & 0x1fff);
        Some(Self {
            ip,
            transport,
            end: head.len(),
            source: address(head, ip + 12)?,
            destination: address(head, ip + 16)?,
            protocol: *head.get(ip + 9)?,
            ttl: *head.get(ip + 8)?,
            id: be16(head, ip + 4)?,
            dont_fragment: fragment & 0x4000 != 0,
            part: match (offset, more) {
                (0, false) => Part::Whole,
                (0, true) => Part::First,
                (_, more) => Part::Rest { last: !more },
            },
        })
    }

    /// What it carries; `None` of a later fragment, or if it is nothing that can be translated.
    pub fn carried(&self, head: &[u8]) -> Option<Carried> {
        let at = self.transport;
        let least = match self.protocol {
            TCP => 20,
            UDP | ICMP => 8,
            _ => return None,
        };
        if matches!(self.part, Part::Rest { .. }) || at + least > self.end {
            return None;
        }
        if self.protocol != ICMP {
            return self.ports(head);
        }
        match *head.get(at)? {
            kind @ (ECHO | ECHO_REPLY) => Some(Carried::Echo {
                ident: be16(head, at + 4)?,
                reply: kind == ECHO_REPLY,
            }),
            UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM if self.part == Part::Whole => {
                let mut quoted = Self::quoted(head.get(..self.end)?, at + 8)?;
                quoted.end = self.end;
                Some(Carried::Error(quoted))
            }
            _ => None,
        }
    }

    fn ports(&self, head: &[u8]) -> Option<Carried> {
        let at = self.transport;
        let ports = [be16(head, at)?, be16(head, at + 2)?];
        if self.protocol == UDP {
            return Some(Carried::Udp { ports });
        }
        // A quoted header may end behind the sequence number.
        let flags = head.get(at + 13).copied().unwrap_or(0);
        Some(Carried::Tcp { ports, flags })
    }

    /// What a quoted packet carried: ports, or the identifier of an echo. An error about an error is none.
    pub fn quoted_ports(&self, head: &[u8]) -> Option<Carried> {
        if matches!(self.part, Part::Rest { .. }) || self.transport + 8 > self.end {
            return None;
        }
        match self.protocol {
            TCP | UDP => self.ports(head),
            ICMP => match *head.get(self.transport)? {
                kind @ (ECHO | ECHO_REPLY) => Some(Carried::Echo {
                    ident: be16(head, self.transport + 4)?,
                    reply: kind == ECHO_REPLY,
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Where the transport's checksum is, if it is there.
    fn checksum_at(&self) -> Option<usize> {
        let at = self.transport
            + match self.protocol {
                TCP => 16,
                UDP => 6,
                ICMP => 2,
                _ => return None,
            };
        (at + 2 <= self.end && !matches!(self.part, Part::Rest { .. })).then_some(at)
    }
}

/// Which of a packet's two ends is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whence it comes.
    Source,
    /// Where it goes.
    Destination,
}

/// A packet's headers, to be changed. All checksums stay as right, or as wrong, as they are.
pub struct Edit<'a> {
    /// The frame's first bytes.
    pub head: &'a mut [u8],
    /// The headers.
    pub headers: Headers,
    /// The transport's checksum is blank: it holds the sum of the pseudo header alone.
    pub blank: bool,
}

impl Edit<'_> {
    /// Writes 16 bits; the checksums at these places cover them.
    fn put(&mut self, at: usize, new: [u8; 2], covered_by: [Option<usize>; 2]) {
        let old = [self.head[at], self.head[at + 1]];
        self.head[at..at + 2].copy_from_slice(&new);
        for field in covered_by.into_iter().flatten() {
            let sum = [self.head[field], self.head[field + 1]];
            self.head[field..field + 2].copy_from_slice(&checksum::update(sum, old, new));
        }
    }

    /// Another address on one side.
    pub fn set_address(&mut self, side: Side, address: Ipv4Addr) {
        let Headers { ip, protocol, .. } = self.headers;
        let at = ip + if side == Side::Source { 12 } else { 16 };
        // ICMP's checksum does not cover addresses.
        let transport = self.headers.checksum_at().filter(|_| protocol != ICMP);
        let octets = address.octets();
        for (half, new) in [(0, [octets[0], octets[1]]), (2, [octets[2], octets[3]])] {
            let old = [self.head[at + half], self.head[at + half + 1]];
            self.put(at + half, new, [Some(ip + 10), None]);
            let Some(field) = transport else { continue };
            let sum = [self.head[field], self.head[field + 1]];
            let sum = if self.blank {
                checksum::update_partial(sum, old, new)
            } else {
                self.transport_sum(sum, old, new)
            };
            self.head[field..field + 2].copy_from_slice(&sum);
        }
    }

    /// A transport's checksum after a change. In UDP's 0 means that there is none.
    fn transport_sum(&self, sum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
        if self.headers.protocol != UDP {
            return checksum::update(sum, old, new);
        }
        match (sum, checksum::update(sum, old, new)) {
            ([0, 0], _) => [0, 0],
            (_, [0, 0]) => [0xff, 0xff],
            (_, sum) => sum,
        }
    }

    /// Another port on one side; of an echo, another identifier.
    pub fn set_port(&mut self, side: Side, port: u16) {
        let transport = self.headers.transport;
        let at = match (self.headers.protocol, side) {
            (ICMP, _) => transport + 4,
            (_, Side::Source) => transport,
            (_, Side::Destination) => transport + 2,
        };
        let (old, new) = ([self.head[at], self.head[at + 1]], port.to_be_bytes());
        self.head[at..at + 2].copy_from_slice(&new);
        // A blank checksum will be filled in from the new port.
        if let Some(field) = self.headers.checksum_at()
            && !self.blank
        {
            let sum = self.transport_sum([self.head[field], self.head[field + 1]], old, new);
            self.head[field..field + 2].copy_from_slice(&sum);
        }
    }

    /// One more router passed.
    pub fn decrement_ttl(&mut self) {
        let at = self.headers.ip + 8;
        let new = [self.head[at].saturating_sub(1), self.head[at + 1]];
        self.put(at, new, [Some(self.headers.ip + 10), None]);
    }

    /// Changes a packet that this one, an ICMP error, quotes.
    pub fn quoted(&mut self, quoted: Headers, change: impl FnOnce(&mut Edit<'_>)) {
        let sum = |head: &[u8]| checksum::sum(&head[quoted.ip..quoted.end]);
        let before = sum(self.head);
        change(&mut Edit {
            head: self.head,
            headers: quoted,
            blank: false,
        });
        let after = sum(self.head);
        let field = self.headers.transport + 2;
        let checksum = checksum::update([self.head[field], self.head[field + 1]], before, after);
        self.head[field..field + 2].copy_from_slice(&checksum);
    }
}
