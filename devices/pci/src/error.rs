//! Why a function cannot be used.

use core::fmt;

/// Why a function cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// Configuration space reads as ones: there is no function, or it has gone.
    Absent,
    /// The header type: not that of an endpoint (0).
    HeaderType(u8),
    /// The list of capabilities goes astray at this offset: it loops, or leaves the configuration space.
    Capability(u8),
    /// A BAR's answer to being sized is no size.
    BarSize {
        /// Its index.
        bar: u8,
        /// The bits it let itself be set.
        mask: u64,
    },
    /// There is no place left in the window.
    NoRoom {
        /// The BAR's index.
        bar: u8,
        /// Its size in bytes.
        size: u64,
        /// The window's size in bytes.
        window: u64,
    },
    /// A BAR does not keep the address that it is given.
    BarRefused(u8),
    /// The function has no such memory BAR, or one too small.
    NoBar(u8),
    /// The message address does not fit the function's 32 bits.
    MessageAddress(u64),
    /// The MSI-X table is not within its BAR.
    MsixTable,
    /// The function does not come back from a reset.
    Reset,
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                f.write_str("no PCI function answers there; is the slot right, and does the bridge reach it?")
            }
            Self::HeaderType(kind) => write!(
                f,
                "the PCI function has header type {kind:#x}, not an endpoint's; a bridge cannot be driven"
            ),
            Self::Capability(at) => write!(f, "the PCI function's capability list goes astray at {at:#x}"),
            Self::BarSize { bar, mask } => {
                write!(f, "BAR {bar} of the PCI function has no size (mask {mask:#x})")
            }
            Self::NoRoom { bar, size, window } => write!(
                f,
                "BAR {bar} of the PCI function ({size:#x} bytes) has no place in its window of {window:#x} bytes; \
                 give it a larger window"
            ),
            Self::BarRefused(bar) => write!(f, "BAR {bar} of the PCI function does not keep its address"),
            Self::NoBar(bar) => write!(f, "the PCI function has no memory BAR {bar} that is large enough"),
            Self::MessageAddress(address) => write!(
                f,
                "the PCI function's MSI has 32-bit addresses, and {address:#x} is higher; use its INTx line"
            ),
            Self::MsixTable => f.write_str("the PCI function's MSI-X table is not within its BAR"),
            Self::Reset => f.write_str("the PCI function does not come back from a reset"),
        }
    }
}

impl core::error::Error for PciError {}
