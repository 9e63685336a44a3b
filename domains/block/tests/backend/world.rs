//! A driver domain with disks on FakeXen, driven as its image's loop drives it.

use std::ops::Deref;

use outrigger_block::{Block, Budget, Counters};
use outrigger_devices::{BlockDevice, BlockLimits, DmaPool};
use outrigger_xen::fake::{Caller, Device, Domain, FakePages, FakeXen, Quiet, Toolstack, XenStored};
use outrigger_xen::{DomId, Wake};
use outrigger_xenbus::DeviceId;
use outrigger_xenbus::fake::{Life, quiet_domain};

use crate::disk::{self, FakeDisk, Handle};

pub const DD: DomId = DomId(3);
pub const FE: DomId = DomId(7);
pub const OTHER: DomId = DomId(8);

pub type Served<'a> = Block<'a, Quiet, Box<dyn BlockDevice>, FakePages>;

/// The machine around the driver domain: what goes on when that fails.
pub struct Host {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub dd: Domain,
    pub disks: Vec<Handle>,
}

/// A machine, and the one life of a driver domain that does not fail.
pub struct World {
    host: Host,
    pub life: Life<'static, Served<'static>>,
    pub quiet: &'static Quiet,
}

impl Deref for World {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.host
    }
}

pub fn vbd(frontend: DomId, devid: u32) -> Device {
    Device {
        backend: DD,
        frontend,
        kind: "vbd",
        devid,
    }
}

pub fn id(device: Device) -> DeviceId {
    DeviceId {
        frontend: device.frontend,
        handle: device.devid,
    }
}

impl World {
    /// One disk, `virtio0`, of 8 MiB.
    pub fn new() -> Self {
        Self::with(&[disk::limits(16_384)])
    }

    /// Disks `virtio0` and so on.
    pub fn with(disks: &[BlockLimits]) -> Self {
        Self::on(Host::new(disks), Host::add_disks)
    }

    /// On that machine, with the disks that `begin` adds.
    pub fn on(host: Host, begin: impl FnOnce(&Host, &Served)) -> Self {
        let quiet: &'static Quiet = Box::leak(Box::new(quiet_domain(&host.dd)));
        let block: &'static Served = Box::leak(Box::new(Block::new(quiet, Budget::default())));
        begin(&host, block);
        Self {
            life: Life::only(&host.dd, block),
            host,
            quiet,
        }
    }

    pub fn block(&self) -> &Served<'static> {
        self.life.service
    }

    pub fn turns(&self) -> u64 {
        self.life.turns()
    }

    /// One turn of the loop. True if it would not have slept after it.
    pub fn turn(&self, wake: Wake) -> bool {
        self.life.turn(wake)
    }

    /// Runs the loop until it sleeps.
    pub fn settle(&self) {
        self.life.settle();
    }

    /// Time passes, in small steps.
    pub fn advance(&self, ms: u64) {
        self.life.advance(ms);
    }

    /// The toolstack makes a vbd.
    pub fn attach(&self, device: Device, target: &str, mode: &str) {
        self.host.attach(device, target, mode);
        self.settle();
    }

    pub fn counters(&self, device: Device) -> Counters {
        counters(self.block(), device).expect("the vbd is known")
    }
}

/// What a vbd has done.
pub fn counters(block: &Served, device: Device) -> Option<Counters> {
    let mut found = None;
    block.report(|vbd, counters| {
        if vbd == id(device) {
            found = Some(*counters);
        }
    });
    found
}

impl Host {
    pub fn new(disks: &[BlockLimits]) -> Self {
        let xen = FakeXen::new();
        let xs = xen.xenstored();
        let ts = xs.toolstack();
        for domain in [DD, FE, OTHER] {
            xen.domain(domain);
            ts.create_domain(domain);
        }
        let dd = xen.domain(DD);
        Self {
            dom0: xs.by(DomId(0)),
            disks: (0..)
                .zip(disks)
                .map(|(irq, limits)| disk::disk(&dd, irq, *limits))
                .collect(),
            dd,
            xen,
            xs,
            ts,
        }
    }

    /// What an image's beginning does: its drivers reset their devices and bring them up.
    pub fn add_disks(&self, block: &Served) {
        for (irq, handle) in (0..).zip(&self.disks) {
            self.add_disk(block, irq, FakeDisk::probe(handle));
        }
    }

    /// Adds disk `virtio` and its number, which is its interrupt's, too.
    pub fn add_disk(&self, block: &Served, number: u32, disk: impl BlockDevice + 'static) {
        let page = self.dd.page().unwrap();
        block.add_disk(
            format!("virtio{number}"),
            outrigger_xen::IrqSet::of(number),
            Box::new(disk),
            page,
        );
    }

    pub fn disk(&self) -> std::cell::RefMut<'_, disk::Core> {
        self.disks[0].borrow_mut()
    }

    /// A vbd's state in XenStore.
    pub fn state(&self, device: Device) -> String {
        self.node(device, "state").unwrap_or_default()
    }

    pub fn error(&self, device: Device) -> String {
        self.node(device, "error").unwrap_or_default()
    }

    pub fn node(&self, device: Device, key: &str) -> Option<String> {
        self.dom0.read(&format!("{}/{key}", device.backend_path())).ok()
    }

    /// The toolstack makes a vbd.
    pub fn attach(&self, device: Device, target: &str, mode: &str) {
        let virtual_device = device.devid.to_string();
        self.ts.attach(
            device,
            &[
                ("params", target),
                ("mode", mode),
                ("removable", "0"),
                ("bootable", "1"),
                ("dev", "xvda"),
                ("type", "phy"),
                ("device-type", "disk"),
                ("discard-enable", "1"),
            ],
            &[("virtual-device", &virtual_device), ("device-type", "disk")],
        );
    }
}
