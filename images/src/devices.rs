//! The table an integrator wants first: which of a board's devices could be given away, and what stands in the way.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::board::Board;
use crate::class::Class;
use crate::plan::on_guest_layout;
use crate::plan::sharing::{can_be_withheld, is_inside, shared_interrupt, shared_page};
use crate::tree::dma::Dma;
use crate::tree::{BaseTree, Node};

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its path.
    pub path: String,
    /// Its `compatible` strings.
    pub compatible: Vec<String>,
    /// Its registers: first address and size, of the CPU.
    pub registers: Vec<(u64, u64)>,
    /// Its interrupts, as Xen's `irqs=` counts.
    pub interrupts: Vec<u32>,
    /// The classes of driver domain that have a driver for it.
    pub classes: Vec<&'static str>,
    /// Whether it can be given to a driver domain that has a driver for it.
    pub free: bool,
    /// What stands in the way.
    pub obstacles: Vec<String>,
    /// Nodes of Dom0 on its page or interrupt: if there are some, and nothing else is in the way, it can be given once they
    /// are withheld.
    pub shares_with: Vec<String>,
    /// Nodes that Dom0 would lose with it: nobody misses them.
    pub takes_along: Vec<String>,
    /// What it needs of nodes that stay with Dom0.
    pub needs: Vec<String>,
    /// Enabled nodes that need it, and would do without if it were given away.
    pub needed_by: Vec<String>,
    /// Whether an IOMMU that Xen drives is in front of it.
    pub iommu: bool,
    /// Whether its DMA reaches all memory at the CPU's addresses.
    pub reaches_all_memory: bool,
}

impl Device {
    /// Whether its neighbours on the same page or interrupt are all that stands in the way.
    pub fn is_free_without_neighbours(&self) -> bool {
        !self.shares_with.is_empty() && self.obstacles.iter().all(|obstacle| obstacle.starts_with(SHARES))
    }
}

/// How an obstacle begins that `withhold` takes away.
const SHARES: &str = "shares ";

/// The devices of a board, those that a class drives first, else in the tree's order; disabled ones only if `all`.
pub fn devices(base: &BaseTree, board: &Board, all: bool) -> Vec<Device> {
    let console = base.xen_console(board);
    let mut needed_by: HashMap<&str, Vec<&str>> = HashMap::new();
    for node in base.nodes().iter().filter(|node| node.enabled) {
        for need in &node.needs {
            let users = needed_by.entry(&need.provider).or_default();
            if users.last() != Some(&node.path.as_str()) {
                users.push(&node.path);
            }
        }
    }
    let there: Vec<&Node> = base
        .nodes()
        .iter()
        .filter(|node| !board.removes(&node.path))
        .collect();
    let drives = Class::names().filter_map(Class::named).collect::<Vec<_>>();
    let mut devices: Vec<Device> = there
        .iter()
        .filter(|node| node.device && (all || node.enabled))
        .map(|node| {
            let users = needed_by.get(node.path.as_str()).into_iter().flatten();
            let users = users.filter(|user| !is_inside(user, &node.path));
            Device {
                needed_by: users.map(|user| (*user).to_owned()).collect(),
                ..device(board, console.as_deref(), &drives, &there, node)
            }
        })
        .collect();
    devices.sort_by_key(|device| device.classes.is_empty());
    devices
}

fn device(board: &Board, console: Option<&str>, classes: &[Class], there: &[&Node], node: &Node) -> Device {
    let mut obstacles = Vec::new();
    if console == Some(node.path.as_str()) {
        obstacles.push("is Xen's console".to_owned());
    }
    if !node.enabled {
        obstacles.push("is disabled".to_owned());
    }
    if let Some(why) = &node.registers.refused {
        obstacles.push(format!("registers: {why}"));
    }
    if let Some(why) = &node.interrupts.refused {
        obstacles.push(format!("interrupts: {why}"));
    }
    if node.dma == Dma::Malformed {
        obstacles.push("the dma-ranges above it make no sense".to_owned());
    }
    let mut classes = classes
        .iter()
        .filter(|class| class.driver(&node.compatible).is_some())
        .peekable();
    let memory = classes
        .peek()
        .map_or(LEAST_MEMORY_MIB, |class| class.manifest.memory_mib);
    for region in &node.registers.regions {
        if let Some(what) = on_guest_layout(*region, memory) {
            obstacles.push(format!(
                "its registers at {:#x} fall on the guest's {what}",
                region.base()
            ));
        }
    }
    let mut takes_along = Vec::new();
    let (mut pages, mut interrupts) = (Vec::new(), Vec::new());
    for neighbour in there
        .iter()
        .filter(|other| other.path != node.path && !is_inside(&other.path, &node.path))
    {
        let page = shared_page(&node.registers.regions, &neighbour.registers.regions)
            .filter(|_| !neighbour.is_window_to(&node.path));
        let intid = shared_interrupt(&node.interrupts.spis, &neighbour.interrupts.spis);
        let other = neighbour.path.as_str();
        match (page, intid) {
            (None, None) => {}
            // These can neither be withheld nor given along.
            _ if console == Some(other) => obstacles.push("is beside Xen's console".to_owned()),
            _ if is_inside(&node.path, other) => obstacles.push(format!("is a part of {other}")),
            _ if can_be_withheld(board, neighbour) => takes_along.push(other.to_owned()),
            (Some(_), _) => pages.push(other),
            (None, Some(_)) => interrupts.push(other),
        }
    }
    if !pages.is_empty() {
        obstacles.push(format!("{SHARES}a page with {}", few(&pages)));
    }
    if !interrupts.is_empty() {
        obstacles.push(format!("{SHARES}an interrupt with {}", few(&interrupts)));
    }
    Device {
        path: node.path.clone(),
        compatible: node.compatible.clone(),
        registers: node
            .registers
            .regions
            .iter()
            .map(|region| (region.base(), region.size()))
            .collect(),
        interrupts: node.interrupts.spis.iter().map(|spi| spi.intid()).collect(),
        classes: classes.map(|class| class.name).collect(),
        shares_with: pages
            .iter()
            .chain(&interrupts)
            .map(|path| (*path).to_owned())
            .collect(),
        free: obstacles.is_empty(),
        obstacles,
        takes_along,
        needs: node
            .needs
            .iter()
            .map(|need| format!("{} {}", need.kind, need.provider))
            .collect(),
        needed_by: Vec::new(),
        iommu: board.iommu && node.iommu,
        reaches_all_memory: node.dma == Dma::Same,
    }
}

/// Memory of a driver domain whose class is not known, MiB.
const LEAST_MEMORY_MIB: u32 = 16;

/// The first of these, and how many more.
fn few(paths: &[&str]) -> String {
    match paths {
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", paths.len() - 3)
        }
        _ => paths.join(", "),
    }
}

/// Prints as the table.
pub struct Table<'a>(pub &'a [Device]);

/// What the columns are.
const HEAD: [&str; 6] = ["DEVICE", "REGISTERS", "IRQS", "CLASS", "NEEDS", "IN THE WAY"];

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head = HEAD.map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.0.iter().map(row)).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3, 4].map(width);
        for row in &rows {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", row[5])?;
        }
        let free = self.0.iter().filter(|device| device.free).count();
        let driven = self.0.iter().filter(|device| !device.classes.is_empty()).count();
        write!(
            f,
            "\n{free} of {} devices can be given to a driver domain",
            self.0.len()
        )?;
        match driven {
            0 => writeln!(f, ", but no class has a driver for any device of this board."),
            1 => writeln!(f, "; a class has a driver for the first of the list."),
            driven => writeln!(f, "; a class has a driver for the first {driven} of the list."),
        }
    }
}

/// What kinds of things a device needs, and how many of each: "clock, 2 supply".
fn kinds(needs: &[String]) -> String {
    let mut kinds: Vec<(&str, u32)> = Vec::new();
    for need in needs {
        let kind = need.split(" /").next().unwrap_or_default();
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let words = kinds.iter().map(|(kind, count)| match count {
        1 => (*kind).to_owned(),
        count => format!("{count} {kind}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn row(device: &Device) -> [String; 6] {
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let registers = match device.registers[..] {
        [] => String::new(),
        [(base, size)] => format!("{base:#x}+{size:#x}"),
        [(base, size), ..] => format!("{base:#x}+{size:#x} and {} more", device.registers.len() - 1),
    };
    let interrupts: Vec<String> = device.interrupts.iter().map(u32::to_string).collect();
    let interrupts = match &interrupts[..] {
        [first, second, third, _, ..] => {
            format!("{first},{second},{third} and {} more", interrupts.len() - 3)
        }
        _ => interrupts.join(","),
    };
    let mut way = device.obstacles.clone();
    if device.free {
        way.push("nothing".to_owned());
    }
    if let [first, ..] = &device.takes_along[..] {
        let more = match device.takes_along.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        way.push(format!("takes along {first}{more}"));
    }
    if !device.needed_by.is_empty() {
        let users: Vec<&str> = device.needed_by.iter().map(String::as_str).collect();
        way.push(format!("is needed by {}", few(&users)));
    }
    if !device.reaches_all_memory {
        way.push("its bus limits or moves its DMA".to_owned());
    }
    if device.iommu {
        way.push("behind the IOMMU".to_owned());
    }
    [
        device.path.clone(),
        or_none(registers),
        or_none(interrupts),
        or_none(device.classes.join(",")),
        or_none(kinds(&device.needs)),
        way.join("; "),
    ]
}
