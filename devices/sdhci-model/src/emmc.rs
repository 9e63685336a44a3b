//! An eMMC (JESD84-B51).

use crate::card::{Answer, Card, State};

const SWITCH_ERROR: u32 = 1 << 7;

impl Card {
    pub fn emmc(&mut self, index: u8, argument: u32) -> Answer {
        match (index, self.state) {
            (1, State::Idle) => self.op_cond(argument),
            (3, State::Ident) => {
                self.rca = (argument >> 16) as u16;
                let answer = self.short();
                self.state = State::Stby;
                answer
            }
            (9, State::Stby) if argument >> 16 == u32::from(self.rca) => Answer::Long(self.emmc_csd() >> 8),
            (8, State::Tran) => {
                let block = self.ext_csd();
                self.send(block, "EXT_CSD")
            }
            (6, State::Tran) => self.switch(argument),
            (35, State::Tran) => self.erase_bound(0, argument),
            (36, State::Tran) => self.erase_bound(1, argument),
            _ => self.common(index, argument),
        }
    }

    fn switch(&mut self, argument: u32) -> Answer {
        let (access, byte, value) = (argument >> 24, argument >> 16 & 0xff, argument >> 8 & 0xff);
        let answer = self.short();
        match (access, byte, value) {
            (3, 33, 0 | 1) if self.offer.cache => self.cache_on = value == 1,
            (3, 32, 1) if self.cache_on => self.flush(),
            (3, 183, 0..=2) => self.lines = [1, 4, 8][value as usize],
            (3, 185, 0 | 1) if self.offer.high_speed || value == 0 => self.high_speed = value == 1,
            (3, 175, 0 | 1) => self.erase_group_def = value == 1,
            _ => self.errors |= SWITCH_ERROR,
        }
        self.programming();
        answer
    }

    fn emmc_csd(&self) -> u128 {
        let offer = &self.offer;
        // Version 4, all classes, blocks of 512 bytes; the capacity is in the extended CSD if it is counted in sectors.
        let mut csd = 4u128 << 122 | 0x0f5u128 << 84 | 9u128 << 80;
        if offer.by_sector {
            csd |= 0xfffu128 << 62;
        } else {
            csd |= u128::from(offer.sectors / 512 - 1) << 62;
        }
        // An erase group is (size + 1) times (multiplier + 1).
        csd |= 7u128 << 47 | u128::from(offer.erase_sectors - 1) << 42;
        csd | u128::from(offer.write_protect) << 12
    }

    fn ext_csd(&self) -> Vec<u8> {
        let offer = &self.offer;
        let mut ext = vec![0; 512];
        ext[192] = if offer.discard { 8 } else { 5 };
        ext[196] = 1 | u8::from(offer.high_speed) << 1;
        ext[212..216].copy_from_slice(&(offer.sectors as u32).to_le_bytes());
        ext[231] = u8::from(offer.trim) << 4;
        if offer.cache {
            ext[192] = 8;
            ext[249..253].copy_from_slice(&512u32.to_le_bytes());
        }
        ext
    }
}
