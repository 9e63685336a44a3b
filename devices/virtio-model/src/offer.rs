//! What a disk under test is.

use crate::device::{Field, TransportOffer};

/// In which order requests end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First come, first served.
    InOrder,
    /// Last come, first served.
    Reversed,
    /// Any, by this seed.
    Random(u64),
}

/// What the transport says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `MagicValue`.
    pub magic: u32,
    /// `Version`.
    pub version: u32,
    /// `DeviceID`.
    pub device_id: u32,
}

/// What the device offers. Where it is an `Option`, `None` means that the feature is not offered.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the transport says it is.
    pub identity: Identity,
    /// `VIRTIO_F_VERSION_1`.
    pub version_1: bool,
    /// `VIRTIO_F_ACCESS_PLATFORM`, and then the driver must take it.
    pub access_platform: bool,
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub indirect: bool,
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `QueueNumMax`.
    pub queue_size: u16,
    /// `VIRTIO_BLK_F_MQ`: number of queues.
    pub queues: Option<u16>,
    /// Capacity in sectors.
    pub sectors: u64,
    /// `VIRTIO_BLK_F_RO`.
    pub read_only: bool,
    /// `VIRTIO_BLK_F_FLUSH`.
    pub flush: bool,
    /// `VIRTIO_BLK_F_SIZE_MAX`, in bytes.
    pub size_max: Option<u32>,
    /// `VIRTIO_BLK_F_SEG_MAX`.
    pub seg_max: Option<u32>,
    /// `VIRTIO_BLK_F_BLK_SIZE`, in bytes.
    pub blk_size: Option<u32>,
    /// `VIRTIO_BLK_F_TOPOLOGY`: log2 of physical to logical blocks.
    pub physical_block_exp: Option<u8>,
    /// `VIRTIO_BLK_F_DISCARD`: most sectors, alignment in sectors.
    pub discard: Option<(u32, u32)>,
    /// `VIRTIO_BLK_F_WRITE_ZEROES`: most sectors.
    pub write_zeroes: Option<u32>,
    /// How often the status reads as before after a reset.
    pub reset_reads: u32,
    /// `FEATURES_OK` does not stay set.
    pub refuses_features: bool,
    /// In which order requests end.
    pub order: Order,
}

impl Default for Offer {
    /// As QEMU 10's virtio-blk-device on virtio-mmio, with a 1 MiB disk and one queue.
    fn default() -> Self {
        Self {
            identity: Identity {
                magic: u32::from_le_bytes(*b"virt"),
                version: 2,
                device_id: 2,
            },
            version_1: true,
            access_platform: false,
            indirect: true,
            event_idx: true,
            queue_size: 256,
            queues: None,
            sectors: 2048,
            read_only: false,
            flush: true,
            size_max: None,
            seg_max: Some(254),
            blk_size: Some(512),
            physical_block_exp: Some(0),
            discard: Some((0x3f_ffff, 1)),
            write_zeroes: Some(0x3f_ffff),
            reset_reads: 0,
            refuses_features: false,
            order: Order::InOrder,
        }
    }
}

impl Offer {
    pub(crate) fn transport(&self) -> TransportOffer {
        TransportOffer {
            identity: self.identity,
            access_platform: self.access_platform,
            queue_size: self.queue_size,
            reset_reads: self.reset_reads,
            refuses_features: self.refuses_features,
            order: self.order,
        }
    }

    /// The feature bits.
    pub(crate) fn features(&self) -> u64 {
        let bits = [
            (1, self.size_max.is_some()),
            (2, self.seg_max.is_some()),
            (5, self.read_only),
            (6, self.blk_size.is_some()),
            (9, self.flush),
            (10, self.physical_block_exp.is_some()),
            (12, self.queues.is_some()),
            (13, self.discard.is_some()),
            (14, self.write_zeroes.is_some()),
            (28, self.indirect),
            (29, self.event_idx),
            (32, self.version_1),
            (33, self.access_platform),
        ];
        sum(&bits) | NEVER
    }

    /// `struct virtio_blk_config` (§5.2.4), with `sectors` for its capacity.
    pub(crate) fn config(&self, sectors: u64) -> [u8; 60] {
        let mut bytes = [0; 60];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &sectors.to_le_bytes());
        put(8, &self.size_max.unwrap_or(0).to_le_bytes());
        put(12, &self.seg_max.unwrap_or(0).to_le_bytes());
        put(20, &self.blk_size.unwrap_or(0).to_le_bytes());
        put(24, &[self.physical_block_exp.unwrap_or(0)]);
        put(32, &[1]);
        put(34, &self.queues.unwrap_or(0).to_le_bytes());
        if let Some((most, alignment)) = self.discard {
            put(36, &most.to_le_bytes());
            put(40, &1u32.to_le_bytes());
            put(44, &alignment.to_le_bytes());
        }
        if let Some(most) = self.write_zeroes {
            put(48, &most.to_le_bytes());
            put(52, &1u32.to_le_bytes());
            put(56, &[1]);
        }
        bytes
    }

    /// Number of queues.
    pub(crate) fn queue_count(&self) -> u16 {
        self.queues.unwrap_or(1)
    }
}

/// Offered, and never to be taken by these drivers: packed rings, in-order, notification data, ring reset.
pub(crate) const NEVER: u64 = (1 << 34) | (1 << 35) | (1 << 38) | (1 << 40);

/// The bits that are offered.
pub(crate) fn sum(bits: &[(u32, bool)]) -> u64 {
    bits.iter()
        .filter(|(_, offered)| *offered)
        .map(|(bit, _)| 1 << bit)
        .sum()
}

/// The fields of `struct virtio_blk_config`.
pub(crate) const CONFIG_FIELDS: [Field; 19] = [
    (0, 4, None),
    (4, 4, None),
    (8, 4, Some(1)),
    (12, 4, Some(2)),
    (16, 2, Some(4)),
    (18, 1, Some(4)),
    (19, 1, Some(4)),
    (20, 4, Some(6)),
    (24, 1, Some(10)),
    (25, 1, Some(10)),
    (26, 2, Some(10)),
    (28, 4, Some(10)),
    (34, 2, Some(12)),
    (36, 4, Some(13)),
    (40, 4, Some(13)),
    (44, 4, Some(13)),
    (48, 4, Some(14)),
    (52, 4, Some(14)),
    (56, 1, Some(14)),
];
