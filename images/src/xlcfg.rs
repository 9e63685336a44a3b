//! The configuration of a driver domain for `xl create` (`xl.cfg(5)`).

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use crate::plan::DomainPlan;

/// A domain's configuration; prints as the file.
pub struct XlConfig<'a> {
    /// The domain.
    pub domain: &'a DomainPlan,
    /// The folder in Dom0 where its files will be, without a `/` at its end.
    pub dest: &'a str,
}

impl Display for XlConfig<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { domain, dest } = self;
        let (name, manifest) = (&domain.name, &domain.class.manifest);
        writeln!(
            f,
            "# Driver domain {name}, class {}. Written by `outrigger build`: edit the machine file.",
            domain.class.name
        )?;
        for device in &domain.devices {
            writeln!(f, "# {} = {}", device.name, device.path)?;
        }
        writeln!(f, "name = \"{name}\"")?;
        writeln!(f, "kernel = \"{dest}/{name}.img\"")?;
        if !domain.cmdline.is_empty() {
            writeln!(f, "cmdline = \"{}\"", domain.cmdline)?;
        }
        writeln!(f, "memory = {0}\nmaxmem = {0}\nvcpus = 1", domain.memory_mib)?;
        writeln!(f, "\n# What it owns.")?;
        writeln!(f, "device_tree = \"{dest}/{name}.dtb\"")?;
        writeln!(f, "iomem = [{}]", list(domain.pages.iter().map(iomem)))?;
        writeln!(f, "irqs = [{}]", list(domain.intids.iter().map(u32::to_string)))?;
        if domain.confined().next().is_some() {
            let paths = domain.confined().map(|device| format!("\"{}\"", device.path));
            writeln!(f, "dtdev = [{}]", list(paths))?;
        }
        writeln!(f, "\n# What it serves.")?;
        writeln!(f, "driver_domain = 1")?;
        writeln!(f, "max_event_channels = {}", manifest.max_event_channels)?;
        writeln!(f, "max_grant_frames = {}", manifest.max_grant_frames)?;
        writeln!(f, "max_maptrack_frames = {}", manifest.max_maptrack_frames)?;
        // It restarts in place by itself; when even that fails, new guests find a new one.
        writeln!(
            f,
            "\non_poweroff = \"destroy\"\non_reboot = \"restart\"\non_crash = \"restart\""
        )
    }
}

/// `xl` takes page frames in hexadecimal, with a prefix for the first only by custom, and a count of pages.
fn iomem(pages: &RangeInclusive<u64>) -> String {
    format!("\"{:#x},{:x}\"", pages.start(), pages.end() - pages.start() + 1)
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
