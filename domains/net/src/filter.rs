//! What a guest may send: only as itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::counters::Drop;
use crate::packet::{Mac, Network, Packet, UDP};

/// Most addresses in an `ip=`.
const ADDRESSES_MAX: usize = 16;

/// The addresses that a guest may send from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFilter {
    /// Its own; `None`: any.
    pub mac: Option<Mac>,
    /// Its own; empty: any.
    pub addresses: Vec<IpAddr>,
}

impl SourceFilter {
    /// The addresses of an `ip=`, separated by blanks or commas; a prefix length is ignored, as it names a network and not
    /// another address.
    ///
    /// # Errors
    /// What is no address, or that there are too many.
    pub fn parse_addresses(text: &str) -> Result<Vec<IpAddr>, String> {
        let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
        let mut addresses = Vec::new();
        for part in parts {
            let address = part.split_once('/').map_or(part, |(address, _)| address);
            let parsed = address.parse().map_err(|_| {
                let shown: String = part.chars().take(64).flat_map(char::escape_default).collect();
                alloc::format!("\"{shown}\" is no IP address")
            })?;
            if addresses.len() >= ADDRESSES_MAX {
                return Err(alloc::format!("more than {ADDRESSES_MAX} addresses"));
            }
            addresses.push(parsed);
        }
        Ok(addresses)
    }

    /// Whether the guest may send this frame.
    ///
    /// # Errors
    /// What it would be counted as.
    pub fn check(&self, packet: &Packet, head: &[u8]) -> Result<(), Drop> {
        if let Some(mac) = self.mac {
            let claimed = match packet.network {
                Network::Arp { sender_mac, .. } => sender_mac,
                _ => packet.source,
            };
            if packet.source != mac || claimed != mac {
                return Err(Drop::SourceMac);
            }
        } else if packet.source.is_multicast() {
            return Err(Drop::SourceMac);
        }
        if self.addresses.is_empty() {
            return Ok(());
        }
        let own = match packet.network {
            Network::Arp { sender_ip, .. } => sender_ip.is_unspecified() || self.has(sender_ip.into()),
            Network::Ip(ip) => match ip.source {
                // Somebody who asks for an address has none yet.
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
                    ip.protocol == UDP && packet.ports(head) == Some([0, 68, 0, 67])
                }
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
                IpAddr::V6(address) if address.is_unicast_link_local() => true,
                address => self.has(address),
            },
            Network::Other => false,
        };
        own.then_some(()).ok_or(Drop::SourceIp)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}
