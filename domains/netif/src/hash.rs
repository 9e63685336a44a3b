//! The hash by which packets are spread over queues (`netif.h`, "Hash types" and "Toeplitz hash").

use xen_unikernel_abi::io::netif::{
    XEN_NETIF_CTRL_HASH_TYPE_IPV4, XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP, XEN_NETIF_CTRL_HASH_TYPE_IPV6,
    XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
};

/// Bytes of the longest key: enough for IPv6 addresses and ports.
pub const KEY_BYTES: usize = 40;
/// Most entries of the mapping from hash to queue.
pub const MAPPING_SIZE: usize = 128;

/// Which fields are hashed: `XEN_NETIF_CTRL_HASH_TYPE_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashTypes(u32);

impl HashTypes {
    /// All that there are, and all are served.
    pub const ALL: Self = Self(
        XEN_NETIF_CTRL_HASH_TYPE_IPV4
            | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP
            | XEN_NETIF_CTRL_HASH_TYPE_IPV6
            | XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
    );

    /// From a request; `None` if it asks for a type that does not exist.
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// As `XEN_NETIF_CTRL_HASH_TYPE_*`.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The bit number of the type to use for a packet of IPv4 (or else IPv6), with TCP ports or not; `None` if that is not
    /// to be hashed.
    pub fn choose(self, v4: bool, tcp: bool) -> Option<(u8, bool)> {
        let (addresses, ports) = if v4 { (0, 1) } else { (2, 3) };
        if tcp && self.0 & 1 << ports != 0 {
            Some((ports, true))
        } else if self.0 & 1 << addresses != 0 {
            Some((addresses, false))
        } else {
            None
        }
    }
}

/// Toeplitz's hash of `data` under `key`. A key too short for the data goes on with zeros.
pub fn toeplitz(key: &[u8; KEY_BYTES], data: &[u8]) -> u32 {
    let [a, b, c, d, ..] = *key;
    let mut window = u32::from_be_bytes([a, b, c, d]);
    let mut hash = 0;
    for (at, byte) in data.iter().enumerate() {
        let mut next = key.get(at + 4).copied().unwrap_or(0);
        for bit in (0..8).rev() {
            if byte >> bit & 1 != 0 {
                hash ^= window;
            }
            window = window << 1 | u32::from(next >> 7);
            next <<= 1;
        }
    }
    hash
}
