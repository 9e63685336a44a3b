//! Cards: read back by other programs than wrote them, the same every time, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Bench;
use common::virt::virt;
use outrigger::board::Boards;
use outrigger::card::{self, Written};
use outrigger::error::Error;

/// A machine with a block domain and a card with these lines more.
fn machine(card: &str) -> String {
    format!(
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\"]\n\
         [boot]\nkernel = \"vmlinuz\"\nramdisk = \"initrd.img\"\ndom0-memory = 512\n\
         [card]\n{card}"
    )
}

const FILES: &str = "[card.files]\nxen = \"in/xen\"\nvmlinuz = \"in/vmlinuz\"\n\"initrd.img\" = \"in/initrd\"\n\
                     \"a/b/With.a.long.name.txt\" = \"in/xen\"\n";

/// A bench with what the machine names.
fn bench(card: &str) -> Bench {
    let bench = Bench::new(&machine(card), &virt());
    fs::create_dir_all(bench.dir.join("in/firmware/overlays")).unwrap();
    fs::create_dir_all(bench.dir.join("in/empty-folder")).unwrap();
    let noise = |len: usize, seed: u32| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    };
    bench.put("in/xen", &noise(1_000_003, 1));
    bench.put("in/vmlinuz", &noise(9 << 20, 2));
    bench.put("in/initrd", &noise(12_345_678, 3));
    bench.put("in/firmware/start4.elf", &noise(2048, 4));
    bench.put("in/firmware/empty", b"");
    bench.put("in/firmware/overlays/disable-bt.dtbo", &noise(2049, 5));
    let mut data = vec![0; 20 << 20];
    data[5 << 20..6 << 20].copy_from_slice(&noise(1 << 20, 6));
    bench.put("in/data", &data);
    bench
}

fn write(bench: &Bench) -> Result<(Written, Vec<String>), Error> {
    let mut request = bench.request();
    request.out = bench.dir.join("out.img");
    let mut told = Vec::new();
    let written = card::write(&request, &Boards::default(), &mut |name, _| {
        told.push(name.to_owned())
    })?;
    Ok((written, told))
}

/// A program that reads cards, if the folder `CARD_TOOLS` has it; without it the test says so.
fn tool(name: &str) -> Option<Command> {
    let folder = std::env::var_os("CARD_TOOLS");
    if folder.is_none() {
        eprintln!("CARD_TOOLS is not set: {name} is not asked");
    }
    Some(Command::new(PathBuf::from(folder?).join(name)))
}

#[track_caller]
fn said(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{command:?}: {text}");
    output.stdout
}

/// A file of the first partition, as mtools reads it.
fn read(image: &Path, name: &str) -> Option<Vec<u8>> {
    let mut mcopy = tool("mcopy")?;
    mcopy
        .arg("-i")
        .arg(format!("{}@@{}", image.display(), 4 << 20))
        .arg(format!("::{name}"))
        .arg("-");
    Some(said(mcopy))
}

#[test]
fn what_goes_on_comes_off() {
    let bench = bench(&format!(
        "boot-mib = 160\nfirmware = \"in/firmware\"\ndata = \"in/data\"\n{FILES}"
    ));
    let (written, told) = write(&bench).unwrap();
    assert_eq!(written.bytes, 512 << 20, "the least power of two");
    let mut json = serde_json::to_value(&written).unwrap();
    json["version"] = 1.into();
    common::schema::conforms("image", &json.to_string());
    assert_eq!(written.data_partuuid, "4f524947-02");
    assert_eq!(fs::metadata(&written.image).unwrap().len(), written.bytes);
    assert!(told.iter().any(|name| name.ends_with("in/data")));
    assert!(
        told.contains(&"vmlinuz".to_owned()) && !told.contains(&"xen".to_owned()),
        "{told:?}"
    );
    bench.build().unwrap();
    for (name, len) in &written.files {
        let from = match name.as_str() {
            "xen" | "a/b/With.a.long.name.txt" => bench.dir.join("in/xen"),
            "vmlinuz" => bench.dir.join("in/vmlinuz"),
            "initrd.img" => bench.dir.join("in/initrd"),
            "start4.elf" | "empty" | "overlays/disable-bt.dtbo" => bench.dir.join("in/firmware").join(name),
            built => bench.out().join(built),
        };
        let expected = fs::read(from).unwrap();
        assert_eq!(*len, expected.len() as u64);
        if let Some(bytes) = read(&written.image, name) {
            assert!(bytes == expected, "{name} is as it was");
        }
    }
    let names: Vec<&str> = written.files.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "block.img",
        "block.cfg",
        "block.dtb",
        "host.dtb",
        "boot.scr",
        "boot.cmd",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let image = fs::read(&written.image).unwrap();
    let data = fs::read(bench.dir.join("in/data")).unwrap();
    let start = (4 + 160) << 20;
    assert!(image[start..start + data.len()] == data);
    assert!(image[start + data.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_partition_table_is_as_others_read_it() {
    let bench = bench(&format!(
        "boot-mib = 160\nsize-mib = 1024\nid = 0x12345678\n{FILES}"
    ));
    let (written, _) = write(&bench).unwrap();
    let Some(mut sfdisk) = tool("sfdisk") else { return };
    sfdisk.arg("--json").arg(&written.image);
    let table: serde_json::Value = serde_json::from_slice(&said(sfdisk)).unwrap();
    let table = &table["partitiontable"];
    assert_eq!(
        (&table["label"], &table["id"]),
        (&"dos".into(), &"0x12345678".into())
    );
    let partition = |n: usize| {
        let partition = &table["partitions"][n];
        let number = |key: &str| partition[key].as_u64().unwrap();
        (
            number("start"),
            number("size"),
            partition["type"].as_str().unwrap().to_owned(),
        )
    };
    let mib = 2048;
    assert_eq!(partition(0), (4 * mib, 160 * mib, "c".to_owned()));
    assert_eq!(partition(1), (164 * mib, 860 * mib, "83".to_owned()));
    assert_eq!(table["partitions"][0]["bootable"], true);
    assert_eq!(table["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn the_file_system_is_clean_to_others() {
    let bench = bench(&format!("boot-mib = 160\nfirmware = \"in/firmware\"\n{FILES}"));
    let (written, _) = write(&bench).unwrap();
    let image = fs::read(&written.image).unwrap();
    bench.put("fat", &image[4 << 20..(4 + 160) << 20]);
    let Some(mut fsck) = tool("fsck.fat") else { return };
    fsck.arg("-n").arg("-v").arg(bench.dir.join("fat"));
    let report = String::from_utf8(said(fsck)).unwrap();
    assert!(report.contains("2 FATs, 32 bit entries"), "{report}");
    // The folders a, a/b and overlays, and the label, count as well; nothing else is said.
    let count = format!("{} files", written.files.len() + 4);
    let last = report.trim_end().lines().last().unwrap();
    assert!(last.contains(&count), "{report}");
    assert!(
        report.contains(
            "Checking free cluster summary.
/"
        ),
        "nothing wrong: {report}"
    );
}

#[test]
fn the_same_inputs_make_the_same_card() {
    let bench = bench(&format!(
        "boot-mib = 160\nfirmware = \"in/firmware\"\ndata = \"in/data\"\n{FILES}"
    ));
    let (first, _) = write(&bench).unwrap();
    let before = fs::read(&first.image).unwrap();
    // Times of files are none of the card's business.
    for name in ["in/xen", "in/initrd"] {
        let bytes = fs::read(bench.dir.join(name)).unwrap();
        bench.put(name, &bytes);
    }
    let (second, _) = write(&bench).unwrap();
    assert!(fs::read(&second.image).unwrap() == before);
}

#[track_caller]
fn refused(card: &str, line: &str) {
    let bench = bench(card);
    let error = write(&bench).expect_err("must be refused");
    assert_eq!(bench.line(&error), line);
    let left = bench.leftovers();
    assert_eq!(left, ["in"], "nothing may be written");
}

#[test]
fn cards_that_cannot_be() {
    let at = "machine.toml:9: ";
    refused(
        "boot-mib = 100\n",
        &format!("{at}boot-mib = 100 is outside 160..=65536 MiB"),
    );
    refused(
        "size-mib = 128\n",
        &format!("{at}size-mib = 128 is outside 276..=1048576 MiB"),
    );
    refused(
        "size-mib = 1000\n",
        &format!("{at}size-mib = 1000 is no power of two, which QEMU and some boot loaders want"),
    );
    refused(
        "config = [\"a\\nb\"]\n",
        &format!("{at}arguments \"a\\nb\" hold a control character"),
    );
    refused("", &format!("{at}the card has no \"xen\", which [boot] names"));
    let name = "cannot be a file beside the boot script: use letters, digits and ._+-/ only";
    for bad in ["../x", "a//b", "/a", "a b", "a/", "a."] {
        refused(
            &format!("{FILES}{bad:?} = \"in/xen\"\n"),
            &format!("{at}{bad:?} {name}"),
        );
    }
    refused(
        &format!("{FILES}\"boot.SCR\" = \"in/xen\"\n"),
        &format!("{at}\"boot.scr\" would be on the card twice: as \"boot.SCR\" too"),
    );
    refused(
        &format!("{FILES}other = \"in/nothing\"\n"),
        "in/nothing: cannot read: No such file or directory (os error 2)",
    );
    refused(
        &format!("{FILES}other = \"in\"\n"),
        "in: exists and is not a file",
    );
    refused(
        &format!("firmware = \"in/empty-folder\"\n{FILES}"),
        "in/empty-folder: holds no file",
    );
    refused(
        &format!("boot-mib = 236\nsize-mib = 256\ndata = \"in/data\"\n{FILES}"),
        &format!("{at}the data partition needs 20 MiB, and the card has 16 MiB for it"),
    );
}

#[test]
fn a_machine_without_a_card_has_none() {
    let bench = bench("");
    bench.put("machine.toml", machine("").replace("[card]\n", "").as_bytes());
    let error = write(&bench).expect_err("must be refused");
    let line = "machine.toml: does not say what goes on the card: add tables [card] and [boot]";
    assert_eq!(bench.line(&error), line);
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_written() {
    let bench = bench(&format!("boot-mib = 160\n{FILES}huge = \"in/huge\"\n"));
    let huge = fs::File::create(bench.dir.join("in/huge")).unwrap();
    huge.set_len(140 << 20).unwrap();
    let error = write(&bench).expect_err("must be refused");
    let line = "machine.toml:9: the files take 164 MiB, and the boot partition has 160 MiB";
    assert_eq!(bench.line(&error), line);
    huge.set_len(5 << 30).unwrap();
    let error = write(&bench).expect_err("must be refused");
    let line = "in/huge: is longer than the 4 GiB that a file on FAT may have";
    assert_eq!(bench.line(&error), line);
    assert_eq!(bench.leftovers(), ["in"]);
}
