//! Registers (SD Host Controller Simplified Specification 4.20, §2.2). Each access is 32 bits wide, which some controllers
//! demand and all allow.

/// Argument of Auto CMD23, or the 32-bit block count of version 4.
pub(crate) const ARGUMENT2: usize = 0x00;
/// Block size, and the block count in the upper half.
pub(crate) const BLOCK: usize = 0x04;
pub(crate) const ARGUMENT: usize = 0x08;
/// Transfer mode, and the command in the upper half, which begins when it is written.
pub(crate) const COMMAND: usize = 0x0c;
/// Four words.
pub(crate) const RESPONSE: usize = 0x10;
pub(crate) const BUFFER_DATA_PORT: usize = 0x20;
pub(crate) const PRESENT_STATE: usize = 0x24;
/// Host control 1, power control, block gap control, wakeup control.
pub(crate) const HOST_CONTROL: usize = 0x28;
/// Clock control, timeout control, software reset.
pub(crate) const CLOCK: usize = 0x2c;
/// Normal and error interrupt status: a 1 written clears the bit.
pub(crate) const STATUS: usize = 0x30;
/// Which of them appear at all.
pub(crate) const STATUS_ENABLE: usize = 0x34;
/// Which of them interrupt.
pub(crate) const SIGNAL_ENABLE: usize = 0x38;
/// Auto CMD error status, and host control 2 in the upper half.
pub(crate) const HOST_CONTROL_2: usize = 0x3c;
pub(crate) const CAPABILITIES: usize = 0x40;
/// Two words.
pub(crate) const ADMA_ADDRESS: usize = 0x58;
/// Slot interrupt status, and the version in the upper half.
pub(crate) const VERSION: usize = 0xfc;

/// Transfer mode (§2.2.5), lower half of [`COMMAND`].
pub(crate) mod mode {
    pub const DMA: u32 = 1 << 0;
    pub const BLOCK_COUNT: u32 = 1 << 1;
    pub const AUTO_CMD12: u32 = 1 << 2;
    pub const AUTO_CMD23: u32 = 2 << 2;
    pub const READ: u32 = 1 << 4;
    pub const MULTI: u32 = 1 << 5;
}

/// Command (§2.2.6), upper half of [`COMMAND`].
pub(crate) mod command {
    pub const RESPONSE_136: u32 = 1 << 16;
    pub const RESPONSE_48: u32 = 2 << 16;
    pub const RESPONSE_48_BUSY: u32 = 3 << 16;
    pub const CHECK_CRC: u32 = 1 << 19;
    pub const CHECK_INDEX: u32 = 1 << 20;
    pub const DATA: u32 = 1 << 21;
    pub const ABORT: u32 = 3 << 22;
    pub const INDEX_SHIFT: u32 = 24;
}

/// Present state (§2.2.9).
pub(crate) mod present {
    pub const COMMAND_INHIBIT: u32 = 1 << 0;
    pub const DATA_INHIBIT: u32 = 1 << 1;
    pub const CARD_INSERTED: u32 = 1 << 16;
    /// 0 while the card's switch says that it is protected.
    pub const WRITE_ENABLED: u32 = 1 << 19;
}

/// [`HOST_CONTROL`](super::register::HOST_CONTROL) (§2.2.10, §2.2.11).
pub(crate) mod control {
    pub const WIDTH_4: u32 = 1 << 1;
    pub const HIGH_SPEED: u32 = 1 << 2;
    pub const ADMA2: u32 = 2 << 3;
    pub const ADMA2_64: u32 = 3 << 3;
    pub const WIDTH_8: u32 = 1 << 5;
    pub const POWER_ON: u32 = 1 << 8;
    pub const VOLTS_3_3: u32 = 7 << 9;
    pub const VOLTS_3_0: u32 = 6 << 9;
    pub const VOLTS_1_8: u32 = 5 << 9;
}

/// [`CLOCK`](super::register::CLOCK) (§2.2.14 to §2.2.16).
pub(crate) mod clock {
    pub const INTERNAL_ENABLE: u32 = 1 << 0;
    pub const INTERNAL_STABLE: u32 = 1 << 1;
    pub const SD_ENABLE: u32 = 1 << 2;
    /// The longest data timeout there is.
    pub const TIMEOUT_MAX: u32 = 0xe << 16;
    pub const RESET_ALL: u32 = 1 << 24;
    pub const RESET_COMMAND: u32 = 1 << 25;
    pub const RESET_DATA: u32 = 1 << 26;
}

/// Interrupt status (§2.2.17, §2.2.18).
pub(crate) mod status {
    pub const COMMAND_COMPLETE: u32 = 1 << 0;
    pub const TRANSFER_COMPLETE: u32 = 1 << 1;
    pub const WRITE_READY: u32 = 1 << 4;
    pub const READ_READY: u32 = 1 << 5;
    pub const REMOVAL: u32 = 1 << 7;
    pub const ERRORS: u32 = 0x07ff_0000;
    pub const ADMA: u32 = 1 << 25;

    /// All that is looked at.
    pub const WANTED: u32 =
        COMMAND_COMPLETE | TRANSFER_COMPLETE | WRITE_READY | READ_READY | REMOVAL | ERRORS;
}

/// Upper half of [`HOST_CONTROL_2`](super::register::HOST_CONTROL_2) (§2.2.25).
pub(crate) mod control2 {
    pub const VERSION_4: u32 = 1 << 28;
    pub const ADDRESSES_64: u32 = 1 << 29;
}

/// Capabilities (§2.2.26).
pub(crate) mod capability {
    pub const BASE_CLOCK_SHIFT: u32 = 8;
    pub const WIDTH_8: u32 = 1 << 18;
    pub const ADMA2: u32 = 1 << 19;
    pub const HIGH_SPEED: u32 = 1 << 21;
    pub const VOLTS_3_3: u32 = 1 << 24;
    pub const VOLTS_3_0: u32 = 1 << 25;
    pub const VOLTS_1_8: u32 = 1 << 26;
    pub const ADDRESSES_64_V4: u32 = 1 << 27;
    pub const ADDRESSES_64: u32 = 1 << 28;
}
