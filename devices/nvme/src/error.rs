//! Why there is no disk.

use core::fmt;

use outrigger_pci::PciError;

/// Why a controller or all of its namespaces cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The function on its bus.
    Pci(PciError),
    /// It is no NVMe controller: its class code.
    Class(u32),
    /// Its memory is not what this driver can use: it does not see the processors' caches, or does not reach all memory.
    Reach,
    /// The DMA pool has no page left.
    NoMemory,
    /// The registers read as ones.
    Gone,
    /// It has no NVM command set (CAP).
    CommandSet(u64),
    /// Its smallest page (bytes) is larger than 4 KiB.
    PageSize(u64),
    /// A queue too small (entries).
    QueueSize(u32),
    /// It does not get ready, or does not stop, in the time that it names.
    NotReady,
    /// `CSTS.CFS`: it has stopped.
    Fatal,
    /// An admin command was not answered.
    Silent(u8),
    /// An admin command failed: opcode, status.
    Refused(u8, u16),
    /// It completes commands that nobody gave it.
    Liar,
    /// Its kind (CNTRLTYPE): a discovery or administrative controller.
    ControllerType(u8),
    /// Its queue entries have other sizes (SQES, CQES).
    EntrySizes(u8, u8),
    /// It has no namespace that can be used.
    NoNamespace,
    /// After a reset it is another one, or has other namespaces.
    Another,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(error) => error.fmt(f),
            Self::Class(class) => write!(f, "the PCI function's class {class:#08x} is not that of an NVMe controller"),
            Self::Reach => f.write_str(
                "the controller does not reach all memory, or does not see the caches; this driver needs dma-coherent \
                 and no dma-ranges",
            ),
            Self::NoMemory => f.write_str("no DMA memory left for the controller's queues"),
            Self::Gone => f.write_str("the controller's registers read as ones"),
            Self::CommandSet(cap) => write!(f, "the controller has no NVM command set (CAP {cap:#x})"),
            Self::PageSize(bytes) => write!(f, "the controller's smallest page is {bytes} bytes, not 4096"),
            Self::QueueSize(entries) => write!(f, "the controller's queues hold only {entries} entries"),
            Self::NotReady => f.write_str("the controller does not get ready in its time"),
            Self::Fatal => f.write_str("the controller has stopped (CSTS.CFS)"),
            Self::Silent(opcode) => write!(f, "the controller does not answer admin command {opcode:#x}"),
            Self::Refused(opcode, status) => {
                write!(f, "the controller fails admin command {opcode:#x} with status {status:#x}")
            }
            Self::Liar => f.write_str("the controller completes commands that it was not given"),
            Self::ControllerType(kind) => write!(f, "the controller is of type {kind}, which has no disks"),
            Self::EntrySizes(sq, cq) => {
                write!(f, "the controller's queue entries have other sizes (SQES {sq:#x}, CQES {cq:#x})")
            }
            Self::NoNamespace => f.write_str(
                "the controller has no namespace that can be used; make one, or format it without metadata",
            ),
            Self::Another => f.write_str("the controller has come back as another one"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl From<PciError> for ProbeError {
    fn from(error: PciError) -> Self {
        Self::Pci(error)
    }
}
