//! Which addresses a device can reach: `dma-ranges` of every bus above it (Devicetree Specification, 2.3.9).

use dtoolkit::Node as _;

use super::Placed;
use super::registers::tuples;

/// How the addresses a device uses relate to the CPU's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dma {
    /// They are the CPU's, all of them.
    Same,
    /// Only these windows.
    Windows(Vec<Window>),
    /// A bus above it says nothing that makes sense.
    Malformed,
}

/// A range of addresses as a device and as the CPU see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First address for the device.
    pub device: u64,
    /// First address for the CPU.
    pub cpu: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Window {
    /// The part of this window whose CPU side lies in `outer`'s device side, carried on through `outer`.
    fn through(self, outer: Self) -> Option<Self> {
        let start = self.cpu.max(outer.device);
        let end = self
            .cpu
            .checked_add(self.length)?
            .min(outer.device.checked_add(outer.length)?);
        let length = end.checked_sub(start).filter(|&length| length > 0)?;
        Some(Self {
            device: self.device.checked_add(start - self.cpu)?,
            cpu: outer.cpu.checked_add(start - outer.device)?,
            length,
        })
    }
}

/// What the node's DMA reaches.
pub(crate) fn reach(placed: &[Placed<'_>], index: usize) -> Dma {
    let mut reach = Dma::Same;
    let mut bus = placed[index].parent;
    while let Some(at) = bus {
        // A bus without `dma-ranges`, or with an empty one, changes nothing.
        if let Some(parent) = placed[at].parent
            && placed[at].node.property("dma-ranges").is_some()
        {
            let Some(windows) = windows(&placed[at], &placed[parent]) else {
                return Dma::Malformed;
            };
            if !windows.is_empty() {
                reach = match reach {
                    Dma::Same => Dma::Windows(windows),
                    Dma::Windows(inner) => Dma::Windows(
                        inner
                            .iter()
                            .flat_map(|window| windows.iter().filter_map(|outer| window.through(*outer)))
                            .take(MAX_WINDOWS)
                            .collect(),
                    ),
                    Dma::Malformed => return Dma::Malformed,
                };
            }
        }
        bus = placed[at].parent;
    }
    reach
}

/// More windows than any bus has: a bound for what buses inside buses can make of them.
const MAX_WINDOWS: usize = 64;

/// The windows of one bus; none if its `dma-ranges` is empty.
fn windows(bus: &Placed<'_>, parent: &Placed<'_>) -> Option<Vec<Window>> {
    let (child, size) = bus.address_and_size_cells();
    let (parent, _) = parent.address_and_size_cells();
    // PCI's three-cell addresses: its devices are not given away by their nodes.
    if !matches!([child, parent, size], [1..=2, 1..=2, 1..=2]) {
        return Some(Vec::new());
    }
    let cells = bus.cells("dma-ranges")?;
    let windows =
        tuples(&cells, [child, parent, size])?.map(|[device, cpu, length]| Window { device, cpu, length });
    let windows: Vec<_> = windows.take(MAX_WINDOWS).collect();
    let whole = |window: &Window| {
        window.length > 0
            && window.device.checked_add(window.length).is_some()
            && window.cpu.checked_add(window.length).is_some()
    };
    windows.iter().all(whole).then_some(windows)
}
