//! What is read of a node: by what names it is found, through which nexus its interrupts go, what its DMA reaches, what
//! it needs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use common::Bench;
use common::virt::{set, transport, virt};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node as _, Property as _};
use outrigger::board::Boards;
use outrigger::build;
use outrigger::tree::dma::{Dma, Window};
use outrigger::tree::{BaseTree, Node, Unfound};

const DISK: &str = "/virtio_mmio@a003e00";

fn read(tree: &DeviceTree) -> BaseTree {
    BaseTree::parse(Path::new("t"), &tree.to_dtb()).unwrap()
}

fn node(tree: &DeviceTree, path: &str) -> Node {
    read(tree).node(path).unwrap().clone()
}

#[test]
fn found_by_path_alias_label_and_compatible() {
    let mut tree = virt();
    set(&mut tree, "/aliases", "disk0", DISK);
    set(&mut tree, "/aliases", "nowhere", "/nothing");
    set(&mut tree, "/__symbols__", "disk", DISK);
    set(&mut tree, "/__symbols__", "both", DISK);
    set(&mut tree, "/aliases", "both", transport(0).as_str());
    let tree = read(&tree);
    for name in [DISK, "disk0", "disk", "&disk"] {
        assert_eq!(tree.find(name).map(|node| node.path.as_str()), Ok(DISK), "{name}");
    }
    assert_eq!(
        tree.find("arm,pl031").map(|node| node.path.as_str()),
        Ok("/pl031@9010000")
    );
    for name in ["&disk0", "nowhere", "&nowhere", "", "/", "acme,none", "&"] {
        let found = tree.find(name);
        assert!(found == Err(Unfound::Missing) || name == "/", "{name}");
    }
    let Err(Unfound::Ambiguous(paths)) = tree.find("virtio,mmio") else {
        panic!("32 transports are one")
    };
    assert_eq!(paths.len(), 32);
    assert_eq!(
        tree.find("both"),
        Err(Unfound::Ambiguous(vec![transport(0), DISK.to_owned()]))
    );
}

#[test]
fn a_machine_file_may_use_any_of_them() {
    let machine = |device: &str| {
        format!("board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [{device:?}]\n")
    };
    let mut tree = virt();
    set(&mut tree, "/__symbols__", "disk", DISK);
    let cfg = |machine: &str| {
        let bench = Bench::new(machine, &tree);
        bench.build().map_err(|error| bench.line(&error))?;
        Ok::<_, String>(fs::read(bench.out().join("block.cfg")).unwrap())
    };
    assert_eq!(cfg(&machine("&disk")), cfg(&machine(DISK)));
    assert_eq!(
        cfg(&machine("virtio,mmio")),
        Err("machine.toml:4: virtio,mmio means more than one node: /virtio_mmio@a003e00 /virtio_mmio@a003c00 \
             /virtio_mmio@a003a00 /virtio_mmio@a003800 and 28 more"
            .to_owned())
    );
    let text = machine("&disk").replace("[domain", "withhold = [\"disk\"]\n[domain");
    assert_eq!(
        cfg(&text),
        Err("machine.toml:5: /virtio_mmio@a003e00 is both given away and withheld".to_owned())
    );
}

#[test]
fn interrupts_through_a_nexus() {
    let mut tree = virt();
    // As the motherboards of Arm's FVPs: one cell, mapped line by line.
    for (path, specifier) in [("/bus/disk@1000", 7u32), ("/bus/disk@2000", 8)] {
        set(&mut tree, path, "reg", [0u32, 0x1000, 0x100]);
        set(&mut tree, path, "interrupts", specifier);
    }
    set(&mut tree, "/bus", "#address-cells", 2u32);
    set(&mut tree, "/bus", "#size-cells", 1u32);
    set(&mut tree, "/bus", "#interrupt-cells", 1u32);
    set(&mut tree, "/bus", "interrupt-map-mask", [0u32, 0, 63]);
    set(
        &mut tree,
        "/bus",
        "interrupt-map",
        [0u32, 0, 7, 0x8002, 0, 0, 0, 21, 4],
    );
    let intids = |node: Node| {
        node.interrupts
            .spis
            .iter()
            .map(|spi| spi.intid())
            .collect::<Vec<_>>()
    };
    assert_eq!(intids(node(&tree, "/bus/disk@1000")), [53]);
    let unmapped = node(&tree, "/bus/disk@2000").interrupts;
    assert_eq!(unmapped.spis, []);
    assert_eq!(
        unmapped.refused.unwrap(),
        "its nexus's interrupt-map does not tell where they go"
    );
}

#[test]
fn nexuses_that_point_at_each_other_end() {
    let mut tree = virt();
    for (path, own, other) in [("/a", 0x51u32, 0x52u32), ("/b", 0x52, 0x51)] {
        set(&mut tree, path, "phandle", own);
        set(&mut tree, path, "#interrupt-cells", 1u32);
        set(&mut tree, path, "#address-cells", 0u32);
        set(&mut tree, path, "interrupt-map", [1u32, other, 1]);
    }
    set(&mut tree, DISK, "interrupt-parent", 0x51u32);
    set(&mut tree, DISK, "interrupts", 1u32);
    let interrupts = node(&tree, DISK).interrupts;
    assert_eq!(interrupts.refused.unwrap(), "they do not go to the GIC directly");
}

/// The bus of the Raspberry Pi 4's eMMC2: the first GiB, at 0xc000_0000.
fn pi_bus(tree: &mut DeviceTree) {
    set(tree, "/emmc2bus", "#address-cells", 2u32);
    set(tree, "/emmc2bus", "#size-cells", 1u32);
    set(
        tree,
        "/emmc2bus",
        "ranges",
        [0u32, 0x7e00_0000, 0, 0xfe00_0000, 0x180_0000],
    );
    set(
        tree,
        "/emmc2bus",
        "dma-ranges",
        [0u32, 0xc000_0000, 0, 0, 0x4000_0000],
    );
    let mmc = "/emmc2bus/mmc@7e340000";
    set(tree, mmc, "compatible", "virtio,mmio");
    set(tree, mmc, "reg", [0u32, 0x7e34_0000, 0x100]);
    set(tree, mmc, "interrupts", [0u32, 126, 4]);
}

#[test]
fn dma_through_a_bus_that_moves_it() {
    let mut tree = virt();
    pi_bus(&mut tree);
    let window = Window {
        device: 0xc000_0000,
        cpu: 0,
        length: 0x4000_0000,
    };
    assert_eq!(
        node(&tree, "/emmc2bus/mmc@7e340000").dma,
        Dma::Windows(vec![window])
    );
    assert_eq!(node(&tree, DISK).dma, Dma::Same);
    let machine =
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/emmc2bus/mmc@7e340000\"]\n";
    let bench = Bench::new(machine, &tree);
    let notices = bench.build().unwrap().notices;
    let notice = "domain block: /emmc2bus/mmc@7e340000 reaches memory through dma-ranges: 0x0..=0x3fffffff (as 0xc0000000)";
    assert!(notices.iter().any(|line| line == notice), "{notices:?}");
    // The driver domain's own tree says the same, in its own cells.
    let dtb = fs::read(bench.out().join("block.dtb")).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    let ranges = fdt
        .find_node("/passthrough")
        .unwrap()
        .property("dma-ranges")
        .unwrap();
    assert_eq!(
        ranges.value_as::<Vec<u32>>().unwrap(),
        [0, 0xc000_0000, 0, 0, 0, 0x4000_0000]
    );
    // One bus cannot do both.
    let both = machine.replace("devices = [", "devices = [\"/virtio_mmio@a003e00\", ");
    let bench = Bench::new(&both, &tree);
    let line = "machine.toml:4: /emmc2bus/mmc@7e340000 and /virtio_mmio@a003e00 reach memory through different dma-ranges: \
                give them to different domains";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
}

#[test]
fn dma_through_buses_in_buses_and_nonsense() {
    let mut tree = virt();
    pi_bus(&mut tree);
    for (path, ranges) in [
        ("/outer", vec![0u32, 0x1000_0000, 0x2000_0000]),
        ("/outer/inner", vec![0x8000_0000, 0x1000_0000, 0x4000_0000]),
    ] {
        set(&mut tree, path, "#address-cells", 1u32);
        set(&mut tree, path, "#size-cells", 1u32);
        set(&mut tree, path, "dma-ranges", ranges);
    }
    set(
        &mut tree,
        "/outer",
        "dma-ranges",
        [0u32, 0, 0x5000_0000, 0x2000_0000],
    );
    set(&mut tree, "/outer/inner/d@0", "reg", [0u32, 1]);
    // inner: 0x8000_0000 -> 0x1000_0000; outer takes 0..0x2000_0000 to 0x5000_0000.
    let window = Window {
        device: 0x8000_0000,
        cpu: 0x6000_0000,
        length: 0x1000_0000,
    };
    assert_eq!(node(&tree, "/outer/inner/d@0").dma, Dma::Windows(vec![window]));
    for nonsense in [
        vec![1u32],
        vec![0, 0xc000_0000, !0, !0, 0x4000_0000],
        vec![0, 0, 0, 0, 0],
    ] {
        set(&mut tree, "/emmc2bus", "dma-ranges", nonsense.clone());
        assert_eq!(
            node(&tree, "/emmc2bus/mmc@7e340000").dma,
            Dma::Malformed,
            "{nonsense:?}"
        );
    }
    let machine =
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/emmc2bus/mmc@7e340000\"]\n";
    let bench = Bench::new(machine, &tree);
    let line = "machine.toml:4: /emmc2bus/mmc@7e340000: the dma-ranges of a bus above it make no sense";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
}

#[test]
fn needs_are_read_with_their_cells() {
    let mut tree = virt();
    for (path, phandle, cells, count) in [
        ("/clk", 0x61u32, "#clock-cells", 2u32),
        ("/rst", 0x62, "#reset-cells", 1),
        ("/gpio", 0x63, "#gpio-cells", 2),
        ("/vcc", 0x64, "unused", 0),
    ] {
        set(&mut tree, path, "phandle", phandle);
        set(&mut tree, path, cells, count);
    }
    set(&mut tree, "/vcc", "compatible", "regulator-fixed");
    set(&mut tree, "/vcc-switched", "phandle", 0x65u32);
    set(&mut tree, "/vcc-switched", "compatible", "regulator-fixed");
    set(&mut tree, "/vcc-switched", "gpio", [0x63u32, 1, 0]);
    // A hole, then the same provider twice, then a clock that cannot be switched.
    set(&mut tree, DISK, "clocks", [0u32, 0x61, 1, 2, 0x61, 3, 4, 0x8000]);
    set(&mut tree, DISK, "resets", [0x62u32, 9]);
    set(&mut tree, DISK, "cd-gpios", [0x63u32, 5, 1]);
    set(&mut tree, DISK, "vmmc-supply", 0x64u32);
    set(&mut tree, DISK, "vqmmc-supply", 0x65u32);
    set(&mut tree, DISK, "phys", [0x999u32, 1]);
    let needs = node(&tree, DISK).needs;
    let mut needs: Vec<String> = needs
        .iter()
        .map(|need| format!("{} {}", need.kind, need.provider))
        .collect();
    needs.sort();
    let expected = [
        "GPIO /gpio",
        "PHY a node that does not exist (phandle 0x999)",
        "clock /clk",
        "reset /rst",
        "supply /vcc-switched",
    ];
    assert_eq!(needs, expected);
}

#[test]
fn a_device_behind_an_iommu() {
    let mut tree = virt();
    set(&mut tree, "/smmu@9050000", "compatible", "arm,mmu-500");
    set(&mut tree, "/smmu@9050000", "phandle", 0x71u32);
    set(&mut tree, "/smmu@9050000", "#iommu-cells", 1u32);
    set(&mut tree, DISK, "iommus", [0x71u32, 5]);
    let machine = "board = \"confined\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\", \"/virtio_mmio@a003c00\"]\n";
    let bench = Bench::new(machine, &tree);
    let mut boards = Boards::default();
    let board = "compatible = \"linux,dummy-virt\"\niommu = true\nslots = [\"virtio,mmio\"]";
    boards.add(Path::new("confined.toml"), board).unwrap();
    let built = build::build_for(&bench.request(), &boards).unwrap();
    let cfg = fs::read_to_string(bench.out().join("block.cfg")).unwrap();
    assert!(cfg.contains("\ndtdev = [\"/virtio_mmio@a003e00\"]\n"), "{cfg}");
    let notice =
        "domain block: /virtio_mmio@a003c00 is behind no IOMMU that Xen drives: it reaches all memory";
    assert_eq!(built.notices[0], notice);
    // An SMMUv3 is none that Xen drives.
    set(&mut tree, "/smmu@9050000", "compatible", "arm,smmu-v3");
    assert!(!node(&tree, DISK).iommu);
}

#[test]
fn long_names_are_shortened_for_the_guest_and_kept_for_the_host() {
    let long = "a-name-that-is-much-longer-than-the-specification-allows";
    let mut tree = virt();
    let mut device = DeviceTreeNode::new_unchecked(format!("{long}@b000000"));
    device.add_property(DeviceTreeProperty::new("compatible", "virtio,mmio").unwrap());
    device.add_property(DeviceTreeProperty::new("reg", [0u32, 0xb00_0000, 0, 0x1000]).unwrap());
    device.add_property(DeviceTreeProperty::new("interrupts", [0u32, 90, 4]).unwrap());
    device.add_property(DeviceTreeProperty::new_unchecked(long, 1u32));
    tree.root.add_child(device);
    let machine = format!(
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/{long}@b000000\"]\n"
    );
    let bench = Bench::new(&machine, &tree);
    let built = bench.build().unwrap();
    let notice =
        format!("domain block: left out of block.dtb, their names being too long for its reader: {long}");
    assert!(built.notices.contains(&notice), "{:?}", built.notices);
    let dtb = fs::read(bench.out().join("block.dtb")).unwrap();
    let fdt = Fdt::new(&dtb).unwrap();
    let name = format!("{}@b000000", &long[..31]);
    let node = fdt.find_node(&format!("/passthrough/{name}")).unwrap();
    assert!(node.property("compatible").is_some());
    let aliases = fdt.find_node("/aliases").unwrap();
    assert_eq!(
        aliases.property("virtio0").unwrap().value(),
        format!("/passthrough/{name}\0").as_bytes()
    );
    let host = BaseTree::parse(Path::new("h"), &fs::read(bench.out().join("host.dtb")).unwrap()).unwrap();
    assert!(
        host.model_node(&format!("/{long}@b000000"))
            .unwrap()
            .property(long)
            .is_some()
    );
}

#[test]
fn a_withheld_neighbour_is_nobodys() {
    let mut tree = virt();
    set(&mut tree, &transport(31), "interrupts", [0u32, 2, 4]);
    let machine = |more: &str| {
        format!("board = \"qemu-virt\"\n{more}[domain.block]\nclass = \"block\"\ndevices = [\"{DISK}\"]\n")
    };
    let bench = Bench::new(&machine(""), &tree);
    let line = "machine.toml:4: /virtio_mmio@a003e00 shares interrupt 34 with /pl031@9010000 of Dom0";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
    let bench = Bench::new(&machine("withhold = [\"arm,pl031\"]\n"), &tree);
    bench.build().unwrap();
    let host = BaseTree::parse(Path::new("h"), &fs::read(bench.out().join("host.dtb")).unwrap()).unwrap();
    assert!(
        host.model_node("/pl031@9010000")
            .unwrap()
            .property("xen,passthrough")
            .is_some()
    );
}

#[test]
fn xens_console_and_more_interrupts_than_an_image_binds() {
    let mut tree = virt();
    set(&mut tree, "/pl011@9000000", "compatible", "virtio,mmio");
    let machine =
        "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/pl011@9000000\"]\n";
    let bench = Bench::new(machine, &tree);
    let line = "machine.toml:4: /pl011@9000000 cannot be given away: it is Xen's console";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
    let many = |count: u32| (0..count).flat_map(|n| [0, 100 + n, 4]).collect::<Vec<u32>>();
    let machine =
        format!("board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"{DISK}\"]\n");
    set(&mut tree, DISK, "interrupts", many(32));
    Bench::new(&machine, &tree).build().unwrap();
    set(&mut tree, DISK, "interrupts", many(33));
    let bench = Bench::new(&machine, &tree);
    let line = "machine.toml:4: domain block has 33 device interrupts, and its image takes at most 32";
    assert_eq!(bench.line(&bench.build().unwrap_err()), line);
}

/// A disk on a bus whose own `reg` covers all that is behind it, as on NXP's i.MX8 and Amlogic's.
fn on_a_bus(compatible: &str, more: impl FnOnce(&mut DeviceTree)) -> Bench {
    let mut tree = virt();
    let bus = "/soc/bus@b000000";
    for (path, ranges) in [
        ("/soc", &[][..]),
        (bus, &[0xb00_0000u32, 0, 0xb00_0000, 0x100_0000]),
    ] {
        set(
            &mut tree,
            path,
            "compatible",
            if path == bus { compatible } else { "simple-bus" },
        );
        set(
            &mut tree,
            path,
            "#address-cells",
            if path == bus { 1u32 } else { 2 },
        );
        set(&mut tree, path, "#size-cells", if path == bus { 1u32 } else { 2 });
        set(&mut tree, path, "ranges", ranges);
    }
    set(&mut tree, bus, "reg", [0u32, 0xb00_0000, 0, 0x100_0000]);
    for (path, base) in [
        ("/soc/bus@b000000/mmc@b010000", 0xb01_0000u32),
        ("/soc/bus@b000000/rtc@b020000", 0xb02_0000),
    ] {
        set(&mut tree, path, "compatible", "arasan,sdhci-8.9a");
        set(&mut tree, path, "reg", [base, 0x1000]);
        set(&mut tree, path, "interrupts", [0u32, 80 + (base >> 16 & 0xf), 4]);
    }
    more(&mut tree);
    let machine = "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\n\
                   devices = [\"/soc/bus@b000000/mmc@b010000\"]\n";
    Bench::new(machine, &tree)
}

#[test]
fn the_registers_of_a_bus_are_the_window_to_its_devices() {
    let bench = on_a_bus("simple-bus", |_| {});
    bench.build().unwrap();
    let dtb = fs::read(bench.out().join("host.dtb")).unwrap();
    let host = Fdt::new(&dtb).unwrap();
    // Xen would map the window to Dom0, and the given device in it.
    assert!(
        host.find_node("/soc/bus@b000000")
            .unwrap()
            .property("reg")
            .is_none()
    );
    assert!(
        host.find_node("/soc/bus@b000000/rtc@b020000")
            .unwrap()
            .property("reg")
            .is_some()
    );
    let base = BaseTree::parse(Path::new("t"), &fs::read(bench.dir.join("virt.dtb")).unwrap()).unwrap();
    let board = outrigger::board::Board::unknown(&base);
    let devices = outrigger::devices::devices(&base, &board, false);
    let disk = devices
        .iter()
        .find(|device| device.path.ends_with("/mmc@b010000"))
        .unwrap();
    assert!(disk.free, "{:?}", disk.obstacles);
}

/// As on Arm's FVP: the bus routes its devices' interrupts to the GIC.
#[test]
fn the_interrupt_map_of_a_bus_is_its_devices_own() {
    let bench = on_a_bus("simple-bus", |tree| {
        let bus = "/soc/bus@b000000";
        set(tree, bus, "#interrupt-cells", 1u32);
        set(tree, bus, "interrupt-map", [0u32, 5, 0x8002, 0, 0, 0, 90, 4]);
        set(tree, bus, "interrupt-map-mask", [0u32, 0x3f]);
        set(tree, "/soc/bus@b000000/mmc@b010000", "interrupts", 5u32);
    });
    bench.build().unwrap();
    let cfg = fs::read_to_string(bench.out().join("block.cfg")).unwrap();
    assert!(cfg.contains("irqs = [122]\n"), "{cfg}");
}

#[test]
fn a_device_around_a_device_is_no_window() {
    // A controller with parts, such as a network coprocessor; and a bus that a device lies beside, not behind.
    let line = |bench: &Bench| bench.line(&bench.build().unwrap_err());
    assert_eq!(
        line(&on_a_bus("fsl,fman", |_| {})),
        "machine.toml:4: /soc/bus@b000000/mmc@b010000 shares the 4 KiB page 0xb010 with /soc/bus@b000000 of Dom0"
    );
    let beside = on_a_bus("simple-bus", |tree| {
        set(tree, "/soc/bus@c000000", "compatible", "simple-bus");
        set(tree, "/soc/bus@c000000", "ranges", [0u8; 0]);
        set(tree, "/soc/bus@c000000", "reg", [0u32, 0xb01_0000, 0, 0x1000]);
    });
    assert_eq!(
        line(&beside),
        "machine.toml:4: /soc/bus@b000000/mmc@b010000 shares the 4 KiB page 0xb010 with /soc/bus@c000000 of Dom0"
    );
}

#[test]
fn an_iommu_that_the_board_file_does_not_claim_is_named() {
    let notice = |compatible: &str, used: bool| {
        let mut tree = virt();
        set(&mut tree, "/iommu@d000000", "compatible", compatible);
        set(&mut tree, "/iommu@d000000", "#iommu-cells", 1u32);
        set(&mut tree, "/iommu@d000000", "phandle", 0x77u32);
        if used {
            set(&mut tree, DISK, "iommus", [0x77u32, 1]);
        }
        let machine =
            format!("board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [{DISK:?}]\n");
        Bench::new(&machine, &tree).build().unwrap().notices[0].clone()
    };
    let known = "domain block: the board file of qemu-virt claims no IOMMU (the tree has /iommu@d000000, which Xen drives: \
                 iommu = true has it confine them): its devices reach all memory";
    assert!(
        notice("arm,mmu-500", true).starts_with(known),
        "{}",
        notice("arm,mmu-500", true)
    );
    let unknown = "(the tree has /iommu@d000000, but no device behind one that Xen drives)";
    assert!(notice("rockchip,iommu", true).contains(unknown));
    assert!(notice("arm,mmu-500", false).contains(unknown));
}

/// Linux 7.3 renamed buses: what a board file says of the old ones must not lose its effect in silence.
#[test]
fn what_a_board_file_names_and_the_tree_does_not_have_is_said() {
    let mut tree = virt();
    set(&mut tree, "/soc@7e000000/serial@1000", "compatible", "arm,pl011");
    let machine = format!("board = \"mine\"\n[domain.block]\nclass = \"block\"\ndevices = [{DISK:?}]\n");
    let bench = Bench::new(&machine, &tree);
    let mut boards = Boards::default();
    let board = "compatible = \"linux,dummy-virt\"\nslots = [\"virtio,mmio\"]\nremove = [\"/soc/serial@1000\"]\n\
                 [boot]\nxen = \"dtuart=/soc/uart@0\"\nload = 0x42000000\n";
    boards.add(Path::new("mine.toml"), board).unwrap();
    let notices = build::build_for(&bench.request(), &boards).unwrap().notices;
    for notice in [
        "the board file of mine removes /soc/serial@1000, which the device tree does not have (it has \
         /soc@7e000000/serial@1000): it has no effect",
        "the board file of mine has Xen's console at /soc/uart@0, which the device tree does not have: it has no effect",
    ] {
        assert!(notices.iter().any(|n| n == notice), "{notices:#?}");
    }
}
