//! The controller, register by register.

use core::time::Duration;

use outrigger_devices::{Clock, Instant, RegisterIo};

use crate::command::{CardStatus, Command, STOP_TRANSMISSION};
use crate::register::{
    self, ADMA_ADDRESS, ARGUMENT, ARGUMENT2, BLOCK, BUFFER_DATA_PORT, CAPABILITIES, CLOCK, COMMAND,
    HOST_CONTROL, HOST_CONTROL_2, PRESENT_STATE, RESPONSE, SIGNAL_ENABLE, STATUS, STATUS_ENABLE, VERSION,
    capability, clock, control, control2, present, status,
};
use crate::{Chip, ProbeError};

/// How long a reset, or the internal clock, may take.
const RESET_LIMIT: Duration = Duration::from_millis(100);

/// How often the present state is looked at before a command: some microseconds.
const FREE_LOOKS: u32 = 100;

/// The controller never came back from a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

/// The data of a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Data {
    /// Bytes a block.
    pub size: u32,
    pub blocks: u32,
    /// Transfer mode bits.
    pub mode: u32,
}

/// How it reaches memory by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adma {
    None,
    /// 32-bit addresses, 8 bytes a descriptor.
    Bits32,
    /// 64-bit addresses as version 3 has them, 12 bytes a descriptor.
    Bits64,
    /// 64-bit addresses as version 4 has them, 16 bytes a descriptor.
    Version4,
}

#[derive(Debug)]
pub(crate) struct Host<R, C> {
    io: R,
    clock: C,
    chip: Chip,
    capabilities: u32,
    /// Of the specification: 0 is 1.00, 1 is 2.00, 2 is 3.00, 3 is 4.00.
    version: u32,
    pub adma: Adma,
    /// What [`HOST_CONTROL`] holds.
    control: u32,
    /// What [`CLOCK`] holds, without resets.
    clocks: u32,
    /// How long a write to a register settles.
    settle: Duration,
    /// What [`SIGNAL_ENABLE`] holds.
    armed: u32,
}

impl<R: RegisterIo, C: Clock> Host<R, C> {
    /// Finds the controller and resets it; its card gets no power yet.
    pub fn find(io: R, clock: C, chip: Chip) -> Result<Self, ProbeError> {
        let mut host = Self {
            io,
            clock,
            chip,
            capabilities: 0,
            version: 0,
            adma: Adma::None,
            control: 0,
            clocks: 0,
            settle: Duration::ZERO,
            armed: 0,
        };
        host.look()?;
        Ok(host)
    }

    /// Looks what the controller is, and resets it.
    pub fn look(&mut self) -> Result<(), ProbeError> {
        self.version = self.read(VERSION) >> 16 & 0xff;
        self.capabilities = self.read(CAPABILITIES);
        if self.capabilities == 0 || self.capabilities == u32::MAX || self.version > 5 {
            return Err(ProbeError::NotThere);
        }
        self.adma = match self.capabilities {
            c if c & capability::ADMA2 == 0 => Adma::None,
            c if c & capability::ADDRESSES_64_V4 != 0 && self.version >= 3 => Adma::Version4,
            c if c & capability::ADDRESSES_64 != 0 => Adma::Bits64,
            _ => Adma::Bits32,
        };
        self.settle = Duration::ZERO;
        self.reset().map_err(|Stuck| ProbeError::Stuck("reset"))
    }

    pub fn chip(&self) -> &Chip {
        &self.chip
    }

    pub fn has(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A sign of life, from a loop that has a bound of its own.
    pub fn still_alive(&self) {
        self.clock.still_alive();
    }

    pub(crate) fn read(&self, at: usize) -> u32 {
        self.io.read_u32(at)
    }

    fn write(&self, at: usize, value: u32) {
        self.io.write_u32(at, value);
        if self.settle > Duration::ZERO {
            self.pause(self.settle);
        }
    }

    /// Does nothing for so long. For start-up, never the data path.
    pub fn pause(&self, time: Duration) {
        let until = self.now().after(time);
        while self.now() < until {
            self.clock.still_alive();
            core::hint::spin_loop();
        }
    }

    pub(crate) fn wait(&self, limit: Duration, mut met: impl FnMut() -> bool) -> bool {
        let until = self.now().after(limit);
        loop {
            if met() {
                return true;
            }
            if self.now() > until {
                return met();
            }
            self.clock.still_alive();
            core::hint::spin_loop();
        }
    }

    /// Resets everything: the card is without clock and power, nothing interrupts, no DMA is under way.
    pub fn reset(&mut self) -> Result<(), Stuck> {
        self.armed = 0;
        self.control = 0;
        self.clocks = 0;
        self.reset_lines_of(clock::RESET_ALL)
    }

    /// Resets the command and the data line: what was under way is forgotten (§3.10.1).
    pub fn reset_lines(&mut self) -> Result<(), Stuck> {
        self.reset_lines_of(clock::RESET_COMMAND)?;
        self.reset_lines_of(clock::RESET_DATA)?;
        self.write(STATUS, status::WANTED);
        Ok(())
    }

    fn reset_lines_of(&mut self, which: u32) -> Result<(), Stuck> {
        self.write(CLOCK, self.clocks | which);
        let done = self.wait(RESET_LIMIT, || self.read(CLOCK) & which == 0);
        if done { Ok(()) } else { Err(Stuck) }
    }

    /// Gives the card power and the slow clock that it is identified at.
    pub fn power_up(&mut self) -> Result<(), ProbeError> {
        // A pin that is not wired says nothing.
        let removal = if self.chip.pins { 0 } else { status::REMOVAL };
        self.write(STATUS_ENABLE, status::WANTED & !removal);
        self.write(SIGNAL_ENABLE, 0);
        if self.adma == Adma::Version4 {
            let control = self.read(HOST_CONTROL_2) & 0xffff_0000;
            self.write(
                HOST_CONTROL_2,
                control | control2::VERSION_4 | control2::ADDRESSES_64,
            );
        }
        let volts = match () {
            () if self.has(capability::VOLTS_3_3) => control::VOLTS_3_3,
            () if self.has(capability::VOLTS_3_0) => control::VOLTS_3_0,
            () if self.has(capability::VOLTS_1_8) => control::VOLTS_1_8,
            () => return Err(ProbeError::NoVoltage),
        };
        // The voltage first, then power with it (§3.3).
        self.set_control(u32::MAX, volts);
        self.set_control(0, control::POWER_ON);
        self.set_clock(400_000)?;
        // Ramp-up, and the 74 clocks that a card may ask for (Physical Layer §6.4.1).
        self.pause(Duration::from_millis(2));
        Ok(())
    }

    /// Clears and sets bits of [`HOST_CONTROL`].
    fn set_control(&mut self, clear: u32, set: u32) {
        self.control = self.control & !clear | set;
        self.write(HOST_CONTROL, self.control);
    }

    /// Drives the card with at most `hz`, as far as the controller can.
    pub fn set_clock(&mut self, hz: u32) -> Result<(), ProbeError> {
        let base = self.chip.base_clock.unwrap_or_else(|| {
            let mask = if self.version >= 2 { 0xff } else { 0x3f };
            (self.capabilities >> capability::BASE_CLOCK_SHIFT & mask) * 1_000_000
        });
        if base == 0 {
            return Err(ProbeError::NoClock);
        }
        let hz = hz.max(self.chip.slowest_clock);
        // The clock is the base clock by 2 n, or the base clock itself for n = 0 (§2.2.14).
        let n = if hz >= base { 0 } else { base.div_ceil(2 * hz) };
        let (n, divider) = if self.version >= 2 {
            let n = n.min(0x3ff);
            (n, (n & 0xff) << 8 | n >> 8 << 6)
        } else {
            let n = n.next_power_of_two().min(0x80) * u32::from(n > 0);
            (n, n << 8)
        };
        let actual = if n == 0 { base } else { base / (2 * n) };
        self.clocks = clock::TIMEOUT_MAX;
        self.write(CLOCK, self.clocks);
        self.clocks |= divider | clock::INTERNAL_ENABLE;
        self.write(CLOCK, self.clocks);
        let stable = self.wait(RESET_LIMIT, || self.read(CLOCK) & clock::INTERNAL_STABLE != 0);
        if !stable {
            return Err(ProbeError::Stuck("clock"));
        }
        self.clocks |= clock::SD_ENABLE;
        self.write(CLOCK, self.clocks);
        // Four periods of the card's clock.
        let slow = self.chip.slow_writes && actual <= 400_000;
        self.settle = if slow {
            Duration::from_nanos(4_000_000_000 / u64::from(actual))
        } else {
            Duration::ZERO
        };
        Ok(())
    }

    /// Uses four or eight data lines.
    pub fn set_width(&mut self, lines: u32) {
        let width = if lines == 8 {
            control::WIDTH_8
        } else {
            control::WIDTH_4
        };
        self.set_control(control::WIDTH_4 | control::WIDTH_8, width);
    }

    pub fn set_high_speed(&mut self) {
        self.set_control(0, control::HIGH_SPEED);
    }

    /// From now on, transfers with [`mode::DMA`](register::mode::DMA) use ADMA2.
    pub fn use_adma(&mut self) {
        let select = match self.adma {
            Adma::None => return,
            Adma::Bits32 | Adma::Version4 => control::ADMA2,
            Adma::Bits64 => control::ADMA2_64,
        };
        self.set_control(0, select);
    }

    /// Whether a card is in the slot, as far as the controller knows.
    pub fn has_card(&self) -> bool {
        !self.chip.pins || self.read(PRESENT_STATE) & present::CARD_INSERTED != 0
    }

    /// Whether the card's switch forbids writing.
    pub fn is_protected(&self) -> bool {
        self.chip.pins && self.read(PRESENT_STATE) & present::WRITE_ENABLED == 0
    }

    /// Begins a command. With `table` its data goes by the descriptors there.
    pub fn begin(&self, command: Command, data: Option<Data>, table: Option<u64>) {
        let mut bits = command.bits();
        if let Some(data) = data {
            if let Some(table) = table {
                self.write(ADMA_ADDRESS, table as u32);
                if self.adma != Adma::Bits32 {
                    self.write(ADMA_ADDRESS + 4, (table >> 32) as u32);
                }
                if data.mode & register::mode::AUTO_CMD23 != 0 {
                    self.write(ARGUMENT2, data.blocks);
                }
            }
            self.write(BLOCK, data.size | data.blocks << 16);
            bits |= register::command::DATA | data.mode;
        }
        self.write(ARGUMENT, command.argument);
        // It is free by now, or about to be. If it never is, the command is lost, and its time runs out.
        let uses_data = (data.is_some() || command.is_busy()) && command.index != STOP_TRANSMISSION;
        let inhibit = present::COMMAND_INHIBIT | if uses_data { present::DATA_INHIBIT } else { 0 };
        for _ in 0..FREE_LOOKS {
            if self.read(PRESENT_STATE) & inhibit == 0 {
                break;
            }
        }
        // What is left of the one before, or comes of nothing, is not this one's.
        self.clear(status::WANTED & !status::REMOVAL);
        self.write(COMMAND, bits);
    }

    /// Whether a command (and one that uses the data line) may begin.
    pub fn is_free(&self) -> bool {
        self.read(PRESENT_STATE) & (present::COMMAND_INHIBIT | present::DATA_INHIBIT) == 0
    }

    /// Whether something is under way on the data line (§2.2.9).
    pub fn is_data_in_use(&self) -> bool {
        self.read(PRESENT_STATE) & present::DATA_INHIBIT != 0
    }

    /// What has happened.
    pub fn status(&self) -> u32 {
        self.read(STATUS)
    }

    pub fn clear(&self, bits: u32) {
        self.write(STATUS, bits);
    }

    /// Interrupts when one of these has happened.
    pub fn arm(&mut self, bits: u32) {
        if self.armed != bits {
            self.armed = bits;
            self.write(SIGNAL_ENABLE, bits);
        }
    }

    /// Interrupts no more.
    pub fn disarm(&mut self) {
        self.arm(0);
    }

    pub fn card_status(&self) -> CardStatus {
        CardStatus(self.read(RESPONSE))
    }

    pub fn read_word(&self) -> u32 {
        self.read(BUFFER_DATA_PORT)
    }

    pub fn write_word(&self, word: u32) {
        self.write(BUFFER_DATA_PORT, word);
    }
}
