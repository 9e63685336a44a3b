//! The device trees that are written: a domain's partial one, and the host's.
//!
//! `xl` copies `/passthrough` and `/aliases` of the partial tree into the guest's own, where phandle 65000 is the
//! guest's GIC. The nodes are found there by `compatible` and in the order of `/aliases`.

use dtoolkit::error::ModelError;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node as _, Property as _, ToPropertyValue};

use crate::plan::Device;
use crate::tree::BaseTree;

/// `GUEST_PHANDLE_GIC` of Xen's `public/device_tree_defs.h`.
const GUEST_PHANDLE_GIC: u32 = 65000;

/// What marks a node that Xen keeps from Dom0.
const PASSTHROUGH: &str = "xen,passthrough";

/// The partial device tree of a domain that owns these devices.
pub fn partial(base: &BaseTree, devices: &[Device]) -> Vec<u8> {
    let mut passthrough = node("passthrough");
    set(&mut passthrough, "compatible", "simple-bus");
    set(&mut passthrough, "ranges", [0u8; 0]);
    set_cells(&mut passthrough);
    let mut aliases = node("aliases");
    for device in devices {
        let name = device_name(device);
        set(
            &mut aliases,
            &device.name,
            format!("/passthrough/{name}").as_str(),
        );
        passthrough.add_child(device_node(base, device, &name));
    }
    let mut tree = DeviceTree::new();
    set_cells(&mut tree.root);
    tree.root.add_child(aliases);
    tree.root.add_child(passthrough);
    tree.to_dtb()
}

/// The base device tree with these nodes, and all below them, kept from Dom0.
pub fn host<'a>(base: &BaseTree, passed: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut tree = base.model().clone();
    for path in passed {
        if let Some(node) = tree.find_node_mut(path) {
            mark(node);
        }
    }
    tree.to_dtb()
}

fn mark(node: &mut DeviceTreeNode) {
    set(node, PASSTHROUGH, [0u8; 0]);
    node.children_mut().for_each(mark);
}

/// The node's name, its unit address being the CPU's: its bus in the guest translates nothing.
fn device_name(device: &Device) -> String {
    let name = device.path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('@').next().unwrap_or_default();
    let base = device.regions.first().map_or(0, |region| region.base());
    format!("{stem}@{base:x}")
}

fn device_node(base: &BaseTree, device: &Device, name: &str) -> DeviceTreeNode {
    let mut copy = node(name);
    for property in base
        .model_node(&device.path)
        .into_iter()
        .flat_map(|node| node.properties())
    {
        if !is_rewritten_or_refers_outside(property.name()) {
            copy.add_property(property.clone());
        }
    }
    let reg = device
        .regions
        .iter()
        .flat_map(|region| [region.base(), region.size()]);
    let reg: Vec<u32> = reg
        .flat_map(|number| [(number >> 32) as u32, number as u32])
        .collect();
    set(&mut copy, "reg", reg);
    let interrupts: Vec<u32> = device.spis.iter().flat_map(|spi| spi.specifier()).collect();
    set(&mut copy, "interrupts", interrupts);
    set(&mut copy, "interrupt-parent", GUEST_PHANDLE_GIC);
    copy
}

/// Properties that are written anew, and those that name a node by a phandle, which means nothing in the guest.
fn is_rewritten_or_refers_outside(property: &str) -> bool {
    const NAMES: [&str; 22] = [
        "reg",
        "interrupts",
        "interrupts-extended",
        "interrupt-parent",
        "phandle",
        "linux,phandle",
        "status",
        PASSTHROUGH,
        "clocks",
        "resets",
        "power-domains",
        "iommus",
        "iommu-map",
        "msi-parent",
        "msi-map",
        "dmas",
        "phys",
        "phy-handle",
        "mboxes",
        "memory-region",
        "interconnects",
        "nvmem-cells",
    ];
    NAMES.contains(&property)
        || ["pinctrl-", "assigned-clock"]
            .iter()
            .any(|prefix| property.starts_with(prefix))
        || ["-supply", "-gpio", "-gpios"]
            .iter()
            .any(|suffix| property.ends_with(suffix))
}

fn set_cells(node: &mut DeviceTreeNode) {
    set(node, "#address-cells", 2u32);
    set(node, "#size-cells", 2u32);
}

fn node(name: &str) -> DeviceTreeNode {
    valid(DeviceTreeNode::new(name))
}

fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) {
    node.add_property(valid(DeviceTreeProperty::new(name, value)));
}

/// Names here are ours, or were checked when the base tree was read.
fn valid<T>(made: Result<T, ModelError>) -> T {
    made.expect("a valid device tree name")
}
