//! No page and no interrupt has two owners: the plan against a brute-force oracle, over small random machines.

mod common;

use std::collections::HashSet;
use std::path::Path;

use common::virt::set;
use dtoolkit::model::DeviceTree;
use outrigger::error::Fault;
use outrigger::machine::MachineFile;
use outrigger::plan::Plan;
use outrigger::tree::BaseTree;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    A,
    B,
    Dom0,
    /// Left to Dom0, but disabled.
    Nobody,
}

#[derive(Debug, Clone)]
struct Device {
    owner: Owner,
    /// In units of a quarter of a page, so that devices share pages.
    quarter: u32,
    quarters: u32,
    spi: u32,
}

impl Device {
    fn path(&self, index: usize) -> String {
        format!("/device@{:x}", 0xa00_0000 + index)
    }

    fn pages(&self) -> HashSet<u64> {
        (self.quarter..self.quarter + self.quarters)
            .map(|quarter| 0xa000 + u64::from(quarter / 4))
            .collect()
    }

    fn meets(&self, other: &Self) -> bool {
        self.spi == other.spi || !self.pages().is_disjoint(&other.pages())
    }
}

fn device() -> impl Strategy<Value = Device> {
    let owner = prop_oneof![
        Just(Owner::A),
        Just(Owner::B),
        Just(Owner::Dom0),
        Just(Owner::Nobody)
    ];
    (owner, 0..64u32, 1..7u32, 40..80u32).prop_map(|(owner, quarter, quarters, spi)| Device {
        owner,
        quarter,
        quarters,
        spi,
    })
}

fn tree(devices: &[Device]) -> DeviceTree {
    let mut tree = DeviceTree::new();
    let t = &mut tree;
    set(t, "/", "#address-cells", 1u32);
    set(t, "/", "#size-cells", 1u32);
    set(t, "/", "interrupt-parent", 1u32);
    set(t, "/intc@8000000", "compatible", "arm,gic-400");
    set(t, "/intc@8000000", "#interrupt-cells", 3u32);
    set(t, "/intc@8000000", "phandle", 1u32);
    for (index, device) in devices.iter().enumerate() {
        let path = device.path(index);
        let dom0 = matches!(device.owner, Owner::Dom0 | Owner::Nobody);
        set(
            t,
            &path,
            "compatible",
            if dom0 { "acme,device" } else { "virtio,mmio" },
        );
        set(
            t,
            &path,
            "reg",
            [0xa00_0000 + device.quarter * 0x400, device.quarters * 0x400],
        );
        set(t, &path, "interrupts", [0, device.spi, 4]);
        if device.owner == Owner::Nobody {
            set(t, &path, "status", "disabled");
        }
    }
    tree
}

fn machine(devices: &[Device]) -> String {
    let mut text = "board = \"qemu-virt\"\n".to_owned();
    for (owner, name) in [(Owner::A, "a"), (Owner::B, "b")] {
        let owned = devices
            .iter()
            .enumerate()
            .filter(|(_, device)| device.owner == owner);
        let paths: Vec<_> = owned
            .map(|(index, device)| format!("{:?}", device.path(index)))
            .collect();
        if !paths.is_empty() {
            text += &format!(
                "[domain.{name}]\nclass = \"block\"\ndevices = [{}]\n",
                paths.join(", ")
            );
        }
    }
    text
}

/// Whether two devices that meet have owners that must not.
fn conflicts(devices: &[Device]) -> bool {
    let pairs = devices
        .iter()
        .enumerate()
        .flat_map(|(i, one)| devices[..i].iter().map(move |two| (one, two)));
    pairs.filter(|(one, two)| one.meets(two)).any(|(one, two)| {
        let given = |device: &Device| matches!(device.owner, Owner::A | Owner::B);
        let nobody = [one.owner, two.owner].contains(&Owner::Nobody);
        one.owner != two.owner && !nobody && (given(one) || given(two))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_refused_just_when_two_owners_meet(mut devices in prop::collection::vec(device(), 1..6)) {
        // A machine needs a domain.
        if !devices.iter().any(|device| matches!(device.owner, Owner::A | Owner::B)) {
            devices[0].owner = Owner::A;
        }
        let machine = MachineFile::parse(Path::new("m"), &machine(&devices)).unwrap();
        let base = BaseTree::parse(Path::new("b"), &tree(&devices).to_dtb()).unwrap();
        match Plan::new(&machine, &base) {
            Err(error) => {
                let shared = matches!(error.fault, Fault::SharedPage { .. } | Fault::SharedInterrupt { .. });
                prop_assert!(shared, "{error}");
                prop_assert!(conflicts(&devices), "{error}");
            }
            Ok(plan) => {
                prop_assert!(!conflicts(&devices));
                for domain in &plan.domains {
                    let owner = if domain.name == "a" { Owner::A } else { Owner::B };
                    let owned = || devices.iter().filter(|device| device.owner == owner);
                    let pages: HashSet<u64> = domain.pages.iter().cloned().flatten().collect();
                    let spis: HashSet<u32> = domain.intids.iter().map(|intid| intid - 32).collect();
                    prop_assert_eq!(pages, owned().flat_map(Device::pages).collect());
                    prop_assert_eq!(spis, owned().map(|device| device.spi).collect());
                    // Ascending, neither overlapping nor touching.
                    prop_assert!(domain.pages.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
                }
                let given = |device: &Device| matches!(device.owner, Owner::A | Owner::B);
                let beside = devices.iter().enumerate().filter(|(_, device)| {
                    device.owner == Owner::Nobody && devices.iter().any(|d| given(d) && d.meets(device))
                });
                let beside: Vec<String> = beside.map(|(index, device)| device.path(index)).collect();
                prop_assert_eq!(&plan.withheld, &beside);
            }
        }
    }
}
