//! Real boards: every device tree in the folder `DTB_CORPUS` (Debian's `linux-image-*-arm64` has a thousand), and QEMU's
//! own in the file `VIRT_DTB`. Without them these tests say so and check nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use common::golden;
use outrigger::board::{Board, Boards};
use outrigger::class::Driver;
use outrigger::devices::{self, Table};
use outrigger::error::Fault;
use outrigger::machine::MachineFile;
use outrigger::new;
use outrigger::plan::Plan;
use outrigger::tree::{BaseTree, flat};

/// The corpus, by path; none without `DTB_CORPUS`.
fn corpus() -> Vec<PathBuf> {
    let Some(folder) = env::var_os("DTB_CORPUS") else {
        eprintln!("DTB_CORPUS is not set: no real device trees are checked");
        return Vec::new();
    };
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dtb") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "DTB_CORPUS holds no .dtb");
    files
}

fn read(file: &Path) -> BaseTree {
    BaseTree::parse(file, &fs::read(file).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

fn table(file: &Path) -> String {
    let base = read(file);
    let boards = Boards::default();
    let (_, board) = boards.of(&base).unwrap();
    Table(&devices::devices(&base, board, false)).to_string()
}

#[test]
fn every_boards_devices_make_sense() {
    let files = corpus();
    let (mut rows, mut free) = (0, 0);
    for file in &files {
        let base = read(file);
        let board = Board::unknown(&base);
        let devices = devices::devices(&base, &board, true);
        let place = file.display();
        assert!(!devices.is_empty(), "{place}: no devices");
        let paths: HashSet<&str> = devices.iter().map(|device| device.path.as_str()).collect();
        assert_eq!(paths.len(), devices.len(), "{place}: a device is listed twice");
        for device in &devices {
            let place = format!("{place}: {}", device.path);
            assert!(base.node(&device.path).is_some(), "{place}");
            assert_eq!(device.free, device.obstacles.is_empty(), "{place}");
            assert!(
                !device.free || !device.registers.is_empty(),
                "{place}: nothing to give"
            );
            assert!(
                !device.free || !device.interrupts.is_empty(),
                "{place}: no interrupt"
            );
            for (base, size) in &device.registers {
                assert!(
                    *size > 0 && base.checked_add(size - 1).is_some(),
                    "{place}: {base:#x}+{size:#x}"
                );
            }
            for intid in &device.interrupts {
                assert!((32..1020).contains(intid), "{place}: interrupt {intid}");
            }
        }
        let table = Table(&devices).to_string();
        assert_eq!(
            table.lines().count(),
            devices.len() + 3,
            "{place}: a row is not one line"
        );
        rows += devices.len();
        free += devices.iter().filter(|device| device.free).count();
    }
    eprintln!("{} boards, {rows} devices, {free} can be given away", files.len());
}

/// What a model of a tree loses, writing and reading it again finds.
#[test]
fn every_board_comes_out_as_it_went_in() {
    for file in corpus() {
        let bytes = fs::read(&file).unwrap();
        let tree = flat::read(&bytes).unwrap();
        let again = flat::read(&tree.to_dtb()).unwrap();
        assert!(tree == again, "{}", file.display());
    }
}

/// The first enabled device whose node is called like one of these.
fn first(base: &BaseTree, names: &[&str]) -> Option<String> {
    let is_called = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        names.contains(&name)
    };
    let mut nodes = base.nodes().iter();
    let node = nodes.find(|node| node.enabled && node.device && is_called(&node.path))?;
    Some(node.path.clone())
}

#[test]
fn the_first_disk_and_network_of_every_board_can_be_given_or_one_line_says_why_not() {
    const DISKS: [&str; 8] = [
        "mmc",
        "sdhci",
        "sata",
        "ufs",
        "ufshc",
        "nvme",
        "usb",
        "virtio_mmio",
    ];
    const NETWORKS: [&str; 2] = ["ethernet", "wifi"];
    let (mut planned, mut refused) = (0, 0);
    for file in corpus() {
        let base = read(&file);
        let devices: Vec<String> = [&DISKS[..], &NETWORKS[..]]
            .iter()
            .filter_map(|names| first(&base, names))
            .collect();
        for path in devices {
            let text = format!("board = \"it\"\n[domain.one]\nclass = \"block\"\ndevices = [{path:?}]\n");
            let mut boards = Boards::default();
            let root = &base.nodes()[0].compatible[0];
            boards
                .add(
                    Path::new("it.toml"),
                    &format!("compatible = {root:?}\niommu = true\n"),
                )
                .unwrap();
            let mut machine = MachineFile::parse_for(Path::new("m.toml"), &text, &boards).unwrap();
            machine.domains[0].class.manifest.drivers.clear();
            let refusal = Plan::new(&machine, &base).map(drop).unwrap_err();
            assert!(
                matches!(refusal.fault, Fault::NoDriver { .. }),
                "{}: {refusal}",
                file.display()
            );
            // With a driver, the device itself decides.
            let compatible = base.node(&path).unwrap().compatible[0].clone();
            machine.domains[0].class.manifest.drivers.push(Driver {
                compatible,
                alias: "disk".to_owned(),
            });
            match Plan::new(&machine, &base) {
                Ok(plan) => {
                    planned += 1;
                    let domain = &plan.domains[0];
                    assert!(!domain.pages.is_empty() && !domain.intids.is_empty(), "{path}");
                    assert!(plan.notices.iter().all(|notice| !notice.contains('\n')));
                }
                Err(refusal) => {
                    refused += 1;
                    let line = refusal.to_string();
                    assert!(line.starts_with("m.toml:4: ") && !line.contains('\n'), "{line}");
                    assert!(line.contains(&path), "{line}");
                }
            }
        }
    }
    eprintln!("{planned} devices can be given away, {refused} cannot");
    assert!(planned > 0 || env::var_os("DTB_CORPUS").is_none());
}

/// What `new-board` and `new` write of any tree can be read again, and finds its tree.
#[test]
fn every_board_can_begin_a_board_file_and_a_machine_file() {
    for file in corpus() {
        let base = read(&file);
        let mut boards = Boards::default();
        let name = boards
            .add(Path::new("it.toml"), &new::board_file(&base))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (found, board) = boards.of(&base).unwrap();
        assert_eq!(found, name, "{}", file.display());
        let text = new::machine_file(&name, board, Some(&base));
        match MachineFile::parse_for(Path::new("m.toml"), &text, &boards) {
            Ok(machine) => {
                let plan = Plan::new(&machine, &base);
                assert!(plan.is_ok(), "{}: {}", file.display(), plan.unwrap_err());
            }
            Err(error) => assert_eq!(error.fault, Fault::NoDomains, "{}: {error}", file.display()),
        }
    }
}

/// One SoC, three boards.
#[test]
fn the_family_of_the_raspberry_pi_4_is_known() {
    let files = corpus();
    for name in ["rpi-4-b", "rpi-400", "rpi-cm4-io"] {
        let Some(file) = files
            .iter()
            .find(|file| file.ends_with(format!("bcm2711-{name}.dtb")))
        else {
            assert!(files.is_empty(), "{name}");
            continue;
        };
        let boards = Boards::default();
        let base = read(file);
        let (board, facts) = boards.of(&base).unwrap();
        assert_eq!(board, "raspberrypi-4", "{name}");
        let text = new::machine_file(board, facts, Some(&base));
        let machine = MachineFile::parse(Path::new("m.toml"), &text).unwrap();
        let plan = Plan::new(&machine, &base).unwrap();
        assert_eq!(plan.domains.len(), 2, "{name}: block and net");
    }
}

/// Checked by hand against the board's documentation once; kept since.
#[test]
fn the_table_of_the_raspberry_pi_4() {
    if let Some(file) = corpus().iter().find(|file| file.ends_with("bcm2711-rpi-4-b.dtb")) {
        golden("bcm2711-rpi-4-b.txt", &table(file));
    }
}

/// The machine file of docs/raspberry-pi-4.md, with the trees of two versions of Linux: `DTB_NEWER` is as `DTB_CORPUS`, of Linux
/// 7.3 or later.
#[test]
fn labels_are_for_both_trees_of_the_raspberry_pi_4() {
    const MACHINE: &str = r#"
board = "raspberrypi-4"
withhold = ["&sdhci"]
[domain.block]
class = "block"
devices = ["&emmc2"]
[domain.net]
class = "net"
devices = ["&genet"]
"#;
    for (variable, paths) in [
        ("DTB_CORPUS", ["/emmc2bus/mmc@7e340000", "/scb/ethernet@7d580000"]),
        (
            "DTB_NEWER",
            [
                "/emmc2-bus@fe000000/mmc@7e340000",
                "/scb-bus@fc000000/ethernet@7d580000",
            ],
        ),
    ] {
        let Some(folder) = env::var_os(variable) else {
            eprintln!("{variable} is not set: its tree is not checked");
            continue;
        };
        let base = read(&Path::new(&folder).join("broadcom/bcm2711-rpi-4-b.dtb"));
        let machine = MachineFile::parse(Path::new("machine.toml"), MACHINE).unwrap();
        let plan = Plan::new(&machine, &base).unwrap();
        let given: Vec<&str> = plan
            .domains
            .iter()
            .map(|domain| domain.devices[0].path.as_str())
            .collect();
        assert_eq!(given, paths, "{variable}");
        assert_eq!(plan.withheld, ["/soc/mmc@7e300000"], "{variable}");
    }
}

/// As the Raspberry Pi's: `VIRT_DTB` is what QEMU 10's `-M virt,virtualization=on,gic-version=2,dumpdtb=` gives.
#[test]
fn the_table_of_qemu_virt() {
    match env::var_os("VIRT_DTB") {
        Some(file) => golden("qemu-virt.txt", &table(Path::new(&file))),
        None => eprintln!("VIRT_DTB is not set: QEMU's own device tree is not checked"),
    }
}
