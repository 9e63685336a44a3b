//! An SD card (Physical Layer Simplified Specification).

use crate::card::{Answer, Card, State};
use crate::offer::Family;

/// Sets bits `high` to `low` of a 128-bit register.
fn set(register: &mut u128, high: u32, low: u32, value: u64) {
    debug_assert!(value >> (high - low + 1) == 0, "a value that fits");
    *register |= u128::from(value) << low;
}

impl Card {
    pub fn sd(&mut self, index: u8, argument: u32) -> Answer {
        let app = std::mem::take(&mut self.app);
        if app {
            return self.sd_app(index, argument);
        }
        match (index, self.state) {
            (8, State::Idle) if self.offer.family == Family::Sd => Answer::Short(argument & 0xfff),
            (3, State::Ident | State::Stby) => {
                self.state = State::Stby;
                self.rca = 0x4567;
                Answer::Short(0x4567_0500)
            }
            (9, State::Stby) if argument >> 16 == 0x4567 => Answer::Long(self.sd_csd() >> 8),
            (6, State::Tran) => self.sd_switch(argument),
            (32, State::Tran) => self.erase_bound(0, argument),
            (33, State::Tran) => self.erase_bound(1, argument),
            (55, _) => {
                if self.rca != 0 && argument >> 16 != u32::from(self.rca) {
                    return Answer::Silent;
                }
                self.app = true;
                self.short()
            }
            _ => self.common(index, argument),
        }
    }

    fn sd_app(&mut self, index: u8, argument: u32) -> Answer {
        match (index, self.state) {
            (41, State::Idle) => self.op_cond(argument),
            (6, State::Tran) => {
                self.lines = if argument == 2 { 4 } else { 1 };
                self.short()
            }
            (13, State::Tran) => {
                let mut status = vec![0; 64];
                status[24] = u8::from(self.offer.discard) << 1;
                self.send(status, "SD status")
            }
            (51, State::Tran) => {
                let mut scr = vec![0x02, 0x35, 0x80, 0, 0, 0, 0, 0];
                scr[3] = u8::from(self.offer.set_block_count) << 1;
                if self.offer.family == Family::SdVersion1 {
                    scr[0] = 0;
                }
                self.send(scr, "SCR")
            }
            _ => self.illegal(),
        }
    }

    /// One block of a register follows.
    pub fn send(&mut self, block: Vec<u8>, name: &'static str) -> Answer {
        let r1 = self.r1();
        self.register = block;
        self.block_count = Some(1);
        self.state = State::Data;
        Answer::Register(r1, name)
    }

    fn sd_switch(&mut self, argument: u32) -> Answer {
        let wanted = argument & 15;
        let possible = wanted == 0 || wanted == 15 || (wanted == 1 && self.offer.high_speed);
        if argument >> 31 == 1 && possible && wanted < 15 {
            self.high_speed = wanted == 1;
        }
        let mut answer = vec![0; 64];
        answer[13] = 1 | u8::from(self.offer.high_speed) << 1;
        answer[16] = if possible { wanted as u8 } else { 15 };
        self.send(answer, "switch status")
    }

    fn sd_csd(&self) -> u128 {
        let mut csd = 0;
        let offer = &self.offer;
        set(
            &mut csd,
            95,
            84,
            if offer.family == Family::SdVersion1 {
                0x1b5
            } else {
                0x5b5
            },
        );
        if offer.by_sector {
            set(&mut csd, 127, 126, 1);
            set(&mut csd, 83, 80, 9);
            set(&mut csd, 69, 48, offer.sectors / 1024 - 1);
        } else {
            // Blocks of 512 bytes, multiplier 512.
            set(&mut csd, 83, 80, 9);
            set(&mut csd, 73, 62, offer.sectors / 512 - 1);
            set(&mut csd, 49, 47, 7);
        }
        set(&mut csd, 46, 46, u64::from(offer.erase_sectors == 1));
        set(&mut csd, 45, 39, u64::from(offer.erase_sectors) - 1);
        set(&mut csd, 13, 12, offer.write_protect.into());
        csd
    }
}
