//! What Xen looks for in `/chosen` (Xen's `docs/misc/arm/device-tree/booting.txt`).

use dtoolkit::model::DeviceTreeNode;

use super::{Boot, Layout, Load};
use crate::board::Firmware;
use crate::passthrough::{node, set, set_cells, split};
use crate::plan::DomainPlan;

/// Arguments of Dom0 that keep on what a driver domain's devices need and no driver of Dom0's asks for.
const KEEP_ON: &str = "clk_ignore_unused pd_ignore_unused regulator_ignore_unused";

/// `/chosen` for these domains, of which Xen starts those that `layout` places. The sizes of files that the builder
/// has not seen are 0: the boot script fills them in.
pub fn chosen(boot: &Boot, firmware: &Firmware, layout: &Layout, domains: &[DomainPlan]) -> DeviceTreeNode {
    let mut chosen = node("chosen");
    set_cells(&mut chosen);
    set(
        &mut chosen,
        "xen,xen-bootargs",
        boot.xen_bootargs(firmware).as_str(),
    );
    set(
        &mut chosen,
        "xen,dom0-bootargs",
        dom0_bootargs(boot, domains).as_str(),
    );
    chosen.add_child(module(&layout.kernel, "multiboot,kernel"));
    if let Some(ramdisk) = &layout.ramdisk {
        chosen.add_child(module(ramdisk, "multiboot,ramdisk"));
    }
    if let Some(policy) = &layout.policy {
        chosen.add_child(module(policy, "xen,xsm-policy"));
    }
    for (name, image, partial) in &layout.domains {
        if let Some(domain) = domains.iter().find(|domain| domain.name == *name) {
            chosen.add_child(started(domain, image, partial));
        }
    }
    chosen
}

/// Dom0's command line.
fn dom0_bootargs(boot: &Boot, domains: &[DomainPlan]) -> String {
    let cares = domains
        .iter()
        .flat_map(|domain| &domain.devices)
        .any(|device| !device.needs.is_empty());
    let more = if cares { KEEP_ON } else { "" };
    format!("{} {more}", boot.dom0_args).trim().to_owned()
}

/// A module that the boot loader has placed.
fn module(load: &Load, kind: &str) -> DeviceTreeNode {
    let mut module = node(&format!("module@{:x}", load.address));
    let compatible = format!("{kind}\0multiboot,module\0");
    set(&mut module, "compatible", compatible.as_bytes());
    let reg = [load.address, load.size.unwrap_or(0)].map(split);
    set(&mut module, "reg", reg.concat());
    module
}

/// A domain that Xen starts itself.
fn started(domain: &DomainPlan, image: &Load, partial: &Load) -> DeviceTreeNode {
    let manifest = &domain.class.manifest;
    let mut started = node(&domain.name);
    set(&mut started, "compatible", "xen,domain");
    set_cells(&mut started);
    // In KiB.
    set(&mut started, "memory", split(u64::from(domain.memory_mib) << 10));
    set(&mut started, "cpus", 1u32);
    // Event channels, grants and XenStore; Dom0's `init-dom0less` completes the last.
    set(&mut started, "xen,enhanced", "enabled");
    set(&mut started, "max_grant_frames", manifest.max_grant_frames);
    set(&mut started, "max_maptrack_frames", manifest.max_maptrack_frames);
    let mut kernel = module(image, "multiboot,kernel");
    if !domain.cmdline.is_empty() {
        set(&mut kernel, "bootargs", domain.cmdline.as_str());
    }
    started.add_child(kernel);
    started.add_child(module(partial, "multiboot,device-tree"));
    started
}
