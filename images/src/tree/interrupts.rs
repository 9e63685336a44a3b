//! Interrupts as the GIC's own numbers: `interrupts`, `interrupts-extended`, `interrupt-parent` and `interrupt-map`
//! (Devicetree Specification, 2.4; the cells of the GIC: Linux's `arm,gic.yaml`).

use std::collections::HashMap;

use dtoolkit::Node as _;
use dtoolkit::standard::NodeStandard;

use super::Placed;

/// The first shared peripheral interrupt's INTID; below are the processors' private ones.
const FIRST_SPI: u32 = 32;
/// Shared peripheral interrupts of a GIC: INTIDs 32..=1019.
const SPIS: u32 = 988;

/// What a node says of its interrupts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interrupts {
    /// The shared peripheral interrupts it raises.
    pub spis: Vec<Spi>,
    /// Why these are not the whole of what the node has.
    pub refused: Option<String>,
}

/// A shared peripheral interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spi {
    /// Its number among the SPIs, as the device tree counts: below 988.
    number: u32,
    /// Its trigger, as the device tree says it: 1 rising edge, 4 active high level.
    trigger: u32,
}

impl Spi {
    /// Understands a GIC's interrupt specifier.
    fn decode(specifier: &[u32]) -> Result<Self, String> {
        let &[kind, number, flags, ..] = specifier else {
            return Err("its interrupt specifier is cut short".to_owned());
        };
        match (kind, flags & 0xf) {
            (0, trigger @ (1 | 4)) if number < SPIS => Ok(Self { number, trigger }),
            (0, 1 | 4) => Err(format!("SPI {number} does not exist")),
            (0, trigger) => Err(format!("SPI {number} cannot have trigger {trigger}")),
            _ => Err(format!(
                "interrupt <{kind} {number}> is not a shared peripheral interrupt"
            )),
        }
    }

    /// Its number as the GIC and Xen's `irqs=` count.
    pub fn intid(self) -> u32 {
        FIRST_SPI + self.number
    }

    /// Its specifier for a GIC with three interrupt cells.
    pub fn specifier(self) -> [u32; 3] {
        [0, self.number, self.trigger]
    }
}

/// The interrupt controllers of a tree.
pub(crate) struct Controllers {
    /// What each placed node is to interrupts.
    kinds: Vec<Kind>,
    by_phandle: HashMap<u32, usize>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Raises interrupts at most.
    Device,
    /// The GIC, with this many cells in a specifier.
    Gic { cells: u32 },
    /// Another controller or a nexus, with this many cells in a specifier.
    Other { cells: u32 },
}

impl Controllers {
    pub(crate) fn of(placed: &[Placed<'_>]) -> Self {
        let kind = |at: &Placed<'_>| {
            let Some(cells) = at.cell("#interrupt-cells") else {
                return Kind::Device;
            };
            let gic = at
                .node
                .compatible()
                .into_iter()
                .flatten()
                .any(|c| c.starts_with("arm,") && c.contains("gic"));
            if gic && cells >= 3 {
                Kind::Gic { cells }
            } else {
                Kind::Other { cells }
            }
        };
        let phandle = |at: &Placed<'_>| at.cell("phandle").or_else(|| at.cell("linux,phandle"));
        Self {
            kinds: placed.iter().map(kind).collect(),
            by_phandle: placed
                .iter()
                .enumerate()
                .filter_map(|(i, at)| Some((phandle(at)?, i)))
                .collect(),
        }
    }

    pub(crate) fn interrupts(&self, placed: &[Placed<'_>], index: usize) -> Interrupts {
        let at = &placed[index];
        let mut interrupts = Interrupts::default();
        if !matches!(self.kinds[index], Kind::Device) {
            interrupts.refused = Some("it is an interrupt controller or nexus".to_owned());
        }
        // `interrupts-extended` takes precedence where a node has both.
        if let Some(cells) = at.cells("interrupts-extended") {
            self.extended(&cells, &mut interrupts);
        } else if at.node.property("interrupts").is_some() {
            match (at.cells("interrupts"), self.parent(placed, index)) {
                (Some(cells), Ok(Kind::Gic { cells: width })) => specifiers(&cells, width, &mut interrupts),
                (Some(_), Ok(_)) => interrupts.refuse("they do not go to the GIC directly"),
                (Some(_), Err(why)) => interrupts.refuse(why),
                (None, _) => interrupts.refuse("its interrupts are malformed"),
            }
        } else if at.node.property("interrupt-map").is_none() {
            interrupts.refuse("it has none");
        }
        if let Some(map) = at.cells("interrupt-map") {
            self.map(placed, index, &map, &mut interrupts);
        }
        if interrupts.spis.is_empty() {
            interrupts.refuse("it has none");
        }
        interrupts
    }

    /// The interrupt parent of a node: the nearest `interrupt-parent`, or controller above.
    fn parent(&self, placed: &[Placed<'_>], index: usize) -> Result<Kind, &'static str> {
        let mut node = index;
        loop {
            if let Some(phandle) = placed[node].cell("interrupt-parent") {
                let parent = self
                    .by_phandle
                    .get(&phandle)
                    .ok_or("its interrupt-parent does not exist")?;
                return Ok(self.kinds[*parent]);
            }
            node = placed[node].parent.ok_or("it has no interrupt parent")?;
            if !matches!(self.kinds[node], Kind::Device) {
                return Ok(self.kinds[node]);
            }
        }
    }

    fn extended(&self, mut cells: &[u32], interrupts: &mut Interrupts) {
        while let Some((phandle, rest)) = cells.split_first() {
            let Some(&controller) = self.by_phandle.get(phandle) else {
                return interrupts.refuse("an interrupt goes to a controller that does not exist");
            };
            let width = match self.kinds[controller] {
                Kind::Device => {
                    return interrupts.refuse("an interrupt goes to a node that is no controller");
                }
                Kind::Gic { cells } | Kind::Other { cells } => cells as usize,
            };
            let Some((specifier, rest)) = rest.split_at_checked(width) else {
                return interrupts.refuse("its interrupts are malformed");
            };
            match self.kinds[controller] {
                Kind::Gic { .. } => interrupts.add(specifier),
                _ => interrupts.refuse("they do not go to the GIC directly"),
            }
            cells = rest;
        }
    }

    /// The interrupts a nexus (a PCI host bridge) passes on to the GIC. Each counts once, whatever raises it.
    fn map(&self, placed: &[Placed<'_>], index: usize, mut map: &[u32], interrupts: &mut Interrupts) {
        let at = &placed[index];
        let unit = at.cell("#address-cells").unwrap_or(2) as usize;
        let Kind::Other { cells: specifier } = self.kinds[index] else {
            return;
        };
        let Some(skip) = unit.checked_add(specifier as usize) else {
            return;
        };
        while let Some((&phandle, rest)) = map.get(skip..).and_then(<[u32]>::split_first) {
            let Some(&parent) = self.by_phandle.get(&phandle) else {
                return;
            };
            let Kind::Gic { cells } = self.kinds[parent] else {
                return;
            };
            let parent_unit = placed[parent].cell("#address-cells").unwrap_or(0) as usize;
            let Some(end) = parent_unit.checked_add(cells as usize) else {
                return;
            };
            let Some((entry, next)) = rest.split_at_checked(end) else {
                return;
            };
            if let Ok(spi) = Spi::decode(&entry[parent_unit..])
                && !interrupts.spis.contains(&spi)
            {
                interrupts.spis.push(spi);
            }
            map = next;
        }
    }
}

fn specifiers(cells: &[u32], width: u32, interrupts: &mut Interrupts) {
    let specifiers = cells.chunks_exact(width as usize);
    if !specifiers.remainder().is_empty() {
        interrupts.refuse("its interrupts are malformed");
    }
    specifiers.for_each(|specifier| interrupts.add(specifier));
}

impl Interrupts {
    fn add(&mut self, specifier: &[u32]) {
        match Spi::decode(specifier) {
            Ok(spi) => self.spis.push(spi),
            Err(why) => self.refuse(&why),
        }
    }

    /// Keeps the first reason.
    fn refuse(&mut self, why: &str) {
        self.refused.get_or_insert_with(|| why.to_owned());
    }
}
