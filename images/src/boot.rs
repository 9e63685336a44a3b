//! How the machine boots: what the machine file's `[boot]` table says, and the files that come of it.
//!
//! ```toml
//! [boot]
//! kernel = "vmlinuz"          # Dom0's kernel, beside the boot script
//! ramdisk = "initrd.img"      # its ramdisk, if it has one
//! dom0-memory = "512M"        # or a number of MiB
//! dom0-args = "console=hvc0 root=/dev/vda2"
//! xsm = "dummy"               # or "flask", with policy = "xenpolicy"
//! start = "dom0"              # or "xen": Xen starts the driver domains itself (dom0less)
//! tree = "whole"              # or "overlay": applied to the tree that the firmware left in memory
//! xen = "xen"                 # Xen's file
//! xen-args = ""               # more of Xen's arguments
//! ```

pub mod chosen;
pub mod legacy;
pub mod script;

use serde::Deserialize;

use crate::board::{Firmware, LOAD_ALIGN};
use crate::error::Fault;
use crate::size;
use crate::tree::memory::Memory;

/// The `[boot]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Boot {
    /// File of Dom0's kernel, an arm64 Image, beside the boot script.
    pub kernel: String,
    /// File of Dom0's ramdisk.
    pub ramdisk: Option<String>,
    /// Dom0's memory in MiB.
    #[serde(deserialize_with = "size::mib")]
    pub dom0_memory: u32,
    /// Dom0's command line.
    #[serde(default = "dom0_console")]
    pub dom0_args: String,
    /// What decides on what domains may do to each other.
    #[serde(default)]
    pub xsm: Xsm,
    /// File of the FLASK policy, for `xsm = "flask"`.
    pub policy: Option<String>,
    /// Who starts the driver domains.
    #[serde(default)]
    pub start: Start,
    /// How the changes to the host's device tree reach it.
    #[serde(default)]
    pub tree: HostTree,
    /// File of Xen, an arm64 Image.
    #[serde(default = "xen_file")]
    pub xen: String,
    /// More arguments for Xen.
    #[serde(default)]
    pub xen_args: String,
}

fn dom0_console() -> String {
    "console=hvc0".to_owned()
}

fn xen_file() -> String {
    "xen".to_owned()
}

/// Xen's security modules that let a guest and a driver domain talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Xsm {
    /// Any two domains may share grants and event channels if both want to.
    #[default]
    Dummy,
    /// As the policy says.
    Flask,
}

/// Who starts the driver domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Dom0, by `xl create`.
    #[default]
    Dom0,
    /// Xen, from `/chosen`, before Dom0 is up ("dom0less").
    Xen,
}

/// How the changes to the host's device tree reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostTree {
    /// `host.dtb` takes the place of the firmware's.
    #[default]
    Whole,
    /// `host.dtbo` is applied to the firmware's.
    Overlay,
}

/// Least and most memory of Dom0, MiB.
const DOM0_MEMORY_MIB: (u32, u32) = (64, 1 << 20);

impl Boot {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names or arguments that a boot script or a command line could not hold, or sizes out of range.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let names = [
            Some(&self.kernel),
            Some(&self.xen),
            self.ramdisk.as_ref(),
            self.policy.as_ref(),
        ];
        if let Some(name) = names.into_iter().flatten().find(|name| !is_file_name(name)) {
            return Err(Fault::BootFile(name.clone()));
        }
        for args in [&self.dom0_args, &self.xen_args] {
            if args.contains(char::is_control) {
                return Err(Fault::Arguments(args.clone()));
            }
        }
        let (min, max) = DOM0_MEMORY_MIB;
        if !(min..=max).contains(&self.dom0_memory) {
            return Err(Fault::Memory {
                mib: self.dom0_memory,
                min,
                max,
            });
        }
        if (self.xsm == Xsm::Flask) != self.policy.is_some() {
            return Err(Fault::Policy);
        }
        Ok(())
    }

    /// Xen's command line.
    pub fn xen_bootargs(&self, firmware: &Firmware) -> String {
        let xsm = match self.xsm {
            Xsm::Dummy => "xsm=dummy",
            Xsm::Flask => "xsm=flask flask=enforcing",
        };
        let args = format!(
            "{} dom0_mem={}M {xsm} {}",
            firmware.xen, self.dom0_memory, self.xen_args
        );
        args.trim().to_owned()
    }
}

/// Names that mean themselves to U-Boot's shell and on a FAT file system.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['-', '/'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+-/".contains(c))
        && !name.split('/').any(|part| part == "..")
}

/// A file that the boot script loads, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The file, beside the boot script.
    pub file: String,
    /// Where it is loaded to.
    pub address: u64,
    /// Its room in bytes: what must not be passed. The last one has all that follows.
    pub room: Option<u64>,
    /// Its size, if the builder knows it.
    pub size: Option<u64>,
}

/// Where everything is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The host's device tree, or its overlay.
    pub tree: Load,
    /// Xen.
    pub xen: Load,
    /// The driver domains that Xen starts: name, image and partial tree.
    pub domains: Vec<(String, Load, Load)>,
    /// The FLASK policy.
    pub policy: Option<Load>,
    /// Dom0's kernel.
    pub kernel: Load,
    /// Dom0's ramdisk.
    pub ramdisk: Option<Load>,
}

/// Room for what the builder does not know the size of. Twice what Debian's take, and more.
const XEN_ROOM: u64 = 8 << 20;
const KERNEL_ROOM: u64 = 96 << 20;
const TREE_ROOM: u64 = 2 * LARGEST_TREE;
/// Xen takes no larger device tree.
const LARGEST_TREE: u64 = 2 << 20;

/// Room for a ramdisk at least: a small one. It may have all that follows.
const RAMDISK_ROOM: u64 = 16 << 20;

impl Layout {
    /// Places everything, one after another from where the board has room, past what is in use. `domains` are those that Xen
    /// starts: name, size of the image, size of the partial tree.
    ///
    /// # Errors
    /// The machine's memory does not hold it.
    pub fn new(
        boot: &Boot,
        firmware: &Firmware,
        memory: &Memory,
        domains: &[(String, u64, u64)],
    ) -> Result<Self, Fault> {
        let mut next = firmware.load;
        let mut place = |file: &str, room: u64, size: Option<u64>| {
            let room = room.next_multiple_of(LOAD_ALIGN);
            let place = memory
                .place(next, room, LOAD_ALIGN)
                .ok_or_else(|| Fault::NoRoom {
                    what: file.to_owned(),
                    mib: room >> 20,
                    from: next,
                    why: match memory.end() {
                        Some(end) => format!("the device tree's /memory ends at {end:#x}"),
                        None => "what is behind it is reserved".to_owned(),
                    },
                })?;
            next = place.address + room;
            let load = Load {
                file: file.to_owned(),
                address: place.address,
                room: Some(room),
                size,
            };
            Ok((load, place.free))
        };
        let tree = match boot.tree {
            HostTree::Whole => "host.dtb",
            HostTree::Overlay => "host.dtbo",
        };
        // An overlay has the second half for the tree that it is applied to; a whole tree grows into it.
        let tree = Load {
            room: Some(LARGEST_TREE),
            ..place(tree, TREE_ROOM, None)?.0
        };
        let xen = place(&boot.xen, XEN_ROOM, None)?.0;
        let mut starts = Vec::new();
        for (name, image, partial) in domains {
            let image = place(&format!("{name}.img"), *image, Some(*image))?.0;
            let partial = place(&format!("{name}.dtb"), *partial, Some(*partial))?.0;
            starts.push((name.clone(), image, partial));
        }
        let policy = boot.policy.as_ref();
        let policy = policy.map(|file| place(file, LOAD_ALIGN, None)).transpose()?;
        let kernel = place(&boot.kernel, KERNEL_ROOM, None)?.0;
        // Nothing comes after it.
        let ramdisk = boot.ramdisk.as_ref();
        let ramdisk = ramdisk.map(|file| place(file, RAMDISK_ROOM, None)).transpose()?;
        Ok(Self {
            tree,
            xen,
            domains: starts,
            policy: policy.map(|(load, _)| load),
            kernel,
            ramdisk: ramdisk.map(|(load, free)| Load { room: free, ..load }),
        })
    }
}
