//! The boot files: scripts, `/chosen`, overlay and `config.txt`, byte for byte, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use common::virt::{set, virt};
use common::{Bench, golden, names};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node as _, Property as _};
use outrigger::board::Boards;
use outrigger::boot::legacy;
use outrigger::build;

/// A machine with one block domain, and `[boot]` with these lines more.
fn machine(boot: &str) -> String {
    format!(
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\"]\nlog = \"info\"\n\
         [boot]\nkernel = \"vmlinuz\"\nramdisk = \"initrd.img\"\ndom0-memory = 512\n{boot}"
    )
}

fn text(bench: &Bench, name: &str) -> String {
    fs::read_to_string(bench.out().join(name)).unwrap()
}

fn dts(bench: &Bench, name: &str, node: &str) -> String {
    let dtb = fs::read(bench.out().join(name)).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    fdt.find_node(node).unwrap().to_string()
}

#[test]
fn dom0_starts_the_domains() {
    let bench = Bench::new(&machine(""), &virt());
    bench.build().unwrap();
    let files = [
        "block.cfg",
        "block.dtb",
        "block.img",
        "boot.cmd",
        "boot.scr",
        "host.dtb",
    ];
    assert_eq!(names(&bench.out()), files);
    let script = text(&bench, "boot.cmd");
    golden("dom0.cmd", &script);
    golden("dom0.chosen.dts", &dts(&bench, "host.dtb", "/chosen"));
    let image = fs::read(bench.out().join("boot.scr")).unwrap();
    assert_eq!(
        legacy::read_script(&image),
        Some(("outrigger".to_owned(), script))
    );
}

#[test]
fn xen_starts_the_domains() {
    let bench = Bench::new(&machine("start = \"xen\"\n"), &virt());
    bench.build().unwrap();
    // No configuration: there is no xl to read it.
    let files = [
        "adopt.sh",
        "block.dtb",
        "block.img",
        "boot.cmd",
        "boot.scr",
        "host.dtb",
    ];
    assert_eq!(names(&bench.out()), files);
    golden("adopt.sh", &text(&bench, "adopt.sh"));
    golden("xen.cmd", &text(&bench, "boot.cmd"));
    golden("xen.chosen.dts", &dts(&bench, "host.dtb", "/chosen"));
    golden("xen.block.dts", &dts(&bench, "block.dtb", "/"));
    let image = fs::metadata(bench.out().join("block.img")).unwrap().len();
    let module = dts(&bench, "host.dtb", "/chosen/block");
    assert!(module.contains(&format!("{image:#x}>")), "{module}");
}

#[test]
fn an_overlay_for_a_tree_that_the_firmware_made() {
    let bench = Bench::new(
        &machine("tree = \"overlay\"\nxsm = \"flask\"\npolicy = \"xenpolicy\"\n"),
        &virt(),
    );
    bench.build().unwrap();
    let files = [
        "block.cfg",
        "block.dtb",
        "block.img",
        "boot.cmd",
        "boot.scr",
        "host.dtbo",
    ];
    assert_eq!(names(&bench.out()), files);
    golden("overlay.cmd", &text(&bench, "boot.cmd"));
    golden("overlay.dts", &dts(&bench, "host.dtbo", "/"));
}

#[test]
fn what_the_board_removes_is_gone_and_the_rest_is_kept() {
    let mut tree = virt();
    set(&mut tree, "/soc/serial@7e201400", "compatible", "arm,pl011");
    set(&mut tree, "/soc/serial@7e201000", "compatible", "arm,pl011");
    set(&mut tree, "/", "compatible", "raspberrypi,4-model-b");
    let machine = machine("").replace("qemu-virt", "raspberrypi-4");
    // Each transport's neighbours are no slots on this board.
    let alone = (0..31).map(common::virt::transport);
    alone.for_each(|path| drop(tree.root.remove_child(&path[1..])));
    let bench = Bench::new(&machine, &tree);
    bench.build().unwrap();
    golden("config.txt", &text(&bench, "config.txt"));
    let dtb = fs::read(bench.out().join("host.dtb")).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    assert!(fdt.find_node("/soc/serial@7e201400").is_none());
    assert!(fdt.find_node("/soc/serial@7e201000").is_some());
}

#[test]
fn dom0_keeps_on_what_a_device_needs() {
    let mut tree = virt();
    set(&mut tree, "/clock-controller", "compatible", "acme,clocks");
    set(&mut tree, "/clock-controller", "phandle", 0x77u32);
    set(&mut tree, "/clock-controller", "#clock-cells", 1u32);
    set(&mut tree, "/virtio_mmio@a003e00", "clocks", [0x77u32, 3, 0x8000]);
    let bench = Bench::new(&machine(""), &tree);
    let notices = bench.build().unwrap().notices;
    let notice = "domain block: /virtio_mmio@a003e00 needs what stays with Dom0, and what must be on before the domain \
                  starts and stay on: clock /clock-controller";
    assert!(notices.iter().any(|line| line == notice), "{notices:?}");
    let chosen = dts(&bench, "host.dtb", "/chosen");
    assert!(
        chosen.contains("console=hvc0 clk_ignore_unused pd_ignore_unused regulator_ignore_unused"),
        "{chosen}"
    );
}

#[track_caller]
fn refused(boot: &str, line: &str) {
    let bench = Bench::new(&machine(boot), &virt());
    let error = bench.build().expect_err("must be refused");
    assert_eq!(bench.line(&error), line);
    assert_eq!(bench.leftovers(), [] as [&str; 0], "nothing may be written");
}

#[test]
fn tables_that_cannot_boot() {
    let file = "cannot be a file beside the boot script: use letters, digits and ._+-/ only";
    for name in ["", "/xen", "-xen", "../xen", "a b", "$(x)", "a;b", "xén"] {
        refused(
            &format!("xen = {name:?}\n"),
            &format!("machine.toml:6: {name:?} {file}"),
        );
    }
    refused(
        "xen-args = \"a\\nb\"\n",
        "machine.toml:6: arguments \"a\\nb\" hold a control character",
    );
    refused(
        "xsm = \"flask\"\n",
        "machine.toml:6: xsm = \"flask\" and policy = \"FILE\" go together",
    );
    refused(
        "policy = \"p\"\n",
        "machine.toml:6: xsm = \"flask\" and policy = \"FILE\" go together",
    );
    refused(
        "xsm = \"silo\"\n",
        "machine.toml:10: unknown variant `silo`, expected `dummy` or `flask`",
    );
    let bench = Bench::new(&machine("").replace("512", "1"), &virt());
    let line = "machine.toml:6: memory of 1 MiB is outside 64..=1048576 MiB";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
}

#[test]
fn a_board_of_ones_own() {
    let bench = Bench::new(&machine("").replace("qemu-virt", "mine"), &virt());
    let mut boards = Boards::default();
    boards
        .add(
            Path::new("mine.toml"),
            "compatible = \"linux,dummy-virt\"\nslots = [\"virtio,mmio\"]",
        )
        .unwrap();
    let error = build::build_for(&bench.request(), &boards).unwrap_err();
    let line = "machine.toml:1: board mine does not say how it boots: its board file needs a table [boot]";
    assert_eq!(bench.line(&error), line);
    let board = "compatible = \"linux,dummy-virt\"\nslots = [\"virtio,mmio\"]\n[boot]\nxen = \"console=dtuart\"\nload = 0x80000000";
    boards.add(Path::new("mine.toml"), board).unwrap();
    build::build_for(&bench.request(), &boards).unwrap();
    assert!(text(&bench, "boot.cmd").contains("booti 0x80400000 - 0x80000000\n"));
}

/// `host.dtb` is the tree that Xen reads: its modules are all below `/chosen`, none overlaps another.
#[test]
fn modules_do_not_overlap() {
    let bench = Bench::new(&machine("start = \"xen\"\n"), &virt());
    bench.build().unwrap();
    let dtb = fs::read(bench.out().join("host.dtb")).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    let chosen = fdt.find_node("/chosen").unwrap();
    let mut modules: Vec<(u64, u64)> = Vec::new();
    for node in chosen
        .children()
        .chain(chosen.children().flat_map(|child| child.children()))
    {
        if let Some(reg) = node.property("reg") {
            let numbers: Vec<u64> = reg
                .value()
                .as_chunks::<8>()
                .0
                .iter()
                .map(|bytes| u64::from_be_bytes(*bytes))
                .collect();
            modules.push((numbers[0], numbers[1]));
        }
    }
    modules.sort_unstable();
    assert_eq!(modules.len(), 4);
    assert!(
        modules.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0),
        "{modules:x?}"
    );
    assert!(modules.iter().all(|(address, _)| address.is_multiple_of(2 << 20)));
}

/// `dtc` (its path in the variable `DTC`) takes every tree that is written; without it the test says so.
#[test]
fn dtc_accepts_every_tree() {
    let Some(dtc) = std::env::var_os("DTC") else {
        eprintln!("DTC is not set: dtc is not asked");
        return;
    };
    for boot in ["", "start = \"xen\"\n", "tree = \"overlay\"\n"] {
        let bench = Bench::new(&machine(boot), &virt());
        bench.build().unwrap();
        for name in names(&bench.out()).iter().filter(|name| name.contains(".dtb")) {
            let output = std::process::Command::new(&dtc)
                .args(["-I", "dtb", "-O", "dts", "-o", "/dev/null"])
                .arg(bench.out().join(name))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && !said.contains("ERROR"),
                "{name}: {said}"
            );
        }
    }
}

/// Where the script loads each file to.
fn loads(bench: &Bench) -> Vec<(String, u64)> {
    let script = text(bench, "boot.cmd");
    let words = script
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter_map(|words| match words[..] {
            ["load", _, _, address, file, ..] => {
                let file = file.trim_start_matches("${prefix}").to_owned();
                Some((file, u64::from_str_radix(&address[2..], 16).unwrap()))
            }
            _ => None,
        })
        .collect()
}

/// OP-TEE on QEMU's virt keeps the 2 MiB at 0x4200_0000, where the builder loaded the tree to.
#[test]
fn nothing_is_loaded_into_reserved_memory() {
    let mut tree = virt();
    common::virt::reserve(&mut tree, 0x4200_0000, 0x20_0000);
    common::virt::reserve(&mut tree, 0x5000_0000, 0x1000);
    let bench = Bench::new(&machine(""), &tree);
    bench.build().unwrap();
    let wanted = [
        ("host.dtb", 0x4220_0000),
        ("xen", 0x4260_0000),
        ("vmlinuz", 0x42e0_0000),
        ("initrd.img", 0x48e0_0000),
    ];
    assert_eq!(loads(&bench), wanted.map(|(file, at)| (file.to_owned(), at)));
    // The ramdisk has no more than what is free behind it.
    let script = text(&bench, "boot.cmd");
    assert!(script.contains("initrd.img is larger than 114 MiB"), "{script}");
}

#[test]
fn memory_that_does_not_hold_it_is_an_error() {
    let mut tree = virt();
    set(
        &mut tree,
        "/memory@40000000",
        "reg",
        [0u32, 0x4000_0000, 0, 0x400_0000],
    );
    let bench = Bench::new(&machine(""), &tree);
    let error = bench.build().unwrap_err();
    assert_eq!(
        bench.line(&error),
        "machine.toml: vmlinuz of 96 MiB has no room in memory from 0x42c00000 on: the device tree's /memory ends at 0x44000000"
    );
    // A tree that leaves memory to the firmware is believed to have enough.
    set(&mut tree, "/memory@40000000", "reg", [0u32, 0, 0, 0]);
    Bench::new(&machine(""), &tree).build().unwrap();
}
