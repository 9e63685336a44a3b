//! What a good machine file becomes, byte for byte. `OUTRIGGER_BLESS=1` writes the golden files anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;

use common::virt::{transport, virt};
use common::{Bench, elf, golden, names};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::{Node as _, Property as _};

/// Two domains, one with everything said and two devices in an order of their own, one with nothing but the needed.
const MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00", "/virtio_mmio@a002000"]
memory = 24
log = "debug"
shutdown-wait = "2 min"

[domain.scratch]
class = "block"
devices = ["/virtio_mmio@a000200"]
"#;

#[test]
fn configurations_and_partial_trees() {
    let bench = Bench::new(MACHINE, &virt());
    let built = bench.build().unwrap();
    let files = [
        "block.cfg",
        "block.dtb",
        "block.img",
        "host.dtb",
        "scratch.cfg",
        "scratch.dtb",
        "scratch.img",
    ];
    assert_eq!(names(&bench.out()), files);
    assert_eq!(built.files.len(), files.len());
    assert_eq!(bench.leftovers(), ["out"]);
    for name in ["block", "scratch"] {
        let cfg = fs::read_to_string(bench.out().join(format!("{name}.cfg"))).unwrap();
        golden(&format!("{name}.cfg"), &cfg);
        let dtb = fs::read(bench.out().join(format!("{name}.dtb"))).unwrap();
        golden(&format!("{name}.dts"), &Fdt::new(&dtb).unwrap().to_string());
    }
    golden(
        "notices.txt",
        &built
            .notices
            .iter()
            .map(|notice| format!("{notice}\n"))
            .collect::<String>(),
    );
}

#[test]
fn the_image_is_the_loaded_bytes() {
    let bench = Bench::new(MACHINE, &virt());
    bench.build().unwrap();
    let image = fs::read(bench.out().join("block.img")).unwrap();
    assert_eq!(image.len(), 0x1000 + elf::DATA.len());
    assert_eq!(image[56..60], *b"ARM\x64");
    assert!(image[128..0x1000].iter().all(|&byte| byte == 0), "gaps are zeros");
    assert_eq!(image[0x1000..], elf::DATA);
}

/// Every node that carries `xen,passthrough`, after taking the marks away again.
fn take_marks(tree: &mut DeviceTree) -> Vec<String> {
    let mut marked = Vec::new();
    for child in tree.root.children_mut() {
        if let Some(mark) = child.remove_property("xen,passthrough") {
            assert!((&mark).value().is_empty());
            marked.push(format!("/{}", child.name()));
        }
    }
    marked.sort();
    marked
}

#[test]
fn the_host_tree_is_the_base_with_marks() {
    let base = virt();
    let bench = Bench::new(MACHINE, &base);
    bench.build().unwrap();
    let dtb = fs::read(bench.out().join("host.dtb")).unwrap();
    let mut host = DeviceTree::from_fdt(&Fdt::new(&dtb).unwrap());
    // The three given transports, and the others of their pages 0xa000, 0xa002 and 0xa003.
    let expected: Vec<_> = (0..8).chain(16..32).map(transport).collect();
    assert_eq!(take_marks(&mut host), expected);
    assert_eq!(host, base);
}

#[test]
fn marks_reach_below_a_given_node() {
    let mut tree = virt();
    common::virt::set(&mut tree, "/virtio_mmio@a000200/port", "reg", 1u32);
    let bench = Bench::new(MACHINE, &tree);
    bench.build().unwrap();
    let dtb = fs::read(bench.out().join("host.dtb")).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    assert!(
        fdt.find_node("/virtio_mmio@a000200/port")
            .unwrap()
            .property("xen,passthrough")
            .is_some()
    );
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (one, two) = (Bench::new(MACHINE, &virt()), Bench::new(MACHINE, &virt()));
    let (one_files, two_files) = (one.build().unwrap().files, two.build().unwrap().files);
    for (a, b) in one_files.iter().zip(&two_files) {
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{}", a.display());
    }
}

#[test]
fn a_second_build_replaces_the_files_and_nothing_else() {
    let bench = Bench::new(MACHINE, &virt());
    bench.build().unwrap();
    fs::write(bench.out().join("notes.txt"), "mine").unwrap();
    bench.put(
        "machine.toml",
        MACHINE.replace("memory = 24", "memory = 32").as_bytes(),
    );
    bench.build().unwrap();
    assert!(
        fs::read_to_string(bench.out().join("block.cfg"))
            .unwrap()
            .contains("\nmemory = 32\n")
    );
    assert_eq!(fs::read_to_string(bench.out().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn dest_says_where_the_files_are_in_dom0() {
    let bench = Bench::new(MACHINE, &virt());
    let request = outrigger::build::Request {
        dest: "/guests/".to_owned(),
        ..bench.request()
    };
    outrigger::build::build(&request).unwrap();
    let cfg = fs::read_to_string(bench.out().join("block.cfg")).unwrap();
    assert!(cfg.contains("kernel = \"/guests/block.img\"\n"));
    assert!(cfg.contains("device_tree = \"/guests/block.dtb\"\n"));
}

#[test]
fn registers_are_translated_through_buses_and_pages_merged() {
    let mut tree = virt();
    let bus = "/platform-bus@c000000";
    for (unit, pages, spi) in [(0x1000u32, 2, 80u32), (0x3000, 1, 81)] {
        let path = format!("{bus}/disk@{unit:x}");
        common::virt::set(&mut tree, &path, "compatible", "virtio,mmio");
        common::virt::set(&mut tree, &path, "reg", [unit, pages * 0x1000]);
        common::virt::set(&mut tree, &path, "interrupts-extended", [0x8002u32, 0, spi, 4]);
    }
    let machine = r#"
board = "qemu-virt"
[domain.block]
class = "block"
devices = ["/platform-bus@c000000/disk@3000", "/platform-bus@c000000/disk@1000"]
"#;
    let bench = Bench::new(machine, &tree);
    bench.build().unwrap();
    let cfg = fs::read_to_string(bench.out().join("block.cfg")).unwrap();
    assert!(cfg.contains("iomem = [\"0xc001,3\"]\n"), "{cfg}");
    assert!(cfg.contains("irqs = [112, 113]\n"), "{cfg}");
    let dtb = fs::read(bench.out().join("block.dtb")).unwrap();
    golden("translated.dts", &Fdt::new(&dtb).unwrap().to_string());
}
