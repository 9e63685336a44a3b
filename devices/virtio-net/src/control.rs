//! The control queue (VIRTIO 1.2 §5.1.6.5). Commands are given while the card is brought up, one at a time, and waited
//! for; never on the data path.

use outrigger_devices::{DmaMemory, DmaPool, RegisterIo};
use outrigger_ring::SharedPages;
use outrigger_virtio::{Flags, QueueAddresses, SplitQueue, Transport, write_descriptor};

use crate::ProbeError;

/// `VIRTIO_NET_OK`.
const OK: u8 = 0;
/// No device answers this.
const NOT_YET: u8 = 0xff;

/// Offset of the acknowledgement; the command is at 0.
const ACK: usize = 8;

/// How often the answer is looked for. Each time a register is read too, which takes about a microsecond when it traps,
/// so this is a tenth of a second or more.
const LOOKS: u32 = 100_000;

/// A command: its class, its number, and its data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Hand over frames for any address (§5.1.6.5.1).
    Promiscuous,
    /// Use so many pairs of queues (§5.1.6.5.6).
    Pairs(u16),
}

impl Command {
    /// Class, command, data, and how many bytes of them count.
    fn bytes(self) -> ([u8; 4], u32) {
        match self {
            Self::Promiscuous => ([0, 0, 1, 0], 3),
            Self::Pairs(pairs) => {
                let [low, high] = pairs.to_le_bytes();
                ([4, 0, low, high], 4)
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct ControlQueue<M> {
    ring: SplitQueue<M, ()>,
    page: DmaMemory<M>,
    /// Its place among the card's queues.
    index: u16,
}

impl<M: SharedPages + Clone> ControlQueue<M> {
    /// A queue of one command.
    pub fn new(pool: &impl DmaPool<Memory = M>, index: u16, event_idx: bool) -> Result<Self, ProbeError> {
        Ok(Self {
            ring: SplitQueue::new(pool, 2, 2, event_idx)?,
            page: pool.page().ok_or(ProbeError::NoMemory)?,
            index,
        })
    }

    pub fn index(&self) -> u16 {
        self.index
    }

    pub fn addresses(&self) -> QueueAddresses {
        self.ring.addresses()
    }

    /// Gives a command and waits for its answer.
    pub fn obey<R: RegisterIo>(
        &mut self,
        transport: &Transport<R>,
        command: Command,
    ) -> Result<(), ProbeError> {
        let (bytes, len) = command.bytes();
        let (memory, page, table) = (&self.page.memory, self.page.page, self.ring.table());
        memory.store_u32(0, u32::from_le_bytes(bytes));
        memory.store_u8(ACK, NOT_YET);
        write_descriptor(table, 0, page.at(0), len, Flags::NEXT, 1);
        write_descriptor(table, 16, page.at(ACK), 1, Flags::WRITE, 0);
        self.ring.expose(());
        if self.ring.publish() {
            transport.notify(self.index);
        }
        for _ in 0..LOOKS {
            let Ok(pending) = self.ring.pending() else {
                return Err(ProbeError::NoAnswer);
            };
            if pending > 0 && self.ring.take().is_ok() {
                return match self.page.memory.load_u8(ACK) {
                    OK => Ok(()),
                    NOT_YET => Err(ProbeError::NoAnswer),
                    _ => Err(ProbeError::Refused(bytes[0], bytes[1])),
                };
            }
            if pending > 0 || transport.needs_reset() {
                return Err(ProbeError::NoAnswer);
            }
        }
        Err(ProbeError::NoAnswer)
    }
}
