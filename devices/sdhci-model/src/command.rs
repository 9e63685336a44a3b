//! What becomes of a command.

use crate::Fault;
use crate::card::{Answer, State};
use crate::model::{Controller, INHIBIT_COMMAND, INHIBIT_DATA, status};
use crate::offer::Family;
use crate::transfer::Event;

impl Controller {
    pub fn command(&mut self, value: u32) {
        let index = (value >> 24 & 63) as u8;
        let (has_data, kind) = (value >> 21 & 1 != 0, value >> 22 & 3);
        let response = value >> 16 & 3;
        self.mode = value & 0xffff;
        self.mute = false;
        let busy = self.present() & (INHIBIT_COMMAND | INHIBIT_DATA);
        let uses_data = has_data || response == 3;
        if busy & INHIBIT_COMMAND != 0 || (busy & INHIBIT_DATA != 0 && uses_data && kind != 3) {
            self.note(format!("CMD{index} while the line is in use ({busy})"));
        }
        if !self.is_driven() {
            self.note(format!("CMD{index} to a card without power or clock"));
        }
        if self.status & self.status_enable != 0 {
            let left = self.status & !(status::REMOVAL | status::INSERTION);
            if left != 0 {
                self.note(format!(
                    "CMD{index} while status {left:#x} of the one before is not cleared"
                ));
            }
        }
        if (kind == 3) != (index == 12) {
            self.note(format!("CMD{index} of type {kind}"));
        }
        self.commands.push(index);
        let hz = self.hz();
        if hz < self.slot.slowest_clock {
            self.note(format!("a clock of {hz} Hz"));
        }
        let matches = |wanted: &Option<u8>| wanted.is_none_or(|wanted| wanted == index);
        let at = self.faults.iter().position(|(wanted, _)| matches(wanted));
        let fault = at.and_then(|at| self.faults.remove(at)).map(|(_, fault)| fault);
        match fault {
            Some(Fault::Ones) => self.ones = true,
            Some(Fault::NoReset) => self.no_reset = true,
            Some(Fault::Deaf) => self.deaf = true,
            Some(Fault::Busy) => self.busy = true,
            Some(Fault::NoInterrupt) => self.mute = true,
            Some(Fault::Garbage(bits)) => self.status |= bits,
            Some(Fault::Pull(0)) if !has_data => self.pull(),
            Some(Fault::Silence) => return,
            Some(Fault::Command(bits)) => {
                self.events.push_back(Event::Error(bits));
                return;
            }
            _ => {}
        }
        let argument = self.argument;
        let answer = match &mut self.card {
            Some(card) if !self.deaf => {
                if hz > card.fastest() {
                    card.note(format!("a clock of {hz} Hz at CMD{index}"));
                }
                // A card that gets busy with something has taken it.
                let begins = fault == Some(Fault::Busy) && matches!(index, 6 | 24 | 25 | 38);
                if self.busy && !begins && card.state == State::Tran {
                    (card.state, card.busy) = (State::Prg, u32::MAX);
                }

                match card.offer.family {
                    Family::Emmc => card.emmc(index, argument),
                    _ => card.sd(index, argument),
                }
            }
            _ => Answer::Silent,
        };
        self.answer(index, response, has_data, answer, fault);
    }

    fn answer(&mut self, index: u8, response: u32, has_data: bool, answer: Answer, fault: Option<Fault>) {
        let expected = match (index, answer) {
            (_, Answer::Silent) => {
                // Without a response there is none to miss.
                self.events.push_back(match response {
                    0 => Event::Response([0; 4]),
                    _ => Event::Error(status::COMMAND_TIMEOUT),
                });
                return;
            }
            (_, Answer::Done) => 0,
            (_, Answer::Long(_)) => 1,
            (7 | 12 | 38, _) => 3,
            (6, Answer::Short(_))
                if self
                    .card
                    .as_ref()
                    .is_some_and(|card| card.offer.family == Family::Emmc) =>
            {
                3
            }
            _ => 2,
        };
        if response != expected {
            self.note(format!(
                "CMD{index} with a response of type {response}, not {expected}"
            ));
        }
        let mut words = match answer {
            Answer::Long(long) => [0, 32, 64, 96].map(|at| (long >> at) as u32),
            Answer::Short(r1) | Answer::Register(r1, _) | Answer::Read(r1, _) | Answer::Write(r1, _) => {
                [r1, 0, 0, 0]
            }
            _ => [0; 4],
        };
        if let Some(Fault::Status(bits)) = fault {
            words[0] |= bits;
        }
        self.events.push_back(Event::Response(words));
        let no_end = fault == Some(Fault::NoEnd);
        match answer {
            Answer::Read(_, sector) | Answer::Write(_, sector) if has_data => {
                let read = matches!(answer, Answer::Read(..));
                self.begin(read, Some(sector), no_end, fault);
            }
            Answer::Register(..) if has_data => self.begin(true, None, no_end, fault),
            _ if has_data => {
                // The card refused: no data will come.
                self.events.push_back(Event::Error(status::DATA_TIMEOUT));
            }
            _ if response == 3 && !no_end => self.events.push_back(Event::End),
            _ => {}
        }
    }
}
