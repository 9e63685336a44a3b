//! A PHY with a cable, and somebody at its other end.

/// How long negotiation takes, in nanoseconds.
const NEGOTIATION: u64 = 2_000_000_000;

/// Who is at the other end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its base page (register 5).
    pub lpa: u16,
    /// What it says of 1000 Mb/s (register 10).
    pub stat1000: u16,
}

impl Partner {
    /// A gigabit switch with pause frames both ways.
    pub const GIGABIT: Self = Self {
        lpa: 0xcde1,
        stat1000: 0x3c00,
    };
    /// 100 Mb/s, full duplex, no pause.
    pub const FAST: Self = Self {
        lpa: 0x41e1,
        stat1000: 0,
    };
    /// 10 Mb/s, half duplex.
    pub const SLOW: Self = Self {
        lpa: 0x4021,
        stat1000: 0,
    };
}

#[derive(Debug)]
pub(crate) struct Phy {
    registers: [u16; 32],
    /// What register 0x18 shows next.
    auxiliary: u16,
    /// The delay of the receive clock, among others.
    pub misc: u16,
    /// What register 0x1c shows next.
    shadow: u16,
    /// The delay of the transmit clock, among others.
    pub clocks: u16,
    pub partner: Option<Partner>,
    /// When negotiation ends.
    negotiated_at: Option<u64>,
    up: bool,
    /// The link was down since register 1 was last read.
    latched_down: bool,
    /// How often it began to negotiate.
    pub negotiations: u32,
}

impl Phy {
    pub fn new(id: u32) -> Self {
        let mut registers = [0; 32];
        registers[0] = 0x1140;
        registers[1] = 0x7949;
        registers[2] = (id >> 16) as u16;
        registers[3] = id as u16;
        registers[4] = 0x01e1;
        registers[9] = 0x0300;
        Self {
            registers,
            auxiliary: 0,
            misc: 0x7067,
            shadow: 0,
            clocks: 0x0200,
            partner: None,
            negotiated_at: None,
            up: false,
            latched_down: true,
            negotiations: 0,
        }
    }

    /// A cable is plugged in, or pulled.
    pub fn connect(&mut self, partner: Option<Partner>, now: u64) {
        self.partner = partner;
        self.begin(now);
    }

    fn begin(&mut self, now: u64) {
        self.negotiated_at = self.partner.map(|_| now + NEGOTIATION);
    }

    /// Time goes on; whether the link came or went.
    pub fn pass(&mut self, now: u64) -> Option<bool> {
        let is_on = self.registers[0] & 0x0c00 == 0;
        let up = is_on && self.negotiated_at.is_some_and(|at| now >= at);
        if up == self.up {
            return None;
        }
        self.up = up;
        self.latched_down |= !up;
        Some(up)
    }

    pub fn read(&mut self, register: usize) -> u16 {
        match (register, self.partner.filter(|_| self.up)) {
            (1, _) => {
                let down = core::mem::replace(&mut self.latched_down, !self.up);
                let link = if down { 0 } else { 1 << 2 };
                let negotiated = if self.up { 1 << 5 } else { 0 };
                self.registers[1] | link | negotiated
            }
            (5, Some(partner)) => partner.lpa,
            (10, Some(partner)) => partner.stat1000,
            (5 | 10, None) => 0,
            (0x18, _) => self.auxiliary,
            (0x1c, _) => self.shadow,
            _ => self.registers[register],
        }
    }

    pub fn write(&mut self, register: usize, value: u16, now: u64) {
        match register {
            0 => {
                self.registers[0] = value & !(1 << 9);
                if value & 1 << 9 != 0 {
                    self.negotiations += 1;
                    self.begin(now);
                }
            }
            // The low 3 bits choose; bit 15 writes; bits 14:12 choose what is read next.
            0x18 if value & 7 == 7 && value & 1 << 15 != 0 => self.misc = value & 0x7ff8,
            0x18 if value == 0x7007 => self.auxiliary = self.misc & !7,
            // Bits 14:10 choose; bit 15 writes.
            0x1c if value >> 10 & 0x1f == 3 => {
                if value & 1 << 15 != 0 {
                    self.clocks = value & 0x3ff;
                }
                self.shadow = 3 << 10 | self.clocks;
            }
            0x18 | 0x1c => {}
            _ => self.registers[register] = value,
        }
    }
}
