//! Files to start from: a machine file for `outrigger new`, a board file for `outrigger new-board`.

use std::fmt::Write as _;

use crate::board::{Board, LOAD_ALIGN};
use crate::class::Class;
use crate::devices::{self, Device};
use crate::plan::sharing::{shared_interrupt, shared_page};
use crate::tree::BaseTree;

/// Transports of QEMU's virt, each on a page of its own: for whatever QEMU is told to put there.
const TRANSPORTS: [&str; 4] = [
    "/virtio_mmio@a003e00",
    "/virtio_mmio@a002e00",
    "/virtio_mmio@a001e00",
    "/virtio_mmio@a000e00",
];

/// A commented machine file for a board. With the board's device tree it names devices that are there, and what has to be
/// withheld for them.
pub fn machine_file(name: &str, board: &Board, base: Option<&BaseTree>) -> String {
    let devices = base
        .map(|base| devices::devices(base, board, false))
        .unwrap_or_default();
    let classes: Vec<Class> = Class::names().filter_map(Class::named).collect();
    let mut chosen: Vec<Option<&Device>> = Vec::new();
    for class in &classes {
        let device = choose(class, &devices, &chosen);
        chosen.push(device);
    }
    let mut withhold: Vec<&str> = Vec::new();
    for neighbour in chosen.iter().flatten().flat_map(|device| &device.shares_with) {
        if !withhold.contains(&neighbour.as_str()) {
            withhold.push(neighbour);
        }
    }
    let (hash, neighbours) = match withhold.is_empty() {
        true => ("# ", "\"/soc/mmc@7e300000\"".to_owned()),
        false => ("", format!("{withhold:?}").trim_matches(['[', ']']).to_owned()),
    };
    let mut text = format!(
        "# A machine with driver domains. `outrigger check` says whether it can be, `outrigger build` makes it.\n\
         board = \"{name}\"\n\n\
         # Nodes that neither Dom0 nor a driver domain shall have: those that share an interrupt or a page with a\n\
         # device that is given away.\n\
         {hash}withhold = [{neighbours}]\n"
    );
    let mut transports = TRANSPORTS.iter();
    for (class, chosen) in classes.iter().zip(chosen) {
        let drivers: Vec<&str> = class
            .manifest
            .drivers
            .iter()
            .map(|driver| driver.compatible.as_str())
            .collect();
        let memory = class.manifest.memory_mib;
        // Without a device that is known to be there the domain is a comment: the file is good as it stands.
        let (hash, device) = match (chosen, base) {
            (Some(device), _) => ("", device.path.as_str()),
            (None, None) if name == "qemu-virt" => match transports.next() {
                Some(transport) => ("", *transport),
                None => ("# ", "/path/of/a/device"),
            },
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
             # Its memory, and what it logs: off, error, warn, info, debug or trace.\n\
             {hash}memory = \"{memory}M\"\n\
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
                 # dom0-memory = \"512M\"\n\
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

/// The device of the class that the file names: one that has nothing in its way, or else nothing that cannot be withheld.
/// Of several the last, and none that another class's would take along.
fn choose<'d>(class: &Class, devices: &'d [Device], chosen: &[Option<&Device>]) -> Option<&'d Device> {
    let apart = |device: &&Device| {
        chosen.iter().flatten().all(|other| {
            other.path != device.path
                && !other.takes_along.contains(&device.path)
                && !other.shares_with.contains(&device.path)
        })
    };
    let fits = |device: &&Device| device.classes.contains(&class.name) && apart(device);
    let mut fitting = devices.iter().filter(fits);
    let free = fitting.clone().rfind(|device| device.free);
    free.or_else(|| fitting.find(|device| device.is_free_without_neighbours()))
}

/// A board file of the board whose device tree this is: what the tree tells, and comments where it does not.
pub fn board_file(base: &BaseTree) -> String {
    let board = Board::unknown(base);
    let compatible = board.compatible.first().map_or("", String::as_str);
    let mut text = format!(
        "# A board: what its device tree does not say. Give it with --board FILE; its name is the file's, without .toml.\n\n\
         # The root node's compatible, to tell a device tree of another board.\n\
         compatible = {compatible:?}\n\n"
    );
    let confined = base.nodes().iter().find(|node| node.enabled && node.iommu);
    text += "# Whether Xen confines the DMA of devices that the tree puts behind an IOMMU: SMMU v1, v2 or Renesas' IPMMU.\n";
    text += &match (confined, base.iommus().next()) {
        (Some(node), _) => format!("# {} is behind one.\niommu = true\n\n", node.path),
        (None, Some(path)) => {
            format!("# The tree has {path}, and no device behind one that Xen drives.\niommu = false\n\n")
        }
        (None, None) => "# The tree has none.\niommu = false\n\n".to_owned(),
    };
    let slots = base
        .nodes()
        .iter()
        .any(|node| node.compatible.iter().any(|c| c == "virtio,mmio"));
    text += "# compatible of nodes that are places for a device and may be empty: withheld from Dom0 beside a given one.\n";
    text += match slots {
        true => "slots = [\"virtio,mmio\"]\n\n",
        false => "slots = []\n\n",
    };
    let console = base.xen_console(&board).and_then(|path| base.node(&path));
    let beside = base.nodes().iter().filter(|node| {
        console.is_some_and(|console| {
            node.path != console.path
                && !node.is_window_to(&console.path)
                && (shared_interrupt(&node.interrupts.spis, &console.interrupts.spis).is_some()
                    || shared_page(&node.registers.regions, &console.registers.regions).is_some())
        })
    });
    text += "# Paths of nodes with which Xen or Dom0 does not start. Those on the interrupt or page of Xen's console belong here:\n\
             # Xen maps even disabled nodes to Dom0.\nremove = [\n";
    for node in beside {
        let _ = writeln!(text, "    {:?},", node.path);
    }
    text += "]\n\n";
    let memory = base.memory();
    // A kernel below and a firmware's remains are within the first 32 MiB.
    let load = memory.start().and_then(|start| {
        let from = start.checked_add(32 << 20)?;
        memory.place(from, LOAD_ALIGN, LOAD_ALIGN)
    });
    let (hash, load) = match (&load, console) {
        (Some(place), Some(_)) => ("", place.address),
        (Some(place), None) => ("# ", place.address),
        _ => ("# ", 0x4200_0000),
    };
    let console = console.map_or("/path/of/a/serial/port", |console| &console.path);
    let _ = write!(
        text,
        "# For a boot script: Xen's console, and from where on RAM is free for U-Boot to load to, a multiple of 2 MiB.\n\
         # What firmware still uses there and does not say in /reserved-memory, the board's documentation tells.\n\
         {hash}[boot]\n\
         {hash}xen = \"console=dtuart dtuart={console}\"\n\
         {hash}load = {load:#x}\n\
         # config-txt = true               # for a Raspberry Pi's firmware\n"
    );
    text
}
