//! Where a boot loader can load to: memory (`/memory`), without what firmware keeps for itself (`/reserved-memory` and the
//! tree's own reservation block; Devicetree Specification, 3.4, 3.5 and 5.3).

use dtoolkit::{Node as _, Property as _};

use super::BaseTree;
use super::registers::Region;

/// A machine's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Its banks, ascending; none if the tree leaves them to the firmware.
    banks: Vec<Region>,
    /// What is in use already.
    reserved: Vec<Region>,
}

/// A place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub address: u64,
    /// Bytes from there to what is next in use, or to the end of the bank; `None` if the tree does not tell.
    pub free: Option<u64>,
}

impl BaseTree {
    /// The machine's memory, as far as the tree tells.
    pub fn memory(&self) -> Memory {
        let is_memory = |path: &str| {
            let node = self.model_node(path);
            let kind = node.and_then(|node| node.property("device_type"));
            kind.is_some_and(|kind| kind.value() == b"memory\0")
        };
        let below = |path: &str| path.starts_with("/reserved-memory/");
        let regions = |wanted: &dyn Fn(&str) -> bool| -> Vec<Region> {
            let nodes = self.nodes().iter().filter(|node| wanted(&node.path));
            nodes
                .flat_map(|node| node.registers.regions.iter().copied())
                .collect()
        };
        let mut banks = regions(&is_memory);
        banks.sort_by_key(|bank| bank.base());
        let block = self.model().memory_reservations.iter();
        let block = block.filter_map(|block| Region::new(block.address(), block.size()));
        Memory {
            banks,
            reserved: regions(&below).into_iter().chain(block).collect(),
        }
    }
}

impl Memory {
    /// The first place at or after `from`, a multiple of `align`, with `room` bytes that are not in use. Fewer than one
    /// byte count as one.
    pub fn place(&self, from: u64, room: u64, align: u64) -> Option<Place> {
        let room = room.max(1);
        let mut address = from.checked_next_multiple_of(align)?;
        // Each turn passes a reserved region or a bank.
        for _ in 0..=self.banks.len() + self.reserved.len() {
            let wanted = Region::new(address, room)?;
            let bank = self.banks.iter().find(|bank| bank.end() > address);
            let next = match (bank, self.in_use(wanted)) {
                (None, _) if !self.banks.is_empty() => return None,
                (Some(bank), _) if bank.base() > address => bank.base(),
                (Some(bank), _) if bank.end() - address < room => bank.end(),
                (_, Some(used)) => used.end(),
                _ => {
                    return Some(Place {
                        address,
                        free: bank.map(|bank| self.until(address, bank.end())),
                    });
                }
            };
            address = next.checked_next_multiple_of(align)?;
        }
        None
    }

    /// Where memory begins, if the tree tells.
    pub fn start(&self) -> Option<u64> {
        self.banks.first().map(|bank| bank.base())
    }

    /// The last byte's successor, if the tree tells.
    pub fn end(&self) -> Option<u64> {
        self.banks.last().map(|bank| bank.end())
    }

    fn in_use(&self, wanted: Region) -> Option<Region> {
        let meets = |used: &&Region| used.base() < wanted.end() && wanted.base() < used.end();
        self.reserved.iter().find(meets).copied()
    }

    /// Bytes from `address`, which is not in use, to what is, at most to `end`.
    fn until(&self, address: u64, end: u64) -> u64 {
        let next = self.reserved.iter().map(|used| used.base());
        next.filter(|base| *base >= address).min().unwrap_or(end).min(end) - address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(banks: &[(u64, u64)], reserved: &[(u64, u64)]) -> Memory {
        let regions = |list: &[(u64, u64)]| {
            let region = |(base, size): &(u64, u64)| Region::new(*base, *size).unwrap();
            list.iter().map(region).collect()
        };
        Memory {
            banks: regions(banks),
            reserved: regions(reserved),
        }
    }

    #[test]
    fn what_is_in_use_is_passed_and_what_is_not_there_refused() {
        let place = |memory: &Memory, from, room| {
            let place = memory.place(from, room, 0x100)?;
            Some((place.address, place.free))
        };
        let two = memory(
            &[(0x1000, 0x1000), (0x4000, 0x1000)],
            &[(0x1400, 0x80), (0x4f00, 0x1000)],
        );
        assert_eq!(place(&two, 0x0, 0x400), Some((0x1000, Some(0x400))));
        assert_eq!(place(&two, 0x1000, 0x401), Some((0x1500, Some(0xb00))));
        // Not half in one bank.
        assert_eq!(place(&two, 0x1500, 0xb01), Some((0x4000, Some(0xf00))));
        assert_eq!(place(&two, 0x1500, 0xf01), None);
        assert_eq!(place(&two, 0x5000, 1), None);
        assert_eq!(place(&two, u64::MAX, 1), None);
        // A tree that leaves memory to the firmware.
        let unknown = memory(&[], &[(0x1400, 0x80)]);
        assert_eq!(place(&unknown, 0x1300, 0x200), Some((0x1500, None)));
        assert_eq!(
            place(&unknown, u64::MAX - 0xff, 0x100),
            Some((u64::MAX - 0xff, None))
        );
    }
}
