//! Everything that is refused: the exact line, and nothing written.

mod common;

use common::elf::Elf;
use common::virt::{set, transport, virt};
use common::{Bench, names};
use dtoolkit::model::DeviceTree;
use outrigger::class::Class;

/// A machine with one block domain that owns the devices in `devices`, a TOML list without its brackets.
fn machine(devices: &str) -> String {
    format!("board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [{devices}]\n")
}

/// A machine with two block domains.
fn two(first: &str, second: &str) -> String {
    format!(
        "{}[domain.other]\nclass = \"block\"\ndevices = [{second}]\n",
        machine(first)
    )
}

#[track_caller]
fn refused(bench: &Bench, line: &str) {
    let error = bench.build().expect_err("must be refused");
    assert_eq!(bench.line(&error), line);
    assert_eq!(bench.leftovers(), [] as [&str; 0], "nothing may be written");
}

#[track_caller]
fn machine_refused(machine: &str, line: &str) {
    refused(&Bench::new(machine, &virt()), line);
}

#[track_caller]
fn tree_refused(edit: impl FnOnce(&mut DeviceTree), machine: &str, line: &str) {
    let mut tree = virt();
    edit(&mut tree);
    refused(&Bench::new(machine, &tree), line);
}

#[track_caller]
fn elf_refused(elf: &Elf, line: &str) {
    let bench = Bench::new(&machine("\"/virtio_mmio@a003e00\""), &virt());
    bench.put("images/block.elf", &elf.bytes());
    refused(&bench, line);
}

const DISK: &str = "\"/virtio_mmio@a003e00\"";

#[test]
fn the_machine_of_these_tests_is_good() {
    Bench::new(&machine(DISK), &virt()).build().unwrap();
    Bench::new(&two(DISK, "\"/virtio_mmio@a002e00\""), &virt())
        .build()
        .unwrap();
}

#[test]
fn not_toml() {
    machine_refused(
        "board = ",
        "machine.toml:1: string values must be quoted, expected literal string",
    );
}

#[test]
fn unknown_keys() {
    machine_refused(
        "boards = 1\nboard = \"qemu-virt\"\n",
        "machine.toml:1: unknown field `boards`, expected one of `board`, `withhold`, `boot`, `card`, `domain`",
    );
    machine_refused(
        &format!("{}iomem = 1\n", machine(DISK)),
        "machine.toml:5: unknown field `iomem`, expected one of `class`, `devices`, `memory`, `log`, `shutdown-wait`, `options`",
    );
    machine_refused(
        &format!("{}[domain.block.options]\nmax-vbds = 4\n", machine(DISK)),
        "machine.toml:6: class block has no option \"max-vbds\"",
    );
}

#[test]
fn missing_keys() {
    machine_refused(
        "[domain.a]\nclass = \"block\"\n",
        "machine.toml:1: missing field `devices`",
    );
    machine_refused(
        "board = \"qemu-virt\"\n",
        "machine.toml: describes no domain: add a table [domain.NAME]",
    );
    machine_refused(&machine(""), "machine.toml:2: domain block owns no device");
}

#[test]
fn options_that_are_no_words() {
    let net = |options: &str| {
        let machine = machine(DISK).replace("\"block\"", "\"net\"");
        format!("{machine}[domain.block.options]\n{options}\n")
    };
    let line = net("").lines().count();
    for value in ["3", "[]", "\"\"", "\"a b\"", "[\"a,b\"]"] {
        machine_refused(
            &net(&format!("segments = {value}")),
            &format!(
                "machine.toml:{line}: option segments = {value} is not at least one segment, each a text without spaces, commas \
                 and quotes, such as [\"lan:net0\", \"private\"]"
            ),
        );
    }
    // What the image would refuse of its segments, the builder refuses.
    for (value, why) in [
        (
            "\"lan:net1\"",
            "lan:net1: there is no such card; they are called net0, net1 and so on, as many as there are",
        ),
        (
            "[\"lan:net0\", \"guests:mode=nat:address=10.0.3.1/24\"]",
            "guests: mode=nat needs a bridged segment with an address=, named by uplink= if there are several, such as lan:net0:address=dhcp",
        ),
    ] {
        machine_refused(
            &net(&format!("segments = {value}")),
            &format!("machine.toml:{line}: segment {why}"),
        );
    }
}

#[test]
fn unknown_names() {
    machine_refused(
        "board = \"pi\"\n",
        "machine.toml:1: unknown board \"pi\" (known: qemu-virt, raspberrypi-4)",
    );
    machine_refused(
        &machine(DISK).replace("\"block\"", "\"blok\""),
        "machine.toml:3: unknown class \"blok\" (known: block, net, input)",
    );
    machine_refused(
        &format!("{}log = \"loud\"\n", machine(DISK)),
        "machine.toml:5: unknown variant `loud`, expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`",
    );
}

#[test]
fn names_that_xl_or_a_file_system_would_take_amiss() {
    let line = "is not a letter followed by at most 30 of a-z, 0-9 and '-'";
    for name in ["7", "../up", "Block", "", "a b", "a\\\"b", &"x".repeat(32)] {
        let text = machine(DISK).replace("[domain.block]", &format!("[domain.\"{name}\"]"));
        let name = name.replace('\\', "");
        machine_refused(&text, &format!("machine.toml:2: domain name {name:?} {line}"));
    }
    machine_refused(
        &machine(DISK).replace("[domain.block]", "[domain.host]"),
        "machine.toml:2: domain name \"host\" is taken: host.dtb is the host's device tree",
    );
}

#[test]
fn memory_out_of_range() {
    for mib in ["0", "3", "3073", "4294967295"] {
        machine_refused(
            &format!("{}memory = {mib}\n", machine(DISK)),
            &format!("machine.toml:5: memory of {mib} MiB is outside 4..=3072 MiB"),
        );
    }
    machine_refused(
        &format!("{}memory = -1\n", machine(DISK)),
        "machine.toml:5: invalid value: integer `-1`, expected a number of MiB, or a text such as \"16M\" or \"1G\"",
    );
}

#[test]
fn nodes_that_are_not_there() {
    for path in [
        "/nothing",
        "/virtio_mmio",
        "virtio_mmio@a003e00",
        "",
        "/virtio_mmio@a003e00/",
    ] {
        machine_refused(
            &machine(&format!("\"{path}\"")),
            &format!("machine.toml:4: no node {path} in the base device tree"),
        );
    }
}

#[test]
fn a_device_given_twice() {
    machine_refused(
        &two(DISK, DISK),
        "machine.toml:7: /virtio_mmio@a003e00 is given to domain block and to domain other",
    );
    machine_refused(
        &machine(&format!("{DISK},\n{DISK}")),
        "machine.toml:5: /virtio_mmio@a003e00 is listed twice",
    );
}

#[test]
fn a_device_inside_a_given_one() {
    let inner = "/virtio_mmio@a003e00/disk@d000000";
    let add = |tree: &mut DeviceTree| {
        set(tree, "/virtio_mmio@a003e00", "ranges", [0u8; 0]);
        set(tree, inner, "compatible", "virtio,mmio");
        set(tree, inner, "reg", [0xd00_0000u32, 0, 0x1000]);
        set(tree, inner, "interrupts", [0u32, 90, 4]);
    };
    let line = format!("{inner} lies inside /virtio_mmio@a003e00, which is given away as a whole");
    tree_refused(
        add,
        &two(DISK, &format!("{inner:?}")),
        &format!("machine.toml:7: {line}"),
    );
    tree_refused(
        add,
        &machine(&format!("{inner:?}, {DISK}")),
        &format!("machine.toml:4: {line}"),
    );
}

#[test]
fn a_page_shared_by_two_domains() {
    machine_refused(
        &two(DISK, "\"/virtio_mmio@a003000\""),
        "machine.toml:7: /virtio_mmio@a003000 shares the 4 KiB page 0xa003 with /virtio_mmio@a003e00 of domain block",
    );
}

#[test]
fn a_page_shared_with_dom0() {
    let line = "machine.toml:4: /virtio_mmio@a003e00 shares the 4 KiB page 0xa003 with /rtc@a003800 of Dom0";
    let neighbour = |tree: &mut DeviceTree| set(tree, "/rtc@a003800", "reg", [0u32, 0xa00_3800, 0, 0x10]);
    tree_refused(neighbour, &machine(DISK), line);
    // Nobody misses a disabled one: it is withheld.
    let mut tree = virt();
    neighbour(&mut tree);
    set(&mut tree, "/rtc@a003800", "status", "disabled");
    let built = Bench::new(&machine(DISK), &tree).build().unwrap();
    assert!(
        built
            .notices
            .iter()
            .any(|notice| notice.contains(" /rtc@a003800")),
        "{:?}",
        built.notices
    );
}

#[test]
fn an_interrupt_shared_by_two_domains() {
    tree_refused(
        |tree| set(tree, "/virtio_mmio@a002e00", "interrupts", [0u32, 47, 1]),
        &two(DISK, "\"/virtio_mmio@a002e00\""),
        "machine.toml:7: /virtio_mmio@a002e00 shares interrupt 79 with /virtio_mmio@a003e00 of domain block",
    );
}

#[test]
fn an_interrupt_shared_with_dom0() {
    let shared =
        |spi: u32| move |tree: &mut DeviceTree| set(tree, &transport(31), "interrupts", [0u32, spi, 4]);
    tree_refused(
        shared(2),
        &machine(DISK),
        "machine.toml:4: /virtio_mmio@a003e00 shares interrupt 34 with /pl031@9010000 of Dom0",
    );
    // A line of the PCI host bridge, which only its interrupt-map tells.
    tree_refused(
        shared(5),
        &machine(DISK),
        "machine.toml:4: /virtio_mmio@a003e00 shares interrupt 37 with /pcie@10000000 of Dom0",
    );
}

#[test]
fn devices_that_cannot_be_given() {
    let give = |path: &str| machine(&format!("{path:?}"));
    let no_driver = |path: &str, compatible: &str| {
        format!("machine.toml:4: class block has no driver for {path} (compatible: {compatible})")
    };
    for (path, compatible) in [
        ("/", "linux,dummy-virt"),
        ("/memory@40000000", "none"),
        ("/intc@8000000", "arm,cortex-a15-gic"),
    ] {
        machine_refused(&give(path), &no_driver(path, compatible));
    }
    tree_refused(
        |tree| set(tree, &transport(31), "status", "disabled"),
        &machine(DISK),
        "machine.toml:4: /virtio_mmio@a003e00 is disabled in the base device tree",
    );
}

#[test]
fn registers_that_cannot_be_given() {
    let why = |why: &str| {
        format!("machine.toml:4: /virtio_mmio@a003e00 has no registers that can be given away: {why}")
    };
    let reg = |cells: &'static [u32]| move |tree: &mut DeviceTree| set(tree, &transport(31), "reg", cells);
    tree_refused(
        |tree| {
            tree.find_node_mut(&transport(31)).unwrap().remove_property("reg");
        },
        &machine(DISK),
        &why("it has no reg"),
    );
    tree_refused(reg(&[]), &machine(DISK), &why("its reg is empty"));
    tree_refused(
        reg(&[0, 0xa00_3e00, 0]),
        &machine(DISK),
        &why("its reg is malformed"),
    );
    tree_refused(
        reg(&[0, 0xa00_3e00, 0, 0]),
        &machine(DISK),
        &why("an entry of its reg is empty"),
    );
    tree_refused(
        reg(&[!0, !0xfff, 0, 0x2000]),
        &machine(DISK),
        &why("0xfffffffffffff000 is no address of the CPU"),
    );
    tree_refused(
        |tree| {
            set(tree, "/cpus/disk@0", "compatible", "virtio,mmio");
            set(tree, "/cpus/disk@0", "reg", 0u32);
        },
        &machine("\"/cpus/disk@0\""),
        "machine.toml:4: /cpus/disk@0 has no registers that can be given away: its bus is not memory mapped",
    );
    tree_refused(
        |tree| {
            let disk = "/platform-bus@c000000/disk@1ffffff";
            set(tree, disk, "compatible", "virtio,mmio");
            set(tree, disk, "reg", [0x1ff_ffffu32, 2]);
        },
        &machine("\"/platform-bus@c000000/disk@1ffffff\""),
        "machine.toml:4: /platform-bus@c000000/disk@1ffffff has no registers that can be given away: \
         0x1ffffff is no address of the CPU",
    );
}

#[test]
fn registers_on_the_guests_own_layout() {
    for (address, what) in [
        (0x0300_1000u32, "interrupt controller"),
        (0x3800_0000, "grant window"),
        (0x3900_3000, "console and XenStore pages"),
        (0x40ff_f000, "memory"),
    ] {
        tree_refused(
            |tree| {
                tree.root.remove_child("memory@40000000");
                set(tree, &transport(31), "reg", [0, address, 0, 0x200]);
            },
            &machine(DISK),
            &format!(
                "machine.toml:4: /virtio_mmio@a003e00: its registers at {address:#x} fall on the guest's {what}"
            ),
        );
    }
}

#[test]
fn interrupts_that_cannot_be_given() {
    let why = |why: &str| {
        format!("machine.toml:4: /virtio_mmio@a003e00 has no interrupt that can be given away: {why}")
    };
    let with = |property: &'static str, cells: &'static [u32]| {
        move |tree: &mut DeviceTree| set(tree, &transport(31), property, cells)
    };
    tree_refused(
        |tree| {
            tree.find_node_mut(&transport(31))
                .unwrap()
                .remove_property("interrupts");
        },
        &machine(DISK),
        &why("it has none"),
    );
    for (cells, reason) in [
        (&[][..], "it has none"),
        (&[0, 47], "its interrupts are malformed"),
        (&[0, 988, 4], "SPI 988 does not exist"),
        (&[0, u32::MAX, 4], "SPI 4294967295 does not exist"),
        (&[0, 47, 8], "SPI 47 cannot have trigger 8"),
        (&[1, 9, 4], "interrupt <1 9> is not a shared peripheral interrupt"),
    ] {
        tree_refused(with("interrupts", cells), &machine(DISK), &why(reason));
    }
    tree_refused(
        with("interrupt-parent", &[0x4711]),
        &machine(DISK),
        &why("its interrupt-parent does not exist"),
    );
    for (cells, reason) in [
        (
            &[0x4711, 0, 47, 1][..],
            "an interrupt goes to a controller that does not exist",
        ),
        (
            &[0x8000, 0, 47, 1],
            "an interrupt goes to a node that is no controller",
        ),
        (&[0x8002, 0, 47], "its interrupts are malformed"),
    ] {
        tree_refused(with("interrupts-extended", cells), &machine(DISK), &why(reason));
    }
    tree_refused(
        |tree| set(tree, &transport(31), "#interrupt-cells", 1u32),
        &machine(DISK),
        &why("it is an interrupt controller or nexus"),
    );
    tree_refused(
        |tree| {
            set(tree, "/gpio@d000000", "#interrupt-cells", 2u32);
            set(tree, "/gpio@d000000", "phandle", 7u32);
            set(tree, &transport(31), "interrupt-parent", 7u32);
            set(tree, &transport(31), "interrupts", [1u32, 4]);
        },
        &machine(DISK),
        &why("they do not go to the GIC directly"),
    );
}

#[test]
fn device_trees_that_are_none() {
    let bench = Bench::new(&machine(DISK), &virt());
    bench.put("virt.dtb", b"");
    refused(
        &bench,
        "virt.dtb: not a usable device tree: 0 bytes are too few for its header",
    );
    let whole = virt().to_dtb();
    bench.put("virt.dtb", &whole[..4000]);
    refused(
        &bench,
        &format!(
            "virt.dtb: not a usable device tree: cut short: 4000 of {} bytes are there",
            whole.len()
        ),
    );
    let mut large = virt().to_dtb();
    large.resize((2 << 20) + 1, 0);
    large[4..8].copy_from_slice(&((2 << 20) + 1u32).to_be_bytes());
    bench.put("virt.dtb", &large);
    refused(
        &bench,
        "virt.dtb: not a usable device tree: larger than the 2097152 bytes Xen takes",
    );
}

#[test]
fn device_trees_of_another_board() {
    tree_refused(
        |tree| set(tree, "/", "compatible", "raspberrypi,4-model-b"),
        &machine(DISK),
        "virt.dtb: is the device tree of another board: its root is not compatible with \"linux,dummy-virt\"",
    );
}

#[test]
fn device_trees_nested_too_deep() {
    tree_refused(
        |tree| set(tree, &"/n".repeat(40), "x", 1u32),
        &machine(DISK),
        "virt.dtb: not a usable device tree: nested deeper than 32 nodes",
    );
}

#[test]
fn device_trees_with_a_name_twice() {
    let mut tree = virt();
    set(&mut tree, "/apb-pclk", "xyzzy-one", 1u32);
    set(&mut tree, "/apb-pclk", "xyzzy-two", 1u32);
    set(&mut tree, "/twin-one", "x", 1u32);
    set(&mut tree, "/twin-two", "x", 1u32);
    let bench = Bench::new(&machine(DISK), &tree);
    let renamed = |from: &[u8], to: &[u8]| {
        let mut dtb = tree.to_dtb();
        let at = dtb.windows(from.len()).position(|window| window == from).unwrap();
        dtb[at..at + to.len()].copy_from_slice(to);
        dtb
    };
    bench.put("virt.dtb", &renamed(b"xyzzy-two", b"xyzzy-one"));
    refused(
        &bench,
        "virt.dtb: not a usable device tree: /apb-pclk has the property xyzzy-one twice",
    );
    bench.put("virt.dtb", &renamed(b"twin-two", b"twin-one"));
    refused(
        &bench,
        "virt.dtb: not a usable device tree: / has the node twin-one twice",
    );
}

#[test]
fn images_that_are_missing_or_foreign() {
    let bench = Bench::new(&machine(DISK), &virt());
    std::fs::remove_file(bench.dir.join("images/block.elf")).unwrap();
    refused(
        &bench,
        "images/block.elf: no image of class block: run `cargo xtask image block`",
    );
    let foreign = "images/block.elf: not an arm64 executable image: not a statically linked arm64 executable";
    elf_refused(
        &Elf {
            machine: 62,
            ..Elf::default()
        },
        foreign,
    );
    elf_refused(
        &Elf {
            kind: 3,
            ..Elf::default()
        },
        foreign,
    );
    bench.put("images/block.elf", b"\x7fELF");
    refused(
        &bench,
        "images/block.elf: not an arm64 executable image: Invalid ELF header size or alignment",
    );
}

#[test]
fn images_whose_header_is_wrong() {
    let is = |why: &str| format!("images/block.elf: not an arm64 executable image: {why}");
    let good = Elf::default();
    let cases = [
        (
            Elf {
                magic: *b"ARM6",
                ..good.clone()
            },
            "no arm64 Image header at its first byte",
        ),
        (
            Elf {
                flags: 1,
                ..good.clone()
            },
            "its header says it is big-endian",
        ),
        (
            Elf {
                text_offset: 8,
                ..good.clone()
            },
            "its header's text_offset is not a whole number of pages",
        ),
        (
            Elf {
                text_offset: 0x8_0000,
                ..good.clone()
            },
            "linked at 0x40000000, but its header's text_offset 0x80000 puts it at 0x40080000",
        ),
        (
            Elf {
                image_size: 0x200f,
                ..good.clone()
            },
            "its header's image_size 0x200f does not cover its 0x2010 bytes with .bss",
        ),
        (
            Elf {
                entry: 0x4000_0040,
                ..good.clone()
            },
            "its entry is not its first byte, where Xen enters it",
        ),
        (
            Elf {
                data_offset: 0x40,
                ..good.clone()
            },
            "its segments overlap",
        ),
        (
            Elf {
                bss: u64::MAX - 7,
                ..good.clone()
            },
            "a segment's sizes contradict each other",
        ),
    ];
    for (elf, why) in cases {
        elf_refused(&elf, &is(why));
    }
    let mut cut = good.bytes();
    cut.truncate(cut.len() - 1);
    let bench = Bench::new(&machine(DISK), &virt());
    bench.put("images/block.elf", &cut);
    refused(&bench, &is("a segment lies outside the file"));
}

#[test]
fn images_over_their_budget() {
    let kib = Class::named("block").unwrap().manifest.max_image_kib;
    let budget = u64::from(kib) * 1024;
    let line =
        |bytes: u64| format!("images/block.elf: image of {bytes} bytes is over its budget of {kib} KiB");
    let at_most = Elf {
        data_offset: budget - 16,
        image_size: 1 << 20,
        ..Elf::default()
    };
    let bench = Bench::new(&machine(DISK), &virt());
    bench.put("images/block.elf", &at_most.bytes());
    bench.build().unwrap();
    elf_refused(
        &Elf {
            data_offset: budget,
            ..at_most.clone()
        },
        &line(budget + 16),
    );
    // A gap of exabytes is refused, not allocated.
    elf_refused(
        &Elf {
            data_offset: 1 << 62,
            ..at_most
        },
        &line((1 << 62) + 16),
    );
}

#[test]
fn images_that_do_not_fit_into_the_domain() {
    let elf = Elf {
        image_size: 15 << 20,
        ..Elf::default()
    };
    elf_refused(
        &elf,
        "machine.toml:3: image needs 17825792 bytes from the start of memory, but domain block has 16 MiB",
    );
    let bench = Bench::new(&format!("{}memory = 17\n", machine(DISK)), &virt());
    bench.put("images/block.elf", &elf.bytes());
    bench.build().unwrap();
    elf_refused(
        &Elf {
            image_size: u64::MAX,
            ..elf
        },
        "machine.toml:3: image needs 18446744073709551615 bytes from the start of memory, but domain block has 16 MiB",
    );
}

#[test]
fn a_dest_that_xl_could_not_read() {
    for dest in ["relative", "", "/with\"quote", "/with\nline"] {
        let bench = Bench::new(&machine(DISK), &virt());
        let request = outrigger::build::Request {
            dest: dest.to_owned(),
            ..bench.request()
        };
        let error = outrigger::build::build(&request).unwrap_err().to_string();
        let reason =
            "cannot be the folder of the files in Dom0: give an absolute path without quotes or backslashes";
        assert_eq!(error, format!("--dest: {dest:?} {reason}"));
        assert_eq!(bench.leftovers(), [] as [&str; 0]);
    }
}

#[test]
fn a_folder_in_the_place_of_a_file() {
    let bench = Bench::new(&machine(DISK), &virt());
    std::fs::create_dir_all(bench.out().join("host.dtb")).unwrap();
    let error = bench.build().unwrap_err();
    assert_eq!(bench.line(&error), "out/host.dtb: exists and is not a file");
    assert_eq!(names(&bench.out()), ["host.dtb"]);
    assert_eq!(bench.leftovers(), ["out"]);
}
