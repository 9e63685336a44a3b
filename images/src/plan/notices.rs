//! What the user should know although nothing is wrong.

use dtoolkit::{Node as _, Property as _};

use super::DomainPlan;
use crate::machine::MachineFile;
use crate::passthrough;
use crate::tree::BaseTree;
use crate::tree::dma::Dma;

/// One line each.
pub(super) fn notices(
    machine: &MachineFile,
    base: &BaseTree,
    domains: &[DomainPlan],
    withheld: &[String],
) -> Vec<String> {
    let mut notices = Vec::new();
    for domain in domains {
        let name = &domain.name;
        if !machine.board.iommu {
            notices.push(format!(
                "domain {name}: the board file of {} claims no IOMMU{}: its devices reach all memory, and the domain contains \
                 faults, not a hostile device",
                machine.board_name,
                iommus(base)
            ));
        }
        for device in &domain.devices {
            let path = &device.path;
            if machine.board.iommu && !device.iommu {
                notices.push(format!(
                    "domain {name}: {path} is behind no IOMMU that Xen drives: it reaches all memory"
                ));
            }
            if !device.needs.is_empty() {
                let needs = device
                    .needs
                    .iter()
                    .map(|need| format!("{} {}", need.kind, need.provider));
                notices.push(format!(
                    "domain {name}: {path} needs what stays with Dom0, and what must be on before the domain starts \
                     and stay on: {}",
                    needs.collect::<Vec<_>>().join(", ")
                ));
            }
            if let Dma::Windows(windows) = &device.dma {
                let windows = windows.iter().map(|window| {
                    let last = window.cpu + (window.length - 1);
                    format!("{:#x}..={last:#x} (as {:#x})", window.cpu, window.device)
                });
                notices.push(format!(
                    "domain {name}: {path} reaches memory through dma-ranges: {}",
                    windows.collect::<Vec<_>>().join(", ")
                ));
            }
            if lacks_address(base, &device.path) && !domain.cmdline.contains("mac=") {
                notices.push(format!(
                    "domain {name}: the device tree does not say the address of {path} (local-mac-address; the firmware \
                     adds it at boot, so /sys/firmware/fdt has it): it will be what a boot loader left in the device, or \
                     mac = \"…\" in [domain.{name}.options]"
                ));
            }
            let unnameable = passthrough::unnameable(base, device);
            if !unnameable.is_empty() {
                notices.push(format!(
                    "domain {name}: left out of {name}.dtb, their names being too long for its reader: {}",
                    unnameable.join(" ")
                ));
            }
        }
    }
    notices.extend(strangers(machine, base));
    if !withheld.is_empty() {
        notices.push(format!(
            "also withheld from Dom0, beside what was given away: {}",
            withheld.join(" ")
        ));
    }
    notices
}

/// What the board file names that the tree does not have: another kernel's tree may have renamed it, and then it has no effect.
fn strangers(machine: &MachineFile, base: &BaseTree) -> Vec<String> {
    let board = &machine.board;
    let arguments = board.boot.iter().flat_map(|boot| boot.xen.split_whitespace());
    let console = arguments.filter_map(|word| word.strip_prefix("dtuart="));
    let console = console.map(|path| ("has Xen's console at", path.split(':').next().unwrap_or(path)));
    let named = board
        .remove
        .iter()
        .map(|path| ("removes", path.as_str()))
        .chain(console);
    named
        .filter(|(_, path)| base.find(path).is_err())
        .map(|(what, path)| {
            let near = base.near(path);
            let near = near.map_or_else(String::new, |near| format!(" (it has {near})"));
            format!(
                "the board file of {} {what} {path}, which the device tree does not have{near}: it has no effect",
                machine.board_name
            )
        })
        .collect()
}

/// What the tree says of IOMMUs that the board file does not claim.
fn iommus(base: &BaseTree) -> String {
    let known = base.nodes().iter().any(|node| node.iommu);
    match (base.iommus().next(), known) {
        (None, _) => ", and the device tree has none".to_owned(),
        (Some(path), true) => {
            format!(" (the tree has {path}, which Xen drives: iommu = true has it confine them)")
        }
        (Some(path), false) => format!(" (the tree has {path}, but no device behind one that Xen drives)"),
    }
}

/// Whether a node is a network controller with a PHY, and its address is nowhere.
fn lacks_address(base: &BaseTree, path: &str) -> bool {
    let properties = || {
        base.model_node(path)
            .into_iter()
            .flat_map(|node| node.properties())
    };
    let is_address = |name: &str| name == "mac-address" || name == "local-mac-address";
    properties().any(|property| property.name() == "phy-mode")
        && !properties()
            .any(|property| is_address(property.name()) && property.value().iter().any(|byte| *byte != 0))
}
