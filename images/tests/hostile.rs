//! Inputs from nowhere: whatever is in a file, the answer is a plan or one line, never a panic.

mod common;

use std::path::Path;

use common::elf::Elf;
use common::virt::virt;
use dtoolkit::fdt::Fdt;
use outrigger::board::Boards;
use outrigger::devices::{self, Table};
use outrigger::error::Error;
use outrigger::image::Image;
use outrigger::inspect;
use outrigger::machine::MachineFile;
use outrigger::plan::Plan;
use outrigger::tree::{BaseTree, flat};
use proptest::prelude::*;
use proptest::sample::Index;

const MACHINE: &str = r#"
board = "qemu-virt"
[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00", "/virtio_mmio@a002000"]
memory = 24
log = "debug"
[domain.block.options]
[domain.scratch]
class = "block"
devices = ["/virtio_mmio@a000200"]
"#;

/// A table that boots it, to be put behind the domains.
const BOOT: &str = r#"
[boot]
kernel = "vmlinuz"
ramdisk = "initrd.img"
dom0-memory = 512
xen-args = "loglvl=all"
start = "dom0"
tree = "whole"
"#;

/// The whole way from inputs to files, in memory.
fn whole_way(machine: &str, dtb: &[u8], elf: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let machine = MachineFile::parse(Path::new("machine.toml"), machine)?;
    let base = BaseTree::parse(Path::new("base.dtb"), dtb)?;
    let rows = devices::devices(&base, &machine.board, true);
    assert_eq!(Table(&rows).to_string().lines().count(), rows.len() + 3);
    inspect::inspect(Path::new("base.dtb"), dtb, &Boards::default())?;
    let image = Image::from_elf(Path::new("block.elf"), elf, 256)?;
    let plan = Plan::new(&machine, &base)?;
    plan.files("/etc/xen", &plan.images(|_| Ok(image.clone()))?)
}

/// What came out is whole: every tree parses, every file is there. Or it is one line.
fn check(outcome: Result<Vec<(String, Vec<u8>)>, Error>) -> bool {
    match outcome {
        Ok(files) => {
            // Three files a domain (a machine file cut short may have fewer domains), and host.dtb; with a boot table,
            // two more. (A scribble may also ask for the form without configurations.)
            let count = |end: &str| files.iter().filter(|(name, _)| name.ends_with(end)).count();
            let domains = count(".img");
            assert_eq!(count(".cfg"), if count("adopt.sh") == 1 { 0 } else { domains });
            assert_eq!(count(".dtb") + count(".dtbo"), domains + 1);
            assert_eq!(count("boot.scr"), count("boot.cmd"));
            for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".dtb")) {
                // The host's may have names that only Linux and Xen take; a guest's must suit the guest's reader.
                match name.as_str() {
                    "host.dtb" => drop(flat::read(bytes).unwrap_or_else(|e| panic!("{name}: {e}"))),
                    _ => drop(Fdt::new(bytes).unwrap_or_else(|e| panic!("{name}: {e}"))),
                }
            }
            true
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
            false
        }
    }
}

/// Overwrites bytes of `bytes` at places of any kind.
fn scribbled(bytes: &[u8], edits: &[(Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, value) in edits {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let value = prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()];
    prop::collection::vec((any::<Index>(), value), 1..6)
}

#[test]
fn the_unspoilt_inputs_make_a_plan() {
    assert!(check(whole_way(
        MACHINE,
        &virt().to_dtb(),
        &Elf::default().bytes()
    )));
}

#[test]
fn every_truncation_of_a_tree_and_an_elf_is_refused() {
    let (dtb, elf) = (virt().to_dtb(), Elf::default().bytes());
    for size in 0..dtb.len() {
        assert!(
            !check(whole_way(MACHINE, &dtb[..size], &elf)),
            "tree of {size} bytes"
        );
    }
    for size in 0..elf.len() {
        assert!(
            !check(whole_way(MACHINE, &dtb, &elf[..size])),
            "ELF of {size} bytes"
        );
    }
}

#[test]
fn a_tree_cut_short_in_its_sizes_too_is_refused() {
    let dtb = virt().to_dtb();
    for size in 8..dtb.len() {
        let mut cut = dtb[..size].to_vec();
        cut[4..8].copy_from_slice(&(size as u32).to_be_bytes());
        assert!(
            !check(whole_way(MACHINE, &cut, &Elf::default().bytes())),
            "tree of {size} bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn scribbled_trees(edits in edits()) {
        check(whole_way(MACHINE, &scribbled(&virt().to_dtb(), &edits), &Elf::default().bytes()));
    }

    /// Bytes of one property only, so that the tree itself stays readable and the facts are what is wrong.
    #[test]
    fn scribbled_properties(node in any::<Index>(), property in any::<Index>(), value in prop::collection::vec(any::<u32>(), 0..12)) {
        let names = [
            "reg", "ranges", "interrupts", "interrupts-extended", "interrupt-parent", "interrupt-map",
            "#interrupt-cells", "#address-cells", "#size-cells", "phandle", "compatible", "status", "dma-ranges",
            "clocks", "#clock-cells", "iommus", "interrupt-map-mask",
        ];
        let nodes = [
            "/", "/virtio_mmio@a003e00", "/virtio_mmio@a003c00", "/pcie@10000000", "/intc@8000000",
            "/platform-bus@c000000", "/intc@8000000/v2m@8020000",
        ];
        let mut tree = virt();
        common::virt::set(&mut tree, nodes[node.index(nodes.len())], names[property.index(names.len())], value);
        check(whole_way(MACHINE, &tree.to_dtb(), &Elf::default().bytes()));
    }

    #[test]
    fn small_numbers_in_properties(node in any::<Index>(), property in any::<Index>(), value in prop::collection::vec(0..6u32, 0..12)) {
        let names = ["reg", "ranges", "interrupt-map", "#interrupt-cells", "#address-cells", "#size-cells"];
        let nodes = ["/", "/virtio_mmio@a003e00", "/pcie@10000000", "/intc@8000000", "/platform-bus@c000000"];
        let mut tree = virt();
        common::virt::set(&mut tree, nodes[node.index(nodes.len())], names[property.index(names.len())], value);
        check(whole_way(MACHINE, &tree.to_dtb(), &Elf::default().bytes()));
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(whole_way(MACHINE, &bytes, &Elf::default().bytes()));
        check(whole_way(MACHINE, &virt().to_dtb(), &bytes));
        check(whole_way(&String::from_utf8_lossy(&bytes), &virt().to_dtb(), &bytes));
    }

    #[test]
    fn scribbled_machine_files(edits in edits(), keep in any::<Index>()) {
        let text = scribbled(MACHINE.as_bytes(), &edits);
        let text = String::from_utf8_lossy(&text);
        check(whole_way(&text, &virt().to_dtb(), &Elf::default().bytes()));
        let cut: String = MACHINE.chars().take(keep.index(MACHINE.len())).collect();
        check(whole_way(&cut, &virt().to_dtb(), &Elf::default().bytes()));
    }

    #[test]
    fn scribbled_boot_tables(edits in edits(), keep in any::<Index>()) {
        let whole = format!("{MACHINE}{BOOT}");
        let text = format!("{MACHINE}{}", String::from_utf8_lossy(&scribbled(BOOT.as_bytes(), &edits)));
        check(whole_way(&text, &virt().to_dtb(), &Elf::default().bytes()));
        let cut: String = whole.chars().take(keep.index(whole.len())).collect();
        check(whole_way(&cut, &virt().to_dtb(), &Elf::default().bytes()));
    }

    #[test]
    fn files_of_no_kind(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4usize) {
        // Behind the magic numbers of the known kinds, nonsense.
        let magic: [&[u8]; 4] = [b"\xd0\x0d\xfe\xed", b"\x7fELF", &[0x27, 5, 0x19, 0x56], b"name = "];
        let mut file = magic[kind].to_vec();
        file.extend(&bytes);
        for file in [&file[..], &bytes] {
            if let Err(error) = inspect::inspect(Path::new("f"), file, &Boards::default()) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }

    #[test]
    fn scribbled_board_files(edits in edits()) {
        let text = scribbled(include_bytes!("../../boot/boards/raspberrypi-4.toml"), &edits);
        if let Err(error) = Boards::default().add(Path::new("b.toml"), &String::from_utf8_lossy(&text)) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn scribbled_elfs(edits in edits()) {
        check(whole_way(MACHINE, &virt().to_dtb(), &scribbled(&Elf::default().bytes(), &edits)));
    }
}
