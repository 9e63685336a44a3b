//! Interrupts as the GIC's own numbers: `interrupts`, `interrupts-extended`, `interrupt-parent` and `interrupt-map`
//! (Devicetree Specification, 2.4; the cells of the GIC: Linux's `arm,gic.yaml`).

use dtoolkit::Node as _;

use super::{Phandles, Placed};

/// The first shared peripheral interrupt's INTID; below are the processors' private ones.
const FIRST_SPI: u32 = 32;
/// Shared peripheral interrupts of a GIC: INTIDs 32..=1019.
const SPIS: u32 = 988;
/// More nexuses in a row than any board has: a bound for those that point at each other.
const MAX_NEXUSES: usize = 8;

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
pub(crate) struct Controllers<'a> {
    /// What each placed node is to interrupts.
    kinds: Vec<Kind>,
    phandles: &'a Phandles,
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

impl<'a> Controllers<'a> {
    pub(crate) fn of(placed: &[Placed<'_>], phandles: &'a Phandles) -> Self {
        let kind = |at: &Placed<'_>| {
            let Some(cells) = at.cell("#interrupt-cells") else {
                return Kind::Device;
            };
            let gic = at
                .compatible()
                .iter()
                .any(|c| c == "qcom,msm-qgic2" || (c.starts_with("arm,") && c.contains("gic")));
            if gic && cells >= 3 {
                Kind::Gic { cells }
            } else {
                Kind::Other { cells }
            }
        };
        Self {
            kinds: placed.iter().map(kind).collect(),
            phandles,
        }
    }

    pub(crate) fn interrupts(&self, placed: &[Placed<'_>], index: usize) -> Interrupts {
        let at = &placed[index];
        let mut interrupts = Interrupts::default();
        if !matches!(self.kinds[index], Kind::Device) {
            interrupts.refuse("it is an interrupt controller or nexus");
        }
        // `interrupts-extended` takes precedence where a node has both.
        if let Some(cells) = at.cells("interrupts-extended") {
            self.extended(placed, index, &cells, &mut interrupts);
        } else if at.node.property("interrupts").is_some() {
            match (at.cells("interrupts"), self.parent(placed, index)) {
                (Some(cells), Ok(parent)) => self.specifiers(placed, index, parent, &cells, &mut interrupts),
                (Some(_), Err(why)) => interrupts.refuse(why),
                (None, _) => interrupts.refuse("its interrupts are malformed"),
            }
        } else if at.node.property("interrupt-map").is_none() {
            interrupts.refuse("it has none");
        }
        // What goes through a bus belongs to the devices behind it, and they say so themselves.
        if !super::is_bus(at)
            && let Some(map) = at.cells("interrupt-map")
        {
            self.map(placed, index, &map, &mut interrupts);
        }
        if interrupts.spis.is_empty() {
            interrupts.refuse("it has none");
        }
        interrupts
    }

    /// The interrupt parent of a node: the nearest `interrupt-parent`, or controller above.
    fn parent(&self, placed: &[Placed<'_>], index: usize) -> Result<usize, &'static str> {
        let mut node = index;
        loop {
            if let Some(phandle) = placed[node].cell("interrupt-parent") {
                return self
                    .phandles
                    .get(&phandle)
                    .copied()
                    .ok_or("its interrupt-parent does not exist");
            }
            node = placed[node].parent.ok_or("it has no interrupt parent")?;
            if !matches!(self.kinds[node], Kind::Device) {
                return Ok(node);
            }
        }
    }

    fn specifiers(
        &self,
        placed: &[Placed<'_>],
        index: usize,
        parent: usize,
        cells: &[u32],
        interrupts: &mut Interrupts,
    ) {
        let (Kind::Gic { cells: width } | Kind::Other { cells: width }) = self.kinds[parent] else {
            return interrupts.refuse(NO_CONTROLLER);
        };
        if width == 0 {
            return interrupts.refuse("its interrupts are malformed");
        }
        let specifiers = cells.chunks_exact(width as usize);
        if !specifiers.remainder().is_empty() {
            interrupts.refuse("its interrupts are malformed");
        }
        for specifier in specifiers {
            interrupts.add(self.route(placed, index, parent, specifier));
        }
    }

    fn extended(&self, placed: &[Placed<'_>], index: usize, mut cells: &[u32], interrupts: &mut Interrupts) {
        while let Some((phandle, rest)) = cells.split_first() {
            let Some(&controller) = self.phandles.get(phandle) else {
                return interrupts.refuse("an interrupt goes to a controller that does not exist");
            };
            let (Kind::Gic { cells: width } | Kind::Other { cells: width }) = self.kinds[controller] else {
                return interrupts.refuse(NO_CONTROLLER);
            };
            let Some((specifier, rest)) = rest.split_at_checked(width as usize) else {
                return interrupts.refuse("its interrupts are malformed");
            };
            interrupts.add(self.route(placed, index, controller, specifier));
            cells = rest;
        }
    }

    /// The GIC's interrupt that `specifier` for `controller` comes out at, through every nexus between.
    fn route(
        &self,
        placed: &[Placed<'_>],
        device: usize,
        controller: usize,
        specifier: &[u32],
    ) -> Result<Spi, String> {
        let mut unit = placed[device].cells("reg").unwrap_or_default();
        let mut controller = controller;
        let mut specifier = specifier.to_vec();
        for _ in 0..MAX_NEXUSES {
            if matches!(self.kinds[controller], Kind::Gic { .. }) {
                return Spi::decode(&specifier);
            }
            let nexus = &placed[controller];
            let map = nexus.cells("interrupt-map").ok_or(NOT_TO_THE_GIC)?;
            let mut wanted = unit;
            wanted.resize(nexus.cell("#address-cells").unwrap_or(2).min(4) as usize, 0);
            wanted.extend(&specifier);
            let mask = nexus.cells("interrupt-map-mask").unwrap_or_default();
            let mask = |cell: usize| mask.get(cell).copied().unwrap_or(u32::MAX);
            let same = |entry: &Entry<'_>| {
                entry.child.len() == wanted.len()
                    && (0..wanted.len()).all(|i| entry.child[i] & mask(i) == wanted[i] & mask(i))
            };
            let entry = self.entries(placed, controller, &map).find(same);
            let entry = entry.ok_or("its nexus's interrupt-map does not tell where they go")?;
            controller = entry.parent;
            unit = entry.parent_unit.to_vec();
            specifier = entry.specifier.to_vec();
        }
        Err(NOT_TO_THE_GIC.to_owned())
    }

    /// The entries of a nexus's `interrupt-map`, up to the first that makes no sense.
    fn entries<'m>(
        &self,
        placed: &[Placed<'_>],
        nexus: usize,
        mut map: &'m [u32],
    ) -> impl Iterator<Item = Entry<'m>> {
        let unit = placed[nexus].cell("#address-cells").unwrap_or(2) as usize;
        let child = match self.kinds[nexus] {
            Kind::Other { cells } | Kind::Gic { cells } => unit.checked_add(cells as usize),
            Kind::Device => None,
        };
        std::iter::from_fn(move || {
            let (child, rest) = map.split_at_checked(child?)?;
            let (phandle, rest) = rest.split_first()?;
            let parent = *self.phandles.get(phandle)?;
            let (Kind::Gic { cells } | Kind::Other { cells }) = self.kinds[parent] else {
                return None;
            };
            let unit = placed[parent].cell("#address-cells").unwrap_or(0) as usize;
            let (parent_unit, rest) = rest.split_at_checked(unit)?;
            let (specifier, rest) = rest.split_at_checked(cells as usize)?;
            map = rest;
            Some(Entry {
                child,
                parent,
                parent_unit,
                specifier,
            })
        })
    }

    /// The interrupts a nexus (a PCI host bridge) passes on to the GIC. Each counts once, whatever raises it.
    fn map(&self, placed: &[Placed<'_>], index: usize, map: &[u32], interrupts: &mut Interrupts) {
        for entry in self.entries(placed, index, map) {
            if matches!(self.kinds[entry.parent], Kind::Gic { .. })
                && let Ok(spi) = Spi::decode(entry.specifier)
                && !interrupts.spis.contains(&spi)
            {
                interrupts.spis.push(spi);
            }
        }
    }
}

const NOT_TO_THE_GIC: &str = "they do not go to the GIC directly";
const NO_CONTROLLER: &str = "an interrupt goes to a node that is no controller";

/// An entry of an `interrupt-map`.
struct Entry<'m> {
    child: &'m [u32],
    parent: usize,
    parent_unit: &'m [u32],
    specifier: &'m [u32],
}

impl Interrupts {
    fn add(&mut self, spi: Result<Spi, String>) {
        match spi {
            Ok(spi) => self.spis.push(spi),
            Err(why) => self.refuse(&why),
        }
    }

    /// Keeps the first reason.
    fn refuse(&mut self, why: &str) {
        self.refused.get_or_insert_with(|| why.to_owned());
    }
}
