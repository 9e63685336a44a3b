//! Commands of SD cards (Physical Layer Simplified Specification 9.00, §4.7.4) and eMMC (JESD84-B51, §6.10.4), as the
//! controller is told them.

use crate::register::command as flag;

/// What a card answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    None,
    /// The card's status. R5, R6 and R7 look the same to the controller.
    R1,
    /// The same, and busy on the data line afterwards.
    R1b,
    /// CID or CSD.
    R2,
    /// OCR, without a checksum.
    R3,
}

/// One command without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub index: u8,
    pub argument: u32,
    pub response: Response,
}

impl Command {
    pub const fn new(index: u8, argument: u32, response: Response) -> Self {
        Self {
            index,
            argument,
            response,
        }
    }

    /// Whether the data line tells when it is over.
    pub fn is_busy(self) -> bool {
        self.response == Response::R1b
    }

    /// The upper half of the command register.
    pub fn bits(self) -> u32 {
        let response = match self.response {
            Response::None => 0,
            Response::R1 => flag::RESPONSE_48 | flag::CHECK_CRC | flag::CHECK_INDEX,
            Response::R1b => flag::RESPONSE_48_BUSY | flag::CHECK_CRC | flag::CHECK_INDEX,
            Response::R2 => flag::RESPONSE_136 | flag::CHECK_CRC,
            Response::R3 => flag::RESPONSE_48,
        };
        let kind = if self.index == STOP_TRANSMISSION {
            flag::ABORT
        } else {
            0
        };
        response | kind | u32::from(self.index) << flag::INDEX_SHIFT
    }
}

// Both kinds of card.
pub(crate) const GO_IDLE_STATE: u8 = 0;
pub(crate) const ALL_SEND_CID: u8 = 2;
/// The card says (SD) or is told (eMMC) its address.
pub(crate) const RELATIVE_ADDR: u8 = 3;
pub(crate) const SWITCH: u8 = 6;
pub(crate) const SELECT_CARD: u8 = 7;
/// SD: `SEND_IF_COND`. eMMC: `SEND_EXT_CSD`.
pub(crate) const CMD8: u8 = 8;
pub(crate) const SEND_CSD: u8 = 9;
pub(crate) const STOP_TRANSMISSION: u8 = 12;
pub(crate) const SEND_STATUS: u8 = 13;
pub(crate) const SET_BLOCKLEN: u8 = 16;
pub(crate) const READ_SINGLE_BLOCK: u8 = 17;
pub(crate) const READ_MULTIPLE_BLOCK: u8 = 18;
pub(crate) const WRITE_SINGLE_BLOCK: u8 = 24;
pub(crate) const WRITE_MULTIPLE_BLOCK: u8 = 25;
pub(crate) const ERASE: u8 = 38;
// SD.
pub(crate) const ERASE_WR_BLK_START: u8 = 32;
pub(crate) const ERASE_WR_BLK_END: u8 = 33;
pub(crate) const APP_CMD: u8 = 55;
pub(crate) const ACMD_SET_BUS_WIDTH: u8 = 6;
pub(crate) const ACMD_SD_STATUS: u8 = 13;
pub(crate) const ACMD_SD_SEND_OP_COND: u8 = 41;
pub(crate) const ACMD_SEND_SCR: u8 = 51;
// eMMC.
pub(crate) const SEND_OP_COND: u8 = 1;
pub(crate) const ERASE_GROUP_START: u8 = 35;
pub(crate) const ERASE_GROUP_END: u8 = 36;

/// The card's status, as R1 has it (Physical Layer §4.10.1, JESD84-B51 §6.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CardStatus(pub u32);

impl CardStatus {
    /// Out of range, misaddressed, wrong block length, erase sequence or parameters, write protected, lock failed, ECC,
    /// controller, general, CSD. Not: what it thinks of the command before.
    const ERRORS: u32 = 0xfd39_0000;
    /// Those of them that another try does not mend.
    const LASTING: u32 = 0xfd01_0000;
    const SWITCH_ERROR: u32 = 1 << 7;
    const READY_FOR_DATA: u32 = 1 << 8;
    const TRANSFER_STATE: u32 = 4;

    pub fn failed(self) -> bool {
        self.0 & Self::ERRORS != 0
    }

    pub fn failed_for_good(self) -> bool {
        self.0 & Self::LASTING != 0
    }

    pub fn switch_failed(self) -> bool {
        self.0 & Self::SWITCH_ERROR != 0
    }

    /// It takes the next data command.
    pub fn is_ready(self) -> bool {
        self.0 >> 9 & 15 == Self::TRANSFER_STATE && self.0 & Self::READY_FOR_DATA != 0
    }
}
