//! Why there is no disk.

use core::fmt;

use outrigger_virtio::{NoMemory, TransportError};

/// Why a device cannot be used as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The transport or the handshake.
    Transport(TransportError),
    /// The DMA pool has no page left.
    NoMemory,
    /// A logical block size (bytes) that is not a power of two from 512 to 1 MiB.
    BlockSize(u32),
    /// The longest piece of memory it takes (bytes) is less than a page.
    SizeMax(u32),
    /// It offers several queues and then has none.
    NoQueues,
    /// A queue too small (descriptors) for a request of one segment.
    QueueSize(u32),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::NoMemory => f.write_str("no DMA memory left for the disk's queues"),
            Self::BlockSize(bytes) => write!(f, "the disk's logical block size cannot be {bytes} bytes"),
            Self::SizeMax(bytes) => write!(f, "the disk takes no segment of a page, only {bytes} bytes"),
            Self::NoQueues => f.write_str("the disk says that it has no queue"),
            Self::QueueSize(size) => write!(f, "the disk's queue holds only {size} descriptors"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl From<TransportError> for ProbeError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<NoMemory> for ProbeError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
