//! The boot script for U-Boot: `boot.cmd`, and `boot.scr` of it. And `config.txt` for a Raspberry Pi's firmware.

use std::fmt::{self, Display, Formatter};

use super::{Boot, HostTree, LARGEST_TREE, Layout, Load, Start, Xsm};

/// The script; prints as `boot.cmd`.
pub struct Script<'a> {
    /// Name of the board.
    pub board: &'a str,
    /// The `[boot]` table.
    pub boot: &'a Boot,
    /// Where everything goes.
    pub layout: &'a Layout,
}

impl Display for Script<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { board, boot, layout } = self;
        writeln!(
            f,
            "# Boots Xen on {board}. Written by `outrigger build`: edit the machine file."
        )?;
        writeln!(
            f,
            "# U-Boot runs boot.scr, which is this file, from the medium that holds it and all files named here."
        )?;
        writeln!(f, "#")?;
        match boot.xsm {
            Xsm::Dummy => {
                writeln!(
                    f,
                    "# xsm=dummy: any guest may use a driver domain that Dom0 connects it to. Xen's default on many"
                )?;
                writeln!(
                    f,
                    "# systems, SILO, lets guests share memory with Dom0 only, and no driver domain could serve them."
                )?;
            }
            Xsm::Flask => {
                writeln!(
                    f,
                    "# xsm=flask: the policy says which guest may use which driver domain; it must allow each pair."
                )?;
            }
        }
        match boot.start {
            Start::Dom0 => writeln!(f, "# Dom0 starts the driver domains: xl create NAME.cfg.")?,
            Start::Xen => writeln!(
                f,
                "# Xen starts the driver domains itself, before Dom0; Dom0 runs adopt.sh once."
            )?,
        }
        load(f, &layout.tree)?;
        let tree = match boot.tree {
            HostTree::Whole => {
                writeln!(
                    f,
                    "fdt addr {:#x} || exit 1\nfdt resize {GROWTH:#x}",
                    layout.tree.address
                )?;
                layout.tree.address
            }
            HostTree::Overlay => {
                let copy = layout.tree.address + LARGEST_TREE;
                writeln!(
                    f,
                    "# The tree that the firmware left, copied to where it can grow."
                )?;
                writeln!(
                    f,
                    "if test -z \"${{fdt_addr}}\"; then setenv fdt_addr ${{fdtcontroladdr}}; fi"
                )?;
                writeln!(f, "fdt move ${{fdt_addr}} {copy:#x} {LARGEST_TREE:#x} || exit 1")?;
                writeln!(f, "fdt apply {:#x} || exit 1", layout.tree.address)?;
                copy
            }
        };
        load(f, &layout.xen)?;
        for (_, image, partial) in &layout.domains {
            load(f, image)?;
            load(f, partial)?;
        }
        for module in [
            Some(&layout.kernel),
            layout.ramdisk.as_ref(),
            layout.policy.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            load(f, module)?;
            let [high, low] = crate::passthrough::split(module.address);
            writeln!(
                f,
                "fdt set /chosen/module@{:x} reg <{high:#x} {low:#x} 0x0 0x${{filesize}}> || exit 1",
                module.address
            )?;
        }
        writeln!(f, "\nbooti {:#x} - {tree:#x}", layout.xen.address)
    }
}

/// Where the script was found, as U-Boot's distro and standard boot both say it.
const FROM: &str = "${devtype} ${devnum}:${distro_bootpart}";

/// What a whole tree may grow by: U-Boot adds memory banks and the like.
const GROWTH: u64 = 64 << 10;

/// Loads a file, and makes sure that it has not run into the next one.
fn load(f: &mut Formatter<'_>, load: &Load) -> fmt::Result {
    writeln!(
        f,
        "\nload {FROM} {:#x} ${{prefix}}{} || exit 1",
        load.address, load.file
    )?;
    match load.room {
        Some(room) if load.size.is_none() => writeln!(
            f,
            "if itest 0x${{filesize}} -gt {room:#x}; then echo \"{} is larger than {} MiB\"; exit 1; fi",
            load.file,
            room >> 20
        ),
        _ => Ok(()),
    }
}

/// `adopt.sh`, for Dom0: takes on the driver domains that Xen has started, in the order of `/chosen`, which gives them
/// their numbers.
pub fn adopt_sh<'a>(domains: impl Iterator<Item = &'a str>) -> String {
    let mut script = "#!/bin/sh\n\
         # Run once in Dom0, when xenstored is up: takes on the driver domains that Xen has started.\n\
         # Written by `outrigger build`.\n\
         set -e\n\
         PATH=\"$PATH:$(echo /usr/lib/xen*/bin /usr/libexec/xen/bin | tr ' ' ':')\"\n\
         init-dom0less\n"
        .to_owned();
    for (index, name) in domains.enumerate() {
        let domid = index + 1;
        // As xl has it for a domain of its own: what Dom0 makes below, such as its backends, the domain may read.
        script += &format!(
            "\nxenstore-chmod /local/domain/{domid} n0 r{domid}\n\
             xl rename dom0less-{domid} {name}\n"
        );
    }
    script
}

/// `config.txt`: the firmware of a Raspberry Pi starts U-Boot, which runs the script.
pub fn config_txt() -> String {
    "# For the Raspberry Pi's firmware. Written by `outrigger build`.\n\
     # U-Boot (u-boot.bin, built for rpi_4 or rpi_arm64) runs boot.scr from this medium.\n\
     arm_64bit=1\n\
     kernel=u-boot.bin\n\
     # Xen's console is the PL011 on the header's pins 8 and 10, which Bluetooth has otherwise.\n\
     enable_uart=1\n\
     dtoverlay=disable-bt\n"
        .to_owned()
}
