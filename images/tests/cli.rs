//! The command: its exit code and its lines.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::process::{Command, Output};

use common::Bench;
use common::schema::conforms;
use common::virt::virt;

const MACHINE: &str =
    "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\"]\n";

fn outrigger(bench: &Bench, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .current_dir(&bench.dir)
        .env_remove("OUTRIGGER_IMAGES")
        .args(["build", "machine.toml", "--base-dtb", "virt.dtb", "--out", "out"])
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn names_what_it_wrote() {
    let bench = Bench::new(MACHINE, &virt());
    let output = outrigger(&bench, &["--images", "images"]);
    assert!(output.status.success());
    let written = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        written,
        "out/block.img\nout/block.cfg\nout/block.dtb\nout/host.dtb\n"
    );
    let again = outrigger(&bench, &["--images", "images", "--json"]);
    conforms("build", &String::from_utf8(again.stdout).unwrap());
    let notices = String::from_utf8(output.stderr).unwrap();
    assert!(
        notices.lines().all(|line| line.starts_with("notice: ")),
        "{notices}"
    );
}

#[test]
fn the_images_folder_can_come_from_the_environment() {
    let bench = Bench::new(MACHINE, &virt());
    let missing = outrigger(&bench, &[]);
    assert_eq!(missing.status.code(), Some(1));
    let line = "error: target/images/block.elf: no image of class block: run `cargo xtask image block`\n";
    assert_eq!(String::from_utf8(missing.stderr).unwrap(), line);
    let found = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .current_dir(&bench.dir)
        .env("OUTRIGGER_IMAGES", bench.dir.join("images"))
        .args(["build", "machine.toml", "--base-dtb", "virt.dtb", "--out", "out"])
        .output()
        .unwrap();
    assert!(found.status.success());
}

#[test]
fn an_error_is_one_line_and_exit_code_1() {
    let bench = Bench::new(&MACHINE.replace("a003e00", "line\\nend\\u001b[31m"), &virt());
    let output = outrigger(&bench, &["--images", "images"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let line = "error: machine.toml:4: no node /virtio_mmio@line\\nend\\u{1b}[31m in the base device tree\n\
                help: `outrigger devices` lists what there is; an alias, a label (\"&emmc2\") or a compatible names a node as well\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
    assert!(!bench.out().exists());
}

/// Runs the command with these arguments in the bench's folder.
fn run(bench: &Bench, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .current_dir(&bench.dir)
        .env_remove("OUTRIGGER_IMAGES")
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(bench: &Bench, args: &[&str]) -> String {
    let output = run(bench, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(bench: &Bench, args: &[&str]) -> String {
    let output = run(bench, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn check_needs_no_image_and_writes_nothing() {
    let bench = Bench::new(MACHINE, &virt());
    std::fs::remove_dir_all(bench.dir.join("images")).unwrap();
    let check = ["check", "machine.toml", "--base-dtb", "virt.dtb"];
    let line = "domain block can be built: class block, 16 MiB, virtio0 = /virtio_mmio@a003e00\n";
    assert_eq!(succeeds(&bench, &check), line);
    assert_eq!(bench.leftovers(), [] as [&str; 0]);
    let json = conforms("check", &succeeds(&bench, &[&["--json"], &check[..]].concat()));
    assert_eq!(json["domains"][0]["interrupts"], serde_json::json!([79]));
    assert_eq!(json["domains"][0]["pages"], serde_json::json!([[0xa003, 0xa003]]));
    assert_eq!(json["notices"].as_array().unwrap().len(), 2);
    bench.put("machine.toml", MACHINE.replace("a003e00", "b000000").as_bytes());
    let line = "error: machine.toml:4: no node /virtio_mmio@b000000 in the base device tree\n\
                help: did you mean /virtio_mmio@a000000? `outrigger devices` lists what there is\n";
    assert_eq!(fails(&bench, &check), line);
}

#[test]
fn devices_as_a_table_and_as_json() {
    let bench = Bench::new(MACHINE, &virt());
    let table = succeeds(&bench, &["devices", "virt.dtb"]);
    common::golden("devices.txt", &table);
    let json = conforms("devices", &succeeds(&bench, &["devices", "virt.dtb", "--json"]));
    assert_eq!(
        (&json["version"], &json["board"]),
        (&1.into(), &"qemu-virt".into())
    );
    let devices = json["devices"].as_array().unwrap();
    assert_eq!(devices.len() + 3, table.lines().count());
    let disk = devices
        .iter()
        .find(|device| device["path"] == "/virtio_mmio@a003e00")
        .unwrap();
    assert_eq!(disk["free"], true);
    assert_eq!(disk["classes"], serde_json::json!(["block", "net", "input"]));
    assert_eq!(disk["registers"], serde_json::json!([[0xa00_3e00, 0x200]]));
    assert_eq!(disk["takes_along"].as_array().unwrap().len(), 7);
}

#[test]
fn disabled_devices_are_listed_when_asked_for() {
    let mut tree = virt();
    common::virt::set(&mut tree, "/pl031@9010000", "status", "disabled");
    let bench = Bench::new(MACHINE, &tree);
    assert!(!succeeds(&bench, &["devices", "virt.dtb"]).contains("/pl031@9010000"));
    let all = succeeds(&bench, &["devices", "--all", "virt.dtb"]);
    let row = all
        .lines()
        .find(|line| line.starts_with("/pl031@9010000"))
        .unwrap();
    assert!(row.contains("is disabled"), "{row}");
}

#[test]
fn what_was_built_can_be_inspected() {
    let machine = format!("{MACHINE}[boot]\nkernel = \"vmlinuz\"\ndom0-memory = 512\n");
    let bench = Bench::new(&machine, &virt());
    assert!(outrigger(&bench, &["--images", "images"]).status.success());
    let mut report = String::new();
    for file in [
        "virt.dtb",
        "images/block.elf",
        "out/block.img",
        "out/block.cfg",
        "out/block.dtb",
        "out/host.dtb",
        "out/boot.scr",
    ] {
        report += &succeeds(&bench, &["inspect", file]);
    }
    common::golden("inspect.txt", &report);
    let json = conforms(
        "inspect",
        &succeeds(&bench, &["inspect", "--json", "out/block.cfg"]),
    );
    assert_eq!(json["kind"], "an xl configuration");
    assert_eq!(
        json["facts"][0],
        serde_json::json!({ "what": "name", "value": "block" })
    );
    bench.put("nothing", b"what is this");
    let line = "error: nothing: is neither a device tree, an arm64 Image, an ELF file, a boot script nor an xl configuration\n";
    assert_eq!(fails(&bench, &["inspect", "nothing"]), line);
    assert!(fails(&bench, &["inspect", "missing"]).starts_with("error: missing: cannot read: "));
}

#[test]
fn new_writes_a_file_that_can_be_checked() {
    let bench = Bench::new(MACHINE, &virt());
    for args in [&["new", "qemu-virt"][..], &["new", "--base-dtb", "virt.dtb"]] {
        bench.put("machine.toml", succeeds(&bench, args).as_bytes());
        succeeds(&bench, &["check", "machine.toml", "--base-dtb", "virt.dtb"]);
    }
    common::golden("new.toml", &succeeds(&bench, &["new", "--base-dtb", "virt.dtb"]));
    // Uncommented, the boot table is good too.
    let text = succeeds(&bench, &["new", "qemu-virt"]);
    let (domains, boot) = text.split_once("# [boot]").unwrap();
    let boot: String = boot
        .lines()
        .filter(|line| !line.starts_with("# Uncomment"))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    bench.put("machine.toml", format!("{domains}[boot]{boot}").as_bytes());
    succeeds(&bench, &["check", "machine.toml", "--base-dtb", "virt.dtb"]);
    assert_eq!(
        fails(&bench, &["new", "pi"]),
        "error: outrigger new: unknown board \"pi\" (known: qemu-virt, raspberrypi-4)\n\
         help: a board of your own is a board file (--board FILE), which `outrigger new-board` begins\n"
    );
    assert_eq!(
        fails(&bench, &["new", "raspberrypi-4", "--base-dtb", "virt.dtb"]),
        "error: virt.dtb: is the device tree of another board: its root is not compatible with \"raspberrypi,4-model-b\" or \"raspberrypi,400\" or \"raspberrypi,4-compute-module\"\n\
         help: `outrigger new --base-dtb` finds the board of a device tree\n"
    );
}

#[test]
fn new_withholds_what_is_beside_the_only_device() {
    let mut tree = virt();
    for number in 0..32 {
        tree.root.remove_child(&common::virt::transport(number)[1..]);
    }
    for (path, base, compatible) in [
        ("/mmc@b000000", 0xb00_0000u32, "arasan,sdhci-8.9a"),
        ("/rtc@b000800", 0xb00_0800, "acme,rtc"),
    ] {
        common::virt::set(&mut tree, path, "compatible", compatible);
        common::virt::set(&mut tree, path, "reg", [0, base, 0, 0x100]);
        common::virt::set(&mut tree, path, "interrupts", [0u32, 90, 4]);
    }
    let bench = Bench::new("", &tree);
    let text = succeeds(&bench, &["new", "--base-dtb", "virt.dtb"]);
    assert!(text.contains("\nwithhold = [\"/rtc@b000800\"]\n"), "{text}");
    assert!(text.contains("\ndevices = [\"/mmc@b000000\"]\n"), "{text}");
    assert!(text.contains("\n# [domain.net]\n"), "{text}");
    bench.put("machine.toml", text.as_bytes());
    succeeds(&bench, &["check", "machine.toml", "--base-dtb", "virt.dtb"]);
}

#[test]
fn a_board_that_no_class_has_a_driver_for_says_so() {
    let mut tree = virt();
    for number in 0..32 {
        tree.root.remove_child(&common::virt::transport(number)[1..]);
    }
    let table = succeeds(&Bench::new("", &tree), &["devices", "virt.dtb"]);
    let last = "1 of 7 devices can be given to a driver domain, but no class has a driver for any device of this board.\n";
    assert!(table.ends_with(last), "{table}");
}

#[test]
fn a_board_file_from_a_device_tree() {
    let mut tree = virt();
    common::virt::set(&mut tree, "/", "compatible", "acme,board");
    // What shares the console's interrupt must go, and what firmware keeps is not loaded over.
    common::virt::set(&mut tree, "/pl011@9040000", "compatible", "arm,pl011");
    common::virt::set(&mut tree, "/pl011@9040000", "reg", [0u32, 0x904_0000, 0, 0x1000]);
    common::virt::set(&mut tree, "/pl011@9040000", "interrupts", [0u32, 1, 4]);
    common::virt::reserve(&mut tree, 0x4200_0000, 0x20_0000);
    let bench = Bench::new(&MACHINE.replace("qemu-virt", "acme"), &tree);
    let text = succeeds(&bench, &["new-board", "virt.dtb"]);
    common::golden("new-board.toml", &text);
    bench.put("acme.toml", text.as_bytes());
    succeeds(
        &bench,
        &[
            "check",
            "machine.toml",
            "--base-dtb",
            "virt.dtb",
            "--board",
            "acme.toml",
        ],
    );
    succeeds(&bench, &["new", "--base-dtb", "virt.dtb", "--board", "acme.toml"]);
}

#[test]
fn a_board_file_of_ones_own() {
    let bench = Bench::new(&MACHINE.replace("qemu-virt", "mine"), &virt());
    bench.put(
        "mine.toml",
        b"compatible = \"linux,dummy-virt\"\nslots = [\"virtio,mmio\"]\n",
    );
    let check = ["check", "machine.toml", "--base-dtb", "virt.dtb"];
    assert_eq!(
        fails(&bench, &check),
        "error: machine.toml:1: unknown board \"mine\" (known: qemu-virt, raspberrypi-4)\n\
         help: a board of your own is a board file (--board FILE), which `outrigger new-board` begins\n"
    );
    succeeds(&bench, &[&check[..], &["--board", "mine.toml"]].concat());
    bench.put("mine.toml", b"compatible = \"linux,dummy-virt\"\nslot = 1\n");
    let line = fails(&bench, &[&check[..], &["--board", "mine.toml"]].concat());
    assert!(
        line.starts_with("error: mine.toml:2: unknown field `slot`"),
        "{line}"
    );
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let bench = Bench::new(MACHINE, &virt());
    for page in [
        &["man"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
    ] {
        let text = succeeds(&bench, page);
        for command in ["build", "check", "devices", "inspect", "new"] {
            assert!(
                text.to_lowercase().contains(command),
                "{page:?} without {command}"
            );
        }
    }
}
