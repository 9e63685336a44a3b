//! What a card offers and says of itself (VIRTIO 1.2 §5.1.3, §5.1.4).

use outrigger_devices::RegisterIo;
use outrigger_virtio::{Transport, feature as ring_feature};

use crate::ProbeError;

/// Feature bits of network cards.
pub(crate) mod feature {
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const MTU: u64 = 1 << 3;
    pub const MAC: u64 = 1 << 5;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const GUEST_TSO6: u64 = 1 << 8;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const HOST_TSO6: u64 = 1 << 12;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const STATUS: u64 = 1 << 16;
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const CTRL_RX: u64 = 1 << 18;
    pub const MQ: u64 = 1 << 22;
}

/// Offsets in `struct virtio_net_config`.
mod field {
    pub const MAC: usize = 0;
    pub const STATUS: usize = 6;
    pub const MAX_VIRTQUEUE_PAIRS: usize = 8;
    pub const MTU: usize = 10;
}

/// `VIRTIO_NET_S_LINK_UP`.
const LINK_UP: u16 = 1;

/// The MTU without `VIRTIO_NET_F_MTU`.
const MTU: u16 = 1500;
/// The least that a card may say (§5.1.4.1).
const MTU_MIN: u16 = 68;
/// The most pairs of queues that there can be (§5.1.4.1).
const PAIRS_MAX: u16 = 0x8000;

/// What to take of what is offered: a feature only together with those it needs (§5.1.3.1).
///
/// The ECN features are left alone: netif has no way to say that a frame of several segments carries a CWR flag, so its
/// frontends cut those frames themselves, and without `GUEST_ECN` the card does too.
pub(crate) fn wanted(offered: u64) -> u64 {
    use feature::*;
    let with = |needed: u64, bits: u64| if offered & needed == needed { bits } else { 0 };
    let always = ring_feature::INDIRECT_DESC | ring_feature::EVENT_IDX;
    always
        | MAC
        | STATUS
        | CSUM
        | GUEST_CSUM
        | MRG_RXBUF
        | CTRL_VQ
        | with(CTRL_VQ, CTRL_RX | MQ)
        | with(CSUM, HOST_TSO4 | HOST_TSO6)
        // Without mergeable buffers each one would have to take 64 KiB.
        | with(GUEST_CSUM | MRG_RXBUF, GUEST_TSO4 | GUEST_TSO6)
        // Likewise: a longer frame than usual may not fit in a page.
        | with(MRG_RXBUF, MTU)
}

/// The configuration as far as the features in force make it valid; where they do not, the default that means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `None` if the card has no address of its own.
    pub mac: Option<[u8; 6]>,
    /// Bytes of a frame after the Ethernet header.
    pub mtu: u16,
    /// Pairs of queues.
    pub pairs: u16,
    pub link: bool,
}

impl Config {
    /// Reads and checks it.
    pub fn read<R: RegisterIo>(transport: &Transport<R>, features: u64) -> Result<Self, ProbeError> {
        let config = transport.config(|t| Self::fields(t, features))?;
        if let Some(mac) = config.mac
            && (mac[0] & 1 != 0 || mac == [0; 6])
        {
            return Err(ProbeError::Mac(mac));
        }
        if config.mtu < MTU_MIN {
            return Err(ProbeError::Mtu(config.mtu));
        }
        if !(1..=PAIRS_MAX).contains(&config.pairs) {
            return Err(ProbeError::Pairs(config.pairs));
        }
        Ok(config)
    }

    fn fields<R: RegisterIo>(t: &Transport<R>, features: u64) -> Self {
        let u16_if = |bit: u64, at: usize, otherwise: u16| {
            if features & bit != 0 {
                t.config_u16(at)
            } else {
                otherwise
            }
        };
        let has_mac = features & feature::MAC != 0;
        Self {
            mac: has_mac.then(|| core::array::from_fn(|i| t.config_u8(field::MAC + i))),
            mtu: u16_if(feature::MTU, field::MTU, MTU),
            pairs: u16_if(feature::MQ, field::MAX_VIRTQUEUE_PAIRS, 1),
            link: link(t, features),
        }
    }
}

/// Whether the link is up; read it within [`Transport::config`]. A card that cannot say so has one that is.
pub(crate) fn link<R: RegisterIo>(transport: &Transport<R>, features: u64) -> bool {
    features & feature::STATUS == 0 || transport.config_u16(field::STATUS) & LINK_UP != 0
}
