//! A machine file to start from: for `outrigger new`.

use std::fmt::Write as _;

use crate::board::Board;
use crate::class::Class;
use crate::devices;
use crate::tree::BaseTree;

/// A commented machine file for a board. With the board's device tree it names devices that are there.
pub fn machine_file(name: &str, board: &Board, base: Option<&BaseTree>) -> String {
    let mut text = format!(
        "# A machine with driver domains. `outrigger check` says whether it can be, `outrigger build` makes it.\n\
         board = \"{name}\"\n\n\
         # Nodes that neither Dom0 nor a driver domain shall have: those that share an interrupt or a page with a\n\
         # device that is given away.\n\
         # withhold = [\"/soc/mmc@7e300000\"]\n"
    );
    let free = base
        .map(|base| devices::devices(base, board, false))
        .unwrap_or_default();
    for class in Class::names().filter_map(Class::named) {
        let drivers: Vec<&str> = class
            .manifest
            .drivers
            .iter()
            .map(|driver| driver.compatible.as_str())
            .collect();
        let fits: Vec<&str> = free
            .iter()
            .filter(|device| device.free && device.class == Some(class.name))
            .map(|device| device.path.as_str())
            .collect();
        let memory = class.manifest.memory_mib;
        // Without a device that is known to be there the domain is a comment: the file is good as it stands.
        let (hash, device) = match (fits.last(), base) {
            (Some(path), _) => ("", *path),
            // Transports of different pages: whatever QEMU is told to put there.
            (None, None) if name == "qemu-virt" && class.name == "block" => ("", "/virtio_mmio@a003e00"),
            (None, None) if name == "qemu-virt" => ("", "/virtio_mmio@a002e00"),
            _ => ("# ", "/path/of/a/device"),
        };
        let _ = write!(
            text,
            "\n# The driver domain's name in xl.\n\
             {hash}[domain.{class}]\n\
             # Its image. This one drives: {drivers}.\n\
             {hash}class = \"{class}\"\n\
             # Its devices: paths, aliases, labels (\"&emmc2\") or compatibles, as `outrigger devices` lists them. Two domains\n\
             # cannot share a device, a 4 KiB page of registers or an interrupt.\n\
             {hash}devices = [\"{device}\"]\n\
             # MiB, and what it logs: off, error, warn, info, debug or trace.\n\
             {hash}memory = {memory}\n\
             {hash}log = \"info\"\n",
            class = class.name,
            drivers = drivers.join(", "),
        );
    }
    if board.boot.is_some() {
        text += "\n# Uncomment to get a boot script for U-Boot as well (boot.scr).\n\
                 # [boot]\n\
                 # xen = \"xen\"                   # files beside the script\n\
                 # kernel = \"vmlinuz\"\n\
                 # ramdisk = \"initrd.img\"\n\
                 # dom0-memory = 512             # MiB\n\
                 # dom0-args = \"console=hvc0\"\n\
                 # xsm = \"dummy\"                 # lets guests use driver domains; or \"flask\" with policy = \"FILE\"\n\
                 # start = \"dom0\"                # who starts the driver domains: \"dom0\" (xl) or \"xen\" (dom0less)\n\
                 # tree = \"whole\"                # or \"overlay\", for the tree that the firmware leaves in memory\n\
                 \n# Uncomment, besides the above, to have a card written by `outrigger image`.\n\
                 # [card]\n\
                 # firmware = \"firmware\"         # a folder for the card's root: what the board itself starts from\n\
                 # boot-mib = 256\n\
                 # [card.files]                  # name on the card = file; what [boot] names must be there\n\
                 # xen = \"xen\"\n";
    }
    text
}
