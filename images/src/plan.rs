//! What each domain will own: every check that spans the machine file, the device tree and the images. Pure.

mod sharing;

use std::ops::RangeInclusive;

use crate::class::{Class, Driver};
use crate::error::{Error, Fault};
use crate::image::{GUEST_RAM_BASE, Image};
use crate::machine::{At, Domain, MachineFile};
use crate::passthrough;
use crate::tree::interrupts::Spi;
use crate::tree::registers::{PAGE_BYTES, Region};
use crate::tree::{BaseTree, Node};
use crate::xlcfg::XlConfig;

/// What will be written.
#[derive(Debug)]
pub struct Plan<'a> {
    base: &'a BaseTree,
    /// The driver domains, by name.
    pub domains: Vec<DomainPlan>,
    /// Nodes that no domain is given but Dom0 must not have either, because a given one is beside them.
    pub withheld: Vec<String>,
    /// What the user should know although nothing is wrong; one line each.
    pub notices: Vec<String>,
}

/// What one driver domain is and owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainPlan {
    /// Its name for `xl`.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// Its image.
    pub image: Image,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its command line.
    pub cmdline: String,
    /// Its devices, in the machine file's order.
    pub devices: Vec<Device>,
    /// The machine's page frames it may map: ascending, disjoint, not touching.
    pub pages: Vec<RangeInclusive<u64>>,
    /// INTIDs of its interrupts, ascending.
    pub intids: Vec<u32>,
}

/// A device that is given away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name in the domain: `virtio0`.
    pub name: String,
    /// Its path in the base device tree.
    pub path: String,
    /// Its registers, at addresses of the CPU.
    pub regions: Vec<Region>,
    /// Its interrupts.
    pub spis: Vec<Spi>,
    /// The line of the machine file that gives it.
    line: usize,
}

impl<'a> Plan<'a> {
    /// Plans the machine's domains. `image` finds the image of a class.
    ///
    /// # Errors
    /// The first thing of the machine file, the device tree and the images that does not go together.
    pub fn new(
        machine: &MachineFile,
        base: &'a BaseTree,
        mut image: impl FnMut(&Class) -> Result<Image, Error>,
    ) -> Result<Self, Error> {
        let mut domains = Vec::new();
        for domain in &machine.domains {
            let devices = devices(machine, base, domain)?;
            domains.push((domain, devices));
        }
        let withheld = sharing::check(machine, base, &domains)?;
        let mut notices = Vec::new();
        let mut plans = Vec::new();
        for (domain, devices) in domains {
            if !machine.board.iommu {
                notices.push(format!(
                    "domain {}: {} has no IOMMU, so its devices reach all memory: it contains faults, not a hostile device",
                    domain.name, machine.board_name
                ));
            }
            plans.push(domain_plan(machine, domain, devices, image(&domain.class)?)?);
        }
        if !withheld.is_empty() {
            notices.push(format!(
                "also withheld from Dom0, beside what was given away: {}",
                withheld.join(" ")
            ));
        }
        Ok(Self {
            base,
            domains: plans,
            withheld,
            notices,
        })
    }

    /// All files, by name, with `dest` as the folder in Dom0 where they will be.
    pub fn files(&self, dest: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for domain in &self.domains {
            files.push((format!("{}.img", domain.name), domain.image.bytes.clone()));
            files.push((
                format!("{}.cfg", domain.name),
                XlConfig { domain, dest }.to_string().into_bytes(),
            ));
            files.push((
                format!("{}.dtb", domain.name),
                passthrough::partial(self.base, &domain.devices),
            ));
        }
        let given = self
            .domains
            .iter()
            .flat_map(|domain| domain.devices.iter().map(|d| d.path.as_str()));
        let passed = given.chain(self.withheld.iter().map(String::as_str));
        files.push(("host.dtb".to_owned(), passthrough::host(self.base, passed)));
        files
    }
}

/// Finds a domain's devices in the base device tree.
fn devices(machine: &MachineFile, base: &BaseTree, domain: &Domain) -> Result<Vec<Device>, Error> {
    let mut devices: Vec<Device> = Vec::new();
    for At { value: path, line } in &domain.devices {
        let refuse = |fault| machine.refuse(*line, fault);
        let node = base
            .node(path)
            .ok_or_else(|| refuse(Fault::MissingNode(path.clone())))?;
        let driver = can_be_given(node, &domain.class).map_err(refuse)?;
        for region in &node.registers.regions {
            if let Some(what) = on_guest_layout(*region, domain.memory_mib.value) {
                return Err(refuse(Fault::GuestLayout {
                    path: path.clone(),
                    base: region.base(),
                    what,
                }));
            }
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
            line: *line,
        });
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
fn can_be_given<'c>(node: &Node, class: &'c Class) -> Result<&'c Driver, Fault> {
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
    Ok(driver)
}

/// What of the guest's own layout these registers fall on: `iomem=` maps them at the machine's own addresses.
fn on_guest_layout(region: Region, memory_mib: u32) -> Option<&'static str> {
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

fn domain_plan(
    machine: &MachineFile,
    domain: &Domain,
    devices: Vec<Device>,
    image: Image,
) -> Result<DomainPlan, Error> {
    let At {
        value: memory_mib,
        line,
    } = domain.memory_mib;
    let needs = image.memory_bytes();
    if needs > u64::from(memory_mib) << 20 {
        let fault = Fault::ImageMemory {
            needs,
            domain: domain.name.clone(),
            memory_mib,
        };
        return Err(machine.refuse(line, fault));
    }
    let mut intids: Vec<u32> = devices
        .iter()
        .flat_map(|d| d.spis.iter().map(|spi| spi.intid()))
        .collect();
    intids.sort_unstable();
    intids.dedup();
    Ok(DomainPlan {
        name: domain.name.clone(),
        class: domain.class.clone(),
        image,
        memory_mib,
        cmdline: domain
            .log
            .map(|log| format!("log={}", log.as_str()))
            .unwrap_or_default(),
        pages: merge(
            devices
                .iter()
                .flat_map(|d| d.regions.iter().map(|region| region.pages()))
                .collect(),
        ),
        devices,
        intids,
    })
}

/// Joins ranges of page frames that overlap or touch. None reaches `u64::MAX`: they are addresses over [`PAGE_BYTES`].
fn merge(mut pages: Vec<RangeInclusive<u64>>) -> Vec<RangeInclusive<u64>> {
    const { assert!(PAGE_BYTES > 1) };
    pages.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u64>> = Vec::new();
    for range in pages {
        match merged.last_mut() {
            Some(last) if *range.start() <= *last.end() + 1 => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}
