//! Linux in a driver domain's place: the same configuration and device, with Debian's kernel and `xl devd`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeProperty};

/// Where a guest's memory begins (`GUEST_RAM0_BASE` of xen/include/public/arch-arm.h).
const GUEST_RAM: u64 = 0x4000_0000;
/// The unit in which Xen hands out memory.
const UNIT: u64 = 2 << 20;
/// Of 2 KiB each, what a device can reach: without an IOMMU it reaches no page of a guest, as Linux knows its own machine
/// addresses at most, and so copies everything.
const BOUNCE_SLOTS: u32 = 8192;

/// Puts Linux into the configurations in the folder `built`, with `mib` of memory; returns the domains' names.
pub fn take_place(built: &Path, mib: u32) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cfg") => {
                fs::write(&path, configuration(&fs::read_to_string(&path)?, &name, mib))?;
                names.push(name);
            }
            Some("dtb") if name != "host" => {
                let tree = with_ranges(&fs::read(&path)?, mib).with_context(|| path.display().to_string())?;
                fs::write(&path, tree)?;
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The root file system of the domain `name`, as Dom0 sees it.
pub fn ramdisk(name: &str) -> String {
    format!("images/linux-{name}.cpio")
}

/// An `xl` configuration with another kernel and another memory.
fn configuration(ours: &str, name: &str, mib: u32) -> String {
    let replaced = ["kernel", "cmdline", "memory", "maxmem"];
    let kept = ours
        .lines()
        .filter(|line| !replaced.contains(&line.split(' ').next().unwrap_or_default()));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    text += &format!(
        "kernel = \"/images/linux\"\nramdisk = \"/{ramdisk}\"\nmemory = {mib}\nmaxmem = {mib}\n\
         extra = \"console=hvc0 cma=0 loglevel=5 panic=-1 swiotlb={BOUNCE_SLOTS},force\"\n",
        ramdisk = ramdisk(name)
    );
    text
}

/// The tree with `dma-ranges` that say of each unit of memory that its bus address is not known yet: nought.
fn with_ranges(tree: &[u8], mib: u32) -> Result<Vec<u8>> {
    let fdt = Fdt::new(tree).map_err(|error| anyhow!("{error}"))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    let node = tree
        .find_node_mut("/passthrough")
        .context("no node passthrough")?;
    let units = (u64::from(mib) << 20) / UNIT;
    let ranges: Vec<u8> = (0..units)
        .rev()
        .flat_map(|unit| [0, GUEST_RAM + unit * UNIT, UNIT])
        .flat_map(u64::to_be_bytes)
        .collect();
    node.add_property(DeviceTreeProperty::new("dma-ranges", ranges.as_slice())?);
    Ok(tree.to_dtb())
}

#[cfg(test)]
mod tests {
    use dtoolkit::{Node, Property};

    use super::*;

    #[test]
    fn linux_takes_the_place_and_keeps_the_device() {
        let ours = "name = \"net\"\nkernel = \"/net.img\"\ncmdline = \"segments=a\"\nmemory = 16\nmaxmem = 16\n\
                    irqs = [71]\n";
        let text = configuration(ours, "net", 96);
        assert!(text.starts_with("name = \"net\"\nirqs = [71]\nkernel = \"/images/linux\"\n"));
        assert!(text.contains("ramdisk = \"/images/linux-net.cpio\"\nmemory = 96\nmaxmem = 96\n"));
        assert!(!text.contains("cmdline"));
    }

    #[test]
    fn all_memory_is_in_the_ranges_from_its_end_on() {
        let mut tree = DeviceTree::new();
        let node = dtoolkit::model::DeviceTreeNode::new("passthrough").unwrap();
        tree.root.add_child(node);
        let blob = with_ranges(&tree.to_dtb(), 4).unwrap();
        let tree = DeviceTree::from_fdt(&Fdt::new(&blob).unwrap());
        let node = tree.find_node("/passthrough").unwrap();
        let ranges: Vec<u64> = node
            .property("dma-ranges")
            .unwrap()
            .value()
            .chunks_exact(8)
            .map(|cell| u64::from_be_bytes(cell.try_into().unwrap()))
            .collect();
        assert_eq!(ranges, [0, 0x4020_0000, 0x20_0000, 0, 0x4000_0000, 0x20_0000]);
        assert!(with_ranges(&DeviceTree::new().to_dtb(), 4).is_err());
    }
}
