//! The network domain as a station: its own addresses (smoltcp), and what makes one of them the router of guests: DHCP, source
//! NAT, next hops, ICMP errors.
//!
//! It stands beside the forwarding path, and knows neither rings nor cards nor the switch. What is for us comes as a copy,
//! into a bounded [`Mailbox`], and is looked at when [`Station::poll`] is called; what is to be translated has a private copy
//! of its headers changed ([`Nat`]), and stays where it is.
//!
//! **Distrusts** every frame, guests' and the wire's: what is not there is not read, what was not asked for is not learned,
//! and every table is bounded, for each guest too. **Owes** whoever asks with right an answer, and guests their conversations.
//! Nothing allocates after the start but a change of our own address.
//!
//! Key types: [`Station`], [`Role`], [`Nat`], [`Leases`], [`Neighbours`]. Follows RFC 2131 (DHCP), 826 (ARP), 3022, 4787,
//! 5382, 5508 (NAT), 1812 (routers) and 1624 (checksums).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod checksum;
pub mod dhcp;
pub mod errors;
pub mod leases;
pub mod mailbox;
pub mod nat;
pub mod neighbours;
mod pace;
mod station;

pub use leases::Leases;
pub use mailbox::Mailbox;
pub use nat::Nat;
pub use neighbours::Neighbours;
pub use pace::Paces;
pub use smoltcp::wire::EthernetAddress as Mac;
pub use station::{Gateway, Outside, Role, Station};

/// Bytes of an Ethernet header.
pub const ETH_HLEN: usize = 14;
