//! A driver domain with a card on FakeXen, driven as its image's loop drives it.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use outrigger_devices::NetLimits;
use outrigger_net::{Buffer, Counters, Net};
use outrigger_xen::fake::{Caller, Device, Domain, FakePages, FakeXen, Toolstack, XenStored};
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Clock, Cpu, DomId, Wake};
use outrigger_xenbus::Backend;

use crate::card::{self, Card, Handle};
use crate::frames::mac;
use crate::guest::{Guest, Options};
use crate::quiet::Quiet;

pub const DD: DomId = DomId(3);

pub type Served<'a> = Net<'a, Quiet, Card, FakePages>;

/// The machine around the driver domain: what goes on when that fails.
pub struct Host {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub dd: Domain,
    pub card: Handle,
}

/// One life of the driver domain: what its loop works with.
pub struct Life<'a> {
    net: &'a Served<'a>,
    store: &'a XenStore<FakePages>,
    backend: &'a Backend<'a, FakePages, Served<'a>>,
    run: RefCell<Pin<Box<dyn Future<Output = std::convert::Infallible> + 'a>>>,
    /// Turns of the loop so far.
    turns: Cell<u64>,
    deadline: Cell<Option<outrigger_xen::Instant>>,
}

/// A machine, and the one life of a driver domain that does not fail.
pub struct World {
    host: Host,
    life: Life<'static>,
    pub net: &'static Served<'static>,
}

impl Deref for World {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.host
    }
}

/// The vif of guest `number`, in domain 10 + `number`.
pub fn vif(number: u8) -> Device {
    Device {
        backend: DD,
        frontend: DomId(10 + u16::from(number)),
        kind: "vif",
        devid: 0,
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(card::limits(), 600)
    }

    /// A card on segment `lan0`, a segment `private` without, and so many pages.
    pub fn with(limits: NetLimits, pages: usize) -> Self {
        Self::of(limits, pages, "lan0:virtio0,private")
    }

    /// A card, and these segments.
    pub fn segments(segments: &str) -> Self {
        Self::of(card::limits(), 600, segments)
    }

    pub fn of(limits: NetLimits, pages: usize, segments: &str) -> Self {
        let host = Host::new(limits);
        let quiet: &'static Quiet = Box::leak(Box::new(Quiet(host.dd.clone())));
        let net: &'static Served = Box::leak(Box::new(Net::new(quiet)));
        host.begin(net, pages, segments);
        let dd: &'static Domain = Box::leak(Box::new(host.dd.clone()));
        let store: &'static XenStore<FakePages> = Box::leak(Box::new(host.xs.client(DD)));
        let backend: &'static Backend<'static, FakePages, Served> =
            Box::leak(Box::new(Backend::new(store, dd, net)));
        let world = Self {
            life: Life::new(net, store, backend),
            host,
            net,
        };
        world.settle();
        world
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
            // What a connection made active is looked at after the control plane.
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

    /// The toolstack makes a vif, with keys besides.
    pub fn attach(&self, number: u8, more: &[(&str, &str)]) {
        self.host.attach(number, more);
        self.settle();
    }

    /// A vif and its connected guest.
    pub fn guest_with(&self, number: u8, more: &[(&str, &str)], options: Options) -> Guest {
        self.attach(number, more);
        Guest::boot(self, vif(number), options)
    }

    pub fn guest(&self, number: u8, options: Options) -> Guest {
        self.guest_with(number, &[], options)
    }

    pub fn counters(&self, number: u8) -> Counters {
        let mut found = None;
        self.net.report(|id, counters| {
            if id.frontend == vif(number).frontend {
                found = Some(*counters);
            }
        });
        found.unwrap()
    }
}

impl<'a> Life<'a> {
    pub fn new(
        net: &'a Served<'a>,
        store: &'a XenStore<FakePages>,
        backend: &'a Backend<'a, FakePages, Served<'a>>,
    ) -> Self {
        Self {
            net,
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
        let turn = self.net.turn(wake);
        if turn.poke {
            self.backend.poke();
        }
        self.deadline.set(turn.deadline);
        let mut moved = false;
        for look in 0..10_000 {
            let served = host.xs.serve();
            let polled = self.store.poll();
            let due = self.backend.next_deadline().is_some_and(|at| at <= host.dd.now());
            let first = self.turns.get() == 1 && look == 0;
            if !(served || polled || due || self.backend.is_poked() || first) {
                break;
            }
            moved |= served || polled;
            host.dd.step();
            let _ = poll_once(self.run.borrow_mut().as_mut());
        }
        turn.more_work || moved || self.net.has_work()
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

impl Host {
    pub fn new(limits: NetLimits) -> Self {
        let xen = FakeXen::new();
        let xs = xen.xenstored();
        let ts = xs.toolstack();
        let dd = xen.domain(DD);
        ts.create_domain(DD);
        Self {
            dom0: xs.by(DomId(0)),
            card: card::card(&dd, limits),
            xen,
            xs,
            ts,
            dd,
        }
    }

    /// What an image's beginning does: its driver resets the card and brings it up.
    pub fn begin(&self, net: &Served, pages: usize, segments: &str) {
        net.add_buffers((0..pages).map(|_| {
            let (memory, page) = self.dd.pool_page().unwrap();
            let gfn = memory.gfn(0);
            Buffer { memory, page, gfn }
        }));
        net.add_nic("virtio0".into(), 1, Card::probe(&self.card), 64);
        net.add_segments(segments);
    }

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

    /// The toolstack makes a vif, with keys besides.
    pub fn attach(&self, number: u8, more: &[(&str, &str)]) {
        let device = vif(number);
        self.xen.domain(device.frontend);
        if !self.dom0.exists(&format!("/local/domain/{}", device.frontend.0)) {
            self.ts.create_domain(device.frontend);
        }
        let [a, b, c, d, e, f] = mac(number);
        let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let mut keys = vec![
            ("script", "vif-bridge"),
            ("mac", mac.as_str()),
            ("handle", "0"),
            ("type", "vif"),
            ("hotplug-status", ""),
        ];
        if !more.iter().any(|(key, _)| *key == "bridge") {
            keys.push(("bridge", "lan0"));
        }
        keys.extend(more);
        self.ts
            .attach(device, &keys, &[("handle", "0"), ("mac", &mac), ("mtu", "1500")]);
    }
}
