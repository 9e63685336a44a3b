//! What SD cards and eMMCs have in common: states, data, erasing.

use crate::offer::{CardOffer, Family};

/// The content of a discarded sector.
pub(crate) const DISCARDED: u8 = 0xdd;

/// A card's state (Physical Layer §4.1; eMMC has the same numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle = 0,
    Ready = 1,
    Ident = 2,
    Stby = 3,
    Tran = 4,
    Data = 5,
    Rcv = 6,
    Prg = 7,
}

/// What a card does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: it does not know the command, or not in this state.
    Silent,
    /// `GO_IDLE_STATE`.
    Done,
    /// 48 bits.
    Short(u32),
    /// 128 bits, the lowest 8 of them missing.
    Long(u128),
    /// 48 bits, and then one block of a register.
    Register(u32, &'static str),
    /// 48 bits, and then sectors from this one on.
    Read(u32, u64),
    /// 48 bits, and then it takes sectors from this one on.
    Write(u32, u64),
}

pub(crate) struct Card {
    pub offer: CardOffer,
    /// Of the CID; no two cards have the same.
    pub serial: u32,
    pub state: State,
    pub rca: u16,
    /// Contents, cache included.
    pub contents: Vec<u8>,
    /// What survives a power cut.
    pub durable: Vec<u8>,
    pub cache_on: bool,
    pub lines: u32,
    pub high_speed: bool,
    /// Error bits for the next R1.
    pub errors: u32,
    pub app: bool,
    powering_up: u32,
    pub busy: u32,
    erase: [Option<u64>; 2],
    pub block_count: Option<u32>,
    /// A register's block, to be sent.
    pub register: Vec<u8>,
    pub erase_group_def: bool,
    pub violations: Vec<String>,
}

const OUT_OF_RANGE: u32 = 1 << 31;
const ADDRESS_ERROR: u32 = 1 << 30;
const ERASE_SEQ_ERROR: u32 = 1 << 28;
const ERASE_PARAM: u32 = 1 << 27;
const WP_VIOLATION: u32 = 1 << 26;
const ILLEGAL_COMMAND: u32 = 1 << 22;
const READY_FOR_DATA: u32 = 1 << 8;
const APP_CMD: u32 = 1 << 5;

impl Card {
    pub fn new(offer: CardOffer, serial: u32) -> Self {
        let zeroes = vec![0; offer.sectors as usize * 512];
        Self {
            contents: zeroes.clone(),
            durable: zeroes,
            ..Self::idle(offer, serial)
        }
    }

    /// After a reset, but for what it holds.
    fn idle(offer: CardOffer, serial: u32) -> Self {
        Self {
            offer,
            serial,
            state: State::Idle,
            rca: 0,
            contents: Vec::new(),
            durable: Vec::new(),
            cache_on: false,
            lines: 1,
            high_speed: false,
            errors: 0,
            app: false,
            powering_up: offer.powering_up,
            busy: 0,
            erase: [None; 2],
            block_count: None,
            register: Vec::new(),
            erase_group_def: false,
            violations: Vec::new(),
        }
    }

    /// As power does, or `GO_IDLE_STATE`.
    pub fn reset(&mut self, power: bool) {
        if power {
            self.contents.clone_from(&self.durable);
        }
        let contents = std::mem::take(&mut self.contents);
        let durable = std::mem::take(&mut self.durable);
        let violations = std::mem::take(&mut self.violations);
        *self = Self {
            contents,
            durable,
            violations,
            ..Self::idle(self.offer, self.serial)
        };
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// The highest clock it takes now, in Hz.
    pub fn fastest(&self) -> u32 {
        match (self.state, self.high_speed, self.offer.family) {
            (State::Idle | State::Ready | State::Ident, ..) => 400_000,
            (_, true, Family::Emmc) => 52_000_000,
            (_, true, _) => 50_000_000,
            (_, false, Family::Emmc) => 26_000_000,
            (_, false, _) => 25_000_000,
        }
    }

    /// Its status, of which errors are told once.
    pub fn r1(&mut self) -> u32 {
        let ready = if self.busy == 0 { READY_FOR_DATA } else { 0 };
        let app = if self.app { APP_CMD } else { 0 };
        std::mem::take(&mut self.errors) | (self.state as u32) << 9 | ready | app
    }

    pub fn short(&mut self) -> Answer {
        Answer::Short(self.r1())
    }

    pub fn illegal(&mut self) -> Answer {
        self.errors |= ILLEGAL_COMMAND;
        Answer::Silent
    }

    /// `SEND_OP_COND` of either family: the OCR.
    pub fn op_cond(&mut self, argument: u32) -> Answer {
        let mut ocr = 0x00ff_8000;
        if self.powering_up > 0 {
            self.powering_up -= 1;
        } else {
            ocr |= 1 << 31;
            if self.offer.by_sector && argument & 1 << 30 == 0 {
                // It never gets ready for a host that does not know large cards.
                return Answer::Short(0x00ff_8000);
            }
            if self.offer.by_sector {
                ocr |= 1 << 30;
            }
            self.state = State::Ready;
        }
        Answer::Short(ocr)
    }

    /// A command that is the same in both families.
    pub fn common(&mut self, index: u8, argument: u32) -> Answer {
        let addressed = (argument >> 16) as u16 == self.rca && self.rca != 0;
        match (index, self.state) {
            (0, _) => {
                self.reset(false);
                Answer::Done
            }
            (2, State::Ready) => {
                self.state = State::Ident;
                Answer::Long((0x0353_4453_4d4f_4445_4c10_0000_0001_0000 | u128::from(self.serial) << 24) >> 8)
            }
            (7, State::Stby) if addressed => {
                let answer = self.short();
                self.state = State::Tran;
                answer
            }
            (12, State::Data | State::Rcv | State::Prg) => {
                let answer = self.short();
                self.stopped();
                answer
            }
            // What has ended by itself needs no stop.
            (12, State::Tran) => self.illegal(),
            (13, State::Stby | State::Tran | State::Data | State::Rcv | State::Prg) if addressed => {
                self.status()
            }
            (16, State::Tran) => {
                if argument != 512 {
                    self.note("a block length that is not 512");
                }
                self.short()
            }
            (17 | 18, State::Tran) => self.read(index, argument),
            (24 | 25, State::Tran) => self.write(index, argument),
            (23, State::Tran) if self.offer.set_block_count => {
                self.block_count = Some(argument & 0xffff);
                self.short()
            }
            (38, State::Tran) => self.erase(argument),
            _ => self.illegal(),
        }
    }

    fn status(&mut self) -> Answer {
        let answer = self.r1();
        if self.busy > 0 {
            self.busy -= 1;
        }
        if self.busy == 0 && self.state == State::Prg {
            self.state = State::Tran;
        }
        Answer::Short(answer)
    }

    /// A transfer has ended, by a stop or of itself.
    pub fn stopped(&mut self) {
        let wrote = matches!(self.state, State::Rcv | State::Prg);
        self.block_count = None;
        self.state = State::Tran;
        if wrote {
            self.programming();
        }
    }

    /// It has something to program, and is busy with it.
    pub fn programming(&mut self) {
        self.busy = self.offer.busy;
        self.state = if self.busy > 0 { State::Prg } else { State::Tran };
    }

    fn sector(&mut self, argument: u32) -> Option<u64> {
        let sector = if self.offer.by_sector {
            u64::from(argument)
        } else {
            if !argument.is_multiple_of(512) {
                self.errors |= ADDRESS_ERROR;
                return None;
            }
            u64::from(argument / 512)
        };
        if sector >= self.offer.sectors {
            self.errors |= OUT_OF_RANGE;
            return None;
        }
        Some(sector)
    }

    fn read(&mut self, index: u8, argument: u32) -> Answer {
        let sector = self.sector(argument);
        if index == 17 {
            self.block_count = Some(1);
        }
        let r1 = self.r1();
        let Some(sector) = sector else {
            return Answer::Short(r1);
        };
        self.state = State::Data;
        Answer::Read(r1, sector)
    }

    fn write(&mut self, index: u8, argument: u32) -> Answer {
        let sector = self.sector(argument);
        if self.offer.write_protect != 0 {
            self.errors |= WP_VIOLATION;
        }
        if index == 24 {
            self.block_count = Some(1);
        }
        let r1 = self.r1();
        match sector {
            Some(sector) if r1 & WP_VIOLATION == 0 => {
                self.state = State::Rcv;
                Answer::Write(r1, sector)
            }
            _ => Answer::Short(r1),
        }
    }

    /// One block came; false if the card is full.
    pub fn take_block(&mut self, sector: u64, bytes: &[u8]) -> bool {
        if sector >= self.offer.sectors {
            self.errors |= OUT_OF_RANGE;
            return false;
        }
        let at = sector as usize * 512;
        self.contents[at..at + 512].copy_from_slice(bytes);
        if !self.cache_on {
            self.durable[at..at + 512].copy_from_slice(bytes);
        }
        true
    }

    /// One block to send.
    pub fn give_block(&mut self, sector: u64) -> Option<Vec<u8>> {
        if sector >= self.offer.sectors {
            self.errors |= OUT_OF_RANGE;
            return None;
        }
        let at = sector as usize * 512;
        Some(self.contents[at..at + 512].to_vec())
    }

    pub fn flush(&mut self) {
        self.durable.clone_from(&self.contents);
    }

    /// `end` 0 is the first sector to erase, 1 the last.
    pub fn erase_bound(&mut self, end: usize, argument: u32) -> Answer {
        match self.sector(argument) {
            Some(_) if end == 1 && self.erase[0].is_none() => self.errors |= ERASE_SEQ_ERROR,
            Some(sector) => self.erase[end] = Some(sector),
            None => {}
        }
        self.short()
    }

    fn erase(&mut self, argument: u32) -> Answer {
        let bounds = std::mem::take(&mut self.erase);
        let [Some(first), Some(last)] = bounds else {
            self.errors |= ERASE_SEQ_ERROR;
            return self.short();
        };
        if last < first {
            self.errors |= ERASE_PARAM;
            return self.short();
        }
        let known = match (argument, self.offer.family) {
            (0, _) => true,
            (1, Family::Emmc) => self.offer.trim || self.offer.discard,
            (3, Family::Emmc) | (1, Family::Sd) => self.offer.discard,
            _ => false,
        };
        if !known {
            self.note(format!(
                "an erase of a kind that the card does not know: {argument}"
            ));
        }
        let group = if argument == 0 {
            u64::from(self.offer.erase_sectors)
        } else {
            1
        };
        // Whole groups go, even if only part of one was named: a driver that does that loses data.
        let (first, after) = (first / group * group, (last / group + 1) * group);
        let after = after.min(self.offer.sectors);
        let range = first as usize * 512..after as usize * 512;
        self.contents[range.clone()].fill(DISCARDED);
        if !self.cache_on {
            self.durable[range].fill(DISCARDED);
        }
        self.programming();
        self.short()
    }
}
