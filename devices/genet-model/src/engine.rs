//! The two DMA engines.

use crate::model::State;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Into memory.
    Receive,
    /// Out of memory.
    Transmit,
}

impl Side {
    /// The engine that has the register at `at`, and the offset from its start.
    pub(crate) fn of(at: usize) -> Option<(Self, usize)> {
        match at {
            0x2000..0x4000 => Some((Self::Receive, at - 0x2000)),
            0x4000..0x6000 => Some((Self::Transmit, at - 0x4000)),
            _ => None,
        }
    }
}

pub(crate) const PLACES: u16 = 256;
const DESCRIPTORS: usize = 0xc00;
/// The default queue's registers.
const QUEUE: usize = DESCRIPTORS + 16 * 0x40;
const CONTROL: usize = 0x1044;
const STATUS: usize = 0x1048;

/// One engine.
#[derive(Debug)]
pub(crate) struct Engine {
    side: Side,
    registers: Vec<u32>,
    /// What the engine has done.
    pub index: u16,
    /// What the driver has done.
    pub driver: u16,
    /// RX: frames for which there was no buffer.
    pub discards: u16,
    /// Its index cannot be written.
    pub fixed: bool,
    /// It goes on when told to stop: for good, or until the MAC is reset.
    pub goes_on: Option<bool>,
    /// It was told to stop, and goes on.
    pub zombie: bool,
    pub jump: u16,
}

impl Engine {
    pub fn new(side: Side, first: u16, fixed: bool) -> Self {
        Self {
            side,
            registers: vec![0; 0x2000 / 4],
            index: first,
            driver: first,
            discards: 0,
            fixed,
            goes_on: None,
            zombie: false,
            jump: 0,
        }
    }

    pub fn register(&self, at: usize) -> u32 {
        self.registers[at / 4]
    }

    /// Bytes a buffer of the ring.
    pub fn buffer(&self) -> usize {
        (self.register(QUEUE + 0x10) & 0xffff) as usize
    }

    /// First word and address of a descriptor.
    pub fn descriptor(&self, index: u16) -> (u32, u64) {
        let at = usize::from(index % PLACES) * 12;
        let address = u64::from(self.register(at + 8)) << 32 | u64::from(self.register(at + 4));
        (self.register(at), address)
    }

    pub fn set_status(&mut self, index: u16, status: u32) {
        self.registers[usize::from(index % PLACES) * 12 / 4] = status;
    }

    pub fn is_enabled(&self) -> bool {
        let both = 1 | 1 << 17;
        self.register(CONTROL) & both == both
    }

    pub fn runs(&self) -> bool {
        self.is_enabled() || self.zombie
    }

    /// Descriptors that are the engine's.
    pub fn owned(&self) -> u16 {
        match self.side {
            Side::Receive => PLACES.saturating_sub(self.index.wrapping_sub(self.driver)),
            Side::Transmit => self.driver.wrapping_sub(self.index),
        }
    }

    fn owns(&self, place: u16) -> bool {
        place.wrapping_sub(self.index) % PLACES < self.owned()
    }

    /// One more descriptor is done.
    pub fn advance(&mut self) {
        self.index = self.index.wrapping_add(1 + std::mem::take(&mut self.jump));
    }

    pub fn mac_was_reset(&mut self) {
        if self.goes_on == Some(false) {
            self.goes_on = None;
            self.zombie = false;
        }
    }

    fn check_ring(&self) -> Result<(), String> {
        let words = u32::from(PLACES) * 3;
        let size = self.register(QUEUE + 0x10);
        let pointer = u32::from(self.index % PLACES) * 3;
        if size >> 16 != u32::from(PLACES) || self.buffer() == 0 {
            return Err(format!("a ring of size {size:#x}"));
        }
        if self.register(QUEUE + 0x14) != 0 || self.register(QUEUE + 0x1c) != words - 1 {
            return Err("a ring that does not span all descriptors".into());
        }
        if self.register(QUEUE) != pointer || self.register(QUEUE + 0x2c) != pointer {
            return Err("pointers that do not fit the index".into());
        }
        if self.register(0x1040) != 1 << 16 || self.register(0x104c) != 8 {
            return Err("no default queue, or bursts that the chip does not have".into());
        }
        if self.register(QUEUE + 0x24) == 0 {
            return Err("a threshold of no frames: no interrupt ever".into());
        }
        if self.side == Side::Receive && self.register(QUEUE + 0x28) == 0 {
            return Err("a receiver that asks for pauses for ever".into());
        }
        Ok(())
    }
}

impl State {
    pub(crate) fn engine(&mut self, side: Side) -> &mut Engine {
        match side {
            Side::Receive => &mut self.receive,
            Side::Transmit => &mut self.transmit,
        }
    }

    pub(crate) fn engine_read(&mut self, side: Side, at: usize) -> u32 {
        let engine = self.engine(side);
        match at {
            _ if at == QUEUE + 0x08 => u32::from(engine.discards) << 16 | u32::from(engine.index),
            _ if at == QUEUE + 0x0c => engine.driver.into(),
            STATUS => u32::from(!engine.runs()),
            _ => engine.register(at),
        }
    }

    pub(crate) fn engine_write(&mut self, side: Side, at: usize, value: u32) {
        let engine = self.engine(side);
        let runs = engine.is_enabled();
        let fault = match at {
            0..DESCRIPTORS => {
                let place = (at / 12) as u16;
                let fault = (runs && engine.owns(place))
                    .then(|| format!("{side:?} descriptor {place} changed while it is the engine's"));
                engine.registers[at / 4] = value;
                fault
            }
            _ if at == QUEUE + 0x08 => {
                engine.discards = 0;
                if !runs && !engine.fixed {
                    engine.index = value as u16;
                }
                None
            }
            _ if at == QUEUE + 0x0c => {
                engine.driver = value as u16;
                let ahead = match side {
                    Side::Receive => engine.index.wrapping_sub(engine.driver),
                    Side::Transmit => engine.driver.wrapping_sub(engine.index),
                };
                (runs && ahead > PLACES).then(|| format!("{side:?} index {value} is {ahead} away"))
            }
            CONTROL => {
                let was = engine.is_enabled();
                engine.registers[at / 4] = value;
                engine.zombie |= was && !engine.is_enabled() && engine.goes_on.is_some();
                (!was && engine.is_enabled())
                    .then(|| engine.check_ring().err())
                    .flatten()
            }
            _ => {
                let ring = at >= DESCRIPTORS;
                engine.registers[at / 4] = value;
                (runs && ring).then(|| format!("{side:?} register {at:#x} written while the engine runs"))
            }
        };
        if let Some(fault) = fault {
            self.note(fault);
        }
    }
}
