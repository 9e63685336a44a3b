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
/// The root file system, as Dom0 sees it.
pub const RAMDISK: &str = "images/linux-domain.cpio";
/// Of 2 KiB each, what a device can reach: without an IOMMU it reaches no page of a guest, as Linux knows its own machine
/// addresses at most, and so copies everything.
const BOUNCE_SLOTS: u32 = 8192;

/// Puts Linux into the configurations in the folder `built`, with `mib` of memory.
pub fn take_place(built: &Path, mib: u32) -> Result<()> {
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cfg") => fs::write(&path, configuration(&fs::read_to_string(&path)?, mib))?,
            Some("dtb") if path.file_name().is_some_and(|name| name != "host.dtb") => {
                let tree = with_ranges(&fs::read(&path)?, mib).with_context(|| path.display().to_string())?;
                fs::write(&path, tree)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An `xl` configuration with another kernel and another memory.
fn configuration(ours: &str, mib: u32) -> String {
    let replaced = ["kernel", "cmdline", "memory", "maxmem"];
    let kept = ours
        .lines()
        .filter(|line| !replaced.contains(&line.split(' ').next().unwrap_or_default()));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    text += &format!(
        "kernel = \"/images/linux\"\nramdisk = \"/{RAMDISK}\"\nmemory = {mib}\nmaxmem = {mib}\n\
         extra = \"console=hvc0 cma=0 loglevel=5 swiotlb={BOUNCE_SLOTS},force\"\n"
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
