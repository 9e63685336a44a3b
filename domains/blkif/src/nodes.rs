//! The names of blkif's XenStore nodes (`public/io/blkif.h`), and the bounds of their values.

/// Backend: what to serve (`target=` of the disk specification).
pub const PARAMS: &str = "params";
/// Backend: `r` or `w`.
pub const MODE: &str = "mode";
/// Backend: 1 if the medium can be removed.
pub const REMOVABLE: &str = "removable";
/// Backend: `disk` or `cdrom`.
pub const DEVICE_TYPE: &str = "device-type";

/// Backend: 0 if the administrator wants no discards.
pub const DISCARD_ENABLE: &str = "discard-enable";

/// Backend, before state 2: greatest [`RING_PAGE_ORDER`] that is served.
pub const MAX_RING_PAGE_ORDER: &str = "max-ring-page-order";
/// Backend, before state 2: greatest [`MULTI_QUEUE_NUM_QUEUES`] that is served.
pub const MULTI_QUEUE_MAX_QUEUES: &str = "multi-queue-max-queues";
/// Backend, before state 2: most segments of an indirect request.
pub const FEATURE_MAX_INDIRECT_SEGMENTS: &str = "feature-max-indirect-segments";

/// Backend, before state 4: size in 512-byte sectors.
pub const SECTORS: &str = "sectors";
/// Backend, before state 4: logical block size in bytes.
pub const SECTOR_SIZE: &str = "sector-size";
/// Backend, before state 4: physical block size in bytes.
pub const PHYSICAL_SECTOR_SIZE: &str = "physical-sector-size";
/// Backend, before state 4: a sum of `VDISK_` values.
pub const INFO: &str = "info";
/// Backend, before state 4: `FLUSH_DISKCACHE` is served.
pub const FEATURE_FLUSH_CACHE: &str = "feature-flush-cache";
/// Backend, before state 4: `WRITE_BARRIER` is served.
pub const FEATURE_BARRIER: &str = "feature-barrier";
/// Backend, before state 4: `DISCARD` is served.
pub const FEATURE_DISCARD: &str = "feature-discard";
/// Backend, before state 4: unit of a discard in bytes.
pub const DISCARD_GRANULARITY: &str = "discard-granularity";
/// Backend, before state 4: offset in bytes of the disk's start from the device's discard units.
pub const DISCARD_ALIGNMENT: &str = "discard-alignment";
/// Backend, before state 4: secure discards are served.
pub const DISCARD_SECURE: &str = "discard-secure";

/// Either end: granted pages stay mapped and are used again.
pub const FEATURE_PERSISTENT: &str = "feature-persistent";

/// Frontend: the layout of its rings, see [`crate::Abi::from_protocol`].
pub const PROTOCOL: &str = "protocol";
/// Frontend: number of its rings; more than one live under `queue-N/`.
pub const MULTI_QUEUE_NUM_QUEUES: &str = "multi-queue-num-queues";
/// Frontend: log2 of the pages of a ring. Absent: one page.
pub const RING_PAGE_ORDER: &str = "ring-page-order";
/// Frontend: the reference of the ring's one page; with [`RING_PAGE_ORDER`], `ring-ref0` and so on.
pub const RING_REF: &str = "ring-ref";
/// Frontend: the ring's port.
pub const EVENT_CHANNEL: &str = "event-channel";

pub use xen_unikernel_abi::io::blkif::{VDISK_CDROM, VDISK_READONLY, VDISK_REMOVABLE};
