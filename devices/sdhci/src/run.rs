//! Commands that are waited for: for start-up, never the data path.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};

use crate::CommandError;
use crate::command::{CMD8, CardStatus, Command, RELATIVE_ADDR, Response};
use crate::host::{Data, Host};
use crate::register::{RESPONSE, mode, status};

/// How long a command without much data may take.
const COMMAND_LIMIT: Duration = Duration::from_millis(500);

impl<R: RegisterIo, C: Clock> Host<R, C> {
    /// A command from beginning to end, waited for. For start-up, never the data path.
    pub fn command(&mut self, command: Command) -> Result<[u32; 4], CommandError> {
        self.run(command, None, &mut [])
    }

    /// A command that reads one block of `words`, waited for.
    pub fn read_data(&mut self, command: Command, words: &mut [u32]) -> Result<[u32; 4], CommandError> {
        let data = Data {
            size: 4 * words.len() as u32,
            blocks: 1,
            mode: mode::READ,
        };
        self.run(command, Some(data), words)
    }

    fn run(
        &mut self,
        command: Command,
        data: Option<Data>,
        words: &mut [u32],
    ) -> Result<[u32; 4], CommandError> {
        let result = self.try_run(command, data, words);
        if result.is_err() {
            // A controller that does not even reset its lines fails the next command, too.
            let _ = self.reset_lines();
        }
        result
    }

    fn try_run(
        &mut self,
        command: Command,
        data: Option<Data>,
        words: &mut [u32],
    ) -> Result<[u32; 4], CommandError> {
        if !self.wait(COMMAND_LIMIT, || self.is_free()) {
            return Err(CommandError::TimedOut);
        }
        self.begin(command, data, None);
        self.await_status(status::COMMAND_COMPLETE)?;
        if data.is_some() {
            self.await_status(status::READ_READY)?;
            words.iter_mut().for_each(|word| *word = self.read_word());
        }
        if data.is_some() || command.is_busy() {
            self.await_status(status::TRANSFER_COMPLETE)?;
        }
        let response = [0, 4, 8, 12].map(|at| self.read(RESPONSE + at));
        match command.response {
            Response::R1 | Response::R1b if CardStatus(response[0]).failed() && !is_own_format(command) => {
                Err(CommandError::Refused(response[0]))
            }
            _ => Ok(response),
        }
    }

    fn await_status(&self, bit: u32) -> Result<(), CommandError> {
        let mut seen = 0;
        self.wait(COMMAND_LIMIT, || {
            seen = self.status();
            seen & (bit | status::ERRORS) != 0
        });
        if seen == u32::MAX || seen & status::ERRORS != 0 {
            return Err(CommandError::Failed(seen & status::ERRORS));
        }
        if seen & bit == 0 {
            return Err(CommandError::TimedOut);
        }
        self.clear(bit);
        Ok(())
    }
}

/// Answers that are 48 bits with a checksum, but not the card's status: R6 and R7.
fn is_own_format(command: Command) -> bool {
    matches!(command.index, RELATIVE_ADDR | CMD8)
}
