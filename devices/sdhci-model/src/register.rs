//! Its registers, one by one.

use outrigger_devices::RegisterIo;

use crate::SdhciModel;
use crate::model::{Controller, status};

impl Controller {
    fn write(&mut self, at: usize, value: u32) {
        self.too_soon(at);
        match at {
            0x00 => self.argument2 = value,
            0x04 => {
                if self.transfer.is_some() {
                    self.note("the block register written during a transfer");
                }
                self.block = value;
            }
            0x08 => self.argument = value,
            0x0c => self.command(value),
            0x20 => self.port_write(value),
            0x28 => {
                // Width and speed change only between commands; so does power.
                self.control = value;
                if value & 0x100 == 0
                    && let Some(card) = &mut self.card
                {
                    card.reset(true);
                }
            }
            0x2c => {
                self.clock = value & 0x000f_ffc5 | (value & 1) << 1;
                let resets = value >> 24;
                if resets != 0 {
                    self.reset(resets);
                }
                if self.no_reset {
                    self.clock |= value & 0x0700_0000;
                }
                if resets & 1 == 0 {
                    self.clock = self.clock & !0xffff | value & 0xffc5 | (value & 1) << 1;
                }
            }
            0x30 => self.status &= !value,
            0x34 => {
                self.status_enable = value;
                self.status &= value;
            }
            0x38 => self.signal_enable = value,
            0x3c => self.control2 = value,
            0x58 => self.adma_address = self.adma_address & !0xffff_ffff | u64::from(value),
            0x5c => self.adma_address = self.adma_address & 0xffff_ffff | u64::from(value) << 32,
            _ => self.note(format!("a write to register {at:#x}")),
        }
    }

    /// Of two writes to one register within two periods of a slow card clock the second one is lost. The data port has no
    /// such fault.
    fn too_soon(&mut self, at: usize) {
        let now = self.time.peek();
        let (last, when) = std::mem::replace(&mut self.last_write, (at, now));
        let hz = u64::from(self.hz());
        let slow = self.slot.slow_writes && self.clock & 4 != 0 && hz <= 400_000;
        if slow && at == last && at != 0x20 && now < when + 2_000_000_000 / hz {
            self.note(format!("two writes to {at:#x} within {} ns", now - when));
        }
    }

    fn read(&mut self, at: usize) -> u32 {
        if self.ones {
            return u32::MAX;
        }
        match at {
            0x00 => self.argument2,
            0x04 => self.block,
            0x08 => self.argument,
            0x10..=0x1c => self.response[(at - 0x10) / 4],
            0x20 => self.port_read(),
            0x24 => self.present(),
            0x28 => self.control,
            0x2c => self.clock,
            0x30 => {
                self.look();
                let summary = if self.status >> 16 != 0 { status::ERROR } else { 0 };
                self.status | summary
            }
            0x34 => self.status_enable,
            0x38 => self.signal_enable,
            0x3c => self.control2,
            0x40 => self.slot.capabilities[0],
            0x44 => self.slot.capabilities[1],
            0xfc => self.slot.version << 16,
            _ => {
                self.note(format!("a read of register {at:#x}"));
                0
            }
        }
    }
}

impl RegisterIo for SdhciModel {
    fn read_u8(&self, at: usize) -> u8 {
        self.0.borrow_mut().note(format!("a read of 8 bits at {at:#x}"));
        0
    }
    fn read_u16(&self, at: usize) -> u16 {
        self.0.borrow_mut().note(format!("a read of 16 bits at {at:#x}"));
        0
    }
    fn read_u32(&self, at: usize) -> u32 {
        self.0.borrow_mut().read(at)
    }
    fn write_u32(&self, at: usize, value: u32) {
        self.0.borrow_mut().write(at, value);
    }
    fn read_u64(&self, at: usize) -> u64 {
        self.0.borrow_mut().note(format!("a read of 64 bits at {at:#x}"));
        0
    }
    fn write_u8(&self, at: usize, _: u8) {
        self.0.borrow_mut().note(format!("a write of 8 bits at {at:#x}"));
    }
    fn write_u16(&self, at: usize, _: u16) {
        self.0.borrow_mut().note(format!("a write of 16 bits at {at:#x}"));
    }
    fn write_u64(&self, at: usize, _: u64) {
        self.0.borrow_mut().note(format!("a write of 64 bits at {at:#x}"));
    }
}
