//! What a network card under test is.

use crate::device::{Field, TransportOffer};
use crate::offer::{NEVER, sum};
use crate::{Identity, Offer, Order};

/// What the card offers. Where it is an `Option`, `None` means that the feature is not offered.
#[derive(Clone, Debug)]
pub struct NetOffer {
    /// What the transport says it is.
    pub identity: Identity,
    /// `VIRTIO_F_VERSION_1`.
    pub version_1: bool,
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub indirect: bool,
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `QueueNumMax`.
    pub queue_size: u16,
    /// `VIRTIO_NET_F_MAC`.
    pub mac: Option<[u8; 6]>,
    /// `VIRTIO_NET_F_MTU`.
    pub mtu: Option<u16>,
    /// `VIRTIO_NET_F_STATUS`: the link.
    pub status: bool,
    /// `VIRTIO_NET_F_MRG_RXBUF`.
    pub mergeable: bool,
    /// `VIRTIO_NET_F_CSUM`.
    pub csum: bool,
    /// `VIRTIO_NET_F_GUEST_CSUM`.
    pub guest_csum: bool,
    /// `VIRTIO_NET_F_HOST_TSO4` and `6`, and `VIRTIO_NET_F_HOST_ECN` with them.
    pub host_tso: [bool; 2],
    /// `VIRTIO_NET_F_GUEST_TSO4` and `6`, and `VIRTIO_NET_F_GUEST_ECN` with them.
    pub guest_tso: [bool; 2],
    /// `VIRTIO_NET_F_CTRL_VQ`.
    pub control: bool,
    /// `VIRTIO_NET_F_CTRL_RX`; without it the card hands over all frames.
    pub control_rx: bool,
    /// `VIRTIO_NET_F_MQ`: pairs of queues.
    pub pairs: Option<u16>,
    /// How often the status reads as before after a reset.
    pub reset_reads: u32,
    /// In which order requests end.
    pub order: Order,
}

impl Default for NetOffer {
    /// As QEMU 10's virtio-net-device with a back end that knows offloads, with one pair of queues.
    fn default() -> Self {
        let disk = Offer::default();
        Self {
            identity: Identity {
                device_id: 1,
                ..disk.identity
            },
            version_1: true,
            indirect: true,
            event_idx: true,
            queue_size: 256,
            mac: Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            mtu: None,
            status: true,
            mergeable: true,
            csum: true,
            guest_csum: true,
            host_tso: [true; 2],
            guest_tso: [true; 2],
            control: true,
            control_rx: true,
            pairs: None,
            reset_reads: 0,
            order: Order::InOrder,
        }
    }
}

impl NetOffer {
    pub(crate) fn transport(&self) -> TransportOffer {
        TransportOffer {
            identity: self.identity,
            access_platform: false,
            queue_size: self.queue_size,
            reset_reads: self.reset_reads,
            refuses_features: false,
            order: self.order,
        }
    }

    /// The feature bits.
    pub(crate) fn features(&self) -> u64 {
        let bits = [
            (0, self.csum),
            (1, self.guest_csum),
            (3, self.mtu.is_some()),
            (5, self.mac.is_some()),
            (7, self.guest_tso[0]),
            (8, self.guest_tso[1]),
            (9, self.guest_tso[0]),
            (11, self.host_tso[0]),
            (12, self.host_tso[1]),
            (13, self.host_tso[0]),
            (15, self.mergeable),
            (16, self.status),
            (17, self.control),
            (18, self.control_rx),
            (22, self.pairs.is_some()),
            (28, self.indirect),
            (29, self.event_idx),
            (32, self.version_1),
        ];
        sum(&bits) | NEVER | NEVER_NET
    }

    /// Pairs of queues there are.
    pub(crate) fn pair_count(&self) -> usize {
        self.pairs.unwrap_or(1).into()
    }

    /// `struct virtio_net_config` (§5.1.4).
    pub(crate) fn config(&self, link: bool) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&self.mac.unwrap_or_default());
        bytes[6..8].copy_from_slice(&u16::from(link).to_le_bytes());
        bytes[8..10].copy_from_slice(&self.pairs.unwrap_or(0).to_le_bytes());
        bytes[10..].copy_from_slice(&self.mtu.unwrap_or(0).to_le_bytes());
        bytes
    }
}

/// Offered, and more than these drivers and this model can: offload control, UFO, VLAN filter, announcements, the
/// address by command, RSS, and the like.
pub(crate) const NEVER_NET: u64 = (1 << 2)
    | (1 << 10)
    | (1 << 14)
    | (1 << 19)
    | (1 << 20)
    | (1 << 21)
    | (1 << 23)
    | (1 << 56)
    | (1 << 57)
    | (1 << 60)
    | (1 << 61);

/// The fields of `struct virtio_net_config`.
pub(crate) const NET_FIELDS: [Field; 9] = [
    (0, 1, Some(5)),
    (1, 1, Some(5)),
    (2, 1, Some(5)),
    (3, 1, Some(5)),
    (4, 1, Some(5)),
    (5, 1, Some(5)),
    (6, 2, Some(16)),
    (8, 2, Some(22)),
    (10, 2, Some(3)),
];
