//! Devices, as the device tree tells of them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use outrigger_hal::DmaReach;

use super::SPI_BASE;
use super::machine::Unusable;
use super::processor::Processor;
use crate::interrupts::Trigger;
use crate::{Device, Registers};

/// The address ranges of a node's `reg`. Impossible ones are left out.
pub(super) fn regions<'a>(node: &FdtNode<'a>) -> impl Iterator<Item = Range<u64>> + use<'a> {
    node.reg().ok().flatten().into_iter().flatten().filter_map(|reg| {
        let start = reg.address::<u64>().ok()?;
        let size = reg.size::<u64>().ok()?;
        Some(start..start.checked_add(size)?)
    })
}

/// The GIC interrupts of a node's `interrupts`: three cells each, type (0 SPI, 1 PPI), number, flags.
pub(super) fn interrupts(node: &FdtNode<'_>) -> Vec<(u32, Trigger)> {
    let cells = node
        .property("interrupts")
        .map(|property| property.value().to_vec())
        .unwrap_or_default();
    let decode = |cell: &[u8; 12]| {
        let word = |i: usize| u32::from_be_bytes([cell[i], cell[i + 1], cell[i + 2], cell[i + 3]]);
        let base = if word(0) == 0 { SPI_BASE } else { 16 };
        let trigger = if word(8) & 3 != 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        };
        (base + (word(4) & 0x3ff), trigger)
    };
    cells.as_chunks().0.iter().map(decode).collect()
}

/// A passed-through device. Its name is its alias, which the image builder chose (`virtio0`), or its node's.
pub(super) fn device(
    tree: &Fdt<'static>,
    node: &FdtNode<'static>,
    processor: &mut Processor,
    reach: DmaReach,
) -> Result<Device, Unusable> {
    let alias = tree.find_node("/aliases").and_then(|aliases| {
        let is_ours = |path: &str| path.strip_prefix("/passthrough/") == Some(node.name());
        aliases
            .properties()
            .find(|alias| {
                core::str::from_utf8(alias.value()).is_ok_and(|path| is_ours(path.trim_end_matches('\0')))
            })
            .map(|alias| alias.name().to_string())
    });
    let mut lines = Vec::new();
    for (interrupt, trigger) in interrupts(node) {
        let number = processor.bind(interrupt, trigger);
        lines.push(number.ok_or(Unusable::DeviceTree("more than 128 device interrupts"))?);
    }
    Ok(Device {
        name: alias.unwrap_or_else(|| node.name().to_string()),
        compatible: node
            .compatible()
            .map(|names| names.map(String::from).collect())
            .unwrap_or_default(),
        registers: regions(node)
            // SAFETY: mapped as device memory by `describe`, from the node that says it is a device of ours.
            .map(|range| unsafe { Registers::new(range.start as usize, (range.end - range.start) as usize) })
            .collect(),
        interrupts: lines,
        properties: node
            .properties()
            .map(|property| (property.name().to_string(), property.value().to_vec()))
            .collect(),
        reach: DmaReach {
            coherent: is_coherent(node),
            ..reach
        },
    })
}

/// Whether the device sees what the caches hold.
pub(super) fn is_coherent(node: &FdtNode<'_>) -> bool {
    node.property("dma-coherent").is_some()
}

/// What devices on a bus reach of memory: the largest of its `dma-ranges` (the device's address, the processor's, length;
/// two cells each, as the image builder writes them); everything if it has none.
pub(super) fn reach(bus: &FdtNode<'_>) -> DmaReach {
    let decode = |cell: &[u8; 24]| {
        let [device, start, length] = [0, 8, 16].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&cell[at..at + 8]);
            u64::from_be_bytes(word)
        });
        DmaReach {
            start,
            end: start.saturating_add(length),
            offset: device.wrapping_sub(start),
            ..DmaReach::ALL
        }
    };
    // No list of them: there is no heap yet.
    let largest = bus.property("dma-ranges").and_then(|property| {
        let windows = property.value().as_chunks().0.iter().map(decode);
        windows.max_by_key(|window| window.end - window.start)
    });
    largest.unwrap_or(DmaReach::ALL)
}
