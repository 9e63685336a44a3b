//! QEMU's model of a Raspberry Pi 4 (`raspi4b`): how it is started, and what it lacks.
//!
//! It has the card slot (eMMC2, without DMA), a console and the interrupt controller; of the rest of the chip some parts only,
//! and none of the network. Xen sees the first 948 MiB. Powering off does not end it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use outrigger::board::Boards;
use outrigger::build::{DEFAULT_DEST, Request};

use super::machine::{Board, escaped};
use super::{Content, Disk, HostTools};
use crate::image;
use crate::initramfs::{self, Linux, Sources};

/// Where Dom0's kernel and ramdisk are put: clear of Xen, and of the device tree, which QEMU puts at 128 MiB.
pub const MODULES: [u64; 2] = [0x1000_0000, 0x1400_0000];

/// Xen's arguments besides what the board's file says.
pub const XEN_BOOTARGS: &str = "console=dtuart dtuart=/soc/serial@7e201000 dom0_mem=384M dom0_max_vcpus=1 xsm=dummy loglvl=info guest_loglvl=info";

/// What QEMU does not model and Dom0's kernel touches while it starts, which ends in an abort: nodes of the root, or of a bus
/// below it, whose name is another in each version of Linux. QEMU disables more itself.
const NOT_MODELLED: [&str; 14] = [
    "interrupt-controller@7ef00100",
    "clock@7ef00000",
    "hdmi@7ef00700",
    "hdmi@7ef05700",
    "i2c@7ef04500",
    "i2c@7ef09500",
    "vec@7ec13000",
    "hvs@7e400000",
    "txp@7e004000",
    "avs-monitor@7d5d2000",
    "gpu",
    "gpu@7ec00000",
    "pcie@7d500000",
    "ethernet@7d580000",
];

/// The board's device tree as a mainline Linux has it, from Debian's kernel package: in a folder of its own, or since Linux 7
/// beside the modules.
pub fn device_tree(sources: &Sources, linux: Linux) -> Result<PathBuf> {
    let packages = sources.root_of(linux)?.join("usr/lib");
    let mut folders = initramfs::folders(&packages)?;
    let modules = initramfs::folders(&packages.join("modules"))?;
    folders.extend(modules.iter().map(|version| version.join("dtb")));
    let mut trees = folders
        .iter()
        .map(|folder| folder.join("broadcom/bcm2711-rpi-4-b.dtb"));
    let found = trees.find(|path| path.exists());
    found.with_context(|| format!("no device tree of the Raspberry Pi 4 in {}", packages.display()))
}

/// The tree without what QEMU does not model: no property of the board's, so nothing for its file.
pub fn for_qemu(tree: &[u8]) -> Result<Vec<u8>> {
    let fdt = Fdt::new(tree).map_err(|error| anyhow!("the Raspberry Pi's device tree: {error}"))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    for name in NOT_MODELLED {
        tree.root.remove_child(name);
        for bus in tree.root.children_mut() {
            bus.remove_child(name);
        }
    }
    Ok(tree.to_dtb())
}

/// The machine, with the board's one disk as the card in its slot.
pub fn hardware(qemu: &mut Command, board: &Board) {
    qemu.args(["-M", "raspi4b", "-nodefaults", "-display", "none", "-no-reboot"]);
    if let Some((_, image)) = board.disks.first() {
        card(qemu, image);
    }
}

/// QEMU wires its own slot (`if=sd`) to the chip's older controllers. The bus of the newest one is found first by this path.
fn card(qemu: &mut Command, image: &Path) {
    let file = escaped(image);
    qemu.args([
        "-drive",
        &format!("id=card,if=none,file={file},format=raw,cache=unsafe"),
    ]);
    qemu.args(["-device", "sd-card,drive=card,bus=/generic-sdhci/sd-bus"]);
}

/// What the second partition of a card holds that the image builder writes.
const DATA: Disk = Disk {
    mib: 24,
    slices: &[],
    content: Content::Ext4,
    transport: 0,
    queues: 1,
};

/// What makes a card of the machine file of a scenario, of files that lie beside it.
const CARD: &str = r#"
[boot]
xen = "xen"
kernel = "vmlinuz"
ramdisk = "dom0.cpio"
dom0-memory = 384

[card]
boot-mib = 320
data = "data.img"

[card.files]
xen = "card-xen"
vmlinuz = "card-vmlinuz"
"dom0.cpio" = "dom0.cpio"
"#;

/// Has the image builder write the card for a machine, as a user would; what the board starts from does not come from it,
/// since QEMU has neither the firmware nor a U-Boot for it. Returns the card as the board's disk.
pub fn write_card(
    machine: &str,
    dir: &Path,
    base_dtb: &Path,
    [xen, kernel]: [&Path; 2],
    tools: &HostTools,
) -> Result<(Disk, PathBuf)> {
    DATA.create(&dir.join("data.img"), &[], tools)?;
    fs::copy(xen, dir.join("card-xen"))?;
    fs::copy(kernel, dir.join("card-vmlinuz"))?;
    let request = Request {
        machine: dir.join("card.toml"),
        base_dtb: base_dtb.to_owned(),
        images: image::target_dir().join("images"),
        out: dir.join("card.img"),
        dest: DEFAULT_DEST.to_owned(),
    };
    fs::write(&request.machine, format!("{machine}{CARD}"))?;
    let written = outrigger::card::write(&request, &Boards::default(), &mut |_, _| {})?;
    Ok((DATA, written.image))
}
