//! `netif_extra_info`.

use outrigger_devices::GsoKind;
use xen_unikernel_abi::io::netif::{
    XEN_NETIF_EXTRA_FLAG_MORE, XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_TYPE_MAX,
    XEN_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, XEN_NETIF_EXTRA_TYPE_NONE,
    XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6,
};

/// The eight bytes of an extra, as words.
pub type ExtraWords = [u32; 2];

/// The packet stands for several segments (`u.gso`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Its protocol.
    pub kind: GsoKind,
    /// Payload of a segment in bytes, never 0.
    pub size: u16,
}

/// A packet's hash (`u.hash`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashValue {
    /// Bit number of `XEN_NETIF_CTRL_HASH_TYPE_*`.
    pub kind: u8,
    /// `XEN_NETIF_CTRL_HASH_ALGORITHM_*`.
    pub algorithm: u8,
    /// The hash.
    pub value: u32,
}

/// One extra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Segmentation; `Err` if the kind is unknown or the size 0.
    Gso(Result<Gso, ()>),
    /// Listen to this address.
    MulticastAdd([u8; 6]),
    /// Stop listening to this address.
    MulticastDel([u8; 6]),
    /// The packet's hash.
    Hash(HashValue),
}

impl Extra {
    /// Decodes an extra, and tells whether another one follows. `None`: a type that does not exist.
    pub fn decode(words: ExtraWords) -> (Option<Self>, bool) {
        let [kind, flags, a, b] = words[0].to_le_bytes();
        let [c, d, e, f] = words[1].to_le_bytes();
        let extra = match kind {
            XEN_NETIF_EXTRA_TYPE_GSO => {
                let size = u16::from_le_bytes([a, b]);
                let kind = match c {
                    XEN_NETIF_GSO_TYPE_TCPV4 => Some(GsoKind::TcpV4),
                    XEN_NETIF_GSO_TYPE_TCPV6 => Some(GsoKind::TcpV6),
                    _ => None,
                };
                Some(Self::Gso(
                    kind.filter(|_| size != 0)
                        .map(|kind| Gso { kind, size })
                        .ok_or(()),
                ))
            }
            XEN_NETIF_EXTRA_TYPE_MCAST_ADD => Some(Self::MulticastAdd([a, b, c, d, e, f])),
            XEN_NETIF_EXTRA_TYPE_MCAST_DEL => Some(Self::MulticastDel([a, b, c, d, e, f])),
            XEN_NETIF_EXTRA_TYPE_HASH => Some(Self::Hash(HashValue {
                kind: a,
                algorithm: b,
                value: words[1],
            })),
            XEN_NETIF_EXTRA_TYPE_NONE | XEN_NETIF_EXTRA_TYPE_MAX.. => None,
        };
        (extra, flags & XEN_NETIF_EXTRA_FLAG_MORE != 0)
    }

    /// Encodes it; `more`: another one follows. An invalid GSO becomes one of kind 0.
    pub fn encode(self, more: bool) -> ExtraWords {
        let (kind, [a, b, c, d, e, f]) = match self {
            Self::Gso(gso) => {
                let (kind, size) = match gso {
                    Ok(gso) => (
                        match gso.kind {
                            GsoKind::TcpV4 => XEN_NETIF_GSO_TYPE_TCPV4,
                            GsoKind::TcpV6 => XEN_NETIF_GSO_TYPE_TCPV6,
                        },
                        gso.size,
                    ),
                    Err(()) => (0, 0),
                };
                let [low, high] = size.to_le_bytes();
                (XEN_NETIF_EXTRA_TYPE_GSO, [low, high, kind, 0, 0, 0])
            }
            Self::MulticastAdd(address) => (XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address),
            Self::MulticastDel(address) => (XEN_NETIF_EXTRA_TYPE_MCAST_DEL, address),
            Self::Hash(hash) => {
                let [c, d, e, f] = hash.value.to_le_bytes();
                (XEN_NETIF_EXTRA_TYPE_HASH, [hash.kind, hash.algorithm, c, d, e, f])
            }
        };
        let flags = if more { XEN_NETIF_EXTRA_FLAG_MORE } else { 0 };
        [
            u32::from_le_bytes([kind, flags, a, b]),
            u32::from_le_bytes([c, d, e, f]),
        ]
    }
}
