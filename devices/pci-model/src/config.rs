//! Configuration space: what a write may change, and what it causes.

use outrigger_hal::RegisterIo;

use crate::model::{FunctionModel, POWER, SPACE};
use crate::{Fault, Offer};

/// Where the capabilities lie.
pub(crate) mod at {
    pub const PM: usize = 0x40;
    pub const MSI: usize = 0x50;
    pub const EXPRESS: usize = 0x70;
    pub const MSIX: usize = 0xb0;
}

/// The bytes as they are after a reset, and the bits that writes change.
pub(crate) fn reset_values(offer: &Offer) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut mask) = (vec![0; SPACE], vec![0; SPACE]);
    let put =
        |bytes: &mut Vec<u8>, at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(&mut bytes, 0, &offer.id.0.to_le_bytes());
    put(&mut bytes, 2, &offer.id.1.to_le_bytes());
    put(&mut mask, 4, &0x0547_u16.to_le_bytes());
    put(&mut bytes, 8, &(offer.class << 8 | 2).to_le_bytes());
    put(&mut mask, 0xc, &[0xff]);
    put(&mut bytes, 0xe, &[offer.header_type]);
    put(&mut bytes, 0x3d, &[offer.pin]);
    put(&mut mask, 0x3c, &[0xff]);
    for (index, size, wide) in &offer.bars {
        let bits = !(size - 1);
        put(&mut bytes, 0x10 + 4 * index, &[if *wide { 4 } else { 0 }]);
        put(&mut mask, 0x10 + 4 * index, &(bits as u32 & !0xf).to_le_bytes());
        if *wide {
            put(&mut mask, 0x14 + 4 * index, &((bits >> 32) as u32).to_le_bytes());
        }
    }
    if let Some((index, size)) = offer.io {
        put(&mut bytes, 0x10 + 4 * index, &[1]);
        put(
            &mut mask,
            0x10 + 4 * index,
            &(!(size - 1) & 0xffff & !3).to_le_bytes(),
        );
    }
    let mut list = vec![(at::PM, 0x01_u8)];
    put(&mut bytes, at::PM + 4, &[if offer.asleep { 3 } else { 0 }]);
    put(&mut mask, at::PM + 4, &[3]);
    if let Some(wide) = offer.msi {
        list.push((at::MSI, 0x05));
        // It could send 8 messages.
        put(&mut bytes, at::MSI + 2, &[(u8::from(wide) << 7) | 3 << 1]);
        put(&mut mask, at::MSI + 2, &[0x71]);
        put(&mut mask, at::MSI + 4, &[0xfc, 0xff, 0xff, 0xff]);
        put(&mut mask, at::MSI + 8, if wide { &[0xff; 6] } else { &[0xff; 2] });
    }
    if offer.flr {
        list.push((at::EXPRESS, 0x10));
        put(&mut bytes, at::EXPRESS + 4, &(1u32 << 28).to_le_bytes());
        put(&mut bytes, at::EXPRESS + 8, &0x2810_u16.to_le_bytes());
        put(&mut mask, at::EXPRESS + 8, &0x7fff_u16.to_le_bytes());
    }
    if let Some((bar, offset, vectors)) = offer.msix {
        list.push((at::MSIX, 0x11));
        put(&mut bytes, at::MSIX + 2, &(vectors - 1).to_le_bytes());
        put(&mut mask, at::MSIX + 2, &0xc000_u16.to_le_bytes());
        put(&mut bytes, at::MSIX + 4, &(offset | u32::from(bar)).to_le_bytes());
        put(
            &mut bytes,
            at::MSIX + 8,
            &(offset.wrapping_add(0x800) | u32::from(bar)).to_le_bytes(),
        );
    }
    put(&mut bytes, 6, &[0x10]);
    put(&mut bytes, 0x34, &[list[0].0 as u8]);
    for (index, (place, id)) in list.iter().enumerate() {
        let next = list.get(index + 1).map_or(0, |(next, _)| *next as u8);
        put(&mut bytes, *place, &[*id, next]);
    }
    (bytes, mask)
}

/// The function's page of ECAM, for [`outrigger_hal::RegisterIo`] accesses.
#[derive(Clone)]
pub struct EcamPage(pub(crate) FunctionModel);

impl EcamPage {
    fn read(&self, at: usize, len: usize) -> u64 {
        assert!(at + len <= SPACE && at.is_multiple_of(len), "an aligned access");
        let ones = u64::MAX >> (64 - 8 * len);
        let model = &self.0;
        if model.is_silent("configuration space is read") {
            return ones;
        }
        let state = model.state.borrow();
        let mut value = 0;
        for byte in (at..at + len).rev() {
            value = value << 8 | u64::from(state.config[byte]);
        }
        drop(state);
        let shadow = |from: usize| {
            let offset = from.checked_sub(at).filter(|offset| *offset < len);
            offset.map_or(0, |offset| 8 * offset)
        };
        if (at..at + len).contains(&6) && model.is_line_up_inside() {
            value |= 1 << (3 + shadow(6));
        }
        let pending = at::EXPRESS + 10;
        if (at..at + len).contains(&pending) && model.has_fault(Fault::AlwaysPending) {
            value |= 1 << (5 + shadow(pending));
        }
        if (at..at + len).contains(&0x34)
            && let Some(first) = model.first_capability()
        {
            value = value & !(0xff << shadow(0x34)) | u64::from(first) << shadow(0x34);
        }
        if model.has_fault(Fault::CapabilityLoop) {
            for place in [at::PM, at::MSI, at::EXPRESS, at::MSIX] {
                let next = place + 1;
                let is_last = model.state.borrow().config[next] == 0;
                if (at..at + len).contains(&next) && is_last {
                    value |= (at::PM as u64) << shadow(next);
                }
            }
        }
        value
    }

    fn write(&self, at: usize, len: usize, value: u64) {
        assert!(at + len <= SPACE && at.is_multiple_of(len), "an aligned access");
        let model = &self.0;
        if model.is_silent("configuration space is written") {
            return;
        }
        let mut caused_reset = false;
        for (index, byte) in (at..at + len).enumerate() {
            let value = (value >> (8 * index)) as u8;
            if byte == 7 && value & 0xf9 != 0 {
                model.blame("STATUS is written by accident: its bits are cleared by ones");
            }
            if (0x10..0x28).contains(&byte) && model.is_decoding() {
                model.blame("a BAR is written while the function decodes memory");
            }
            if byte == at::EXPRESS + 9 && model.has_flr() && value & 0x80 != 0 {
                caused_reset = true;
            }
            let mask = model.writable(byte, value);
            let mut state = model.state.borrow_mut();
            if byte == at::PM + 4 && state.config[byte] & 3 == 3 && value & 3 == 0 {
                state.busy_until = model.clock.peek().after(POWER);
            }
            state.config[byte] = state.config[byte] & !mask | value & mask;
        }
        if caused_reset {
            model.function_level_reset();
        }
        model.deliver_pending();
    }
}

macro_rules! register_io {
    ($type:ty) => {
        impl RegisterIo for $type {
            fn read_u8(&self, at: usize) -> u8 {
                self.read(at, 1) as u8
            }
            fn read_u16(&self, at: usize) -> u16 {
                self.read(at, 2) as u16
            }
            fn read_u32(&self, at: usize) -> u32 {
                self.read(at, 4) as u32
            }
            fn read_u64(&self, at: usize) -> u64 {
                self.read(at, 8)
            }
            fn write_u8(&self, at: usize, value: u8) {
                self.write(at, 1, value.into());
            }
            fn write_u16(&self, at: usize, value: u16) {
                self.write(at, 2, value.into());
            }
            fn write_u32(&self, at: usize, value: u32) {
                self.write(at, 4, value.into());
            }
            fn write_u64(&self, at: usize, value: u64) {
                self.write(at, 8, value);
            }
        }
    };
}
pub(crate) use register_io;

register_io!(EcamPage);
