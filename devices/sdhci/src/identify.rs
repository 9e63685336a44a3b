//! From an empty slot to a card that takes data commands (Physical Layer §4.2, JESD84-B51 §6.4): at start-up, waited for.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};

use crate::card::{self, CLASS_ERASE, CLASS_SWITCH, Card, Csd, Discard, ExtCsd, Kind, Scr, ext_csd};
use crate::command::{self, Command, Response};
use crate::host::Host;
use crate::register::capability;
use crate::{CommandError, ProbeError};

/// How long a card may take to power up.
const POWER_UP_LIMIT: Duration = Duration::from_secs(1);

/// How long an eMMC may take over a `SWITCH`.
const SWITCH_LIMIT: Duration = Duration::from_secs(1);

/// 2.7 V to 3.6 V.
const VOLTS: u32 = 0x00ff_8000;
/// The card has powered up.
const POWERED_UP: u32 = 1 << 31;
/// The host knows cards above 2 GB; the card is one.
const HIGH_CAPACITY: u32 = 1 << 30;
/// 2.7 V to 3.6 V, and a pattern that the card sends back.
const IF_COND: u32 = 0x1aa;

/// The address that an eMMC is given.
const EMMC_RCA: u32 = 1 << 16;

pub(crate) fn identify<R: RegisterIo, C: Clock>(host: &mut Host<R, C>) -> Result<Card, ProbeError> {
    if !host.has_card() {
        return Err(ProbeError::NoCard);
    }
    let card = Identify { host };
    card.run()
}

struct Identify<'h, R, C> {
    host: &'h mut Host<R, C>,
}

impl<R: RegisterIo, C: Clock> Identify<'_, R, C> {
    fn run(mut self) -> Result<Card, ProbeError> {
        self.idle()?;
        // Cards before version 2, and eMMC, do not know it.
        let version_2 = self
            .send(command::CMD8, IF_COND, Response::R1)
            .is_ok_and(|r| r[0] & 0xfff == IF_COND);
        let (kind, ocr) = match self.sd_op_cond(version_2)? {
            Some(ocr) => (Kind::Sd, ocr),
            None => {
                self.idle()?;
                (Kind::Emmc, self.emmc_op_cond()?)
            }
        };
        let cid = self.must(command::ALL_SEND_CID, 0, Response::R2)?;
        let rca = match kind {
            Kind::Sd => self.must(command::RELATIVE_ADDR, 0, Response::R1)?[0] & 0xffff_0000,
            Kind::Emmc => {
                self.must(command::RELATIVE_ADDR, EMMC_RCA, Response::R1)?;
                EMMC_RCA
            }
        };
        let csd = Csd::decode(kind, &self.must(command::SEND_CSD, rca, Response::R2)?)?;
        self.host.set_clock(match kind {
            Kind::Sd => 25_000_000,
            Kind::Emmc => 20_000_000,
        })?;
        self.must(command::SELECT_CARD, rca, Response::R1b)?;
        let card = Card {
            kind,
            cid,
            rca,
            sectors: csd.sectors,
            by_sector: ocr & HIGH_CAPACITY != 0,
            protected: csd.protected,
            discard: None,
            set_block_count: false,
        };
        let card = match kind {
            Kind::Sd => self.sd(card, &csd)?,
            Kind::Emmc => self.emmc(card, &csd)?,
        };
        if !card.by_sector {
            self.must(command::SET_BLOCKLEN, 512, Response::R1)?;
        }
        let most = if card.by_sector { 1 << 32 } else { 1 << 23 };
        if card.sectors == 0 || card.sectors > most {
            return Err(ProbeError::Card("names a capacity that cannot be"));
        }
        Ok(card)
    }

    fn send(&mut self, index: u8, argument: u32, response: Response) -> Result<[u32; 4], CommandError> {
        self.host.command(Command::new(index, argument, response))
    }

    fn must(&mut self, index: u8, argument: u32, response: Response) -> Result<[u32; 4], ProbeError> {
        self.send(index, argument, response)
            .map_err(|why| ProbeError::Command(index, why))
    }

    fn idle(&mut self) -> Result<(), ProbeError> {
        self.must(command::GO_IDLE_STATE, 0, Response::None)?;
        self.host.pause(Duration::from_millis(1));
        Ok(())
    }

    /// An application command of SD.
    fn app(&mut self, rca: u32) -> Result<(), CommandError> {
        self.send(command::APP_CMD, rca, Response::R1).map(|_| ())
    }

    fn app_must(&mut self, rca: u32, index: u8, argument: u32) -> Result<(), ProbeError> {
        self.app(rca)
            .map_err(|why| ProbeError::Command(command::APP_CMD, why))?;
        self.must(index, argument, Response::R1).map(|_| ())
    }

    fn app_read(&mut self, rca: u32, index: u8, words: &mut [u32]) -> Result<(), CommandError> {
        self.app(rca)?;
        self.host
            .read_data(Command::new(index, 0, Response::R1), words)
            .map(|_| ())
    }

    /// Asks until the card has powered up; its OCR, or `None` if it is no SD card.
    fn sd_op_cond(&mut self, version_2: bool) -> Result<Option<u32>, ProbeError> {
        let argument = if version_2 { VOLTS | HIGH_CAPACITY } else { VOLTS };
        let until = self.host.now().after(POWER_UP_LIMIT);
        loop {
            if self.app(0).is_err() {
                return Ok(None);
            }
            let Ok(response) = self.send(command::ACMD_SD_SEND_OP_COND, argument, Response::R3) else {
                return Ok(None);
            };
            if response[0] & POWERED_UP != 0 {
                return Ok(Some(response[0]));
            }
            if self.host.now() > until {
                return Err(ProbeError::NeverReady);
            }
            self.host.pause(Duration::from_millis(1));
        }
    }

    fn emmc_op_cond(&mut self) -> Result<u32, ProbeError> {
        let until = self.host.now().after(POWER_UP_LIMIT);
        loop {
            let ocr = self.must(command::SEND_OP_COND, VOLTS | HIGH_CAPACITY, Response::R3)?[0];
            if ocr & POWERED_UP != 0 {
                return Ok(ocr);
            }
            if self.host.now() > until {
                return Err(ProbeError::NeverReady);
            }
            self.host.pause(Duration::from_millis(1));
        }
    }

    /// The rest of an SD card: four lines, high speed, what `ERASE` does.
    fn sd(&mut self, card: Card, csd: &Csd) -> Result<Card, ProbeError> {
        let mut words = [0; 2];
        self.app_read(card.rca, command::ACMD_SEND_SCR, &mut words)
            .map_err(|why| ProbeError::Command(command::ACMD_SEND_SCR, why))?;
        let scr = Scr::decode(&words);
        if scr.four_lines {
            self.app_must(card.rca, command::ACMD_SET_BUS_WIDTH, 2)?;
            self.host.set_width(4);
        }
        if scr.switch && csd.classes & CLASS_SWITCH != 0 && self.host.has(capability::HIGH_SPEED) {
            self.sd_high_speed()?;
        }
        // Only a hint of a better way to discard: a card that does not tell has the other.
        let mut status = [0; 16];
        let told = self
            .app_read(card.rca, command::ACMD_SD_STATUS, &mut status)
            .is_ok();
        let discard = Discard {
            argument: u32::from(told && card::can_discard(&status)),
            granularity: if csd.erase_single || card.by_sector {
                1
            } else {
                csd.erase_sectors
            },
        };
        Ok(Card {
            discard: (csd.classes & CLASS_ERASE != 0).then_some(discard),
            set_block_count: scr.set_block_count,
            ..card
        })
    }

    fn sd_high_speed(&mut self) -> Result<(), ProbeError> {
        // Mode check, then switch: group 1 to function 1, the others as they are.
        for (mode, switched) in [(0, false), (1 << 31, true)] {
            let mut answer = [0; 16];
            let command = Command::new(command::SWITCH, mode | 0x00ff_fff1, Response::R1);
            let asked = self.host.read_data(command, &mut answer);
            asked.map_err(|why| ProbeError::Command(command::SWITCH, why))?;
            if !card::high_speed(&answer, switched) {
                return Ok(());
            }
        }
        // Eight clocks after the switch both sides change over (§4.3.10.3).
        self.host.pause(Duration::from_micros(10));
        self.host.set_high_speed();
        self.host.set_clock(50_000_000)
    }

    /// The rest of an eMMC: lines, high speed, what `ERASE` does. Its volatile cache stays off, as it is after power-up: what
    /// it held would be lost when the card is reset, and a reset is not to cost a guest what it was told is written.
    fn emmc(&mut self, card: Card, csd: &Csd) -> Result<Card, ProbeError> {
        let groups = Discard {
            argument: 0,
            granularity: csd.erase_sectors,
        };
        let erase = csd.classes & CLASS_ERASE != 0;
        // Before version 4 there is no extended CSD.
        if csd.version < 4 {
            return Ok(Card {
                discard: erase.then_some(groups),
                ..card
            });
        }
        let mut words = [0; 128];
        let asked = self
            .host
            .read_data(Command::new(command::CMD8, 0, Response::R1), &mut words);
        asked.map_err(|why| ProbeError::Command(command::CMD8, why))?;
        let ext = ExtCsd::decode(&words)?;
        if ext.high_speed && self.host.has(capability::HIGH_SPEED) {
            self.switch(card.rca, ext_csd::HS_TIMING, 1)?;
            self.host.set_high_speed();
            self.host.set_clock(52_000_000)?;
        }
        let eight = self.host.chip().eight_lines && self.host.has(capability::WIDTH_8);
        self.switch(card.rca, ext_csd::BUS_WIDTH, if eight { 2 } else { 1 })?;
        self.host.set_width(if eight { 8 } else { 4 });
        let discard = match () {
            () if ext.discard => Discard {
                argument: 3,
                granularity: 1,
            },
            () if ext.trim => Discard {
                argument: 1,
                granularity: 1,
            },
            () if ext.erase_sectors > 0 => {
                self.switch(card.rca, ext_csd::ERASE_GROUP_DEF, 1)?;
                Discard {
                    argument: 0,
                    granularity: ext.erase_sectors,
                }
            }
            () => groups,
        };
        Ok(Card {
            sectors: if card.by_sector { ext.sectors } else { card.sectors },
            discard: erase.then_some(discard),
            set_block_count: true,
            ..card
        })
    }

    /// Writes a byte of the extended CSD.
    fn switch(&mut self, rca: u32, byte: u8, value: u8) -> Result<(), ProbeError> {
        let failed = |why| ProbeError::Command(command::SWITCH, why);
        self.must(command::SWITCH, switch_argument(byte, value), Response::R1b)?;
        let until = self.host.now().after(SWITCH_LIMIT);
        loop {
            self.must(command::SEND_STATUS, rca, Response::R1)?;
            let status = self.host.card_status();
            if status.switch_failed() {
                return Err(failed(CommandError::Refused(status.0)));
            }
            if status.is_ready() {
                return Ok(());
            }
            if self.host.now() > until {
                return Err(failed(CommandError::TimedOut));
            }
        }
    }
}

/// The argument of an eMMC's `SWITCH` that writes one byte of the extended CSD (JESD84-B51 §6.6.1).
pub(crate) fn switch_argument(byte: u8, value: u8) -> u32 {
    3 << 24 | u32::from(byte) << 16 | u32::from(value) << 8
}
