//! An IPv4 address with its subnet.

use core::fmt;
use core::net::Ipv4Addr;

/// Prefix lengths that leave room for somebody else.
const PREFIX: core::ops::RangeInclusive<u8> = 8..=30;

/// A station's address and the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// `None` if the address is no station's: the subnet's first or last, multicast, loopback; or if the prefix is not
    /// 8 to 30.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        let subnet = PREFIX.contains(&prefix).then_some(Self { address, prefix })?;
        let first = address.octets()[0];
        let station = !matches!(first, 0 | 127 | 224..);
        (station && address != subnet.network() && address != subnet.broadcast()).then_some(subnet)
    }

    /// From `192.0.2.5/24`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        Self::new(address.parse().ok()?, prefix.parse().ok()?)
    }

    /// The station's address.
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// Bits of the prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The subnet mask.
    pub fn mask(self) -> Ipv4Addr {
        // The prefix is 8 to 30.
        Ipv4Addr::from_bits(u32::MAX << (32 - self.prefix))
    }

    /// The subnet's first address, which is nobody's.
    pub fn network(self) -> Ipv4Addr {
        self.address & self.mask()
    }

    /// The subnet's last address, which is everybody's.
    pub fn broadcast(self) -> Ipv4Addr {
        self.address | !self.mask()
    }

    /// Whether an address is in the subnet.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address & self.mask() == self.network()
    }

    /// Whether an address can be another station's of the subnet.
    pub fn has_station(self, address: Ipv4Addr) -> bool {
        self.contains(address) && ![self.address, self.network(), self.broadcast()].contains(&address)
    }

    /// Addresses between the first and the last.
    pub fn stations(self) -> u32 {
        (1 << (32 - u32::from(self.prefix))) - 2
    }

    /// Whether two subnets have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
