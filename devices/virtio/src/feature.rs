//! Feature bits that belong to no device type (VIRTIO 1.2 §6).

/// Descriptors may point to a table of descriptors (§2.7.5.3).
pub const INDIRECT_DESC: u64 = 1 << 28;
/// `used_event` and `avail_event` say when to notify (§2.7.7, §2.7.10).
pub const EVENT_IDX: u64 = 1 << 29;
/// Not a legacy device. Always needed.
pub const VERSION_1: u64 = 1 << 32;
/// The device's memory accesses go the platform's way, through an IOMMU if there is one. Accepted whenever offered:
/// whether addresses are machine or guest addresses is the DMA pool's knowledge, and ours come from nowhere else.
pub const ACCESS_PLATFORM: u64 = 1 << 33;
/// Memory must be ordered as for any other device of the platform, not as for another processor. Accepted whenever
/// offered: `RegisterIo` and `SharedPages` promise as much.
pub const ORDER_PLATFORM: u64 = 1 << 36;
