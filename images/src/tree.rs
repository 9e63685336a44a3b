//! The board's base device tree, as facts about its nodes.
//!
//! A tree that came from a file is checked once, here; afterwards every node has a path, its registers as CPU
//! addresses and its interrupts as the GIC's own numbers, or the reason why it has none that can be given away.

pub mod interrupts;
pub mod registers;

use std::collections::HashSet;
use std::path::Path;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node as _, Property as _};

use crate::error::{Error, Fault};
use interrupts::{Controllers, Interrupts};
use registers::{Buses, Registers};

/// Xen takes no larger device tree on arm64 (2 MiB).
pub const MAX_BYTES: usize = 2 << 20;

/// Deeper nesting than any board's; a bound for what recurses over the tree.
const MAX_DEPTH: usize = 32;

/// A base device tree, understood.
#[derive(Debug)]
pub struct BaseTree {
    tree: DeviceTree,
    nodes: Vec<Node>,
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
}

impl BaseTree {
    /// Understands `dtb`, the contents of `file`. Bytes after the tree's own size are ignored.
    ///
    /// # Errors
    /// Anything but a well-formed flattened device tree of at most [`MAX_BYTES`].
    pub fn parse(file: &Path, dtb: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::at(file, Fault::DeviceTree(why));
        let dtb = match dtb.get(4..8) {
            Some(&[a, b, c, d]) => &dtb[..dtb.len().min(u32::from_be_bytes([a, b, c, d]) as usize)],
            _ => dtb,
        };
        if dtb.len() > MAX_BYTES {
            return Err(refuse(format!("larger than the {MAX_BYTES} bytes Xen takes")));
        }
        let fdt = Fdt::new(dtb).map_err(|e| refuse(e.to_string()))?;
        check_shape(&fdt.root(), "", MAX_DEPTH).map_err(refuse)?;
        let tree = DeviceTree::from_fdt(&fdt);
        let nodes = facts(&tree.root);
        Ok(Self { tree, nodes })
    }

    /// All nodes, parents before children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node at exactly this path: names with their unit addresses.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.path == path)
    }

    /// Whether the root is compatible with this board.
    pub fn is_board(&self, compatible: &str) -> bool {
        self.nodes
            .first()
            .is_some_and(|root| root.compatible.iter().any(|c| c == compatible))
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

/// Walks `path` by full names. The crate's own look-up also takes names without their unit address.
fn exact<'a>(root: &'a DeviceTreeNode, path: &str) -> Option<&'a DeviceTreeNode> {
    path.strip_prefix('/')?
        .split('/')
        .filter(|name| !name.is_empty())
        .try_fold(root, |node, name| {
            node.children().find(|child| child.name() == name)
        })
}

/// Refuses what the model of the tree would lose or what would overflow the stack: repeated names, deep nesting.
fn check_shape(node: &FdtNode<'_>, path: &str, depth: usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("nested deeper than {MAX_DEPTH} nodes"));
    };
    let here = if path.is_empty() { "/" } else { path };
    let mut names = HashSet::new();
    for property in node.properties() {
        if !names.insert(property.name().to_owned()) {
            return Err(format!("{here} has the property {} twice", property.name()));
        }
    }
    names.clear();
    for child in node.children() {
        if !names.insert(child.name().to_owned()) {
            return Err(format!("{here} has the node {} twice", child.name()));
        }
        check_shape(&child, &format!("{path}/{}", child.name()), depth)?;
    }
    Ok(())
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

    /// The property's only cell.
    pub(crate) fn cell(&self, property: &str) -> Option<u32> {
        self.node.property(property)?.value_as::<u32>().ok()
    }
}

fn facts(root: &DeviceTreeNode) -> Vec<Node> {
    let mut placed = Vec::new();
    place(root, "/".to_owned(), None, &mut placed);
    let buses = Buses::of(&placed);
    let controllers = Controllers::of(&placed);
    let describe = |(index, at): (usize, &Placed<'_>)| Node {
        path: at.path.clone(),
        compatible: at
            .node
            .compatible()
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect(),
        enabled: at
            .node
            .property("status")
            .is_none_or(|status| matches!(status.value(), b"okay\0" | b"ok\0")),
        registers: buses.registers(&placed, index),
        interrupts: controllers.interrupts(&placed, index),
    };
    placed.iter().enumerate().map(describe).collect()
}

fn place<'a>(node: &'a DeviceTreeNode, path: String, parent: Option<usize>, placed: &mut Vec<Placed<'a>>) {
    let index = placed.len();
    let prefix = if path == "/" { String::new() } else { path.clone() };
    placed.push(Placed { path, parent, node });
    for child in node.children() {
        place(child, format!("{prefix}/{}", child.name()), Some(index), placed);
    }
}
