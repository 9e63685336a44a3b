//! Controller properties (Base 2.0, §3.1).

use outrigger_devices::RegisterIo;
use outrigger_pci::View;

pub(crate) const CAP: usize = 0x00;
pub(crate) const VS: usize = 0x08;
pub(crate) const INTMS: usize = 0x0c;
pub(crate) const INTMC: usize = 0x10;
pub(crate) const CC: usize = 0x14;
pub(crate) const CSTS: usize = 0x1c;
pub(crate) const AQA: usize = 0x24;
pub(crate) const ASQ: usize = 0x28;
pub(crate) const ACQ: usize = 0x30;
/// The doorbell of the admin submission queue.
pub(crate) const DOORBELLS: usize = 0x1000;

/// CC.
pub(crate) mod cc {
    pub const EN: u32 = 1 << 0;
    /// A normal shutdown.
    pub const SHN_NORMAL: u32 = 1 << 14;
    pub const SHN: u32 = 3 << 14;
    /// Entries of 64 and of 16 bytes; pages of 4 KiB; the NVM command set; round robin.
    pub const SHAPE: u32 = 6 << 16 | 4 << 20;
}

/// CSTS.
pub(crate) mod csts {
    pub const RDY: u32 = 1 << 0;
    pub const CFS: u32 = 1 << 1;
    pub const SHST: u32 = 3 << 2;
    pub const SHST_COMPLETE: u32 = 2 << 2;
}

/// CAP, whose fields say what the controller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap(pub u64);

impl Cap {
    /// Most entries a queue.
    pub fn entries(self) -> u32 {
        (self.0 as u32 & 0xffff) + 1
    }

    /// How long it may take to get ready, or to stop, in units of 500 ms.
    pub fn timeout(self) -> u32 {
        (self.0 >> 24) as u32 & 0xff
    }

    /// The distance of two doorbells, as a power of two above 4 bytes.
    pub fn dstrd(self) -> u32 {
        (self.0 >> 32) as u32 & 0xf
    }

    pub fn has_nvm(self) -> bool {
        self.0 >> 37 & 1 != 0
    }

    /// Its smallest page in bytes.
    pub fn page_min(self) -> u64 {
        1 << (12 + (self.0 >> 48 & 0xf))
    }
}

/// The doorbells of a queue pair: submission queue tail, completion queue head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doorbells {
    pub tail: usize,
    pub head: usize,
}

impl Doorbells {
    pub fn of(cap: Cap, queue: u16) -> Self {
        let stride = 4 << cap.dstrd();
        let tail = DOORBELLS + 2 * usize::from(queue) * stride;
        Self {
            tail,
            head: tail + stride,
        }
    }
}

/// A property of 64 bits, in two accesses: not every bridge passes one of 64 on.
pub(crate) fn read_u64<W: RegisterIo>(io: &View<W>, at: usize) -> u64 {
    u64::from(io.read_u32(at)) | u64::from(io.read_u32(at + 4)) << 32
}

pub(crate) fn write_u64<W: RegisterIo>(io: &View<W>, at: usize, value: u64) {
    io.write_u32(at, value as u32);
    io.write_u32(at + 4, (value >> 32) as u32);
}
