//! A driver domain with disks on FakeXen, driven as its image's loop drives it.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
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

pub type Served<'a> = Block<'a, Quiet, FakeDisk, FakePages>;

/// The machine around the driver domain: what goes on when that fails.
pub struct Host {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub dd: Domain,
    pub disks: Vec<Handle>,
}

/// One life of the driver domain: what its loop works with.
pub struct Life<'a> {
    pub block: &'a Served<'a>,
    store: &'a XenStore<FakePages>,
    backend: &'a Backend<'a, FakePages, Served<'a>>,
    run: RefCell<Pin<Box<dyn Future<Output = std::convert::Infallible> + 'a>>>,
    /// Turns of the loop so far.
    pub turns: Cell<u64>,
    deadline: Cell<Option<outrigger_xen::Instant>>,
}

/// A machine, and the one life of a driver domain that does not fail.
pub struct World {
    host: Host,
    life: Life<'static>,
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
        let host = Host::new(disks);
        let quiet: &'static Quiet = Box::leak(Box::new(Quiet::new(host.dd.clone())));
        let block: &'static Served = Box::leak(Box::new(Block::new(quiet, Budget::default())));
        host.add_disks(block);
        let dd: &'static Domain = Box::leak(Box::new(host.dd.clone()));
        let store: &'static XenStore<FakePages> = Box::leak(Box::new(host.xs.client(DD)));
        let backend: &'static Backend<'static, FakePages, Served> =
            Box::leak(Box::new(Backend::new(store, dd, block)));
        Self {
            life: Life::new(block, store, backend),
            host,
            quiet,
        }
    }

    pub fn block(&self) -> &Served<'static> {
        self.life.block
    }

    pub fn turns(&self) -> u64 {
        self.life.turns.get()
    }

    /// One turn of the loop. True if it would not have slept after it.
    pub fn turn(&self, wake: Wake) -> bool {
        self.life.turn(&self.host, wake)
    }

    /// Runs the loop until it sleeps. A wake-up that gets lost shows as work that is not done.
    pub fn settle(&self) {
        let mut wake = Some(self.life.woken(&self.host).unwrap_or_default());
        for _ in 0..100_000 {
            let Some(this) = wake else { return };
            let busy = self.turn(this);
            wake = self.life.woken(&self.host).or(busy.then(Wake::default));
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
            let (memory, page) = self.dd.pool_page().unwrap();
            let disk = FakeDisk::probe(handle);
            block.add_disk(format!("virtio{irq}"), 1 << irq, disk, DmaMemory { memory, page });
        }
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

impl<'a> Life<'a> {
    pub fn new(
        block: &'a Served<'a>,
        store: &'a XenStore<FakePages>,
        backend: &'a Backend<'a, FakePages, Served<'a>>,
    ) -> Self {
        Self {
            block,
            store,
            backend,
            run: RefCell::new(Box::pin(async { match backend.run().await {} })),
            turns: Cell::new(0),
            deadline: Cell::new(None),
        }
    }

    /// One turn of the loop. True if it would not have slept after it.
    pub fn turn(&self, host: &Host, wake: Wake) -> bool {
        self.turns.set(self.turns.get() + 1);
        let turn = self.block.turn(wake);
        if turn.poke {
            self.backend.poke();
        }
        self.deadline.set(turn.deadline);
        let mut moved = false;
        for look in 0..10_000 {
            let served = host.xs.serve();
            let polled = self.store.poll();
            let due = self.backend.next_deadline().is_some_and(|at| at <= host.dd.now());
            if !(served || polled || due || self.backend.is_poked() || (self.turns.get() == 1 && look == 0)) {
                break;
            }
            moved |= served || polled;
            host.dd.step();
            let _ = poll_once(self.run.borrow_mut().as_mut());
        }
        turn.more_work || moved || self.block.has_work()
    }

    /// What woke the domain; nothing if it would sleep on.
    pub fn woken(&self, host: &Host) -> Option<Wake> {
        let mut cpu = host.dd.clone();
        let now = host.dd.now();
        let wake = cpu.wait(Some(now));
        let deadlines = [
            self.deadline.get(),
            self.backend.next_deadline(),
            self.backend.sweep(),
        ];
        let timer = deadlines.into_iter().flatten().any(|at| at <= now);
        let wake = Wake { timer, ..wake };
        (wake.events || wake.devices != 0 || wake.timer).then_some(wake)
    }
}
