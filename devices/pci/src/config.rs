//! Configuration space.

use outrigger_hal::RegisterIo;

/// The configuration space of one function. Offsets are in bytes, naturally aligned, below 4096. What answers nothing
/// reads as ones.
pub trait ConfigSpace {
    /// Reads 8 bits.
    fn read_u8(&self, at: u16) -> u8;
    /// Reads 16 bits.
    fn read_u16(&self, at: u16) -> u16;
    /// Reads 32 bits.
    fn read_u32(&self, at: u16) -> u32;
    /// Writes 8 bits.
    fn write_u8(&self, at: u16, value: u8);
    /// Writes 16 bits.
    fn write_u16(&self, at: u16, value: u16);
    /// Writes 32 bits.
    fn write_u32(&self, at: u16, value: u32);
}

/// The function's page of the Enhanced Configuration Access Mechanism (PCI Express Base 5.0, §7.2.2).
#[derive(Clone, Debug)]
pub struct Ecam<R>(pub R);

impl<R: RegisterIo> ConfigSpace for Ecam<R> {
    fn read_u8(&self, at: u16) -> u8 {
        self.0.read_u8(at.into())
    }
    fn read_u16(&self, at: u16) -> u16 {
        self.0.read_u16(at.into())
    }
    fn read_u32(&self, at: u16) -> u32 {
        self.0.read_u32(at.into())
    }
    fn write_u8(&self, at: u16, value: u8) {
        self.0.write_u8(at.into(), value);
    }
    fn write_u16(&self, at: u16, value: u16) {
        self.0.write_u16(at.into(), value);
    }
    fn write_u32(&self, at: u16, value: u32) {
        self.0.write_u32(at.into(), value);
    }
}

/// A configuration space may be lent.
impl<C: ConfigSpace + ?Sized> ConfigSpace for &C {
    fn read_u8(&self, at: u16) -> u8 {
        (**self).read_u8(at)
    }
    fn read_u16(&self, at: u16) -> u16 {
        (**self).read_u16(at)
    }
    fn read_u32(&self, at: u16) -> u32 {
        (**self).read_u32(at)
    }
    fn write_u8(&self, at: u16, value: u8) {
        (**self).write_u8(at, value);
    }
    fn write_u16(&self, at: u16, value: u16) {
        (**self).write_u16(at, value);
    }
    fn write_u32(&self, at: u16, value: u32) {
        (**self).write_u32(at, value);
    }
}

/// Registers of the header (PCI 3.0, §6.1).
pub(crate) mod header {
    pub const VENDOR: u16 = 0x00;
    pub const DEVICE: u16 = 0x02;
    pub const COMMAND: u16 = 0x04;
    pub const STATUS: u16 = 0x06;
    /// Revision in the low byte, class code above it.
    pub const CLASS: u16 = 0x08;
    pub const HEADER_TYPE: u16 = 0x0e;
    pub const BAR: u16 = 0x10;
    pub const CAPABILITIES: u16 = 0x34;
    pub const INTERRUPT_PIN: u16 = 0x3d;
}

/// Bits of COMMAND.
pub(crate) mod command {
    pub const IO: u16 = 1 << 0;
    pub const MEMORY: u16 = 1 << 1;
    pub const BUS_MASTER: u16 = 1 << 2;
    pub const INTX_DISABLE: u16 = 1 << 10;
}

/// Bits of STATUS.
pub(crate) mod status {
    pub const INTERRUPT: u16 = 1 << 3;
    pub const CAPABILITIES: u16 = 1 << 4;
}
