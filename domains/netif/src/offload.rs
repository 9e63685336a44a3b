//! What is said of a packet's checksum. The same three things in both directions, but the bits are not the same.

use xen_unikernel_abi::io::netif::{
    NETRXF_csum_blank, NETRXF_data_validated, NETTXF_csum_blank, NETTXF_data_validated,
};

/// What is known of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: whoever cares has to look.
    #[default]
    Unknown,
    /// It has been checked, or needs no check.
    Validated,
    /// It is to be filled in (the field holds the sum of the pseudo header), which implies that the data is good.
    Blank,
}

impl Checksum {
    /// From `netif_tx_request.flags`.
    pub fn from_tx(flags: u16) -> Self {
        if flags & NETTXF_csum_blank != 0 {
            Self::Blank
        } else if flags & NETTXF_data_validated != 0 {
            Self::Validated
        } else {
            Self::Unknown
        }
    }

    /// For `netif_rx_response.flags`.
    pub fn rx_flags(self) -> u16 {
        match self {
            Self::Unknown => 0,
            Self::Validated => NETRXF_data_validated,
            Self::Blank => NETRXF_csum_blank | NETRXF_data_validated,
        }
    }
}
