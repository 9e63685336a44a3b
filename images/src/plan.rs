//! What each domain will own: every check that spans the machine file, the device tree and the images. Pure.

mod given;
mod notices;
pub(crate) mod sharing;

use std::ops::RangeInclusive;

use crate::boot::script::{Script, adopt_sh, config_txt};
use crate::boot::{HostTree, Layout, Start, chosen, legacy};
use crate::class::Class;
use crate::error::{Error, Fault};
use crate::image::Image;
use crate::machine::{Domain, MachineFile};
use crate::passthrough::{self, Reader};
use crate::tree::BaseTree;
use crate::tree::dma::Dma;
use crate::tree::flat::MAX_BYTES;
use crate::tree::interrupts::Spi;
use crate::tree::needs::Need;
use crate::tree::registers::{PAGE_BYTES, Region};
use crate::xlcfg::XlConfig;
pub(crate) use given::on_guest_layout;

/// What will be written.
#[derive(Debug)]
pub struct Plan<'a> {
    base: &'a BaseTree,
    machine: &'a MachineFile,
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
    /// Whether the board lets Xen confine the devices that are behind an IOMMU.
    iommu: bool,
    /// The line of the machine file that says how much memory it has.
    memory_line: usize,
}

impl DomainPlan {
    /// Its devices whose DMA an IOMMU confines.
    pub fn confined(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| self.iommu && device.iommu)
    }
}

/// The images of a plan's domains, each known to fit into its domain's memory; in the domains' order.
#[derive(Debug)]
pub struct Images(Vec<Image>);

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
    /// What its DMA reaches.
    pub dma: Dma,
    /// Whether it is behind an IOMMU that Xen drives.
    pub iommu: bool,
    /// What it needs of nodes that stay with Dom0.
    pub needs: Vec<Need>,
    /// The line of the machine file that gives it.
    line: usize,
}

impl<'a> Plan<'a> {
    /// Plans the machine's domains.
    ///
    /// # Errors
    /// The first thing of the machine file and the device tree that does not go together.
    pub fn new(machine: &'a MachineFile, base: &'a BaseTree) -> Result<Self, Error> {
        let mut domains = Vec::new();
        for domain in &machine.domains {
            let devices = given::devices(machine, base, domain)?;
            domains.push((domain, devices));
        }
        let withheld = sharing::check(machine, base, &domains)?;
        let domains: Vec<_> = domains
            .into_iter()
            .map(|(domain, devices)| domain_plan(machine, domain, devices))
            .collect();
        Ok(Self {
            notices: notices::notices(machine, base, &domains, &withheld),
            base,
            machine,
            domains,
            withheld,
        })
    }

    /// The images of the domains. `image` finds that of a class.
    ///
    /// # Errors
    /// Those of `image`, and an image that its domain's memory does not hold.
    pub fn images(&self, mut image: impl FnMut(&Class) -> Result<Image, Error>) -> Result<Images, Error> {
        let fitting = |domain: &DomainPlan| {
            let image = image(&domain.class)?;
            let needs = image.memory_bytes();
            if needs > u64::from(domain.memory_mib) << 20 {
                let fault = Fault::ImageMemory {
                    needs,
                    domain: domain.name.clone(),
                    memory_mib: domain.memory_mib,
                };
                return Err(self.machine.refuse(domain.memory_line, fault));
            }
            Ok(image)
        };
        Ok(Images(
            self.domains.iter().map(fitting).collect::<Result<_, _>>()?,
        ))
    }

    /// Paths of all nodes that Dom0 does not get.
    fn passed(&self) -> Vec<&str> {
        let devices = self.domains.iter().flat_map(|domain| &domain.devices);
        devices
            .map(|device| device.path.as_str())
            .chain(self.withheld.iter().map(String::as_str))
            .collect()
    }

    /// All files, by name, with `dest` as the folder in Dom0 where they will be.
    ///
    /// # Errors
    /// A host's device tree that came out larger than Xen takes.
    pub fn files(&self, dest: &str, images: &Images) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let MachineFile { board, boot, .. } = self.machine;
        let started_by_xen = boot.as_ref().is_some_and(|boot| boot.start == Start::Xen);
        let mut files = Vec::new();
        let mut started = Vec::new();
        for (domain, image) in self.domains.iter().zip(&images.0) {
            let reader = match started_by_xen {
                true => Reader::Xen { iommu: board.iommu },
                false => Reader::Xl,
            };
            let partial = passthrough::partial(self.base, &domain.devices, reader);
            files.push((format!("{}.img", domain.name), image.bytes.clone()));
            if started_by_xen {
                let sizes = (image.bytes.len() as u64, partial.len() as u64);
                started.push((domain.name.clone(), sizes.0, sizes.1));
            } else {
                let config = XlConfig { domain, dest }.to_string();
                files.push((format!("{}.cfg", domain.name), config.into_bytes()));
            }
            files.push((format!("{}.dtb", domain.name), partial));
        }
        let Some((boot, firmware)) = boot.as_ref().zip(board.boot.as_ref()) else {
            let host = passthrough::host(self.base, board, &self.passed(), None);
            files.push(("host.dtb".to_owned(), self.fitting("host.dtb", host)?));
            return Ok(files);
        };
        let layout = Layout::new(boot, firmware, &self.base.memory(), &started);
        let layout = layout.map_err(|fault| Error {
            place: self.machine.file.clone(),
            fault,
        })?;
        let chosen = Some(chosen::chosen(boot, firmware, &layout, &self.domains));
        let host = match boot.tree {
            HostTree::Whole => passthrough::host(self.base, board, &self.passed(), chosen),
            HostTree::Overlay => passthrough::overlay(self.base, board, &self.passed(), chosen),
        };
        let name = layout.tree.file.clone();
        files.push((name.clone(), self.fitting(&name, host)?));
        let script = Script {
            board: &self.machine.board_name,
            boot,
            layout: &layout,
        };
        let script = script.to_string();
        files.push(("boot.scr".to_owned(), legacy::script("outrigger", &script)));
        files.push(("boot.cmd".to_owned(), script.into_bytes()));
        if started_by_xen {
            let names = self.domains.iter().map(|domain| domain.name.as_str());
            files.push(("adopt.sh".to_owned(), adopt_sh(names).into_bytes()));
        }
        if firmware.config_txt {
            files.push(("config.txt".to_owned(), config_txt().into_bytes()));
        }
        Ok(files)
    }

    /// The host's tree, if it is not larger than Xen takes.
    fn fitting(&self, name: &str, tree: Vec<u8>) -> Result<Vec<u8>, Error> {
        if tree.len() <= MAX_BYTES {
            return Ok(tree);
        }
        Err(Error {
            place: self.machine.file.clone(),
            fault: Fault::TooLarge {
                what: format!("finished {name}"),
                max: MAX_BYTES,
            },
        })
    }
}

fn domain_plan(machine: &MachineFile, domain: &Domain, devices: Vec<Device>) -> DomainPlan {
    let mut intids: Vec<u32> = devices
        .iter()
        .flat_map(|d| d.spis.iter().map(|spi| spi.intid()))
        .collect();
    intids.sort_unstable();
    intids.dedup();
    DomainPlan {
        name: domain.name.clone(),
        class: domain.class.clone(),
        memory_mib: domain.memory_mib.value,
        memory_line: domain.memory_mib.line,
        iommu: machine.board.iommu,
        cmdline: domain
            .log
            .map(|log| format!("log={}", log.as_str()))
            .into_iter()
            .chain(
                domain
                    .shutdown_wait
                    .map(|wait| format!("shutdown-wait={}", wait.0)),
            )
            .chain(domain.options.iter().map(|word| word.value.clone()))
            .collect::<Vec<_>>()
            .join(" "),
        pages: merge(
            devices
                .iter()
                .flat_map(|d| d.regions.iter().map(|region| region.pages()))
                .collect(),
        ),
        devices,
        intids,
    }
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
