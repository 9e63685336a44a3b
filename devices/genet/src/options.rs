//! What the device tree and the image say of the controller.

use crate::ProbeError;

/// How the clocks between MAC and PHY are delayed against the data (the device tree's `phy-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhyMode {
    /// `rgmii`: by the board's wires.
    Rgmii,
    /// `rgmii-id`: by the PHY, both ways.
    RgmiiId,
    /// `rgmii-rxid`: by the PHY on receipt, by the MAC when sending. So on the Pi 4.
    #[default]
    RgmiiRxid,
    /// `rgmii-txid`: by the PHY when sending.
    RgmiiTxid,
}

impl PhyMode {
    /// From the property's value, with or without its closing zero.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.strip_suffix(&[0]).unwrap_or(value);
        match value {
            b"rgmii" => Some(Self::Rgmii),
            b"rgmii-id" => Some(Self::RgmiiId),
            b"rgmii-rxid" => Some(Self::RgmiiRxid),
            b"rgmii-txid" => Some(Self::RgmiiTxid),
            _ => None,
        }
    }

    pub(crate) fn phy_delays_receive(self) -> bool {
        matches!(self, Self::RgmiiId | Self::RgmiiRxid)
    }

    pub(crate) fn phy_delays_transmit(self) -> bool {
        matches!(self, Self::RgmiiId | Self::RgmiiTxid)
    }
}

/// What the device tree says, and what to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its address (`local-mac-address`). Otherwise what a boot loader left in the registers.
    pub mac: Option<[u8; 6]>,
    /// `phy-mode`.
    pub phy_mode: PhyMode,
    /// Where the PHY is looked for first.
    pub phy: u8,
    /// Bytes of a frame after its Ethernet header, VLAN tag not counted: 1500 to [`Options::MTU_MAX`].
    pub mtu: u16,
}

impl Default for Options {
    /// The Pi 4's.
    fn default() -> Self {
        Self {
            mac: None,
            phy_mode: PhyMode::RgmiiRxid,
            phy: 1,
            mtu: Self::MTU,
        }
    }
}

/// Ethernet header, VLAN tag, frame check sequence.
const AROUND: usize = 14 + 4 + 4;

impl Options {
    /// The usual MTU in bytes.
    pub const MTU: u16 = 1500;
    /// The largest: a longer frame arrives in parts, before all of it is there (the buffers' thresholds, in steps of a
    /// burst of 256 bytes, end at 3840, of which two are the hardware's).
    pub const MTU_MAX: u16 = 3820;

    /// The longest frame with its frame check sequence, in bytes. 1536 is what every other driver says.
    pub(crate) fn max_frame(&self) -> usize {
        (usize::from(self.mtu) + AROUND).max(1536)
    }

    /// Bytes of a receive buffer: a status block and the longest frame, in whole cache lines, below the 4096 that a
    /// descriptor cannot say.
    pub(crate) fn buffer_bytes(&self) -> usize {
        if self.max_frame() + crate::registers::block::BYTES <= 2048 {
            2048
        } else {
            4032
        }
    }

    pub(crate) fn check(&self) -> Result<(), ProbeError> {
        if (Self::MTU..=Self::MTU_MAX).contains(&self.mtu) {
            Ok(())
        } else {
            Err(ProbeError::Mtu(self.mtu))
        }
    }
}
