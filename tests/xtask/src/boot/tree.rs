//! The device tree that Xen boots with: QEMU's own, and in `/chosen` where QEMU has put Dom0's kernel and ramdisk.

use anyhow::{Context, Result, anyhow};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

/// A file that QEMU loads into memory for Xen.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its bus address.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// `multiboot,kernel` or `multiboot,ramdisk`.
    pub kind: &'static str,
}

/// Adds to the device tree `base` what Xen looks for in `/chosen` (docs/misc/arm/device-tree/booting.txt).
pub fn with_chosen(
    base: &[u8],
    modules: &[Module],
    xen_bootargs: &str,
    dom0_bootargs: &str,
) -> Result<Vec<u8>> {
    let fdt = Fdt::new(base).map_err(|error| anyhow!("QEMU's device tree: {error}"))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    tree.root.remove_child("chosen");
    let mut chosen = DeviceTreeNode::new("chosen")?;
    for (name, value) in [
        ("xen,xen-bootargs", xen_bootargs),
        ("xen,dom0-bootargs", dom0_bootargs),
    ] {
        chosen.add_property(DeviceTreeProperty::new(name, value)?);
    }
    for name in ["#address-cells", "#size-cells"] {
        chosen.add_property(DeviceTreeProperty::new(name, 2_u32)?);
    }
    for module in modules {
        let mut node = DeviceTreeNode::new(format!("module@{:x}", module.address))?;
        let compatible = format!("{}\0multiboot,module\0", module.kind);
        node.add_property(DeviceTreeProperty::new("compatible", compatible.as_bytes())?);
        let reg = [module.address.to_be_bytes(), module.size.to_be_bytes()].concat();
        node.add_property(DeviceTreeProperty::new("reg", reg.as_slice())?);
        chosen.add_child(node);
    }
    tree.root.add_child(chosen);
    let blob = tree.to_dtb();
    Fdt::new(&blob)
        .map(drop)
        .ok()
        .context("the finished device tree does not read back")?;
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use dtoolkit::{Node, Property};

    use super::*;

    #[test]
    fn modules_are_described_as_xen_reads_them() {
        let module = Module {
            address: 0x4900_0000,
            size: 0x1234,
            kind: "multiboot,kernel",
        };
        let blob = with_chosen(
            &DeviceTree::new().to_dtb(),
            &[module],
            "sched=null",
            "console=hvc0",
        )
        .unwrap();
        let tree = DeviceTree::from_fdt(&Fdt::new(&blob).unwrap());
        let node = tree.find_node("/chosen/module@49000000").unwrap();
        let value = |name: &str| node.property(name).unwrap().value().to_vec();
        assert_eq!(value("compatible"), b"multiboot,kernel\0multiboot,module\0");
        assert_eq!(
            value("reg"),
            [0, 0, 0, 0, 0x49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34]
        );
    }
}
