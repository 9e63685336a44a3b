//! Commands, as submission queue entries (Base 2.0, §3.3.3.1; NVM Command Set 1.0, §3).

/// Admin commands (Base 2.0, §5).
pub(crate) mod admin {
    pub const CREATE_SQ: u8 = 0x01;
    pub const CREATE_CQ: u8 = 0x05;
    pub const IDENTIFY: u8 = 0x06;
    pub const SET_FEATURES: u8 = 0x09;
    /// Feature: Number of Queues.
    pub const NUMBER_OF_QUEUES: u32 = 0x07;
}

/// Commands of the NVM command set.
pub(crate) mod nvm {
    pub const FLUSH: u8 = 0x00;
    pub const WRITE: u8 = 0x01;
    pub const READ: u8 = 0x02;
    pub const WRITE_ZEROES: u8 = 0x08;
    pub const DATASET_MANAGEMENT: u8 = 0x09;
    /// CDW11 of Dataset Management: attribute Deallocate.
    pub const AD: u32 = 1 << 2;
    /// CDW12 of Write Zeroes: the blocks may be deallocated.
    pub const DEAC: u32 = 1 << 25;
}

/// One command, without its identifier. Words that no command of ours uses are zero in every entry for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub opcode: u8,
    pub nsid: u32,
    pub prp1: u64,
    pub prp2: u64,
    /// CDW10 and above it CDW11.
    pub cdw10: u64,
    /// CDW12.
    pub cdw12: u32,
}

/// A completion's status field, without the phase tag: code, type, more, do not retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusField(pub u16);

impl StatusField {
    pub fn is_success(self) -> bool {
        self.code() == 0
    }

    /// Status code type and status code.
    pub fn code(self) -> u16 {
        self.0 & 0x7ff
    }

    /// Generic status: the opcode is not supported.
    pub fn is_unsupported(self) -> bool {
        self.code() == 1
    }
}
