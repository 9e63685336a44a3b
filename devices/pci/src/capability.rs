//! The list of capabilities (PCI 3.0, §6.7).

use crate::PciError;
use crate::config::{ConfigSpace, header, status};

/// The first byte behind the header.
const FIRST: u8 = 0x40;
/// The end of the conventional configuration space, where the list lies.
const END: u16 = 0x100;
/// The most that fit: one each four bytes.
const MOST: usize = (END as usize - FIRST as usize) / 4;

/// Where the capabilities lie that are of use here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub power: Option<u16>,
    pub msi: Option<u16>,
    pub express: Option<u16>,
    pub msix: Option<u16>,
}

impl Capabilities {
    /// Walks the list. Of two with the same number the first counts.
    pub fn read(config: &impl ConfigSpace) -> Result<Self, PciError> {
        let mut found = Self::default();
        if config.read_u16(header::STATUS) & status::CAPABILITIES == 0 {
            return Ok(found);
        }
        // The low two bits are reserved.
        let mut at = config.read_u8(header::CAPABILITIES) & !3;
        for _ in 0..MOST {
            if at == 0 {
                return Ok(found);
            }
            if at < FIRST {
                return Err(PciError::Capability(at));
            }
            let offset = u16::from(at);
            let (id, next) = (config.read_u8(offset), config.read_u8(offset + 1));
            let (place, bytes) = match id {
                0x01 => (&mut found.power, 8),
                // As far as it is used.
                0x05 => (&mut found.msi, 14),
                0x10 => (&mut found.express, 12),
                0x11 => (&mut found.msix, 12),
                0xff => return Err(PciError::Absent),
                _ => {
                    at = next & !3;
                    continue;
                }
            };
            if offset + bytes > END {
                return Err(PciError::Capability(at));
            }
            place.get_or_insert(offset);
            at = next & !3;
        }
        Err(PciError::Capability(at))
    }
}
