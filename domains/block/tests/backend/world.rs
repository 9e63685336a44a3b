//! A driver domain with disks on FakeXen, driven as its image's loop drives it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::Duration;

use outrigger_block::{Block, Budget, Counters};
use outrigger_devices::{BlockLimits, DmaMemory};
use outrigger_xen::fake::{Caller, Device, Domain, FakePages, FakeXen, Toolstack, XenStored};
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Clock, Cpu, DomId, Wake};
use outrigger_xenbus::{Backend, DeviceId};

use crate::disk::{self, FakeDisk, Handle};
use crate::quiet::Quiet;

pub const DD: DomId = DomId(3);
pub const FE: DomId = DomId(7);
pub const OTHER: DomId = DomId(8);

type Served = Block<'static, Quiet, FakeDisk, FakePages>;

pub struct World {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub dd: &'static Domain,
    pub quiet: &'static Quiet,
    pub block: &'static Served,
    pub disks: Vec<Handle>,
    store: &'static XenStore<FakePages>,
    backend: &'static Backend<'static, FakePages, Served>,
    run: RefCell<Pin<Box<dyn Future<Output = std::convert::Infallible>>>>,
    /// Turns of the loop so far.
    pub turns: Cell<u64>,
    deadline: Cell<Option<outrigger_xen::Instant>>,
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
        let xen = FakeXen::new();
        let xs = xen.xenstored();
        let ts = xs.toolstack();
        for domain in [DD, FE, OTHER] {
            xen.domain(domain);
            ts.create_domain(domain);
        }
        let dd: &'static Domain = Box::leak(Box::new(xen.domain(DD)));
        let quiet: &'static Quiet = Box::leak(Box::new(Quiet::new(dd.clone())));
        let block: &'static Served = Box::leak(Box::new(Block::new(quiet, Budget::default())));
        let disks = (0..)
            .zip(disks)
            .map(|(irq, limits)| {
                let (disk, handle) = disk::disk(dd, irq, *limits);
                let (memory, page) = dd.pool_page().unwrap();
                block.add_disk(format!("virtio{irq}"), 1 << irq, disk, DmaMemory { memory, page });
                handle
            })
            .collect();
        let store: &'static XenStore<FakePages> = Box::leak(Box::new(xs.client(DD)));
        let backend: &'static Backend<'static, FakePages, Served> =
            Box::leak(Box::new(Backend::new(store, dd, block)));
        Self {
            dom0: xs.by(DomId(0)),
            xen,
            xs,
            ts,
            dd,
            quiet,
            block,
            disks,
            store,
            backend,
            run: RefCell::new(Box::pin(async { match backend.run().await {} })),
            turns: Cell::new(0),
            deadline: Cell::new(None),
        }
    }

    pub fn disk(&self) -> std::cell::RefMut<'_, disk::Core> {
        self.disks[0].borrow_mut()
    }

    /// One turn of the loop. True if it would not have slept after it.
    pub fn turn(&self, wake: Wake) -> bool {
        self.turns.set(self.turns.get() + 1);
        let turn = self.block.turn(wake);
        if turn.poke {
            self.backend.poke();
        }
        self.deadline.set(turn.deadline);
        let mut moved = false;
        for _ in 0..10_000 {
            let served = self.xs.serve();
            let polled = self.store.poll();
            let due = self.backend.next_deadline().is_some_and(|at| at <= self.dd.now());
            if !(served || polled || due || self.backend.is_poked() || self.turns.get() == 1) {
                break;
            }
            moved |= served || polled;
            let _ = poll_once(self.run.borrow_mut().as_mut());
        }
        turn.more_work || moved || self.block.has_work()
    }

    /// What woke the domain; nothing if it would sleep on.
    fn woken(&self) -> Option<Wake> {
        let mut cpu = self.dd.clone();
        let now = self.dd.now();
        let wake = cpu.wait(Some(now));
        let timer = self.deadline.get().is_some_and(|at| at <= now)
            || self.backend.next_deadline().is_some_and(|at| at <= now);
        let wake = Wake { timer, ..wake };
        (wake.events || wake.devices != 0 || wake.timer).then_some(wake)
    }

    /// Runs the loop until it sleeps. A wake-up that gets lost shows as work that is not done.
    pub fn settle(&self) {
        let mut wake = Some(self.woken().unwrap_or_default());
        for _ in 0..100_000 {
            let Some(this) = wake else { return };
            let busy = self.turn(this);
            wake = self.woken().or(busy.then(Wake::default));
        }
        panic!("the loop never sleeps");
    }

    /// Time passes, in small steps.
    pub fn advance(&self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.xen.advance(Duration::from_millis(10));
            self.settle();
        }
    }

    /// A vbd's state in XenStore.
    pub fn state(&self, device: Device) -> String {
        self.dom0
            .read(&format!("{}/state", device.backend_path()))
            .unwrap_or_default()
    }

    pub fn error(&self, device: Device) -> String {
        self.dom0
            .read(&format!("{}/error", device.backend_path()))
            .unwrap_or_default()
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
        self.settle();
    }

    pub fn counters(&self, device: Device) -> Counters {
        let mut found = None;
        self.block.report(|vbd, counters| {
            if vbd == id(device) {
                found = Some(*counters);
            }
        });
        found.expect("the vbd is known")
    }
}
