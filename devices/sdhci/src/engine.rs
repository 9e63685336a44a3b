//! The one command under way, and what follows from how it ends.
//!
//! | Request | Steps |
//! |---|---|
//! | read | transfer |
//! | write | transfer, verify |
//! | discard | erase start, erase end, erase, verify |
//! | whatever failed | stop, ask (`recover.rs`), then again from the start or the end |

use alloc::vec::Vec;
use core::time::Duration;

use outrigger_devices::{
    BlockOp, Clock, DeviceFault, DmaLoan, DmaPath, DmaPool, DmaView, Instant, RegisterIo, Status,
};
use outrigger_ring::SharedPages;

use crate::adma::Table;
use crate::card::{Card, Kind};
use crate::command::{self, Command, Response};
use crate::host::Host;
use crate::queue::Request;
use crate::register::status;
use crate::transfer::Cursor;

/// How long a command without data may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(1);
/// How long a card may stay busy after a write.
const BUSY_LIMIT: Duration = Duration::from_secs(3);
/// How long a card may take over a discard.
const LONG_LIMIT: Duration = Duration::from_secs(30);
/// A busy card is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// The status is looked at so often even if no interrupt comes.
const LOOK: Duration = Duration::from_millis(100);

/// What is being done for the request whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Transfer,
    EraseStart,
    EraseEnd,
    Erase,
    /// The card is asked whether all went well and is over.
    Verify,
    /// After a failure: the card is told to stop.
    Stop,
    /// And asked whether it did.
    Ask,
}

/// The command under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    pub step: Step,
    /// Status bits that are still to come.
    pub awaited: u32,
    /// It has failed if they have not come by then.
    pub until: Instant,
    /// The card is asked again then, and no command is under way.
    pub again: Option<Instant>,
    /// When the status was looked at last.
    pub(crate) looked: Instant,
    /// How often the request was begun.
    pub tries: u8,
    /// How often the card did not answer after a failure.
    pub silences: u8,
    /// The failure cannot be mended by trying again.
    pub lasting: bool,
    /// ADMA has failed this request.
    pub adma_failed: bool,
    /// The processor moves the data.
    pub by_hand: bool,
    pub cursor: Cursor,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing more for now.
    Pending,
    /// The request has ended.
    Ended(Status),
    /// There may be more at once.
    More,
}

/// Controller, card, and the way to memory.
pub(crate) struct Engine<R, P: DmaPool, C> {
    pub host: Host<R, C>,
    pub card: Card,
    pub path: DmaPath<P>,
    /// Without it all data goes through the data port.
    pub table: Option<Table<P::Memory>>,
    pub active: Option<Active>,
    pub loans: Vec<DmaLoan>,
    /// Blocks moved by hand since this was set to 0.
    pub moved: u32,
}

impl<R, P, C> Engine<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    /// Begins a request. No command is under way.
    pub fn start(&mut self, request: &Request<'_>, tries: u8, by_hand: bool) {
        let step = match request.op {
            // A flush needs no card, and does not come here.
            BlockOp::Read | BlockOp::Write | BlockOp::Flush => Step::Transfer,
            BlockOp::Discard | BlockOp::WriteZeroes { .. } => Step::EraseStart,
        };
        let now = self.host.now();
        self.active = Some(Active {
            step,
            awaited: 0,
            until: now,
            again: None,
            looked: now,
            tries: tries + 1,
            silences: 0,
            lasting: false,
            adma_failed: by_hand,
            by_hand,
            cursor: Cursor::default(),
        });
        self.enter(step, request);
    }

    /// Sends a step's command.
    pub fn enter(&mut self, step: Step, request: &Request<'_>) {
        if step == Step::Transfer {
            return self.transfer(request);
        }
        let last = request.sector + request.sectors.saturating_sub(1);
        let sd = self.card.kind == Kind::Sd;
        let (index, argument, response, limit) = match step {
            Step::EraseStart => (
                if sd {
                    command::ERASE_WR_BLK_START
                } else {
                    command::ERASE_GROUP_START
                },
                self.card.address(request.sector),
                Response::R1,
                COMMAND_LIMIT,
            ),
            Step::EraseEnd => (
                if sd {
                    command::ERASE_WR_BLK_END
                } else {
                    command::ERASE_GROUP_END
                },
                self.card.address(last),
                Response::R1,
                COMMAND_LIMIT,
            ),
            Step::Erase => {
                let argument = self.card.discard.map_or(0, |discard| discard.argument);
                (command::ERASE, argument, Response::R1b, LONG_LIMIT)
            }
            Step::Stop => (command::STOP_TRANSMISSION, 0, Response::R1b, COMMAND_LIMIT),
            Step::Verify | Step::Ask | Step::Transfer => {
                (command::SEND_STATUS, self.card.rca, Response::R1, BUSY_LIMIT)
            }
        };
        let command = Command::new(index, argument, response);
        let mut awaited = status::COMMAND_COMPLETE;
        if command.is_busy() {
            awaited |= status::TRANSFER_COMPLETE;
        }
        self.expect(step, awaited, limit);
        self.host.begin(command, None, None);
    }

    pub(crate) fn expect(&mut self, step: Step, awaited: u32, limit: Duration) {
        let now = self.host.now();
        if let Some(active) = &mut self.active {
            // A card that is asked again and again has one time for all of it.
            if active.step != step || active.again.is_none() {
                active.until = now.after(limit);
            }
            (active.step, active.awaited, active.again, active.looked) = (step, awaited, None, now);
        }
    }

    /// Looks what has become of the command under way, and takes the next step.
    pub fn advance(&mut self, request: &Request<'_>) -> Result<Progress, DeviceFault> {
        let Some(mut active) = self.active else {
            return Ok(Progress::Pending);
        };
        let now = self.host.now();
        if let Some(again) = active.again {
            if now < again {
                return Ok(Progress::Pending);
            }
            // Judged by an answer of after that time: we may have been paused meanwhile.
            if active.looked > active.until && active.step == Step::Verify {
                return self.failed(request, 0);
            }
            self.enter(active.step, request);
            return Ok(Progress::More);
        }
        let mut seen = self.host.status();
        if seen == u32::MAX {
            return Err(DeviceFault("the controller's registers read as ones"));
        }
        // It is over when the data line is free, whatever the status says.
        if seen & active.awaited & status::TRANSFER_COMPLETE != 0 && self.host.is_data_in_use() {
            seen &= !status::TRANSFER_COMPLETE;
        }
        if seen & self.wanted() == 0 {
            active.looked = now;
            self.active = Some(active);
            if now <= active.until {
                return Ok(Progress::Pending);
            }
            log::warn!(
                "sdhci: {:?} at sector {} got no answer",
                active.step,
                request.sector
            );
            return self.failed(request, 0);
        }
        if seen & status::REMOVAL != 0 {
            self.host.clear(status::REMOVAL);
            self.still_there()?;
        }
        if seen & status::ERRORS != 0 {
            return self.failed(request, seen & status::ERRORS);
        }
        if seen & active.awaited & status::COMMAND_COMPLETE != 0 {
            self.host.clear(status::COMMAND_COMPLETE);
            active.awaited &= !status::COMMAND_COMPLETE;
            let answer = self.host.card_status();
            // What it answers to being stopped or asked is judged when that is over.
            if answer.failed() && !matches!(active.step, Step::Stop | Step::Ask) {
                active.lasting = answer.failed_for_good();
                self.active = Some(active);
                return self.failed(request, 0);
            }
        }
        if active.by_hand && seen & active.awaited & (status::READ_READY | status::WRITE_READY) != 0 {
            self.by_hand(&mut active, request);
        }
        if seen & active.wanted() & status::TRANSFER_COMPLETE != 0 {
            self.host.clear(status::TRANSFER_COMPLETE);
            active.awaited &= !status::TRANSFER_COMPLETE;
        }
        active.looked = now;
        self.active = Some(active);
        if active.awaited != 0 {
            // What was not there yet may have come by now; if not, it is the interrupt's.
            return Ok(if self.has_news() {
                Progress::More
            } else {
                Progress::Pending
            });
        }
        self.over(active, request)
    }

    /// A step's command is over.
    fn over(&mut self, active: Active, request: &Request<'_>) -> Result<Progress, DeviceFault> {
        let next = match active.step {
            Step::Transfer if request.op == BlockOp::Read => {
                self.take_back(true);
                return Ok(self.end(Status::Ok));
            }
            Step::Transfer => {
                self.take_back(true);
                Step::Verify
            }
            Step::EraseStart => Step::EraseEnd,
            Step::EraseEnd => Step::Erase,
            Step::Erase => Step::Verify,
            Step::Verify => {
                let answer = self.host.card_status();
                if !answer.is_ready() {
                    return Ok(self.ask_again());
                }
                return Ok(self.end(Status::Ok));
            }
            Step::Stop => Step::Ask,
            Step::Ask => return self.asked(request),
        };
        self.enter(next, request);
        Ok(Progress::More)
    }

    /// The card is still busy: it is asked again in a while, and has failed if its time is over.
    pub fn ask_again(&mut self) -> Progress {
        let now = self.host.now();
        if let Some(active) = &mut self.active {
            active.again = Some(now.after(ASK_AGAIN));
        }
        Progress::Pending
    }

    pub fn end(&mut self, status: Status) -> Progress {
        self.active = None;
        Progress::Ended(status)
    }

    /// The status bits that matter now.
    fn wanted(&self) -> u32 {
        match self.active {
            Some(active) if active.again.is_none() => active.wanted() | status::ERRORS | status::REMOVAL,
            _ => 0,
        }
    }

    /// Whether something that matters now has happened.
    pub fn has_news(&self) -> bool {
        self.host.status() & self.wanted() != 0
    }

    /// Interrupts when it does.
    pub fn arm(&mut self) {
        let wanted = self.wanted();
        self.host.arm(wanted);
    }

    /// When to look again although nothing was heard.
    pub fn deadline(&self) -> Option<Instant> {
        let active = self.active?;
        Some(
            active
                .again
                .unwrap_or(active.until.min(active.looked.after(LOOK))),
        )
    }
}

impl Active {
    /// What is awaited and can be dealt with: data that is moved by hand is complete only after all of it was moved.
    fn wanted(&self) -> u32 {
        if self.by_hand && self.cursor.blocks_left > 0 {
            self.awaited & !status::TRANSFER_COMPLETE
        } else {
            self.awaited
        }
    }
}
