//! What a controller has, and what may be wrong with it.

use std::time::Duration;

use outrigger_pci_model as pci;

/// A namespace.
#[derive(Clone, Debug)]
pub struct NamespaceOffer {
    /// Its number.
    pub nsid: u32,
    /// Its size in blocks.
    pub blocks: u64,
    /// log₂ of the block size in bytes.
    pub shift: u8,
    /// Bytes of metadata a block.
    pub metadata: u16,
    /// Protection information (DPS).
    pub protection: u8,
    /// It is write-protected.
    pub read_only: bool,
    /// NPWG and NPDG, in blocks, if it says so.
    pub hints: Option<(u16, u16)>,
    /// The format in use, of its table; and how many formats the table has, less one.
    pub format: (u8, u8),
    /// What makes it unique (NGUID).
    pub unique: u64,
}

impl Default for NamespaceOffer {
    /// 2048 blocks of 512 bytes.
    fn default() -> Self {
        Self {
            nsid: 1,
            blocks: 2048,
            shift: 9,
            metadata: 0,
            protection: 0,
            read_only: false,
            hints: None,
            format: (0, 0),
            unique: 0x1234,
        }
    }
}

/// In which order commands complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    InOrder,
    /// The last first.
    Reversed,
    /// Any, by a seed.
    Random(u64),
}

/// What a controller has.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its PCI function.
    pub function: pci::Offer,
    /// Entries a queue.
    pub entries: u32,
    /// CAP.TO, in units of 500 ms.
    pub timeout: u8,
    /// CAP.DSTRD.
    pub stride: u8,
    /// CAP.MPSMIN.
    pub page_min: u8,
    /// CAP.CSS: it has the NVM command set.
    pub nvm: bool,
    /// VS.
    pub version: u32,
    /// How long it takes to get ready, and to stop.
    pub ready_time: Duration,
    /// MDTS.
    pub mdts: u8,
    /// CNTRLTYPE.
    pub kind: u8,
    /// SQES and CQES.
    pub entry_sizes: (u8, u8),
    /// It has a volatile write cache.
    pub cache: bool,
    /// It can deallocate, and write zeroes.
    pub deallocate: bool,
    /// See there.
    pub write_zeroes: bool,
    /// I/O queue pairs that it grants.
    pub queues: u16,
    /// Namespaces, by number.
    pub namespaces: Vec<NamespaceOffer>,
    /// NN, if it is not the last one's number.
    pub nn: Option<u32>,
    /// The order of completions.
    pub order: Order,
    /// The serial number.
    pub serial: u8,
}

impl Default for Offer {
    /// As QEMU's.
    fn default() -> Self {
        Self {
            function: pci::Offer::default(),
            entries: 2048,
            timeout: 15,
            stride: 0,
            page_min: 0,
            nvm: true,
            version: 0x0001_0400,
            ready_time: Duration::from_millis(3),
            mdts: 7,
            kind: 1,
            entry_sizes: (0x66, 0x44),
            cache: true,
            deallocate: true,
            write_zeroes: true,
            queues: 64,
            namespaces: vec![NamespaceOffer::default()],
            nn: Some(256),
            order: Order::InOrder,
            serial: b'x',
        }
    }
}

/// What a broken controller does: one misdeed at the next completion of an I/O command, or from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This identifier instead of the command's.
    Cid(u16),
    /// This submission queue's number.
    SqId(u16),
    /// The completion comes twice.
    Twice,
    /// This status (code and type), and nothing is done.
    Status(u16),
    /// It is never completed.
    Lost,
    /// It is done, but nobody is told before somebody looks: no interrupt.
    NoInterrupt,
    /// From now on: it has stopped (`CSTS.CFS`).
    Fatal,
    /// From now on: it does not get ready.
    NeverReady,
    /// From now on: it does not stop when it is disabled.
    NeverStops,
    /// From now on: admin commands are not answered.
    AdminSilence,
    /// From now on: admin commands of this opcode fail with this status.
    AdminStatus(u8, u16),
    /// The list of active namespaces never ends.
    EndlessList,
}

impl Fault {
    pub(crate) fn is_once(self) -> bool {
        matches!(
            self,
            Self::Cid(_) | Self::SqId(_) | Self::Twice | Self::Status(_) | Self::Lost | Self::NoInterrupt
        )
    }
}
