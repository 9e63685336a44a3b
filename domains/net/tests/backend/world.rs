//! A driver domain with a card on FakeXen, driven as its image's loop drives it.

use std::ops::Deref;

use outrigger_devices::{DmaMemory, DmaPool, NetDevice, NetLimits};
use outrigger_net::{Buffer, Counters, Net};
use outrigger_xen::DomId;
use outrigger_xen::fake::{Caller, Device, Domain, FakePages, FakeXen, Quiet, Toolstack, XenStored};
use outrigger_xenbus::fake::{Life, quiet_domain};

use crate::card::{self, Card, Handle};
use crate::frames::mac;
use crate::guest::{Got, Guest, Options};

pub const DD: DomId = DomId(3);

pub type Served<'a> = Net<'a, Quiet, Box<dyn NetDevice>, FakePages>;

/// The machine around the driver domain: what goes on when that fails.
pub struct Host {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub dd: Domain,
    pub card: Handle,
}

/// A machine, and the one life of a driver domain that does not fail.
pub struct World {
    host: Host,
    pub life: Life<'static, Served<'static>>,
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
        Self::on(Host::new(limits), |host, net| host.begin(net, pages, segments))
    }

    /// On that machine, with the card and the segments that `begin` adds.
    pub fn on(host: Host, begin: impl FnOnce(&Host, &Served)) -> Self {
        let quiet: &'static Quiet = Box::leak(Box::new(quiet_domain(&host.dd)));
        let net: &'static Served = Box::leak(Box::new(Net::new(quiet)));
        begin(&host, net);
        let world = Self {
            life: Life::only(&host.dd, net),
            host,
            net,
        };
        world.settle();
        world
    }

    /// Runs the loop until it sleeps.
    pub fn settle(&self) {
        self.life.settle();
    }

    /// All that there is for a guest, which takes a burst, posts pages, and gets the next one.
    pub fn drain(&self, guest: &mut Guest) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            self.settle();
            let got = guest.collect();
            if got.is_empty() {
                return all;
            }
            all.extend(got);
        }
    }

    /// Time passes, in small steps.
    pub fn advance(&self, ms: u64) {
        self.life.advance(ms);
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
        self.add_buffers(net, pages);
        net.add_nic(
            "virtio0".into(),
            outrigger_xen::IrqSet::of(0),
            Box::new(Card::probe(&self.card)),
            64,
        );
        net.add_segments(segments);
    }

    /// Pages for frames.
    pub fn add_buffers(&self, net: &Served, pages: usize) -> Vec<DmaMemory<FakePages>> {
        let pages: Vec<_> = (0..pages).map(|_| self.dd.page().unwrap()).collect();
        net.add_buffers(pages.iter().map(|page| Buffer {
            gfn: page.memory.gfn(0),
            memory: page.memory.clone(),
            page: page.page,
        }));
        pages
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
