//! The device trees that are written: a domain's partial one, and the host's.
//!
//! `xl` copies `/passthrough` and `/aliases` of the partial tree into the guest's own, where phandle 65000 is the
//! guest's GIC. The nodes are found there by `compatible` and in the order of `/aliases`.

use dtoolkit::error::ModelError;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node as _, Property as _, ToPropertyValue};

use crate::board::Board;
use crate::plan::Device;
use crate::tree::dma::Dma;
use crate::tree::registers::PAGE_BYTES;
use crate::tree::{BaseTree, needs};

/// `GUEST_PHANDLE_GIC` of Xen's `public/device_tree_defs.h`.
const GUEST_PHANDLE_GIC: u32 = 65000;

/// What marks a node that Xen keeps from Dom0.
const PASSTHROUGH: &str = "xen,passthrough";

/// Names of nodes and properties that the guest's reader takes (Devicetree Specification, 2.2.1 and 2.2.4): at most
/// this many characters, the unit address not counted.
const MAX_NAME: usize = 31;

/// Who reads a partial device tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// `xl`, which has the registers and interrupts from its configuration.
    Xl,
    /// Xen itself (`docs/misc/arm/passthrough.txt`, "dom0less"), which has them from the tree. `iommu` says whether it
    /// confines the devices.
    Xen {
        /// Whether the board's IOMMU confines the devices' DMA.
        iommu: bool,
    },
}

/// The partial device tree of a domain that owns these devices.
pub fn partial(base: &BaseTree, devices: &[Device], reader: Reader) -> Vec<u8> {
    let mut passthrough = node("passthrough");
    set(&mut passthrough, "compatible", "simple-bus");
    set(&mut passthrough, "ranges", [0u8; 0]);
    set_cells(&mut passthrough);
    if let Some(Dma::Windows(windows)) = devices.first().map(|device| &device.dma) {
        let cells = windows
            .iter()
            .flat_map(|window| [window.device, window.cpu, window.length]);
        set(
            &mut passthrough,
            "dma-ranges",
            cells.flat_map(split).collect::<Vec<_>>(),
        );
    }
    let mut aliases = node("aliases");
    for device in devices {
        let name = device_name(device, &passthrough);
        set(
            &mut aliases,
            &device.name,
            format!("/passthrough/{name}").as_str(),
        );
        let mut copy = device_node(base, device, &name);
        if let Reader::Xen { iommu } = reader {
            describe_to_xen(&mut copy, device, iommu);
        }
        passthrough.add_child(copy);
    }
    let mut tree = DeviceTree::new();
    set_cells(&mut tree.root);
    if reader != Reader::Xl {
        let mut gic = node("gic");
        set(&mut gic, "#interrupt-cells", 3u32);
        set(&mut gic, "interrupt-controller", [0u8; 0]);
        set(&mut gic, "phandle", GUEST_PHANDLE_GIC);
        tree.root.add_child(gic);
    }
    tree.root.add_child(aliases);
    tree.root.add_child(passthrough);
    tree.to_dtb()
}

/// What Xen must know of a device that it gives to a domain: pages, the node of its interrupts, and that there is no
/// IOMMU in its way.
fn describe_to_xen(copy: &mut DeviceTreeNode, device: &Device, iommu: bool) {
    let pages = device.regions.iter().map(|region| region.pages());
    let cells = pages.flat_map(|pages| {
        let (first, size) = (
            pages.start() * PAGE_BYTES,
            (pages.end() - pages.start() + 1) * PAGE_BYTES,
        );
        [first, size, first]
    });
    set(copy, "xen,reg", cells.flat_map(split).collect::<Vec<_>>());
    set(copy, "xen,path", device.path.as_str());
    if !(iommu && device.iommu) {
        set(copy, "xen,force-assign-without-iommu", [0u8; 0]);
    }
}

/// A number as two cells.
pub(crate) fn split(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

/// The base device tree with these nodes, and all below them, kept from Dom0, without those that stop Xen on the
/// board, and with what Xen boots (`chosen`).
///
/// The buses above lose their own `reg`: Xen would map that window to Dom0, and in it the device that is kept from it.
/// Nobody else reads it: a simple bus translates by its `ranges`.
pub fn host(base: &BaseTree, board: &Board, passed: &[&str], chosen: Option<DeviceTreeNode>) -> Vec<u8> {
    let mut tree = base.model().clone();
    for path in passed {
        if let Some(node) = node_at(&mut tree.root, path) {
            mark(node);
        }
    }
    for bus in base.nodes().iter().filter(|node| node.bus) {
        if passed.iter().any(|path| bus.is_window_to(path))
            && let Some(node) = node_at(&mut tree.root, &bus.path)
        {
            node.remove_property("reg");
        }
    }
    for path in &board.remove {
        remove(&mut tree.root, path);
    }
    if let Some(chosen) = chosen {
        add_to_chosen(&mut tree, chosen);
    }
    tree.to_dtb()
}

/// Walks `path` by full names. The crate's own look-up also takes names without their unit address.
fn node_at<'t>(root: &'t mut DeviceTreeNode, path: &str) -> Option<&'t mut DeviceTreeNode> {
    let mut names = path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty());
    names.try_fold(root, |node, name| {
        node.children_mut().find(|child| child.name() == name)
    })
}

fn remove(root: &mut DeviceTreeNode, path: &str) {
    if let Some((parent, name)) = path.rsplit_once('/')
        && let Some(parent) = node_at(root, if parent.is_empty() { "/" } else { parent })
    {
        parent.remove_child(name);
    }
}

/// The same as an overlay, for a board whose boot loader has the tree in memory and changes it there.
/// It takes no node away: those it marks stay with nobody instead.
///
/// Marks reach below a given node, as in [`host`]. An overlay takes no property away either: Dom0 could still reach a
/// device through the window of its bus, if it meant to.
pub fn overlay(base: &BaseTree, board: &Board, passed: &[&str], chosen: Option<DeviceTreeNode>) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    let mut fragment = |path: &str, contents: DeviceTreeNode| {
        let mut fragment = node(&format!("fragment@{:x}", tree.root.children().count()));
        set(&mut fragment, "target-path", path);
        fragment.add_child(contents);
        tree.root.add_child(fragment);
    };
    for path in passed
        .iter()
        .copied()
        .chain(board.remove.iter().map(String::as_str))
    {
        // A board file may name a node that this tree does not have.
        if let Some(own) = base.model_node(path) {
            let mut contents = skeleton(own, "__overlay__");
            mark(&mut contents);
            fragment(path, contents);
        }
    }
    if let Some(chosen) = chosen {
        let mut contents = node("__overlay__");
        contents.add_child(chosen);
        fragment("/", contents);
    }
    tree.to_dtb()
}

/// A node called `name` with the nodes below `own`, all without properties.
fn skeleton(own: &DeviceTreeNode, name: &str) -> DeviceTreeNode {
    let mut copy = DeviceTreeNode::new_unchecked(name);
    for child in own.children() {
        copy.add_child(skeleton(child, child.name()));
    }
    copy
}

/// Adds the properties and nodes of `chosen` to the tree's own.
fn add_to_chosen(tree: &mut DeviceTree, chosen: DeviceTreeNode) {
    let own = tree.root.add_child_mut(node("chosen"));
    for property in chosen.properties() {
        own.add_property(property.clone());
    }
    for child in chosen.children() {
        own.add_child(child.clone());
    }
}

fn mark(node: &mut DeviceTreeNode) {
    set(node, PASSTHROUGH, [0u8; 0]);
    node.children_mut().for_each(mark);
}

/// The node's name, its unit address being the CPU's: its bus in the guest translates nothing. One that the guest's
/// reader would refuse is shortened and mended; of two that come out the same the second gets a number.
fn device_name(device: &Device, beside: &DeviceTreeNode) -> String {
    let name = device.path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('@').next().unwrap_or_default();
    let fit = |c: char| if is_name_char(c) { c } else { '-' };
    let stem: String = stem.chars().map(fit).take(MAX_NAME).collect();
    let base = device.regions.first().map_or(0, |region| region.base());
    let mut name = format!("{stem}@{base:x}");
    let mut number = 1u32;
    while beside.children().any(|child| child.name() == name) {
        number += 1;
        let tail = format!("-{number}");
        let stem: String = stem.chars().take(MAX_NAME - tail.len()).collect();
        name = format!("{stem}{tail}@{base:x}");
    }
    name
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || ",._+-".contains(c)
}

/// Whether the guest's reader takes a property of this name.
fn is_property_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.chars().all(|c| is_name_char(c) || "?#".contains(c))
}

/// The properties of a device that its partial tree leaves out although a driver might ask for them: the guest's
/// reader would refuse their names.
pub fn unnameable(base: &BaseTree, device: &Device) -> Vec<String> {
    let mut names = Vec::new();
    for property in base
        .model_node(&device.path)
        .into_iter()
        .flat_map(|node| node.properties())
    {
        let name = property.name();
        if !is_rewritten_or_refers_outside(name) && !is_property_name(name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn device_node(base: &BaseTree, device: &Device, name: &str) -> DeviceTreeNode {
    let mut copy = node(name);
    for property in base
        .model_node(&device.path)
        .into_iter()
        .flat_map(|node| node.properties())
    {
        if is_property_name(property.name()) && !is_rewritten_or_refers_outside(property.name()) {
            copy.add_property(property.clone());
        }
    }
    let reg = device
        .regions
        .iter()
        .flat_map(|region| [region.base(), region.size()]);
    let reg: Vec<u32> = reg.flat_map(split).collect();
    set(&mut copy, "reg", reg);
    let interrupts: Vec<u32> = device.spis.iter().flat_map(|spi| spi.specifier()).collect();
    set(&mut copy, "interrupts", interrupts);
    set(&mut copy, "interrupt-parent", GUEST_PHANDLE_GIC);
    copy
}

/// Properties that are written anew, and those that name a node by a phandle, which means nothing in the guest.
fn is_rewritten_or_refers_outside(property: &str) -> bool {
    const REWRITTEN: [&str; 8] = [
        "reg",
        "interrupts",
        "interrupts-extended",
        "interrupt-parent",
        "phandle",
        "linux,phandle",
        "status",
        PASSTHROUGH,
    ];
    REWRITTEN.contains(&property) || needs::refers(property)
}

pub(crate) fn set_cells(node: &mut DeviceTreeNode) {
    set(node, "#address-cells", 2u32);
    set(node, "#size-cells", 2u32);
}

pub(crate) fn node(name: &str) -> DeviceTreeNode {
    valid(DeviceTreeNode::new(name))
}

pub(crate) fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) {
    node.add_property(valid(DeviceTreeProperty::new(name, value)));
}

/// Names here are ours, or were checked when the base tree was read.
fn valid<T>(made: Result<T, ModelError>) -> T {
    made.expect("a valid device tree name")
}
