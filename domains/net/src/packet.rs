//! A look at the headers of a frame: Ethernet, VLAN, ARP, IPv4, IPv6 with its extension headers, TCP, UDP.
//!
//! It looks at a private copy of the frame's first bytes, and every field is an allegation: what lies outside the copy, or
//! outside the frame, is not there.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_devices::{BlankChecksum, Gso, GsoKind};

/// Bytes of a frame that are looked at: Ethernet with a tag, IPv4 and TCP with all their options, or IPv6 with some
/// extension headers.
pub const HEAD_BYTES: usize = 192;

/// Bytes of an Ethernet header.
pub const ETH_HLEN: usize = 14;
/// Bytes that a VLAN tag adds.
pub const VLAN_HLEN: usize = 4;

/// Most extension headers that are followed.
const EXTENSIONS_MAX: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// IP protocol numbers.
pub const TCP: u8 = 6;
/// See [`TCP`].
pub const UDP: u8 = 17;

const UDP_HLEN: usize = 8;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// A group of stations, everybody among them.
    #[inline]
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// From `00:16:3e:…`.
    pub fn parse(text: &str) -> Option<Self> {
        outrigger_segments::parse_mac(text, ':').map(Self)
    }
}

impl core::fmt::Display for Mac {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What is above Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Something else, or headers that make no sense.
    Other,
    /// ARP over Ethernet for IPv4: who says it is who.
    Arp {
        /// Sender's hardware address.
        sender_mac: Mac,
        /// Sender's protocol address.
        sender_ip: Ipv4Addr,
    },
    /// IPv4 or IPv6.
    Ip(Ip),
}

/// The IP header, and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Protocol of the transport.
    pub protocol: u8,
    /// Where the IP header begins in the frame.
    pub offset: usize,
    /// Where the transport header begins in the frame. Of a fragment, or behind too many extension headers, there is none.
    pub transport: Option<usize>,
}

/// What the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Destination.
    pub destination: Mac,
    /// Source.
    pub source: Mac,
    /// The VLAN tag's control information, if it has one.
    pub vlan: Option<u16>,
    /// What follows the Ethernet header and the tag.
    pub ethertype: u16,
    /// Where that begins.
    pub payload: usize,
    /// The same, looked at.
    pub network: Network,
}

fn array<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn be16(head: &[u8], at: usize) -> Option<u16> {
    array(head, at).map(u16::from_be_bytes)
}

impl Packet {
    /// Whether its sender has been told how much its receiver has room for, as TCP's has.
    pub fn is_windowed(&self) -> bool {
        matches!(self.network, Network::Ip(ip) if ip.protocol == TCP)
    }

    /// Looks at `head`, the frame's first bytes: all of it, or [`HEAD_BYTES`], or so many that it [is complete][Self::is_complete].
    /// `None` if not even an Ethernet header is
    /// there.
    #[inline]
    pub fn peek(head: &[u8]) -> Option<Self> {
        let destination = Mac(array(head, 0)?);
        let source = Mac(array(head, 6)?);
        let mut ethertype = be16(head, 12)?;
        let (mut vlan, mut payload) = (None, ETH_HLEN);
        if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ {
            // A tag that is cut off is a tag still: such a frame is not taken for an untagged one.
            vlan = Some(be16(head, ETH_HLEN).unwrap_or(u16::MAX));
            ethertype = be16(head, ETH_HLEN + 2).unwrap_or(0);
            payload += VLAN_HLEN;
        }
        let network = match ethertype {
            ETHERTYPE_IPV4 => ipv4(head, payload),
            ETHERTYPE_IPV6 => ipv6(head, payload),
            ETHERTYPE_ARP => arp(head, payload),
            _ => None,
        };
        Some(Self {
            destination,
            source,
            vlan,
            ethertype,
            payload,
            network: network.unwrap_or(Network::Other),
        })
    }

    /// Whether `head`, which this was read from, surely has all headers that are looked at.
    #[inline]
    pub fn is_complete(&self, head: &[u8]) -> bool {
        match self.network {
            Network::Arp { .. } => true,
            Network::Other => !self.is_internet(),
            Network::Ip(ip) => match (ip.protocol, ip.transport) {
                (UDP, Some(at)) => at + UDP_HLEN <= head.len(),
                (TCP, Some(at)) => head
                    .get(at + 12)
                    .is_some_and(|words| at + 4 * usize::from(words >> 4) <= head.len()),
                _ => false,
            },
        }
    }

    /// Whether the ethertype is IPv4, IPv6 or ARP.
    pub fn is_internet(&self) -> bool {
        matches!(self.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | ETHERTYPE_ARP)
    }

    /// Whether the ethertype is ARP.
    pub fn is_arp(&self) -> bool {
        self.ethertype == ETHERTYPE_ARP
    }

    /// Whether the ethertype is IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.ethertype == ETHERTYPE_IPV4
    }

    /// Where the transport checksum of this frame is; `None` if it has none that anybody could fill in. `len` is the
    /// frame's.
    pub fn blank_checksum(&self, len: usize) -> Option<BlankChecksum> {
        let Network::Ip(ip) = self.network else {
            return None;
        };
        let start = ip.transport?;
        let offset: u16 = match ip.protocol {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
        (start + usize::from(offset) + 2 <= len).then_some(BlankChecksum {
            start: u16::try_from(start).ok()?,
            offset,
        })
    }

    /// The GSO of this frame, if it can be what it alleges to be: TCP over that IP, all headers within `head`.
    pub fn gso(&self, head: &[u8], kind: GsoKind, size: u16) -> Option<Gso> {
        let Network::Ip(ip) = self.network else {
            return None;
        };
        let v4 = kind == GsoKind::TcpV4;
        let transport = ip
            .transport
            .filter(|_| ip.protocol == TCP && ip.source.is_ipv4() == v4)?;
        // Extension headers would have to be understood by whoever cuts it.
        if !v4 && transport != ip.offset + 40 {
            return None;
        }
        let words = usize::from(head.get(transport + 12)? >> 4);
        let header_len = transport + 4 * words;
        (words >= 5 && header_len <= head.len() && size > 0).then_some(Gso {
            kind,
            size,
            header_len: u16::try_from(header_len).ok()?,
        })
    }

    /// The same of a UDP datagram over IPv4 that may be the first fragment of one. The others have no ports.
    pub fn datagram_ports(&self, head: &[u8]) -> Option<[u8; 4]> {
        let Network::Ip(Ip {
            source: IpAddr::V4(_),
            protocol: UDP,
            offset,
            ..
        }) = self.network
        else {
            return None;
        };
        let first = be16(head, offset + 6)? & 0x1fff == 0;
        let header = 4 * usize::from(head.get(offset)? & 0xf);
        array(head, offset + header).filter(|_| first)
    }

    /// Whether it is an 802.3 frame whose SNAP header names an Ethernet protocol (RFC 1042). Some systems take what is behind it
    /// for what it would be without.
    pub fn is_snap(&self, head: &[u8]) -> bool {
        const LONGEST: u16 = 1500;
        self.ethertype <= LONGEST && array(head, self.payload) == Some([0xaa, 0xaa, 3])
    }

    /// Source and destination port, in network order.
    pub fn ports(&self, head: &[u8]) -> Option<[u8; 4]> {
        match self.network {
            Network::Ip(ip) if ip.protocol == TCP || ip.protocol == UDP => array(head, ip.transport?),
            _ => None,
        }
    }
}

fn arp(head: &[u8], at: usize) -> Option<Network> {
    // Ethernet, or any IEEE 802 network (RFC 5342), for stations believe both; IPv4; their lengths.
    let [0, 1 | 6, 8, 0, 6, 4] = array(head, at)? else {
        return None;
    };
    Some(Network::Arp {
        sender_mac: Mac(array(head, at + 8)?),
        sender_ip: Ipv4Addr::from(array::<4>(head, at + 14)?),
    })
}

fn ipv4(head: &[u8], at: usize) -> Option<Network> {
    let [version_ihl, ..]: [u8; 20] = array(head, at)?;
    let header = 4 * usize::from(version_ihl & 0xf);
    if version_ihl >> 4 != 4 || header < 20 {
        return None;
    }
    // More fragments, or an offset: the transport header is elsewhere, or incomplete.
    let fragment = be16(head, at + 6)? & 0x3fff != 0;
    Some(Network::Ip(Ip {
        source: Ipv4Addr::from(array::<4>(head, at + 12)?).into(),
        destination: Ipv4Addr::from(array::<4>(head, at + 16)?).into(),
        protocol: *head.get(at + 9)?,
        offset: at,
        transport: (!fragment).then_some(at + header),
    }))
}

fn ipv6(head: &[u8], at: usize) -> Option<Network> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    if head.get(at)? >> 4 != 6 {
        return None;
    }
    let mut protocol = *head.get(at + 6)?;
    let source = Ipv6Addr::from(array::<16>(head, at + 8)?);
    let destination = Ipv6Addr::from(array::<16>(head, at + 24)?);
    let mut transport = Some(at + 40);
    for _ in 0..EXTENSIONS_MAX {
        let Some(here) = transport else { break };
        match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                transport = array::<2>(head, here).map(|[next, units]| {
                    protocol = next;
                    here + 8 * (usize::from(units) + 1)
                });
            }
            FRAGMENT => transport = None,
            _ => break,
        }
    }
    if matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
        transport = None;
    }
    Some(Network::Ip(Ip {
        source: source.into(),
        destination: destination.into(),
        protocol,
        offset: at,
        transport,
    }))
}
