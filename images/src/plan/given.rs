//! The devices that a machine file gives to a domain: whether each is fit to be given.

use super::Device;
use crate::class::{Class, Driver};
use crate::error::{Error, Fault};
use crate::image::GUEST_RAM_BASE;
use crate::machine::{At, Domain, MachineFile};
use crate::tree::dma::Dma;
use crate::tree::registers::Region;
use crate::tree::{BaseTree, Node, Unfound};

/// Device interrupts that an image can bind: the bits of the kernel's wake word.
const MAX_INTERRUPTS: usize = 32;

/// The node that a reference of the machine file means.
pub(super) fn find<'b>(base: &'b BaseTree, reference: &str) -> Result<&'b Node, Fault> {
    base.find(reference).map_err(|unfound| match unfound {
        Unfound::Missing => Fault::MissingNode {
            reference: reference.to_owned(),
            near: base.near(reference),
        },
        Unfound::Ambiguous(mut paths) => {
            if paths.len() > 4 {
                let more = paths.len() - 4;
                paths.truncate(4);
                paths.push(format!("and {more} more"));
            }
            Fault::AmbiguousNode {
                reference: reference.to_owned(),
                paths,
            }
        }
    })
}

/// Finds a domain's devices in the base device tree.
pub(super) fn devices(machine: &MachineFile, base: &BaseTree, domain: &Domain) -> Result<Vec<Device>, Error> {
    let mut devices: Vec<Device> = Vec::new();
    let mut compatible: Vec<&String> = Vec::new();
    let console = base.xen_console(&machine.board);
    for At {
        value: reference,
        line,
    } in &domain.devices
    {
        let refuse = |fault| machine.refuse(*line, fault);
        let node = find(base, reference).map_err(refuse)?;
        let path = &node.path;
        // Before anything else: that no class has a driver for Xen's console is not the point.
        if console.as_ref() == Some(path) {
            return Err(refuse(Fault::XenConsole(path.clone())));
        }
        if machine.board.removes(path) {
            return Err(refuse(Fault::Removed(path.clone())));
        }
        let driver = can_be_given(base, node, &domain.class).map_err(refuse)?;
        for region in &node.registers.regions {
            if let Some(what) = on_guest_layout(*region, domain.memory_mib.value) {
                return Err(refuse(Fault::GuestLayout {
                    path: path.clone(),
                    base: region.base(),
                    what,
                }));
            }
        }
        if let Some(first) = devices.first()
            && first.dma != node.dma
        {
            return Err(refuse(Fault::DmaDiffers {
                path: path.clone(),
                other: first.path.clone(),
            }));
        }
        let interrupts =
            devices.iter().map(|device| device.spis.len()).sum::<usize>() + node.interrupts.spis.len();
        if interrupts > MAX_INTERRUPTS {
            return Err(refuse(Fault::TooManyInterrupts {
                domain: domain.name.clone(),
                count: interrupts,
                max: MAX_INTERRUPTS,
            }));
        }
        let index = devices
            .iter()
            .filter(|device| is_named(device, &driver.alias))
            .count();
        devices.push(Device {
            name: format!("{}{index}", driver.alias),
            path: path.clone(),
            regions: node.registers.regions.clone(),
            spis: node.interrupts.spis.clone(),
            dma: node.dma.clone(),
            iommu: node.iommu,
            needs: node.needs.clone(),
            line: *line,
        });
        compatible.extend(&node.compatible);
    }
    for option in &domain.options {
        let (key, _) = option.value.split_once('=').unwrap_or_default();
        let rule = domain.class.manifest.options.get(key);
        if let Some(rule) = rule
            && !rule.devices.is_empty()
            && !rule.devices.iter().any(|device| compatible.contains(&device))
        {
            return Err(machine.refuse(
                option.line,
                Fault::OptionFor {
                    key: key.to_owned(),
                    devices: rule.devices.clone(),
                    domain: domain.name.clone(),
                },
            ));
        }
    }
    Ok(devices)
}

fn is_named(device: &Device, alias: &str) -> bool {
    device
        .name
        .strip_prefix(alias)
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

/// The class's driver for this node, if the node alone is fit to be given away.
fn can_be_given<'c>(base: &BaseTree, node: &Node, class: &'c Class) -> Result<&'c Driver, Fault> {
    let path = || node.path.clone();
    if !node.enabled {
        return Err(Fault::Disabled(path()));
    }
    let driver = class.driver(&node.compatible).ok_or_else(|| Fault::NoDriver {
        class: class.name.to_owned(),
        path: path(),
        compatible: if node.compatible.is_empty() {
            "none".to_owned()
        } else {
            node.compatible.join(", ")
        },
        mend: other_driver(base, node),
    })?;
    if let Some(why) = &node.registers.refused {
        return Err(Fault::Registers {
            path: path(),
            why: why.clone(),
        });
    }
    if let Some(why) = &node.interrupts.refused {
        return Err(Fault::Interrupts {
            path: path(),
            why: why.clone(),
        });
    }
    if node.dma == Dma::Malformed {
        return Err(Fault::DmaRanges { path: path() });
    }
    Ok(driver)
}

/// What to do about a node for which a class has no driver.
fn other_driver(base: &BaseTree, node: &Node) -> String {
    let classes: Vec<Class> = Class::names().filter_map(Class::named).collect();
    let drives = |node: &Node| {
        classes
            .iter()
            .find(|class| class.driver(&node.compatible).is_some())
    };
    if let Some(class) = drives(node) {
        return format!("class {} drives it", class.name);
    }
    match base
        .nodes()
        .iter()
        .find(|node| node.enabled && drives(node).is_some())
    {
        Some(_) => "`outrigger devices` says which class drives which device".to_owned(),
        None => "no class has a driver for any device of this board".to_owned(),
    }
}

/// What of the guest's own layout these registers fall on: `iomem=` maps them at the machine's own addresses.
pub(crate) fn on_guest_layout(region: Region, memory_mib: u32) -> Option<&'static str> {
    let memory = u64::from(memory_mib) << 20;
    // Xen 4.20, `public/arch-arm.h`: not ABI, but what xl uses.
    let layout = [
        (0x0300_1000, 0x0101_f000, "interrupt controller"),
        (0x3800_0000, 0x0100_0000, "grant window"),
        (0x3900_0000, 0x0000_4000, "console and XenStore pages"),
        (GUEST_RAM_BASE, memory, "memory"),
    ];
    layout.into_iter().find_map(|(base, size, what)| {
        Region::new(base, size)
            .and_then(|own| own.shared_page(region))
            .map(|_| what)
    })
}
