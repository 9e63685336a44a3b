//! The machine around a driver domain.

use std::boxed::Box;
use std::format;
use std::ops::Deref;
use std::string::String;

use outrigger_xen::DomId;
use outrigger_xen::fake::{Caller, Device, Domain, FakeXen, Quiet, Toolstack, XenStored};
use outrigger_xenbus::fake::{Life, quiet_domain};
use outrigger_xenbus::{DeviceId, Service};

/// The machine around a driver domain: what goes on when that fails.
pub struct Host {
    /// The hypervisor.
    pub xen: FakeXen,
    /// Its XenStore.
    pub xs: XenStored,
    /// Its toolstack.
    pub ts: Toolstack,
    /// Dom0, which may read and write everything.
    pub dom0: Caller,
    /// The driver domain.
    pub dd: Domain,
}

/// The device as XenBus names it.
pub fn device_id(device: Device) -> DeviceId {
    DeviceId {
        frontend: device.frontend,
        handle: device.devid,
    }
}

impl Host {
    /// A machine with a driver domain and guests.
    pub fn new(driver_domain: DomId, guests: &[DomId]) -> Self {
        let xen = FakeXen::new();
        let xs = xen.xenstored();
        let ts = xs.toolstack();
        for domain in [driver_domain].iter().chain(guests) {
            xen.domain(*domain);
            ts.create_domain(*domain);
        }
        Self {
            dom0: xs.by(DomId(0)),
            dd: xen.domain(driver_domain),
            xen,
            xs,
            ts,
        }
    }

    /// A device's state in XenStore.
    pub fn state(&self, device: Device) -> String {
        self.node(device, "state").unwrap_or_default()
    }

    /// Why it is not served.
    pub fn error(&self, device: Device) -> String {
        self.node(device, "error").unwrap_or_default()
    }

    /// A node of its backend directory.
    pub fn node(&self, device: Device, key: &str) -> Option<String> {
        self.dom0.read(&format!("{}/{key}", device.backend_path())).ok()
    }

    /// A node of the driver domain's own directory.
    pub fn own_node(&self, node: &str) -> Option<String> {
        let path = format!("/local/domain/{}/{node}", self.dd.id().0);
        self.dom0.read(&path).ok()
    }

    /// Dom0 writes a node of the driver domain's own directory.
    ///
    /// # Panics
    /// XenStore refuses.
    pub fn set_own_node(&self, node: &str, value: &str) {
        let path = format!("/local/domain/{}/{node}", self.dd.id().0);
        self.dom0.write(&path, value).expect("Dom0 may");
    }
}

/// A machine, and the one life of a driver domain that does not fail.
pub struct World<S: 'static> {
    host: Host,
    /// The domain's loop.
    pub life: Life<'static, S>,
    /// The domain, whose hypercalls the allocation counter does not see.
    pub quiet: &'static Quiet,
}

impl<S> Deref for World<S> {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.host
    }
}

impl<S: Service> World<S> {
    /// On that machine, with the backend that `make` makes.
    pub fn on(host: Host, make: impl FnOnce(&'static Quiet) -> S) -> Self {
        let quiet: &'static Quiet = Box::leak(Box::new(quiet_domain(&host.dd)));
        let service: &'static S = Box::leak(Box::new(make(quiet)));
        Self {
            life: Life::only(&host.dd, service),
            host,
            quiet,
        }
    }

    /// The backend.
    pub fn service(&self) -> &'static S {
        self.life.service
    }

    /// Runs the loop until it sleeps.
    pub fn settle(&self) {
        self.life.settle();
    }

    /// Time passes, in small steps.
    pub fn advance(&self, ms: u64) {
        self.life.advance(ms);
    }

    /// The toolstack makes a device.
    pub fn attach(&self, device: Device, backend: &[(&str, &str)], frontend: &[(&str, &str)]) {
        self.host.ts.attach(device, backend, frontend);
        self.settle();
    }

    /// A frontend that has published its channels is connected to.
    ///
    /// # Panics
    /// It is not.
    pub fn connect(&self, frontend: &super::Frontend) {
        frontend.set_state(&self.host, 3);
        self.advance(700);
        let device = frontend.device;
        assert_eq!(self.state(device), "4", "{}", self.error(device));
        frontend.set_state(&self.host, 4);
        self.settle();
    }
}
