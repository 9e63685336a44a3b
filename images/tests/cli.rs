//! The command: its exit code and its lines.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::process::{Command, Output};

use common::Bench;
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
    let line = "error: machine.toml:4: no node /virtio_mmio@line\\nend\\u{1b}[31m in the base device tree\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
    assert!(!bench.out().exists());
}
