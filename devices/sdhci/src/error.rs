//! Why there is no card.

use core::fmt;

/// How one command ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The controller's error bits (upper half of its interrupt status).
    Failed(u32),
    /// Nothing came.
    TimedOut,
    /// The card's status says that it failed.
    Refused(u32),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(bits) if bits & 0x11_0000 != 0 => f.write_str("the card did not answer in time"),
            Self::Failed(bits) if bits & 0x6e_0000 != 0 => f.write_str("what the card sent was damaged"),
            Self::Failed(bits) => write!(f, "the controller failed it (error status {:#x})", bits >> 16),
            Self::TimedOut => f.write_str("the controller never came back"),
            Self::Refused(status) => write!(f, "the card refused it (status {status:#x})"),
        }
    }
}

/// Why a controller, or the card in it, cannot be used as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The registers read as ones, or as nonsense: nobody is there.
    NotThere,
    /// A reset, or the internal clock, did not come in time.
    Stuck(&'static str),
    /// It says no clock that it could be driven at.
    NoClock,
    /// It gives the card no voltage that there is.
    NoVoltage,
    /// No card is in the slot.
    NoCard,
    /// A command that a card must know failed: its number.
    Command(u8, CommandError),
    /// The card never got ready.
    NeverReady,
    /// The card says of itself what cannot be, or what is not served.
    Card(&'static str),
    /// The DMA pool has no page left.
    NoMemory,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("no SD host controller answers at its registers"),
            Self::Stuck(what) => write!(f, "the controller's {what} never came"),
            Self::NoClock => f.write_str("the controller names no base clock"),
            Self::NoVoltage => f.write_str("the controller offers no voltage for a card"),
            Self::NoCard => f.write_str("there is no card in the slot"),
            Self::Command(index, why) => write!(f, "CMD{index}: {why}"),
            Self::NeverReady => f.write_str("the card did not power up within a second"),
            Self::Card(what) => write!(f, "the card {what}"),
            Self::NoMemory => f.write_str("no DMA memory left within the controller's reach"),
        }
    }
}

impl core::error::Error for ProbeError {}
