//! Why there is no network card.

use core::fmt;

/// Why the controller cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// Its revision register (`SYS_REV_CTRL`) is no GENET v5's.
    Revision(u32),
    /// The DMA pool has no page left within the controller's reach.
    NoMemory,
    /// Neither the options nor its registers have an address that a card can have; this is what there was.
    Mac([u8; 6]),
    /// An MTU (bytes) that it cannot do: below 1500, or above 3820.
    Mtu(u16),
    /// A DMA engine does not stop.
    DmaStuck,
    /// There is no PHY on its MDIO bus.
    NoPhy,
    /// The MDIO bus does not answer in time.
    MdioTimeout,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(value) => write!(f, "revision {value:#010x} is no GENET v5's"),
            Self::NoMemory => f.write_str("no DMA memory left within the controller's reach"),
            Self::Mac(mac) => write!(
                f,
                "its address cannot be {mac:02x?}: the device tree's local-mac-address is missing or wrong"
            ),
            Self::Mtu(bytes) => write!(f, "its MTU cannot be {bytes} bytes, only 1500 to 3820"),
            Self::DmaStuck => f.write_str("its DMA does not stop"),
            Self::NoPhy => f.write_str("no PHY answers on its MDIO bus"),
            Self::MdioTimeout => f.write_str("its MDIO bus does not answer in time"),
        }
    }
}

impl core::error::Error for ProbeError {}
