//! Message-signalled interrupts: MSI (PCI 3.0, §6.8.1) and MSI-X (§6.8.2).

use outrigger_hal::RegisterIo;

use crate::config::ConfigSpace;
use crate::{Function, PciError};

/// What a function writes to memory in place of an interrupt line: on a GICv2 with a v2m frame, the address of
/// `MSI_SETSPI_NS` and the interrupt's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to, as the bus counts; a multiple of 4.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// Offsets and bits of the capabilities.
mod field {
    pub const CONTROL: u16 = 2;
    pub const MSI_ENABLE: u16 = 1 << 0;
    /// How many messages it may send, as a power of two.
    pub const MSI_MULTIPLE: u16 = 7 << 4;
    pub const MSI_64_BITS: u16 = 1 << 7;
    pub const MSI_ADDRESS: u16 = 4;
    pub const MSIX_ENABLE: u16 = 1 << 15;
    pub const MSIX_MASK: u16 = 1 << 14;
    pub const MSIX_SIZE: u16 = 0x7ff;
    pub const MSIX_TABLE: u16 = 4;
    /// Bytes of an entry of the table, and the bit of its last word that masks it.
    pub const ENTRY: usize = 16;
    pub const ENTRY_MASK: u32 = 1;
}

impl<C: ConfigSpace, W: RegisterIo> Function<C, W> {
    /// Neither MSI nor MSI-X.
    pub fn disable_messages(&self) {
        for (at, bit) in [
            (self.capabilities.msi, field::MSI_ENABLE),
            (self.capabilities.msix, field::MSIX_ENABLE),
        ] {
            if let Some(at) = at {
                let control = self.config.read_u16(at + field::CONTROL);
                self.config.write_u16(at + field::CONTROL, control & !bit);
            }
        }
    }

    /// Whether the function has MSI.
    pub fn has_msi(&self) -> bool {
        self.capabilities.msi.is_some()
    }

    /// Whether the function has MSI-X.
    pub fn has_msix(&self) -> bool {
        self.capabilities.msix.is_some()
    }

    /// Switches MSI on, with one message for all that the function has to say.
    ///
    /// # Errors
    /// [`PciError::MessageAddress`]; MSI is off. The function must have MSI ([`has_msi`](Self::has_msi)).
    pub fn enable_msi(&self, message: Message) -> Result<(), PciError> {
        let Some(at) = self.capabilities.msi else {
            return Err(PciError::Capability(0));
        };
        self.disable_messages();
        let control = self.config.read_u16(at + field::CONTROL) & !field::MSI_MULTIPLE;
        let is_wide = control & field::MSI_64_BITS != 0;
        let high = (message.address >> 32) as u32;
        if high != 0 && !is_wide {
            return Err(PciError::MessageAddress(message.address));
        }
        let address = at + field::MSI_ADDRESS;
        self.config.write_u32(address, message.address as u32);
        let data = if is_wide {
            self.config.write_u32(address + 4, high);
            address + 8
        } else {
            address + 4
        };
        // MSI has 16 bits of data.
        self.config.write_u16(data, message.data as u16);
        self.config
            .write_u16(at + field::CONTROL, control | field::MSI_ENABLE);
        Ok(())
    }

    /// Switches MSI-X on: vector 0 sends `message`, all others are masked. The BARs have been placed, and memory is decoded.
    ///
    /// # Errors
    /// The table is not where it could be written; MSI-X is off. The function must have it ([`has_msix`](Self::has_msix)).
    pub fn enable_msix(&self, message: Message) -> Result<(), PciError> {
        let Some(at) = self.capabilities.msix else {
            return Err(PciError::Capability(0));
        };
        self.disable_messages();
        let control = self.config.read_u16(at + field::CONTROL);
        let vectors = usize::from(control & field::MSIX_SIZE) + 1;
        let table = self.config.read_u32(at + field::MSIX_TABLE);
        let (bar, offset) = ((table & 7) as u8, (table & !7) as usize);
        let region = self.region(bar, 0).map_err(|_| PciError::MsixTable)?;
        let end = offset.checked_add(vectors * field::ENTRY);
        if end.is_none_or(|end| end > region.len()) {
            return Err(PciError::MsixTable);
        }
        // The table may be written only while the vectors are masked.
        let on = control | field::MSIX_ENABLE;
        self.config.write_u16(at + field::CONTROL, on | field::MSIX_MASK);
        for vector in 1..vectors {
            region.write_u32(offset + vector * field::ENTRY + 12, field::ENTRY_MASK);
        }
        region.write_u32(offset, message.address as u32);
        region.write_u32(offset + 4, (message.address >> 32) as u32);
        region.write_u32(offset + 8, message.data);
        region.write_u32(offset + 12, 0);
        self.config.write_u16(at + field::CONTROL, on & !field::MSIX_MASK);
        Ok(())
    }
}
