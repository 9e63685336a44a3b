//! Admin commands, one at a time and waited for: for start-up, never the data path.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};
use outrigger_pci::ConfigSpace;
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::command::{Command, admin};
use crate::controller::Controller;
use crate::register::{CSTS, csts};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

impl<C, W, M, T> Controller<C, W, M, T>
where
    C: ConfigSpace,
    W: RegisterIo,
    M: SharedPages + Clone,
    T: Clock,
{
    /// Carries a command out; the first word of its completion.
    fn command(&mut self, command: &Command) -> Result<u32, ProbeError> {
        let opcode = command.opcode;
        let Some(tail) = self
            .admin
            .push(command, 0)
            .then(|| self.admin.publish())
            .flatten()
        else {
            return Err(ProbeError::Silent(opcode));
        };
        self.registers.write_u32(self.doorbells[0].tail, tail.into());
        let end = self.clock.now().after(LIMIT);
        loop {
            if let Some(taken) = self.admin.take(0).map_err(|_| ProbeError::Liar)? {
                self.registers
                    .write_u32(self.doorbells[0].head, self.admin.head().into());
                return match taken.status.is_success() {
                    true => Ok(taken.result),
                    false => Err(ProbeError::Refused(opcode, taken.status.0)),
                };
            }
            if self.clock.now() > end {
                return Err(ProbeError::Silent(opcode));
            }
            match self.registers.read_u32(CSTS) {
                u32::MAX => return Err(ProbeError::Gone),
                status if status & csts::CFS != 0 => return Err(ProbeError::Fatal),
                _ => self.clock.still_alive(),
            }
        }
    }

    /// Identify, into the page.
    pub fn identify(&mut self, cns: u32, nsid: u32) -> Result<(), ProbeError> {
        // What the controller does not write is not what it wrote last time.
        for at in (0..self.page.memory.len()).step_by(8) {
            self.page.memory.store_u64(at, 0);
        }
        let command = Command {
            opcode: admin::IDENTIFY,
            nsid,
            prp1: self.page.page.at(0).bits(),
            cdw10: cns.into(),
            ..Command::default()
        };
        self.command(&command).map(|_| ())
    }

    /// Asks for I/O queue pairs; how many there are to be had, at least one.
    pub fn number_of_queues(&mut self, wanted: u16) -> Result<u16, ProbeError> {
        let count = u64::from(wanted - 1);
        let command = Command {
            opcode: admin::SET_FEATURES,
            cdw10: u64::from(admin::NUMBER_OF_QUEUES) | (count << 16 | count) << 32,
            ..Command::default()
        };
        let granted = self.command(&command)?;
        let (sqs, cqs) = (granted & 0xffff, granted >> 16);
        Ok(sqs.min(cqs).min(count as u32) as u16 + 1)
    }

    /// Creates an I/O queue pair: first the completion queue, which interrupts by vector 0.
    pub fn create_queue(&mut self, index: usize, interrupts: bool) -> Result<(), ProbeError> {
        let pair = &self.queues[index].pair;
        let (sq, cq) = pair.addresses();
        let id = index as u64 + 1;
        let size_and_id = u64::from(pair.size() - 1) << 16 | id;
        // Physically contiguous; interrupts enabled.
        let flags = 1 | u64::from(interrupts) << 1;
        self.command(&Command {
            opcode: admin::CREATE_CQ,
            prp1: cq,
            cdw10: size_and_id | flags << 32,
            ..Command::default()
        })?;
        self.command(&Command {
            opcode: admin::CREATE_SQ,
            prp1: sq,
            cdw10: size_and_id | (id << 16 | 1) << 32,
            ..Command::default()
        })?;
        Ok(())
    }
}
