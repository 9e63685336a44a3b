//! A driver domain's control plane on FakeXen, a class of devices that maps one ring, and what guests and toolstack do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::fake::{Caller, Device, Domain, FakePages, FakeXen, Toolstack, XenStored};
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Access, Clock, DomId, EventChannels, GrantRef, GrantTable, Instant, MappedPages, Port};
use outrigger_xenbus::{BEAT, Backend, DeviceClass, DeviceId, HOLD, LINGER, Nodes, Refusal, State};

pub const DD: DomId = DomId(3);
pub const FE: DomId = DomId(7);
pub const OTHER: DomId = DomId(8);

type Update = (DeviceId, Vec<(String, String)>);

struct Connection {
    ring: MappedPages<FakePages>,
    port: Port,
    closing: bool,
}

/// One ring and one port a device; letting go takes until [`drain`](Self::drain) when `slow`.
pub struct Class {
    domain: Domain,
    connections: RefCell<BTreeMap<DeviceId, Connection>>,
    pub slow: Cell<bool>,
    pub calls: RefCell<Vec<String>>,
    pub updates: RefCell<Vec<Update>>,
    pub faults: RefCell<Vec<(DeviceId, String)>>,
    /// What it says that devices have done.
    pub statistics: RefCell<BTreeMap<DeviceId, String>>,
    pub totals: RefCell<Vec<(String, String)>>,
    /// Run within connect, as a guest on another processor could.
    pub during_connect: RefCell<Option<Box<dyn FnMut()>>>,
}

impl Class {
    fn new(domain: Domain) -> Self {
        Self {
            domain,
            connections: RefCell::default(),
            slow: Cell::new(false),
            calls: RefCell::default(),
            updates: RefCell::default(),
            faults: RefCell::default(),
            statistics: RefCell::default(),
            totals: RefCell::default(),
            during_connect: RefCell::default(),
        }
    }

    fn call(&self, name: &str, device: DeviceId) {
        self.calls.borrow_mut().push(format!("{name} {device}"));
    }

    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.connections
            .borrow()
            .get(&device)
            .is_some_and(|connection| !connection.closing)
    }

    /// The data path has nothing in flight any more.
    pub fn drain(&self) {
        let mut connections = self.connections.borrow_mut();
        let closing: Vec<_> = connections
            .iter()
            .filter(|(_, connection)| connection.closing)
            .map(|(device, _)| *device)
            .collect();
        for device in closing {
            let connection = connections.remove(&device).unwrap();
            self.domain.close(connection.port);
            self.domain.unmap_pages(connection.ring);
        }
    }
}

impl DeviceClass for Class {
    const KIND: &'static str = "vbd";
    const WATCHED: &'static [&'static str] = &["wish"];

    async fn probe<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Vec<(String, String)>, Refusal> {
        self.call("probe", nodes.device());
        let [params, mode] = nodes.backend_all(["params", "mode"]).await?;
        if params.as_deref() != Some("disk") || mode.as_deref() != Some("w") {
            return Err(Refusal(format!("params: no such target {params:?}")));
        }
        Ok(vec![("max-ring-page-order".into(), "4".into())])
    }

    async fn connect<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Vec<(String, String)>, Refusal> {
        let device = nodes.device();
        self.call("connect", device);
        let missing = |key: &str| Refusal(format!("{key} is missing"));
        let gref = nodes
            .frontend_u32("ring-ref")
            .await?
            .ok_or_else(|| missing("ring-ref"))?;
        let port = nodes
            .frontend_u32("event-channel")
            .await?
            .ok_or_else(|| missing("event-channel"))?;
        let ring = self
            .domain
            .map_pages(device.frontend, &[GrantRef(gref)], Access::ReadWrite)
            .map_err(|error| Refusal(format!("ring-ref {gref}: {error:?}")))?;
        let port = match self.domain.bind_interdomain(device.frontend, Port(port)) {
            Ok(port) => port,
            Err(error) => {
                self.domain.unmap_pages(ring);
                return Err(Refusal(format!("event-channel {port}: {error:?}")));
            }
        };
        let earlier = self.connections.borrow_mut().insert(
            device,
            Connection {
                ring,
                port,
                closing: false,
            },
        );
        assert!(earlier.is_none(), "connected twice without letting go");
        if let Some(meanwhile) = &mut *self.during_connect.borrow_mut() {
            meanwhile();
        }
        Ok(vec![("sectors".into(), "2048".into())])
    }

    async fn reconfigure<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<(), Refusal> {
        let wish = nodes.frontend_u32("wish").await?.unwrap_or(0);
        self.call(&format!("wish {wish}"), nodes.device());
        Ok(())
    }

    fn disconnect(&self, device: DeviceId) {
        self.call("disconnect", device);
        if let Some(connection) = self.connections.borrow_mut().get_mut(&device) {
            connection.closing = true;
        }
        if !self.slow.get() {
            self.drain();
        }
    }

    fn is_released(&self, device: DeviceId) -> bool {
        !self.connections.borrow().contains_key(&device)
    }

    fn remove(&self, device: DeviceId) {
        self.call("remove", device);
        assert!(self.is_released(device), "removed while it holds something");
    }

    fn statistics(&self, device: DeviceId) -> Option<String> {
        self.statistics.borrow().get(&device).cloned()
    }

    fn totals(&self) -> Vec<(String, String)> {
        self.totals.borrow().clone()
    }

    fn take_update(&self) -> Option<Update> {
        self.updates.borrow_mut().pop()
    }

    fn take_fault(&self) -> Option<(DeviceId, String)> {
        self.faults.borrow_mut().pop()
    }
}

/// What is watched over: each device's state as it was last, and whether its directory may go.
#[derive(Default)]
struct Ledger {
    states: BTreeMap<(u16, u32), State>,
    history: Vec<(u32, State)>,
    removed_by_force: bool,
}

pub struct Host {
    pub xen: FakeXen,
    pub xs: XenStored,
    pub ts: Toolstack,
    pub dom0: Caller,
    pub class: &'static Class,
    pub store: &'static XenStore<FakePages>,
    pub backend: &'static Backend<'static, FakePages, Class>,
    run: RefCell<Pin<Box<dyn Future<Output = std::convert::Infallible>>>>,
    ledger: RefCell<Ledger>,
    devices: RefCell<Vec<Device>>,
    pub turns: Cell<u64>,
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

impl Host {
    pub fn new() -> Self {
        let xen = FakeXen::new();
        let xs = xen.xenstored();
        let ts = xs.toolstack();
        for domain in [DD, FE, OTHER] {
            xen.domain(domain);
            ts.create_domain(domain);
        }
        let class: &'static Class = Box::leak(Box::new(Class::new(xen.domain(DD))));
        let clock: &'static Domain = Box::leak(Box::new(xen.domain(DD)));
        let store: &'static XenStore<FakePages> = Box::leak(Box::new(clock.xenstore()));
        let backend: &'static Backend<'static, FakePages, Class> =
            Box::leak(Box::new(Backend::new(store, clock, class)));
        let run = Box::pin(async { match backend.run().await {} });
        Self {
            dom0: xs.by(DomId(0)),
            xen,
            xs,
            ts,
            class,
            store,
            backend,
            run: RefCell::new(run),
            ledger: RefCell::default(),
            devices: RefCell::default(),
            turns: Cell::new(0),
        }
    }

    /// The domain starts over in place, with or without what it has recorded; how many devices are served again before
    /// XenStore has said a word.
    pub fn restart(&mut self, sound: bool) -> usize {
        let dd: &'static Domain = Box::leak(Box::new(self.xen.domain(DD)));
        if sound {
            dd.restart();
        } else {
            dd.restart_unsound();
        }
        self.begin_life(dd)
    }

    /// Fresh objects on a domain that has restarted.
    pub fn begin_life(&mut self, dd: &'static Domain) -> usize {
        self.class = Box::leak(Box::new(Class::new(dd.clone())));
        self.store = Box::leak(Box::new(dd.xenstore()));
        self.backend = Box::leak(Box::new(Backend::new(self.store, dd, self.class)));
        let resumed = self.backend.resume();
        let backend = self.backend;
        self.run = RefCell::new(Box::pin(async { match backend.run().await {} }));
        resumed
    }

    /// With one device that has its directory and its frontend at 1, and the control plane settled.
    pub fn with_device() -> (Self, Guest) {
        let host = Self::new();
        let guest = host.attach(vbd(FE, 51712));
        host.settle();
        (host, guest)
    }

    pub fn attach(&self, device: Device) -> Guest {
        self.attach_with(device, &[("params", "disk"), ("mode", "w")])
    }

    pub fn attach_with(&self, device: Device, backend: &[(&str, &str)]) -> Guest {
        self.ts.attach(device, backend, &[("virtual-device", "51712")]);
        if !self.devices.borrow().contains(&device) {
            self.devices.borrow_mut().push(device);
        }
        Guest {
            domain: self.xen.domain(device.frontend),
            xs: self.xs.by(device.frontend),
            device,
            ring: Rc::default(),
        }
    }

    /// One turn of the driver domain's loop, and of xenstored's. True if anything moved.
    pub fn turn(&self) -> bool {
        self.turns.set(self.turns.get() + 1);
        let _ = poll_once(self.run.borrow_mut().as_mut());
        self.backend.sweep();
        let served = self.xs.serve();
        self.watch_over();
        served | self.store.poll()
    }

    /// A turn that is not watched over. True if anything moved.
    pub fn step_unseen(&self) -> bool {
        let _ = poll_once(self.run.borrow_mut().as_mut());
        self.xs.serve() | self.store.poll()
    }

    /// Until nothing moves.
    pub fn settle(&self) {
        for _ in 0..100_000 {
            let due = self
                .backend
                .next_deadline()
                .is_some_and(|deadline| deadline <= self.xen.domain(DD).now());
            if !self.turn() && !due && !self.backend.is_poked() {
                return;
            }
        }
        panic!("the control plane does not come to rest");
    }

    /// Time passes, with the loop woken at each deadline.
    pub fn advance(&self, by: Duration) {
        self.settle();
        let clock = self.xen.domain(DD);
        let end = clock.now().after(by);
        while clock.now() < end {
            let next = self
                .backend
                .next_deadline()
                .unwrap_or(end)
                .clamp(Instant(clock.now().0 + 1), end);
            self.xen.advance(next.since(clock.now()));
            self.settle();
        }
    }

    pub fn millis(&self, millis: u64) {
        self.advance(Duration::from_millis(millis));
    }

    /// As long as state 2 is shown to a toolstack whose Dom0 runs.
    pub fn hold(&self) {
        self.advance(BEAT * HOLD);
    }

    /// As long as state 6 is.
    pub fn linger(&self) {
        self.advance(BEAT * LINGER);
    }

    /// Nothing runs in Dom0, xenstored as little as libxl. We go on, and are woken at each deadline.
    pub fn dom0_stands_still(&self, for_: Duration) {
        let clock = self.xen.domain(DD);
        let end = clock.now().after(for_);
        while clock.now() < end {
            let next = self.backend.next_deadline().unwrap_or(end);
            let next = next.clamp(Instant(clock.now().0 + 1), end);
            self.xen.advance(next.since(clock.now()));
            let _ = poll_once(self.run.borrow_mut().as_mut());
        }
        self.settle();
    }

    /// The data path is through with what was closing.
    pub fn drain(&self) {
        self.class.drain();
        self.backend.poke();
    }

    /// What must hold at every moment.
    fn watch_over(&self) {
        let ledger = &mut *self.ledger.borrow_mut();
        for device in &*self.devices.borrow() {
            let key = (device.frontend.0, device.devid);
            let read = |path: String| self.dom0.read(&path).ok();
            let before = ledger.states.get(&key).copied();
            let Some(now) = read(format!("{}/state", device.backend_path())) else {
                if before.is_some() && !ledger.removed_by_force {
                    assert_eq!(
                        before,
                        Some(State::Closed),
                        "the directory goes after state 6 only"
                    );
                }
                ledger.states.remove(&key);
                continue;
            };
            let now = State::parse(now.as_bytes());
            if before == Some(now) {
                continue;
            }
            ledger.states.insert(key, now);
            ledger.history.push((device.devid, now));
            let frontend = read(format!("{}/state", device.frontend_path()));
            if before == Some(State::Closing) {
                let forward = matches!(now, State::InitWait | State::Connected);
                assert!(!forward, "the wish to close is not written over");
            }
            if now == State::Connected {
                assert_ne!(frontend.as_deref(), Some("6"), "never 4 while the frontend is 6");
                assert!(
                    self.class.is_connected(id(*device)),
                    "4 says that requests are served"
                );
            }
            if now == State::Closed {
                assert!(self.class.is_released(id(*device)), "6 says that nothing is held");
            }
        }
    }

    /// The toolstack's patience ends.
    pub fn force_remove(&self, device: Device) {
        self.ledger.borrow_mut().removed_by_force = true;
        self.ts.force_remove(device);
        self.watch_over();
        self.ledger.borrow_mut().removed_by_force = false;
    }

    pub fn state(&self, device: Device) -> Option<State> {
        self.dom0
            .read(&format!("{}/state", device.backend_path()))
            .ok()
            .map(|state| State::parse(state.as_bytes()))
    }

    pub fn key(&self, device: Device, key: &str) -> Option<String> {
        self.dom0.read(&format!("{}/{key}", device.backend_path())).ok()
    }

    /// The states that a device's backend has shown since the last call, the toolstack's included.
    pub fn history(&self) -> Vec<u8> {
        self.watch_over();
        std::mem::take(&mut self.ledger.borrow_mut().history)
            .iter()
            .map(|(_, state)| *state as u8)
            .collect()
    }

    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.class.calls.borrow_mut())
    }

    /// The end of a test: nothing is held, nothing is left.
    pub fn assert_clean(&self) {
        self.xen.assert_nothing_left(DD);
        assert_eq!(
            self.xs.watches(DD),
            2,
            "only backend and control/shutdown are watched"
        );
    }
}

/// A frontend.
#[derive(Clone)]
pub struct Guest {
    pub domain: Domain,
    pub xs: Caller,
    pub device: Device,
    ring: Rc<Cell<Option<(GrantRef, Port)>>>,
}

impl Guest {
    pub fn write(&self, key: &str, value: &str) {
        // Its directory may be gone by now.
        let _ = self
            .xs
            .write(&format!("{}/{key}", self.device.frontend_path()), value);
    }

    pub fn state(&self, state: u8) {
        self.write("state", &state.to_string());
    }

    /// Publishes a ring and a port, then state 3.
    pub fn publish(&self) {
        self.publish_ring();
        self.state(3);
    }

    pub fn publish_ring(&self) {
        let (gref, port) = self.ring.get().unwrap_or_else(|| {
            let page = self.domain.pages(1);
            let gref = self.domain.grant(&page, 0, DD, Access::ReadWrite);
            (gref, self.domain.alloc_unbound(DD).unwrap())
        });
        self.ring.set(Some((gref, port)));
        self.write("ring-ref", &gref.0.to_string());
        self.write("event-channel", &port.0.to_string());
    }
}

/// With one device connected.
pub fn connected() -> (Host, Guest) {
    let (host, guest) = Host::with_device();
    guest.publish();
    host.hold();
    guest.state(4);
    host.settle();
    assert_eq!(host.history(), [1, 2, 4]);
    host.calls();
    (host, guest)
}
