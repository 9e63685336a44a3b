//! The device tree of QEMU's `virt` machine with a GICv2, as far as passthrough goes.

use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

const GIC: u32 = 0x8002;

/// Sets a property of the node at `path`, adding the node if there is none.
pub fn set(tree: &mut DeviceTree, path: &str, property: &str, value: impl ToPropertyValue) {
    let mut node = &mut tree.root;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        node = node.add_child_mut(DeviceTreeNode::new(name).unwrap());
    }
    node.add_property(DeviceTreeProperty::new(property, value).unwrap());
}

fn device(tree: &mut DeviceTree, path: &str, compatible: &str, reg: &[u32], interrupts: &[u32]) {
    set(tree, path, "compatible", compatible);
    set(tree, path, "reg", reg);
    if !interrupts.is_empty() {
        set(tree, path, "interrupts", interrupts);
    }
}

/// Path of the virtio-mmio transport of this number.
pub fn transport(number: u32) -> String {
    format!("/virtio_mmio@{:x}", 0xa00_0000 + 0x200 * number)
}

/// Reserves memory for the firmware, as OP-TEE does.
pub fn reserve(tree: &mut DeviceTree, base: u32, size: u32) {
    set(tree, "/reserved-memory", "#address-cells", 2u32);
    set(tree, "/reserved-memory", "#size-cells", 2u32);
    set(tree, "/reserved-memory", "ranges", [0u8; 0]);
    let path = format!("/reserved-memory/optee@{base:x}");
    set(tree, &path, "reg", [0, base, 0, size]);
    set(tree, &path, "no-map", [0u8; 0]);
}

/// The board.
pub fn virt() -> DeviceTree {
    let mut tree = DeviceTree::new();
    let t = &mut tree;
    set(t, "/", "interrupt-parent", GIC);
    set(t, "/", "#size-cells", 2u32);
    set(t, "/", "#address-cells", 2u32);
    set(t, "/", "compatible", "linux,dummy-virt");
    for number in (0..32).rev() {
        let path = transport(number);
        set(t, &path, "dma-coherent", [0u8; 0]);
        device(
            t,
            &path,
            "virtio,mmio",
            &[0, 0xa00_0000 + 0x200 * number, 0, 0x200],
            &[0, 16 + number, 1],
        );
    }
    pcie(t);
    device(
        t,
        "/pl031@9010000",
        "arm,pl031",
        &[0, 0x901_0000, 0, 0x1000],
        &[0, 2, 4],
    );
    set(t, "/pl031@9010000", "clocks", 0x8000u32);
    device(
        t,
        "/pl011@9000000",
        "arm,pl011",
        &[0, 0x900_0000, 0, 0x1000],
        &[0, 1, 4],
    );
    device(
        t,
        "/fw-cfg@9020000",
        "qemu,fw-cfg-mmio",
        &[0, 0x902_0000, 0, 0x18],
        &[],
    );
    device(
        t,
        "/flash@0",
        "cfi-flash",
        &[0, 0, 0, 0x400_0000, 0, 0x400_0000, 0, 0x400_0000],
        &[],
    );
    set(t, "/platform-bus@c000000", "compatible", "simple-bus");
    set(t, "/platform-bus@c000000", "#address-cells", 1u32);
    set(t, "/platform-bus@c000000", "#size-cells", 1u32);
    set(t, "/platform-bus@c000000", "interrupt-parent", GIC);
    set(
        t,
        "/platform-bus@c000000",
        "ranges",
        [0u32, 0, 0xc00_0000, 0x200_0000],
    );
    let gic = "/intc@8000000";
    device(
        t,
        gic,
        "arm,cortex-a15-gic",
        &[0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000],
        &[1, 9, 4],
    );
    set(t, gic, "phandle", GIC);
    set(t, gic, "#interrupt-cells", 3u32);
    set(t, gic, "interrupt-controller", [0u8; 0]);
    set(t, gic, "ranges", [0u8; 0]);
    set(t, gic, "#address-cells", 2u32);
    set(t, gic, "#size-cells", 2u32);
    device(
        t,
        "/intc@8000000/v2m@8020000",
        "arm,gic-v2m-frame",
        &[0, 0x802_0000, 0, 0x1000],
        &[],
    );
    set(t, "/timer", "compatible", "arm,armv8-timer");
    set(
        t,
        "/timer",
        "interrupts",
        [1u32, 13, 0x104, 1, 14, 0x104, 1, 11, 0x104, 1, 10, 0x104],
    );
    set(t, "/cpus", "#address-cells", 1u32);
    set(t, "/cpus", "#size-cells", 0u32);
    set(t, "/cpus/cpu@0", "device_type", "cpu");
    set(t, "/cpus/cpu@0", "reg", 0u32);
    set(t, "/memory@40000000", "device_type", "memory");
    set(t, "/memory@40000000", "reg", [0u32, 0x4000_0000, 0, 0x8000_0000]);
    set(t, "/apb-pclk", "compatible", "fixed-clock");
    set(t, "/apb-pclk", "phandle", 0x8000u32);
    set(t, "/chosen", "stdout-path", "/pl011@9000000");
    tree
}

/// The PCI host bridge, whose four lines are SPIs 3 to 6.
fn pcie(t: &mut DeviceTree) {
    let path = "/pcie@10000000";
    device(
        t,
        path,
        "pci-host-ecam-generic",
        &[0x40, 0x1000_0000, 0, 0x1000_0000],
        &[],
    );
    set(t, path, "device_type", "pci");
    set(t, path, "#address-cells", 3u32);
    set(t, path, "#size-cells", 2u32);
    set(t, path, "#interrupt-cells", 1u32);
    set(
        t,
        path,
        "ranges",
        [0x200_0000u32, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x2eff_0000],
    );
    let entry = |slot: u32, pin: u32| [slot << 11, 0, 0, pin, GIC, 0, 0, 0, 3 + (slot + pin - 1) % 4, 4];
    let map: Vec<u32> = (0..4)
        .flat_map(|slot| (1..5).flat_map(move |pin| entry(slot, pin)))
        .collect();
    set(t, path, "interrupt-map", map);
    set(t, path, "interrupt-map-mask", [0x1800u32, 0, 0, 7]);
}
