//! Base address registers: how large they are, and where they lie (PCI 3.0, §6.2.5).

use crate::PciError;
use crate::config::{ConfigSpace, command, header};
use crate::function::{read_command, write_command};

/// BARs of an endpoint.
const COUNT: usize = 6;

/// What a BAR decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; the next register is its high half.
    Memory64,
    /// I/O ports. They are left alone.
    Io,
}

/// One BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The index of its (first) register.
    pub index: u8,
    /// What it decodes.
    pub kind: BarKind,
    /// Its size in bytes: a power of two.
    pub size: u64,
    /// Its address on the bus; 0 if it was never given one.
    pub address: u64,
}

/// The BARs of a function, by index.
pub type Bars = [Option<Bar>; COUNT];

/// The addresses on the bus that a function's BARs may lie at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusWindow {
    /// The first address, as the bus counts.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl BusWindow {
    /// Where a BAR lies in it, in bytes from its start; `None` if it does not, or not aligned to its size.
    pub fn offset(&self, bar: &Bar) -> Option<u64> {
        let offset = bar.address.checked_sub(self.start)?;
        let end = offset.checked_add(bar.size)?;
        (end <= self.size && bar.address.is_multiple_of(bar.size)).then_some(offset)
    }
}

/// Sizes every BAR. The function decodes nothing meanwhile.
pub(crate) fn size_all(config: &impl ConfigSpace) -> Result<Bars, PciError> {
    let before = read_command(config);
    write_command(config, before & !(command::IO | command::MEMORY));
    let bars = sizes(config);
    write_command(config, before);
    bars
}

fn sizes(config: &impl ConfigSpace) -> Result<Bars, PciError> {
    let mut bars = Bars::default();
    let mut index = 0;
    while index < COUNT {
        let bar = index as u8;
        let (low, low_mask) = probe(config, index);
        index += 1;
        if low_mask == 0 {
            continue;
        }
        let (kind, address, mask) = if low_mask & 1 != 0 {
            // The upper 16 bits may be wired to 0.
            let mask = low_mask & !3;
            let mask = if mask >> 16 == 0 { mask | 0xffff_0000 } else { mask };
            (BarKind::Io, low & !3, u64::from(mask) | !u64::from(u32::MAX))
        } else {
            match low_mask >> 1 & 3 {
                0 => (
                    BarKind::Memory32,
                    low & !0xf,
                    u64::from(low_mask & !0xf) | !u64::from(u32::MAX),
                ),
                2 if index < COUNT => (BarKind::Memory64, low & !0xf, u64::from(low_mask & !0xf)),
                _ => {
                    return Err(PciError::BarSize {
                        bar,
                        mask: low_mask.into(),
                    });
                }
            }
        };
        let (mut address, mut mask) = (u64::from(address), mask);
        if kind == BarKind::Memory64 {
            let (high, high_mask) = probe(config, index);
            index += 1;
            address |= u64::from(high) << 32;
            mask |= u64::from(high_mask) << 32;
        }
        // The bits that stay 0 say the size: ones from the lowest that was taken to the top, and nothing else.
        let size = mask.wrapping_neg();
        if mask == 0 || !size.is_power_of_two() {
            return Err(PciError::BarSize { bar, mask });
        }
        bars[usize::from(bar)] = Some(Bar {
            index: bar,
            kind,
            size,
            address,
        });
    }
    Ok(bars)
}

/// What a register holds, and the bits of it that can be set. It holds the same again afterwards.
fn probe(config: &impl ConfigSpace, index: usize) -> (u32, u32) {
    let at = register(index);
    let value = config.read_u32(at);
    config.write_u32(at, u32::MAX);
    let mask = config.read_u32(at);
    config.write_u32(at, value);
    (value, mask)
}

/// Gives each memory BAR a place in the window: the one it has, if it lies there and nobody before it has that; or the
/// first that is free, the largest BAR first. Nothing is decoded meanwhile, nor afterwards.
pub(crate) fn place_all(
    config: &impl ConfigSpace,
    bars: &mut Bars,
    window: BusWindow,
) -> Result<(), PciError> {
    let off = read_command(config) & !(command::IO | command::MEMORY);
    write_command(config, off);
    let mut placed: [Option<(u64, u64)>; COUNT] = [None; COUNT];
    let mut homeless = [false; COUNT];
    for (index, bar) in bars.iter().enumerate() {
        let Some(bar) = bar.filter(|bar| bar.kind != BarKind::Io) else {
            continue;
        };
        let range = (bar.address, bar.size);
        if bar.address != 0 && window.offset(&bar).is_some() && is_free(&placed, range) {
            placed[index] = Some(range);
        } else {
            homeless[index] = true;
        }
    }
    let sized = |bars: &Bars, index: usize| bars[index].map_or(0, |bar| bar.size);
    while let Some(index) = (0..COUNT)
        .filter(|index| homeless[*index])
        .max_by_key(|index| (sized(bars, *index), core::cmp::Reverse(*index)))
    {
        homeless[index] = false;
        let Some(bar) = &mut bars[index] else { continue };
        let range = first_free(&placed, bar, window).ok_or(PciError::NoRoom {
            bar: bar.index,
            size: bar.size,
            window: window.size,
        })?;
        placed[index] = Some(range);
        bar.address = range.0;
    }
    bars.iter()
        .flatten()
        .filter(|bar| bar.kind != BarKind::Io)
        .try_for_each(|bar| write(config, bar))
}

fn is_free(placed: &[Option<(u64, u64)>; COUNT], (start, size): (u64, u64)) -> bool {
    placed
        .iter()
        .flatten()
        .all(|(other, len)| start >= other + len || *other >= start + size)
}

/// The first free place: at the window's start, or behind a BAR that has its place.
fn first_free(placed: &[Option<(u64, u64)>; COUNT], bar: &Bar, window: BusWindow) -> Option<(u64, u64)> {
    let ends = placed.iter().flatten().map(|(start, size)| start + size);
    let mut best = None;
    for from in core::iter::once(window.start.max(1)).chain(ends) {
        // Address 0 is that of a BAR without a place.
        let Some(start) = from.checked_next_multiple_of(bar.size) else {
            continue;
        };
        let there = Bar {
            address: start,
            ..*bar
        };
        let reaches = bar.kind == BarKind::Memory64 || start + (bar.size - 1) <= u64::from(u32::MAX);
        if window.offset(&there).is_some() && reaches && is_free(placed, (start, bar.size)) {
            best = best.into_iter().chain([start]).min();
        }
    }
    best.map(|start| (start, bar.size))
}

/// Writes a BAR's address, and looks whether it is kept.
pub(crate) fn write(config: &impl ConfigSpace, bar: &Bar) -> Result<(), PciError> {
    let index = usize::from(bar.index);
    let mut kept = write_half(config, index, bar.address as u32, 0xf);
    if bar.kind == BarKind::Memory64 {
        kept &= write_half(config, index + 1, (bar.address >> 32) as u32, 0);
    }
    if kept {
        Ok(())
    } else {
        Err(PciError::BarRefused(bar.index))
    }
}

fn write_half(config: &impl ConfigSpace, index: usize, value: u32, flags: u32) -> bool {
    config.write_u32(register(index), value);
    config.read_u32(register(index)) & !flags == value
}

fn register(index: usize) -> u16 {
    header::BAR + 4 * index as u16
}
