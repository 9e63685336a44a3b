//! One function of a device.

use alloc::rc::Rc;

use outrigger_hal::RegisterIo;

use crate::bar::{self, BarKind, Bars, BusWindow};
use crate::capability::Capabilities;
use crate::config::{ConfigSpace, command, header, status};
use crate::{PciError, View};

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Vendor.
    pub vendor: u16,
    /// Device, by its vendor's count.
    pub device: u16,
    /// Class code, 24 bits: base class, subclass, programming interface.
    pub class: u32,
    /// Revision.
    pub revision: u8,
}

/// A function with configuration space `C`, whose BARs lie in the register block `W`.
#[derive(Debug)]
pub struct Function<C, W> {
    pub(crate) config: C,
    window: Rc<W>,
    place: BusWindow,
    id: Id,
    pub(crate) capabilities: Capabilities,
    pub(crate) bars: Bars,
}

impl<C: ConfigSpace, W: RegisterIo> Function<C, W> {
    /// The function behind `config`, silenced: no bus master, no interrupt, no memory decoded. `window` are the registers
    /// that lie at `place` on the bus.
    ///
    /// # Errors
    /// There is none, or none that can be used.
    pub fn find(config: C, window: W, place: BusWindow) -> Result<Self, PciError> {
        let vendor = config.read_u16(header::VENDOR);
        if vendor == u16::MAX {
            return Err(PciError::Absent);
        }
        // Bit 7 says that there are other functions beside it.
        let kind = config.read_u8(header::HEADER_TYPE) & 0x7f;
        if kind != 0 {
            return Err(PciError::HeaderType(kind));
        }
        let class = config.read_u32(header::CLASS);
        let id = Id {
            vendor,
            device: config.read_u16(header::DEVICE),
            class: class >> 8,
            revision: class as u8,
        };
        // First of all, whatever else is wrong with it.
        write_command(&config, command::INTX_DISABLE);
        let capabilities = Capabilities::read(&config)?;
        let function = Self {
            config,
            window: Rc::new(window),
            place,
            id,
            capabilities,
            bars: Bars::default(),
        };
        function.quiet();
        Ok(function)
    }

    /// What it is.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Silences it: no memory access and no interrupt of its own, by line or by message. What it decodes stays.
    pub fn quiet(&self) {
        let decoded = self.command() & (command::IO | command::MEMORY);
        write_command(&self.config, decoded | command::INTX_DISABLE);
        self.disable_messages();
    }

    /// Sizes its BARs, places those that have no place in the window, and has the function decode memory.
    ///
    /// # Errors
    /// A BAR lies, or has no room; the function decodes nothing.
    pub fn place(&mut self) -> Result<&Bars, PciError> {
        let mut bars = bar::size_all(&self.config)?;
        bar::place_all(&self.config, &mut bars, self.place)?;
        self.bars = bars;
        self.decode();
        Ok(&self.bars)
    }

    /// Gives the BARs their places again, which a reset has taken from them.
    pub(crate) fn place_again(&self) -> Result<(), PciError> {
        let memory = |bar: &&bar::Bar| bar.kind != BarKind::Io;
        let mut bars = self.bars.iter().flatten().filter(memory).peekable();
        if bars.peek().is_none() {
            return Ok(());
        }
        bars.try_for_each(|bar| bar::write(&self.config, bar))?;
        self.decode();
        Ok(())
    }

    fn decode(&self) {
        let command = self.command() & !command::IO;
        write_command(&self.config, command | command::MEMORY);
    }

    /// Its BARs; none before [`place`](Self::place).
    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// The registers of a memory BAR of `least` bytes or more.
    ///
    /// # Errors
    /// There is none.
    pub fn region(&self, index: u8, least: usize) -> Result<View<W>, PciError> {
        let none = PciError::NoBar(index);
        let bar = self.bars.get(usize::from(index)).and_then(Option::as_ref);
        let bar = bar.filter(|bar| bar.kind != BarKind::Io).ok_or(none)?;
        let offset = self.place.offset(bar).ok_or(none)?;
        let (offset, len) = (
            usize::try_from(offset).map_err(|_| none)?,
            usize::try_from(bar.size).map_err(|_| none)?,
        );
        if len < least {
            return Err(none);
        }
        Ok(View::new(Rc::clone(&self.window), offset, len))
    }

    /// Whether the function reads and writes memory, and sends messages.
    pub fn set_bus_master(&self, on: bool) {
        self.change(command::BUS_MASTER, on);
    }

    /// Whether the function may raise its interrupt line.
    pub fn set_intx(&self, on: bool) {
        self.change(command::INTX_DISABLE, !on);
    }

    /// Whether it has an interrupt line.
    pub fn has_intx(&self) -> bool {
        matches!(self.config.read_u8(header::INTERRUPT_PIN), 1..=4)
    }

    /// Whether it is this function that holds the line up.
    pub fn is_line_up(&self) -> bool {
        self.config.read_u16(header::STATUS) & status::INTERRUPT != 0
    }

    /// Whether it still answers.
    pub fn is_present(&self) -> bool {
        self.config.read_u16(header::VENDOR) == self.id.vendor
    }

    pub(crate) fn command(&self) -> u16 {
        read_command(&self.config)
    }

    fn change(&self, bit: u16, on: bool) {
        let command = self.command();
        write_command(&self.config, if on { command | bit } else { command & !bit });
    }
}

pub(crate) fn read_command(config: &impl ConfigSpace) -> u16 {
    config.read_u16(header::COMMAND)
}

/// As 32 bits, which every root complex can write, with STATUS's half zero: its bits are cleared by ones.
pub(crate) fn write_command(config: &impl ConfigSpace, command: u16) {
    config.write_u32(header::COMMAND, command.into());
}
