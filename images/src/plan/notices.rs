//! What the user should know although nothing is wrong.

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
                "domain {name}: {} has no IOMMU, so its devices reach all memory: it contains faults, not a hostile device",
                machine.board_name
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
            let unnameable = passthrough::unnameable(base, device);
            if !unnameable.is_empty() {
                notices.push(format!(
                    "domain {name}: left out of {name}.dtb, their names being too long for its reader: {}",
                    unnameable.join(" ")
                ));
            }
        }
    }
    if !withheld.is_empty() {
        notices.push(format!(
            "also withheld from Dom0, beside what was given away: {}",
            withheld.join(" ")
        ));
    }
    notices
}
