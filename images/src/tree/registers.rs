//! Registers as CPU addresses: `reg`, translated through the `ranges` of every bus above (Devicetree
//! Specification, 2.3.6 and 2.3.8).

use std::ops::RangeInclusive;

use dtoolkit::Node as _;

use super::Placed;

/// A page of Xen's and of `iomem=`.
pub const PAGE_BYTES: u64 = 4096;

/// What a node's `reg` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registers {
    /// The regions the CPU can address.
    pub regions: Vec<Region>,
    /// Why the regions are not the whole of what the node has.
    pub refused: Option<String>,
}

/// A region of CPU addresses, not empty, whose end does not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    base: u64,
    size: u64,
}

impl Region {
    /// The region of `size` bytes at `base`, if there is such a one.
    pub fn new(base: u64, size: u64) -> Option<Self> {
        base.checked_add(size.checked_sub(1)?)?;
        Some(Self { base, size })
    }

    /// Address of its first byte.
    pub fn base(self) -> u64 {
        self.base
    }

    /// Its size in bytes.
    pub fn size(self) -> u64 {
        self.size
    }

    /// The byte after its last; of one that reaches the end of all addresses, its last.
    pub fn end(self) -> u64 {
        self.base.saturating_add(self.size)
    }

    /// Its last byte.
    fn last(self) -> u64 {
        self.base + (self.size - 1)
    }

    /// The page frames it touches.
    pub fn pages(self) -> RangeInclusive<u64> {
        self.base / PAGE_BYTES..=self.last() / PAGE_BYTES
    }

    /// The first page frame that both touch.
    pub fn shared_page(self, other: Self) -> Option<u64> {
        let first = *self.pages().start().max(other.pages().start());
        (first <= *self.pages().end().min(other.pages().end())).then_some(first)
    }
}

/// How the children of each node are addressed, in the order of the placed nodes.
pub(crate) struct Buses(Vec<Bus>);

struct Bus {
    address_cells: u32,
    size_cells: u32,
    to_parent: Translation,
}

enum Translation {
    /// The children's addresses are the parent's (an empty `ranges`, or the root).
    Same,
    /// Windows of child address, parent address and length.
    Windows(Vec<(u64, u64, u64)>),
    /// The children are not memory mapped.
    None,
}

impl Buses {
    pub(crate) fn of(placed: &[Placed<'_>]) -> Self {
        let bus = |at: &Placed<'_>| {
            let (address_cells, size_cells) = at.address_and_size_cells();
            let to_parent = match (at.parent, at.cells("ranges")) {
                (None, _) => Translation::Same,
                (_, None) => Translation::None,
                (_, Some(ranges)) if ranges.is_empty() => Translation::Same,
                (Some(parent), Some(ranges)) => {
                    let (parent_cells, _) = placed[parent].address_and_size_cells();
                    windows(&ranges, [address_cells, parent_cells, size_cells])
                }
            };
            Bus {
                address_cells,
                size_cells,
                to_parent,
            }
        };
        Self(placed.iter().map(bus).collect())
    }

    pub(crate) fn registers(&self, placed: &[Placed<'_>], index: usize) -> Registers {
        let at = &placed[index];
        let (Some(parent), Some(_)) = (at.parent, at.node.property("reg")) else {
            return Registers {
                regions: Vec::new(),
                refused: Some("it has no reg".to_owned()),
            };
        };
        let refuse = |why: &str| Registers {
            regions: Vec::new(),
            refused: Some(why.to_owned()),
        };
        let bus = &self.0[parent];
        let widths = [bus.address_cells, bus.size_cells];
        if !matches!(widths, [1..=2, 1..=2]) {
            return refuse("its bus is not memory mapped");
        }
        let Some(cells) = at.cells("reg") else {
            return refuse("its reg is malformed");
        };
        let Some(tuples) = tuples(&cells, widths) else {
            return refuse("its reg is malformed");
        };
        let mut registers = Registers::default();
        for [address, size] in tuples {
            let region = self
                .to_cpu(placed, parent, address, size)
                .and_then(|base| Region::new(base, size));
            match region {
                Some(region) => registers.regions.push(region),
                None if size == 0 => registers.refused = Some("an entry of its reg is empty".to_owned()),
                None => registers.refused = Some(format!("{address:#x} is no address of the CPU")),
            }
        }
        if registers.regions.is_empty() && registers.refused.is_none() {
            registers.refused = Some("its reg is empty".to_owned());
        }
        registers
    }

    /// The CPU's address of `size` bytes at `address` among the children of `bus`.
    fn to_cpu(&self, placed: &[Placed<'_>], bus: usize, address: u64, size: u64) -> Option<u64> {
        let mut bus = Some(bus);
        let mut address = address;
        while let Some(index) = bus {
            address = match &self.0[index].to_parent {
                Translation::Same => address,
                Translation::None => return None,
                Translation::Windows(windows) => windows.iter().find_map(|&(child, parent, length)| {
                    let offset = address.checked_sub(child)?;
                    (size <= length && offset <= length - size).then(|| parent.checked_add(offset))?
                })?,
            };
            bus = placed[index].parent;
        }
        Some(address)
    }
}

fn windows(ranges: &[u32], widths: [u32; 3]) -> Translation {
    // PCI's three-cell addresses are no memory addresses of a child's `reg`.
    if !matches!(widths, [1..=2, 1..=2, 1..=2]) {
        return Translation::None;
    }
    match tuples(ranges, widths) {
        Some(windows) => {
            Translation::Windows(windows.map(|[child, parent, len]| (child, parent, len)).collect())
        }
        None => Translation::None,
    }
}

/// Splits cells into tuples of numbers of so many cells each (one or two), if they come out even.
pub(super) fn tuples<const N: usize>(
    cells: &[u32],
    widths: [u32; N],
) -> Option<impl Iterator<Item = [u64; N]>> {
    let whole = widths.iter().sum::<u32>() as usize;
    let tuple = move |mut cells: &[u32]| {
        widths.map(|width| {
            let (number, rest) = cells.split_at(width as usize);
            cells = rest;
            number
                .iter()
                .fold(0u64, |number, &cell| number << 32 | u64::from(cell))
        })
    };
    (whole != 0 && cells.len().is_multiple_of(whole)).then(|| cells.chunks_exact(whole).map(tuple))
}
