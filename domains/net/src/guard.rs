//! What only the network itself may say. A guest that says it is not heard, unless its segment trusts it.

use core::net::{IpAddr, Ipv4Addr};

use crate::counters::Drop;
use crate::packet::{Ip, Network, Packet};

/// UDP ports of DHCP, in network order.
const DHCP_SERVER: [u8; 2] = [0, 67];
const DHCP_CLIENT: [u8; 2] = [0, 68];

/// Addresses of a LAN that no guest may send from: our station's, its router's, its DHCP server's. Broadcast stands for none.
pub(crate) type Barred = [Ipv4Addr; 3];

/// There is no station of ours.
pub(crate) const NOBODY: Barred = [Ipv4Addr::BROADCAST; 3];

/// Whether a guest that is not trusted may send this frame, which its source filter has let pass.
///
/// # Errors
/// What it would be counted as.
#[inline]
pub(crate) fn check(packet: &Packet, head: &[u8], barred: &Barred) -> Result<(), Drop> {
    match packet.network {
        Network::Arp { sender_ip, .. } if barred.contains(&sender_ip) => Err(Drop::RouterAddress),
        Network::Ip(Ip {
            source: IpAddr::V4(source),
            ..
        }) if barred.contains(&source) => Err(Drop::RouterAddress),
        // A server may answer from any port, and a client hears at this one only.
        Network::Ip(_) => match packet.datagram_ports(head) {
            Some([a, b, c, d]) if [a, b] == DHCP_SERVER || [c, d] == DHCP_CLIENT => Err(Drop::DhcpServer),
            _ => Ok(()),
        },
        // ARP that we do not understand and a guest might.
        Network::Other if packet.is_arp() || packet.is_snap(head) => Err(Drop::Malformed),
        _ => Ok(()),
    }
}
