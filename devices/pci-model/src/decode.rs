//! The window that the BARs lie in, as the processor sees it.

use outrigger_hal::RegisterIo;

use crate::config::{at, register_io};
use crate::model::{Entry, FunctionModel};
use crate::{WINDOW_BUS, WINDOW_BYTES};

/// The window's registers.
#[derive(Clone)]
pub struct WindowModel(pub(crate) FunctionModel);

impl WindowModel {
    /// Which BAR decodes an address, and the offset in it.
    fn decode(&self, at: usize, len: usize) -> Option<(u8, u64)> {
        assert!(
            at + len <= WINDOW_BYTES as usize && at.is_multiple_of(len),
            "an aligned access"
        );
        let model = &self.0;
        if model.is_silent("a BAR is accessed") || !model.is_decoding() {
            if !model.is_gone() {
                model.blame("an access that nobody decodes");
            }
            return None;
        }
        let address = WINDOW_BUS + at as u64;
        let mut hits = model
            .bars()
            .into_iter()
            .filter(|(_, base, size)| (*base..base + size).contains(&address));
        let Some((index, base, _)) = hits.next() else {
            model.blame("an access that nobody decodes");
            return None;
        };
        if hits.next().is_some() {
            model.blame("two BARs decode one address");
        }
        Some((index, address - base))
    }

    fn read(&self, at: usize, len: usize) -> u64 {
        let ones = u64::MAX >> (64 - 8 * len);
        let Some((bar, offset)) = self.decode(at, len) else {
            return ones;
        };
        if let Some((vector, word)) = self.0.table_entry(bar, offset, len) {
            let state = self.0.state.borrow();
            return state.table[vector].words[word].into();
        }
        let endpoint = self.0.endpoint();
        endpoint.map_or(0, |endpoint| endpoint.read(bar, offset, len)) & ones
    }

    fn write(&self, at: usize, len: usize, value: u64) {
        let Some((bar, offset)) = self.decode(at, len) else {
            return;
        };
        if let Some((vector, word)) = self.0.table_entry(bar, offset, len) {
            let masked = self.0.is_function_masked();
            let mut state = self.0.state.borrow_mut();
            let entry: &mut Entry = &mut state.table[vector];
            if word < 3 && !masked && entry.words[3] & 1 == 0 {
                drop(state);
                return self.0.blame("an MSI-X entry is written while it is not masked");
            }
            entry.words[word] = value as u32;
            drop(state);
            return self.0.deliver_pending();
        }
        if let Some(endpoint) = self.0.endpoint() {
            endpoint.write(bar, offset, len, value);
        }
    }
}

register_io!(WindowModel);

impl FunctionModel {
    /// The entry of the MSI-X table and the word in it that an access is for.
    pub(crate) fn table_entry(&self, bar: u8, offset: u64, len: usize) -> Option<(usize, usize)> {
        let (table_bar, table, vectors) = self.offer.msix?;
        let within = offset.checked_sub(table.into())?;
        if bar != table_bar || within >= u64::from(vectors) * 16 {
            return None;
        }
        if len != 4 {
            self.blame("the MSI-X table takes 32 bits at a time");
        }
        Some((within as usize / 16, within as usize % 16 / 4))
    }

    /// MSI-X is off, or all of it is masked.
    pub(crate) fn is_function_masked(&self) -> bool {
        let control = self.config_u16(at::MSIX + 2);
        control & 0x8000 == 0 || control & 0x4000 != 0
    }
}
