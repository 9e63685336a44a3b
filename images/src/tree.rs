//! The board's base device tree, as facts about its nodes.
//!
//! A tree that came from a file is checked once, here; afterwards every node has a path, its registers as CPU
//! addresses and its interrupts as the GIC's own numbers, or the reason why it has none that can be given away.

pub mod dma;
pub mod flat;
pub mod interrupts;
mod lookup;
pub mod memory;
pub mod needs;
pub mod registers;

use std::collections::HashMap;
use std::path::Path;

use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node as _, Property as _};

use crate::board::Board;
use crate::error::{Error, Fault};
use dma::Dma;
use interrupts::{Controllers, Interrupts};
pub use lookup::Unfound;
use needs::Need;
use registers::{Buses, Registers};

/// A base device tree, understood.
#[derive(Debug)]
pub struct BaseTree {
    tree: DeviceTree,
    nodes: Vec<Node>,
    by_path: HashMap<String, usize>,
}

/// What the image builder knows of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its full path.
    pub path: String,
    /// Its `compatible` strings, the most specific first.
    pub compatible: Vec<String>,
    /// Whether its `status` lets it be used.
    pub enabled: bool,
    /// Its registers.
    pub registers: Registers,
    /// Its interrupts.
    pub interrupts: Interrupts,
    /// What its DMA reaches.
    pub dma: Dma,
    /// Whether it is behind an IOMMU that Xen drives: what `dtdev=` wants.
    pub iommu: bool,
    /// What it needs of nodes that stay with Dom0.
    pub needs: Vec<Need>,
    /// Whether it is a part of the machine that someone could be given: see `outrigger devices`.
    pub device: bool,
    /// Whether it is a bus whose own registers are the window to the devices behind it, and nothing beside.
    pub bus: bool,
}

impl Node {
    /// Whether the registers of this node are the window behind which the node at `path` is.
    pub fn is_window_to(&self, path: &str) -> bool {
        self.bus
            && path
                .strip_prefix(self.path.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl BaseTree {
    /// Understands `dtb`, the contents of `file`. Bytes after the tree's own size are ignored.
    ///
    /// # Errors
    /// Anything but a well-formed flattened device tree of at most [`flat::MAX_BYTES`].
    pub fn parse(file: &Path, dtb: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::at(file, Fault::DeviceTree(why));
        let tree = flat::read(dtb).map_err(refuse)?;
        let nodes = facts(&tree.root);
        let by_path = nodes.iter().enumerate().map(|(i, node)| (node.path.clone(), i));
        Ok(Self {
            by_path: by_path.collect(),
            tree,
            nodes,
        })
    }

    /// All nodes, parents before children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node at exactly this path: names with their unit addresses.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.by_path.get(path).map(|&index| &self.nodes[index])
    }

    /// Whether the root is compatible with one of these names of a board.
    pub fn is_board(&self, compatible: &[String]) -> bool {
        self.nodes
            .first()
            .is_some_and(|root| root.compatible.iter().any(|c| compatible.contains(c)))
    }

    /// Paths of the enabled nodes that are IOMMUs, whether Xen drives them or not.
    pub fn iommus(&self) -> impl Iterator<Item = &str> {
        let enabled = self.nodes.iter().filter(|node| node.enabled);
        enabled.map(|node| node.path.as_str()).filter(|path| {
            self.model_node(path)
                .is_some_and(|node| node.property("#iommu-cells").is_some())
        })
    }

    /// Path of Xen's console, if the board's arguments for Xen or the tree's `stdout-path` tell.
    pub fn xen_console(&self, board: &Board) -> Option<String> {
        let dtuart = board
            .boot
            .iter()
            .flat_map(|boot| boot.xen.split_whitespace())
            .find_map(|word| word.strip_prefix("dtuart="));
        let chosen = self
            .model_node("/chosen")
            .and_then(|chosen| string(chosen, "stdout-path"));
        // Behind a colon the line's settings may follow.
        let reference = dtuart.or(chosen.as_deref())?.split(':').next()?;
        self.find(reference).ok().map(|node| node.path.clone())
    }

    /// The tree itself, to copy from and to mark.
    pub fn model(&self) -> &DeviceTree {
        &self.tree
    }

    /// The node at this path of [`nodes`](Self::nodes), with all its properties.
    pub fn model_node(&self, path: &str) -> Option<&DeviceTreeNode> {
        exact(&self.tree.root, path)
    }
}

/// The property's string.
pub(crate) fn string(node: &DeviceTreeNode, property: &str) -> Option<String> {
    let property = node.property(property)?;
    let text = str::from_utf8(property.value().strip_suffix(b"\0")?).ok()?;
    Some(text.to_owned())
}

/// Walks `path` by full names. The crate's own look-up also takes names without their unit address.
fn exact<'a>(root: &'a DeviceTreeNode, path: &str) -> Option<&'a DeviceTreeNode> {
    path.strip_prefix('/')?
        .split('/')
        .filter(|name| !name.is_empty())
        .try_fold(root, |node, name| {
            node.children().find(|child| child.name() == name)
        })
}

/// A node and its place in the tree, before its facts are worked out.
pub(crate) struct Placed<'a> {
    pub(crate) path: String,
    pub(crate) parent: Option<usize>,
    pub(crate) node: &'a DeviceTreeNode,
}

impl Placed<'_> {
    /// The property's cells, if it has a whole number of them.
    pub(crate) fn cells(&self, property: &str) -> Option<Vec<u32>> {
        let property = self.node.property(property)?;
        property.value_as::<Vec<u32>>().ok()
    }

    /// How its children are addressed: `#address-cells` and `#size-cells`, or the Devicetree Specification's defaults
    /// (2.3.5).
    pub(crate) fn address_and_size_cells(&self) -> (u32, u32) {
        (
            self.cell("#address-cells").unwrap_or(2),
            self.cell("#size-cells").unwrap_or(1),
        )
    }

    /// Its `compatible` strings.
    pub(crate) fn compatible(&self) -> Vec<String> {
        self.node
            .compatible()
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    }

    /// The property's only cell.
    pub(crate) fn cell(&self, property: &str) -> Option<u32> {
        self.node.property(property)?.value_as::<u32>().ok()
    }
}

/// The placed nodes by their phandles. Of two nodes with one phandle the later counts.
pub(crate) type Phandles = HashMap<u32, usize>;

fn facts(root: &DeviceTreeNode) -> Vec<Node> {
    let mut placed = Vec::new();
    place(root, "/".to_owned(), None, &mut placed);
    let phandle = |at: &Placed<'_>| at.cell("phandle").or_else(|| at.cell("linux,phandle"));
    let phandles: Phandles = placed
        .iter()
        .enumerate()
        .filter_map(|(index, at)| Some((phandle(at)?, index)))
        .collect();
    let buses = Buses::of(&placed);
    let controllers = Controllers::of(&placed, &phandles);
    let describe = |(index, at): (usize, &Placed<'_>)| {
        let registers = buses.registers(&placed, index);
        Node {
            path: at.path.clone(),
            compatible: at.compatible(),
            enabled: is_enabled(at.node),
            device: is_device(at, &registers),
            bus: is_bus(at),
            registers,
            interrupts: controllers.interrupts(&placed, index),
            dma: dma::reach(&placed, index),
            iommu: needs::providers(&placed, &phandles, index, "iommus", "#iommu-cells")
                .into_iter()
                .any(|provider| provider.is_ok_and(|provider| is_iommu_of_xen(&placed[provider]))),
            needs: needs::needs(&placed, &phandles, index),
        }
    };
    placed.iter().enumerate().map(describe).collect()
}

fn is_enabled(node: &DeviceTreeNode) -> bool {
    node.property("status")
        .is_none_or(|status| matches!(status.value(), b"okay\0" | b"ok\0"))
}

/// The IOMMUs that Xen 4.20 drives on Arm (`xen/drivers/passthrough/arm`). SMMUv3 is left out: it is a technical
/// preview there, which no distribution builds.
fn is_iommu_of_xen(node: &Placed<'_>) -> bool {
    const KNOWN: [&str; 10] = [
        "arm,smmu-v1",
        "arm,smmu-v2",
        "arm,mmu-400",
        "arm,mmu-401",
        "arm,mmu-500",
        "cavium,smmu-v2",
        "renesas,ipmmu-r8a7795",
        "renesas,ipmmu-r8a77965",
        "renesas,ipmmu-r8a7796",
        "renesas,ipmmu-r8a779f0",
    ];
    is_enabled(node.node) && node.compatible().iter().any(|c| KNOWN.contains(&c.as_str()))
}

/// Whether a node is a bus that needs no driver (Devicetree Specification, 4.5): an address range that is passed on.
fn is_bus(at: &Placed<'_>) -> bool {
    let simple = |c: &String| c == "simple-bus" || c == "simple-pm-bus";
    at.node.property("ranges").is_some() && at.compatible().iter().any(simple)
}

/// Whether a node is a part of the machine: what the CPU can address, and neither memory nor an entry of `/chosen` or
/// `/reserved-memory`.
fn is_device(at: &Placed<'_>, registers: &Registers) -> bool {
    const NOT: [&str; 3] = ["/memory@", "/chosen/", "/reserved-memory/"];
    !registers.regions.is_empty()
        && at.node.property("compatible").is_some()
        && !NOT.iter().any(|prefix| at.path.starts_with(prefix))
}

fn place<'a>(node: &'a DeviceTreeNode, path: String, parent: Option<usize>, placed: &mut Vec<Placed<'a>>) {
    let index = placed.len();
    let prefix = if path == "/" { String::new() } else { path.clone() };
    placed.push(Placed { path, parent, node });
    for child in node.children() {
        place(child, format!("{prefix}/{}", child.name()), Some(index), placed);
    }
}
