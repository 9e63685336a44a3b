//! Why there is no input device.

use core::fmt;

use outrigger_virtio::{NoMemory, TransportError};

/// Why a device cannot be used as an input device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The transport or the handshake.
    Transport(TransportError),
    /// The DMA pool has no page left.
    NoMemory,
    /// An axis (`ABS_*`) whose greatest value is not greater than its least.
    Axis(u8),
    /// A queue too small (descriptors) for a key with its end of report.
    QueueSize(u32),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::NoMemory => f.write_str("no DMA memory left for the input device's queue"),
            Self::Axis(axis) => write!(f, "the input device's axis {axis:#x} has no range"),
            Self::QueueSize(size) => write!(f, "the input device's queue holds only {size} descriptors"),
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
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}
