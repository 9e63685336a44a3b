//! Why there is no network card.

use core::fmt;

use outrigger_virtio::{NoMemory, TransportError};

/// Why a device cannot be used as a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The transport or the handshake.
    Transport(TransportError),
    /// The DMA pool has no page left.
    NoMemory,
    /// Its own address is none that a card can have.
    Mac([u8; 6]),
    /// Its MTU (bytes) is less than IPv4 allows, 68.
    Mtu(u16),
    /// A number of pairs of queues that cannot be.
    Pairs(u16),
    /// A queue too small (descriptors) for a frame.
    QueueSize(u32),
    /// It refused this command of the control queue: class and command.
    Refused(u8, u8),
    /// It did not answer a command of the control queue.
    NoAnswer,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::NoMemory => f.write_str("no DMA memory left for the network card's queues"),
            Self::Mac(mac) => write!(f, "the network card's address cannot be {mac:02x?}"),
            Self::Mtu(bytes) => write!(f, "the network card's MTU cannot be {bytes} bytes"),
            Self::Pairs(pairs) => write!(f, "the network card cannot have {pairs} pairs of queues"),
            Self::QueueSize(size) => write!(f, "the network card's queue holds only {size} descriptors"),
            Self::Refused(class, command) => {
                write!(f, "the network card refuses command {class}.{command}")
            }
            Self::NoAnswer => f.write_str("the network card does not answer commands"),
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
