//! What `segments=` says: the network domain's bridges, its own addresses on them, and which of them it translates.
//!
//! ```text
//! segments = SEGMENT{,SEGMENT}
//! SEGMENT  = NAME[:CARD]{:KEY=VALUE}
//! ```
//!
//! | Key | Means |
//! |---|---|
//! | `address` | our own address there: `dhcp`, or `192.0.2.5/24`; with `mode=nat` the gateway's, and so the guests' subnet |
//! | `router` | the way out of a fixed address's subnet |
//! | `dns` | a name server: for the guests of a NAT segment; may stand three times |
//! | `vlan` | the VLAN that our own address is in |
//! | `mode` | `bridge`, or `nat`: guests are behind our address on another segment |
//! | `uplink` | which one, with `mode=nat`; the only one that has an address need not be named |
//! | `trusted` | a guest's MAC, `00-16-3e-00-00-01`: it may be the segment's DHCP server and router; may stand four times |
//!
//! The image reads it from its command line, the image builder from the machine file: both by [`parse`], so that what is
//! refused is refused where it is written. **Distrusts** whoever writes it only as far as typing errors go. **Owes** one
//! line for each fault: what, where, how to mend it.
//!
//! Key types: [`Segment`], [`Own`], [`Subnet`], [`Parsed`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod mac;
mod parse;
mod subnet;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

pub use mac::parse_mac;
pub use parse::parse;
pub use subnet::Subnet;

/// Most name servers of a segment: what a DHCP answer holds.
pub const DNS_MAX: usize = 3;
/// Most trusted guests of a segment.
pub const TRUSTED_MAX: usize = 4;
/// Most addresses of our own, on all segments together.
pub const OWN_MAX: usize = 8;

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What `bridge=` calls it.
    pub name: String,
    /// The card that is its way out.
    pub card: Option<String>,
    /// Our own address there.
    pub own: Option<Own>,
    /// With `mode=nat`: the segment behind whose address its guests are.
    pub uplink: Option<String>,
    /// MACs of the guests that may speak for the network, as its DHCP server or its router; at most [`TRUSTED_MAX`].
    pub trusted: Vec<[u8; 6]>,
}

/// An address of the domain's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The address; `None`: DHCP gives one.
    pub address: Option<Subnet>,
    /// The way out of a fixed address's subnet.
    pub router: Option<Ipv4Addr>,
    /// Name servers, at most [`DNS_MAX`].
    pub dns: Vec<Ipv4Addr>,
    /// The VLAN it is in; 0: untagged.
    pub vlan: u16,
}

/// What [`parse`] made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The segments that make sense, in the order in which they stand.
    pub segments: Vec<Segment>,
    /// What is wrong with the others, a line each.
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests;
