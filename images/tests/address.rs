//! A network controller whose address the device tree does not say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Bench;
use common::virt::{set, virt};
use dtoolkit::model::DeviceTree;
use outrigger::board::Boards;
use outrigger::build;

const PATH: &str = "/ethernet@fd580000";

fn board() -> DeviceTree {
    let mut tree = virt();
    set(&mut tree, PATH, "compatible", "brcm,bcm2711-genet-v5");
    set(&mut tree, PATH, "reg", [0u32, 0xfd58_0000, 0, 0x1_0000]);
    set(&mut tree, PATH, "interrupts", [0u32, 157, 4, 0, 158, 4]);
    set(&mut tree, PATH, "phy-mode", "rgmii-rxid");
    tree
}

fn notices(tree: &DeviceTree, options: &str) -> Vec<String> {
    let machine =
        format!("board = \"qemu-virt\"\n[domain.net]\nclass = \"net\"\ndevices = [\"{PATH}\"]\n{options}");
    let bench = Bench::new(&machine, tree);
    let file = |name: &str| bench.dir.join(name);
    let checked = build::check(&file("machine.toml"), &file("virt.dtb"), &Boards::default()).unwrap();
    assert_eq!(checked.domains[0].devices, [("net0".to_owned(), PATH.to_owned())]);
    assert_eq!(checked.domains[0].interrupts, [189, 190], "both of them");
    let about = checked
        .notices
        .into_iter()
        .filter(|line| line.contains("address of"));
    about.collect()
}

#[test]
fn an_address_that_is_nowhere_is_missed() {
    let mut tree = board();
    assert_eq!(
        notices(&tree, ""),
        [
            "domain net: the device tree does not say the address of /ethernet@fd580000 (local-mac-address; the firmware \
             adds it at boot, so /sys/firmware/fdt has it): it will be what a boot loader left in the device, or \
             mac = \"…\" in [domain.net.options]"
        ]
    );
    assert_eq!(
        notices(&tree, "[domain.net.options]\nmac = \"dc:a6:32:01:02:03\"\n"),
        [] as [&str; 0]
    );
    set(&mut tree, PATH, "local-mac-address", [0u8; 6]);
    assert_eq!(notices(&tree, "").len(), 1, "zeroes are none");
    set(
        &mut tree,
        PATH,
        "local-mac-address",
        [0xdc, 0xa6, 0x32, 1, 2, 3u8],
    );
    assert_eq!(notices(&tree, ""), [] as [&str; 0]);
}

#[test]
fn a_network_domain_may_have_no_card() {
    let machine = "board = \"qemu-virt\"\n[domain.net]\nclass = \"net\"\ndevices = []\n";
    let bench = Bench::new(machine, &virt());
    std::fs::copy(
        bench.dir.join("images/block.elf"),
        bench.dir.join("images/net.elf"),
    )
    .unwrap();
    bench.build().unwrap();
    let config = std::fs::read_to_string(bench.out().join("net.cfg")).unwrap();
    assert!(config.contains("\niomem = []\nirqs = []\n"), "{config}");
    let bench = Bench::new(&machine.replace("net", "block"), &virt());
    let error = bench.build().unwrap_err();
    assert_eq!(bench.line(&error), "machine.toml:2: domain block owns no device");
}
