//! What a function has, and what may be wrong with it.

use std::time::Duration;

/// Where the window lies on the bus: not where the processor sees it.
pub const WINDOW_BUS: u64 = 0xc000_0000;
/// Its size in bytes.
pub const WINDOW_BYTES: u64 = 0x10_0000;

/// What a function has.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Vendor and device.
    pub id: (u16, u16),
    /// Class code, 24 bits.
    pub class: u32,
    /// Header type.
    pub header_type: u8,
    /// Memory BARs: index, bytes, whether of 64 bits.
    pub bars: Vec<(usize, u64, bool)>,
    /// A BAR for I/O: index, bytes.
    pub io: Option<(usize, u32)>,
    /// The interrupt pin; 0 for none.
    pub pin: u8,
    /// MSI; whether its addresses have 64 bits.
    pub msi: Option<bool>,
    /// MSI-X: BAR, offset of the table in it, vectors.
    pub msix: Option<(u8, u32, u16)>,
    /// FLR.
    pub flr: bool,
    /// How long it is not ready after a reset.
    pub flr_time: Duration,
    /// It sleeps (D3hot) when it is found.
    pub asleep: bool,
}

impl Default for Offer {
    /// As QEMU's NVMe controller: one BAR of 64 bits with the MSI-X table in it.
    fn default() -> Self {
        Self {
            id: (0x1b36, 0x0010),
            class: 0x01_0802,
            header_type: 0,
            bars: vec![(0, 0x4000, true)],
            io: None,
            pin: 1,
            msi: None,
            msix: Some((0, 0x2000, 65)),
            flr: true,
            flr_time: Duration::from_millis(100),
            asleep: false,
        }
    }
}

/// What a broken function does from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is gone: everything reads as ones.
    Gone,
    /// The capability at the end of the list points to the first one.
    CapabilityLoop,
    /// The list begins there.
    CapabilityAt(u8),
    /// A BAR of 32 bits, or the low half of one, lets itself be set in these bits only.
    BarMask(usize, u32),
    /// A BAR takes no address.
    BarStuck(usize),
    /// A reset does not end.
    NoResetEnd,
    /// Its transactions are always pending.
    AlwaysPending,
}
