//! The DHCP server of a NAT segment (RFC 2131). Whose address is which is known before anybody asks (`leases`), so it keeps
//! no state: an answer follows from the question and the vif that it came from.

use core::net::Ipv4Addr;

use outrigger_segments::{DNS_MAX, Subnet};
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::leases::Lease;
use super::mailbox::Frames;
use crate::Mac;

/// The server's UDP port.
pub const SERVER_PORT: u16 = 67;
/// The client's.
pub const CLIENT_PORT: u16 = 68;

/// How long an address is a guest's, in seconds. It stays its own after that; this is how soon it hears of new name servers.
const LEASE: u32 = 3600;
/// The same while we know of no name server yet, because our own lease is to come.
const LEASE_UNTIL_READY: u32 = 120;

const OPTION_REQUESTED_IP: u8 = 50;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_SERVER: u8 = 54;
const OPTION_MTU: u8 = 26;

/// What guests of a segment are told.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Our MAC there.
    pub mac: Mac,
    /// Our address there, which is their router, and their subnet.
    pub subnet: Subnet,
    /// Name servers.
    pub dns: &'a [Ipv4Addr],
    /// Whether those are all there will be.
    pub ready: bool,
    /// Bytes of a packet that the way out takes.
    pub mtu: u16,
}

/// What a client asks.
struct Question {
    kind: DhcpMessageType,
    transaction: u32,
    /// The address that it has.
    client_ip: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    broadcast: bool,
}

impl Question {
    /// From a UDP payload that `mac` has sent. `None`: it makes no sense, or asks for somebody else.
    fn parse(payload: &[u8], mac: Mac) -> Option<Self> {
        let packet = DhcpPacket::new_checked(payload).ok()?;
        let own = packet.client_hardware_address() == mac
            && packet.hardware_len() == 6
            && packet.relay_agent_ip().is_unspecified()
            && packet.magic_number() == 0x6382_5363;
        if !own {
            return None;
        }
        let (mut kind, mut requested, mut server) = (None, None, None);
        for DhcpOption { kind: option, data } in packet.options() {
            let address = || data.try_into().ok().map(<Ipv4Addr as From<[u8; 4]>>::from);
            match (option, data) {
                (OPTION_MESSAGE_TYPE, [value]) => kind = Some(DhcpMessageType::from(*value)),
                (OPTION_REQUESTED_IP, _) => requested = address(),
                (OPTION_SERVER, _) => server = address(),
                _ => {}
            }
        }
        Some(Self {
            kind: kind?,
            transaction: packet.transaction_id(),
            client_ip: packet.client_ip(),
            requested,
            server,
            broadcast: packet.flags().bits() & 0x8000 != 0,
        })
    }
}

/// Answers a question, which is the UDP payload `payload`, of the guest with this MAC and this lease, if it needs an answer.
pub fn answer(payload: &[u8], mac: Mac, lease: Lease, offer: &Offer<'_>, out: &mut Frames) {
    let Lease { address, mtu, .. } = lease;
    let Some(question) = Question::parse(payload, mac) else {
        return;
    };
    let us = offer.subnet.address();
    let for_us = question.server.is_none_or(|server| server == us);
    let kind = match question.kind {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if for_us => {
            let wanted = question.requested.unwrap_or(question.client_ip);
            if wanted == address {
                DhcpMessageType::Ack
            } else {
                DhcpMessageType::Nak
            }
        }
        DhcpMessageType::Inform if question.client_ip == address => DhcpMessageType::Ack,
        // Declined and released addresses stay whose they are.
        _ => return,
    };
    let inform = question.kind == DhcpMessageType::Inform;
    let refused = kind == DhcpMessageType::Nak;
    let seconds = if offer.ready { LEASE } else { LEASE_UNTIL_READY };
    let mut dns = heapless::Vec::<Ipv4Addr, DNS_MAX>::new();
    // As many as fit, which is as many as there can be.
    dns.extend(offer.dns.iter().copied().take(DNS_MAX));
    let mtu = offer.mtu.min(mtu).to_be_bytes();
    let mtu = [DhcpOption {
        kind: OPTION_MTU,
        data: &mtu,
    }];
    let repr = DhcpRepr {
        message_type: kind,
        transaction_id: question.transaction,
        secs: 0,
        client_hardware_address: mac,
        client_ip: question.client_ip,
        your_ip: if refused || inform {
            Ipv4Addr::UNSPECIFIED
        } else {
            address
        },
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: (!refused).then_some(us),
        subnet_mask: (!refused).then(|| offer.subnet.mask()),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: question.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(us),
        parameter_request_list: None,
        dns_servers: (!refused && !dns.is_empty()).then_some(dns),
        max_size: None,
        lease_duration: (!refused && !inform).then_some(seconds),
        renew_duration: None,
        rebind_duration: None,
        additional_options: if refused { &[] } else { &mtu },
    };
    let to = if refused || question.broadcast {
        Ipv4Addr::BROADCAST
    } else if question.client_ip.is_unspecified() {
        address
    } else {
        question.client_ip
    };
    write(&repr, mac, to, offer, out);
}

/// Writes the frame. To a broadcast address, too, it goes to that guest alone: its MAC is known.
fn write(repr: &DhcpRepr<'_>, mac: Mac, to: Ipv4Addr, offer: &Offer<'_>, out: &mut Frames) {
    let (ports, from) = (
        UdpRepr {
            src_port: SERVER_PORT,
            dst_port: CLIENT_PORT,
        },
        offer.subnet.address(),
    );
    let ethernet = EthernetRepr {
        src_addr: offer.mac,
        dst_addr: mac,
        ethertype: EthernetProtocol::Ipv4,
    };
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: ports.header_len() + repr.buffer_len(),
        hop_limit: 64,
    };
    let sums = smoltcp::phy::ChecksumCapabilities::default();
    let len = ethernet.buffer_len() + ip.buffer_len() + ip.payload_len;
    out.push(len, 0, |frame| {
        let mut frame = EthernetFrame::new_unchecked(frame);
        ethernet.emit(&mut frame);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &sums);
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        ports.emit(
            &mut datagram,
            &IpAddress::Ipv4(from),
            &IpAddress::Ipv4(to),
            repr.buffer_len(),
            |payload| {
                let mut packet = DhcpPacket::new_unchecked(payload);
                // The buffer is as long as it says itself.
                let written = repr.emit(&mut packet);
                debug_assert!(written.is_ok(), "a DHCP answer fits its own length");
            },
            &sums,
        );
    });
}

#[cfg(test)]
mod tests;
