//! What a person reads who typed something wrong: every message whole, one golden file.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::virt::{set, virt};
use common::{Bench, golden};
use outrigger::machine::MachineFile;

const GOOD: &str =
    "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\"]\n";

/// Runs the command in the bench's folder, with `input` on standard input; its exit code and all that it says.
fn say(bench: &Bench, args: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .current_dir(&bench.dir)
        .env("PATH", "")
        .env_remove("OUTRIGGER_IMAGES")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It need not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.replace(&format!("{}/", bench.dir.canonicalize().unwrap().display()), "");
    format!("exit code {}\n{said}", output.status.code().unwrap())
}

/// Machine files and what is wrong with each.
fn machines() -> Vec<(&'static str, String)> {
    let domain = |lines: &str| format!("{GOOD}{lines}\n");
    let devices = |devices: &str| GOOD.replace("[\"/virtio_mmio@a003e00\"]", devices);
    let net = |option: &str| {
        format!(
            "{}[domain.block.options]\n{option}\n",
            GOOD.replace("\"block\"", "\"net\"")
        )
    };
    let many: Vec<String> = (0..300).map(|n| format!("\"s{n}\"")).collect();
    vec![
        ("memory that is no size", domain("memory = \"16K\"")),
        ("memory below the least", domain("memory = \"3M\"")),
        ("a mistyped board", GOOD.replace("virt", "vrit")),
        ("an unknown board", GOOD.replace("qemu-virt", "acme")),
        ("an empty file", String::new()),
        ("no board", GOOD.replace("board = \"qemu-virt\"\n", "")),
        ("a mistyped key", GOOD.replace("devices", "device")),
        ("no class", GOOD.replace("class = \"block\"\n", "")),
        (
            "a mistyped class",
            GOOD.replace("class = \"block\"", "class = \"blck\""),
        ),
        (
            "no devices",
            GOOD.replace("devices = [\"/virtio_mmio@a003e00\"]\n", ""),
        ),
        ("a level that is none", domain("log = \"inof\"")),
        ("a table twice", domain("[domain.block]")),
        ("a key twice", domain("class = \"block\"")),
        ("a missing node", devices("[\"/virtio_mmio@a003f00\"]")),
        ("a path without its slash", devices("[\"virtio_mmio@a003e00\"]")),
        ("a node that moved", devices("[\"/soc/virtio_mmio@a003e00\"]")),
        ("a mistyped compatible", devices("[\"arm,pl013\"]")),
        ("a device that is no list", devices("\"/virtio_mmio@a003e00\"")),
        ("Xen's console", devices("[\"/pl011@9000000\"]")),
        ("a device without a driver", devices("[\"/pl031@9010000\"]")),
        (
            "segments: an unknown word",
            net("segments = [\"lan:net0:adress=dhcp\"]"),
        ),
        (
            "segments: NAT without an uplink",
            net("segments = [\"g:mode=nat:address=10.0.3.1/24\"]"),
        ),
        ("segments: none", net("segments = []")),
        ("segments: an empty one", net("segments = [\"\"]")),
        (
            "segments: too many",
            net(&format!("segments = [{}]", many.join(", "))),
        ),
        ("mtu that is no number", net("mtu = \"abc\"")),
        ("mtu out of bounds", net("mtu = \"1\"")),
        ("mtu above the card's", net("mtu = 9000")),
        ("mtu as a list", net("mtu = [1500]")),
        ("mtu for a card that has none", net("mtu = 1500")),
        ("mac that is none", net("mac = \"zz:zz\"")),
        ("mac of everybody", net("mac = \"ff:ff:ff:ff:ff:ff\"")),
        ("mac as a list", net("mac = [\"02:00:00:00:00:01\"]")),
        ("a mistyped option", net("segment = \"lan\"")),
        (
            "an option of a class without any",
            domain("[domain.block.options]\nmtu = 1500"),
        ),
        (
            "dom0-memory that is no size",
            domain("[boot]\nkernel = \"vmlinuz\"\ndom0-memory = \"lots\""),
        ),
        ("no kernel", domain("[boot]\ndom0-memory = 512")),
        (
            "a longer file than any",
            format!("{GOOD}#{}", " ".repeat(1 << 20)),
        ),
    ]
}

#[test]
fn every_message_says_what_where_and_how_to_mend_it() {
    let mut tree = virt();
    set(&mut tree, "/pl031@9010000", "interrupts", [0u32, 2, 4]);
    let bench = Bench::new(GOOD, &tree);
    let mut all = String::new();
    let check = ["check", "machine.toml", "--base-dtb", "virt.dtb"];
    for (what, machine) in machines() {
        bench.put("machine.toml", machine.as_bytes());
        writeln!(all, "# {what}\n{}", say(&bench, &check, "")).unwrap();
    }
    bench.put("machine.toml", GOOD.as_bytes());
    bench.put("file", b"");
    bench.put("binary", b"\xff\xfe");
    let fifo = Command::new("mkfifo").arg(bench.dir.join("fifo")).status();
    assert!(fifo.unwrap().success());
    let dtb = ["--base-dtb", "virt.dtb"];
    let to = |out| {
        [
            "build",
            "machine.toml",
            "--base-dtb",
            "virt.dtb",
            "--images",
            "images",
            "--out",
            out,
        ]
    };
    for (what, args) in [
        (
            "a machine file without an end",
            [&["check", "/dev/zero"][..], &dtb].concat(),
        ),
        ("a FIFO", [&["check", "fifo"][..], &dtb].concat()),
        ("a folder", [&["check", "images"][..], &dtb].concat()),
        ("no text", [&["check", "binary"][..], &dtb].concat()),
        ("a device tree without an end", vec!["devices", "/dev/zero"]),
        ("a missing file", vec!["devices", "missing.dtb"]),
        ("standard input twice", vec!["check", "-", "--base-dtb", "-"]),
        ("an output folder that is a file", to("file").to_vec()),
        ("an output folder that cannot be", to("/proc/none/out").to_vec()),
        ("a board that is not there", vec!["new", "raspberypi-4"]),
        ("restart outside Dom0", vec!["restart", "block"]),
        ("update outside Dom0", vec!["update", "block", "block.img"]),
        ("reattach outside Dom0", vec!["reattach", "block"]),
    ] {
        // An image for `update`: the least that is one.
        let mut image = vec![0; 96];
        image[56..60].copy_from_slice(b"ARM\x64");
        image[64..72].copy_from_slice(b"OUTRIGGR");
        image[80..85].copy_from_slice(b"block");
        bench.put("block.img", &image);
        writeln!(all, "# {what}\n{}", say(&bench, &args, GOOD)).unwrap();
    }
    golden("messages.txt", &all);
}

#[test]
fn sizes_with_units_numbers_and_standard_input_are_taken() {
    for (memory, mib) in [("\"1G\"", 1024), ("\"16M\"", 16), ("17", 17)] {
        let text = format!("{GOOD}memory = {memory}\n[boot]\nkernel = \"vmlinuz\"\ndom0-memory = \"1G\"\n");
        let machine = MachineFile::parse(Path::new("m.toml"), &text).unwrap();
        assert_eq!(machine.domains[0].memory_mib.value, mib, "{memory}");
        assert_eq!(machine.boot.unwrap().dom0_memory, 1024);
    }
    let bench = Bench::new("none", &virt());
    let checked = say(&bench, &["check", "-", "--base-dtb", "virt.dtb"], GOOD);
    assert!(checked.starts_with("exit code 0\n"), "{checked}");
}

/// The Raspberry Pi 4's card takes its options as numbers and as texts.
#[test]
fn numbers_are_taken_where_they_are_meant() {
    let mut tree = virt();
    let card = "/ethernet@b000000";
    set(&mut tree, card, "compatible", "brcm,bcm2711-genet-v5");
    set(&mut tree, card, "reg", [0, 0xb00_0000u32, 0, 0x1_0000]);
    set(&mut tree, card, "interrupts", [0u32, 100, 4]);
    for mtu in ["3820", "\"3820\""] {
        let machine = format!(
            "board = \"qemu-virt\"\n[domain.net]\nclass = \"net\"\ndevices = [\"{card}\"]\n\
             [domain.net.options]\nmtu = {mtu}\nmac = \"02:00:00:00:00:01\"\n"
        );
        let bench = Bench::new(&machine, &tree);
        bench.put("images/net.elf", &common::elf::Elf::default().bytes());
        bench.build().unwrap();
        let cfg = std::fs::read_to_string(bench.out().join("net.cfg")).unwrap();
        assert!(
            cfg.contains("cmdline = \"mac=02:00:00:00:00:01 mtu=3820\"\n"),
            "{cfg}"
        );
    }
}

#[test]
fn files_of_an_earlier_build_are_named() {
    let bench = Bench::new(
        &format!("{GOOD}[boot]\nkernel = \"vmlinuz\"\ndom0-memory = 512\n"),
        &virt(),
    );
    bench.build().unwrap();
    bench.put("out/notes.txt", b"mine");
    bench.put(
        "machine.toml",
        GOOD.replace("domain.block", "domain.disk").as_bytes(),
    );
    let notices = bench.build().unwrap().notices;
    let last = notices
        .last()
        .unwrap()
        .replace(&format!("{}/", bench.dir.display()), "");
    assert_eq!(
        last,
        "out holds files of an earlier build that this machine does not have: block.cfg block.dtb block.img boot.cmd boot.scr; \
         remove them, lest they be used"
    );
}
