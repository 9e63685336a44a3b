//! The registers, and time.

use outrigger_devices::{Clock, Instant, RegisterIo};

use crate::engine::Side;
use crate::model::{GenetModel, State};
use crate::{Fault, map};

/// Nanoseconds that an access takes.
const ACCESS: u64 = 200;
/// Nanoseconds that a command on the MDIO bus takes.
const MDIO_TIME: u64 = 26_000;

impl RegisterIo for GenetModel {
    fn read_u8(&self, at: usize) -> u8 {
        panic!("a read of 8 bits at {at:#x}: registers are of 32")
    }
    fn read_u16(&self, at: usize) -> u16 {
        panic!("a read of 16 bits at {at:#x}: registers are of 32")
    }
    fn read_u64(&self, at: usize) -> u64 {
        panic!("a read of 64 bits at {at:#x}: registers are of 32")
    }
    fn write_u8(&self, at: usize, _: u8) {
        panic!("a write of 8 bits at {at:#x}: registers are of 32")
    }
    fn write_u16(&self, at: usize, _: u16) {
        panic!("a write of 16 bits at {at:#x}: registers are of 32")
    }
    fn write_u64(&self, at: usize, _: u64) {
        panic!("a write of 64 bits at {at:#x}: registers are of 32")
    }

    fn read_u32(&self, at: usize) -> u32 {
        let state = &mut *self.state();
        state.access(at);
        state.reads += 1;
        state.read(at)
    }

    fn write_u32(&self, at: usize, value: u32) {
        let state = &mut *self.state();
        state.access(at);
        state.writes += 1;
        state.write(at, value);
        if state.offer.eager {
            state.run();
        }
    }
}

impl Clock for GenetModel {
    fn now(&self) -> Instant {
        let state = &mut *self.state();
        state.pass(ACCESS);
        Instant(state.now)
    }
}

impl State {
    fn access(&mut self, at: usize) {
        assert!(at.is_multiple_of(4) && at < map::END, "a register at {at:#x}");
        self.pass(ACCESS);
        if (map::MAC..map::MAC_END).contains(&at) && self.is_in_reset() {
            self.note(format!("{at:#x} of a MAC in reset"));
        }
    }

    /// Time goes on.
    pub(crate) fn pass(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        if let Some(up) = self.phy.pass(self.now)
            && !self.offer.no_link_interrupts
        {
            self.interrupts[0].0 |= if up { 1 << 4 } else { 1 << 5 };
        }
    }

    pub(crate) fn is_in_reset(&self) -> bool {
        self.plain(map::FLUSH) & 2 != 0
    }

    pub(crate) fn plain(&self, at: usize) -> u32 {
        self.plain[at / 4]
    }

    fn read(&mut self, at: usize) -> u32 {
        if let Some((side, offset)) = Side::of(at) {
            return self.engine_read(side, offset);
        }
        match at {
            map::REVISION => self.offer.revision,
            map::MDIO => self.mdio_state(),
            _ if at & !0x7f == map::INTERRUPTS => {
                let (pending, masked) = self.interrupts[at >> 6 & 1];
                match at & 0x3f {
                    0x00 => pending,
                    0x0c => masked,
                    _ => 0,
                }
            }
            _ => self.plain(at),
        }
    }

    fn write(&mut self, at: usize, value: u32) {
        if let Some((side, offset)) = Side::of(at) {
            return self.engine_write(side, offset, value);
        }
        match at {
            map::MDIO => return self.mdio_command(value),
            map::FLUSH if value & 2 != 0 => self.reset_mac(),
            map::COMMAND if value & 1 << 13 != 0 => self.reset_mac(),
            map::COUNTERS_RESET if value & 7 == 7 => {
                self.plain[map::COUNTERS / 4..map::COUNTERS_RESET / 4].fill(0);
            }
            _ if at & !0x7f == map::INTERRUPTS => {
                let (pending, masked) = &mut self.interrupts[at >> 6 & 1];
                match at & 0x3f {
                    0x04 => *pending |= value,
                    0x08 => *pending &= !value,
                    0x10 => *masked |= value,
                    0x14 => *masked &= !value,
                    other => self
                        .violations
                        .push(format!("interrupt register {other:#x} written")),
                }
                return;
            }
            _ => {}
        }
        let fixed = map::ADDRESS.contains(&at) || at == map::MAX_FRAME;
        if fixed && self.plain(map::COMMAND) & 3 != 0 {
            self.note(format!("{at:#x} written while the MAC works"));
        }
        self.plain[at / 4] = value;
    }

    fn reset_mac(&mut self) {
        self.plain[map::COMMAND / 4] = 0;
        map::ADDRESS.iter().for_each(|at| self.plain[at / 4] = 0);
        for side in [Side::Receive, Side::Transmit] {
            self.engine(side).mac_was_reset();
        }
    }

    fn mdio_command(&mut self, value: u32) {
        if self.mdio_busy() && !self.mdio_hangs {
            self.note("a command on a busy MDIO bus".into());
        }
        self.mdio = value;
        if value & 1 << 29 != 0 {
            self.mdio_end = self.now + MDIO_TIME;
        }
    }

    fn mdio_busy(&self) -> bool {
        self.mdio & 1 << 29 != 0 && (self.mdio_hangs || self.now < self.mdio_end)
    }

    /// The command register; a command that has ended is carried out when its end is seen.
    fn mdio_state(&mut self) -> u32 {
        if self.mdio & 1 << 29 == 0 || self.mdio_busy() {
            return self.mdio;
        }
        let command = self.mdio & !(1 << 29 | 1 << 28);
        let (address, register) = (command >> 21 & 0x1f, (command >> 16 & 0x1f) as usize);
        let here = !self.mdio_silent && address == self.offer.phy;
        self.mdio = match (command >> 26 & 3, here) {
            (2, true) => command & !0xffff | u32::from(self.phy.read(register)),
            (2, false) => command | 0xffff | 1 << 28,
            (1, true) => {
                self.phy.write(register, command as u16, self.now);
                command
            }
            (1, false) => command,
            _ => {
                self.note(format!("MDIO command {command:#x}"));
                command
            }
        };
        self.mdio
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Deaf => self.deaf = true,
            Fault::Hearing => self.deaf = false,
            Fault::MdioHangs => self.mdio_hangs = true,
            Fault::MdioSilent => self.mdio_silent = true,
            Fault::MdioWell => (self.mdio_hangs, self.mdio_silent) = (false, false),
            Fault::Stuck => self.stuck = true,
            Fault::GoesOn(side, for_good) => self.engine(side).goes_on = Some(for_good),
            Fault::IndexJump(side, by) => self.engine(side).jump = by,
            Fault::Length(_) | Fault::Status(_) | Fault::OnlyStatus(_) | Fault::NoStatus => {
                self.next_frame = Some(fault);
            }
        }
    }
}
