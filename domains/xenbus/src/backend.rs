//! The control plane: finds devices, looks at each when something may have changed, and does what is next.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::{WatchEvent, XenStore, XsError};
use outrigger_xen::{GrantRef, Instant, Port, Shutdown};

use crate::device::Device;
use crate::join::join_all;
use crate::leave::Leaving;
use crate::transcript;
use crate::{DeviceClass, Host, Phase, power, statistics};

/// How long until something that XenStore refused is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// The watch on our `backend` directory, and its token.
pub(crate) const BACKEND: &str = "backend";

/// The control plane of a backend. Its one future, [`run`](Self::run), is to be polled at the start, when
/// [`XenStore::poll`] moved something, after [`poke`](Self::poke), and when [`next_deadline`](Self::next_deadline) has
/// passed.
pub struct Backend<'a, P: SharedPages, C> {
    pub(crate) store: &'a XenStore<P>,
    pub(crate) host: &'a dyn Host<P>,
    pub(crate) class: &'a C,
    deadline: Cell<Option<Instant>>,
    poked: Cell<bool>,
    pub(crate) shutdown: Cell<Option<Shutdown>>,
    pub(crate) shutdown_wait: Cell<Duration>,
    pub(crate) leaving: RefCell<Option<Leaving>>,
    /// Devices that were attached to again and are not looked at yet.
    pub(crate) resumed: RefCell<Vec<Device>>,
    /// When what nobody has claimed is unmapped.
    pub(crate) sweep_at: Cell<Option<Instant>>,
    /// How often a look has found what nobody had announced.
    pub(crate) late_looks: Cell<u64>,
    /// How Dom0 reaches what takes new images.
    pub(crate) updates: Cell<Option<(GrantRef, Port)>>,
}

/// What the watches told of others than single devices.
#[derive(Default)]
struct Told {
    scan: bool,
    shutdown: bool,
    settings: bool,
}

impl<'a, P: SharedPages, C: DeviceClass> Backend<'a, P, C> {
    /// For the devices of class `C` that name this domain as their backend.
    pub fn new(store: &'a XenStore<P>, host: &'a dyn Host<P>, class: &'a C) -> Self {
        Self {
            store,
            host,
            class,
            deadline: Cell::new(None),
            poked: Cell::new(false),
            shutdown: Cell::new(None),
            shutdown_wait: Cell::new(Duration::ZERO),
            leaving: RefCell::default(),
            resumed: RefCell::default(),
            sweep_at: Cell::new(None),
            late_looks: Cell::new(0),
            updates: Cell::new(None),
        }
    }

    /// Tells Dom0, in due time, where new images are taken.
    pub fn offer_updates(&self, gref: GrantRef, port: Port) {
        self.updates.set(Some((gref, port)));
    }

    /// So often a look has found what no interrupt and no event had announced, since this life began.
    pub fn note_late_looks(&self, count: u64) {
        self.late_looks.set(count);
    }

    /// The moment at which [`run`](Self::run) wants to be polled although nothing has happened.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// The class has changed: a device was released, or there is an update or a fault to take.
    pub fn poke(&self) {
        self.poked.set(true);
    }

    /// Whether [`poke`](Self::poke) was called and is not heeded yet.
    pub fn is_poked(&self) -> bool {
        self.poked.get()
    }

    /// What the toolstack asked of this domain since the last call, if anything and if it is time.
    pub fn take_shutdown(&self) -> Option<Shutdown> {
        self.shutdown.take()
    }

    /// Serves the control plane for ever. It waits for XenStore only, never for a guest.
    pub async fn run(&self) -> ! {
        let mut devices = self.take_resumed().await;
        while let Err(error) = self.set_watches().await {
            log::error!("xenbus: cannot watch: {error}");
            self.idle(Some(self.host.now().after(RETRY))).await;
        }
        let mut scan_at = None;
        let mut advertised = false;
        let mut totals = Vec::new();
        let mut statistics_at = self.host.now().after(statistics::INTERVAL);
        loop {
            self.poked.set(false);
            let told = self.take_watches(&mut devices);
            self.ask_class(&mut devices);
            if told.scan || self.is_past(scan_at) {
                scan_at = self.scan(&mut devices).await.err().map(|error| {
                    log::error!("xenbus: cannot list devices: {error}");
                    self.host.now().after(RETRY)
                });
            }
            for device in &mut devices {
                if device.dirty || self.is_past(device.wake) {
                    self.attend(device).await;
                }
            }
            if self.forget(&mut devices).await {
                // Another device of the same number may be there by now.
                scan_at = Some(self.host.now());
            }
            // After the devices: a guest may be waiting for its disk.
            if !core::mem::replace(&mut advertised, true) {
                power::advertise(self.store).await;
                power::announce_updates(self.store, self.updates.get()).await;
            }
            self.write_settings().await;
            if told.settings {
                self.read_settings().await;
            }
            if told.shutdown
                && let Some(wish) = power::take(self.store, self.host, self.shutdown_wait.get()).await
            {
                log::info!("xenbus: asked to shut down ({:?})", wish.end);
                self.wish(wish);
            }
            let leave_at = self.leave(&devices).await;
            if self.is_past(Some(statistics_at)) {
                self.write_statistics(&mut devices, &mut totals).await;
                statistics_at = self.host.now().after(statistics::INTERVAL);
            }
            let wakes = devices.iter().filter_map(|device| device.wake);
            let others = [Some(statistics_at), scan_at, leave_at].into_iter().flatten();
            self.idle(wakes.chain(others).min()).await;
        }
    }

    async fn set_watches(&self) -> Result<(), XsError> {
        let paths = [BACKEND, power::SHUTDOWN]
            .into_iter()
            .chain(C::SETTINGS.iter().copied());
        for set in join_all(paths.map(|path| self.store.watch(path, path))).await {
            match set {
                // Kept from an earlier attempt.
                Ok(()) | Err(XsError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn is_past(&self, moment: Option<Instant>) -> bool {
        moment.is_some_and(|moment| moment <= self.host.now())
    }

    /// Waits for a watch event, a poke or the deadline; for ever on a connection that has failed.
    async fn idle(&self, deadline: Option<Instant>) {
        if let Some(fault) = self.store.fault() {
            log::error!("xenbus: XenStore is unusable ({fault:?}); no device can come or go any more");
            return core::future::pending().await;
        }
        self.deadline.set(deadline);
        poll_fn(|_| {
            if self.store.has_watch()
                || self.poked.get()
                || self.is_past(deadline)
                || self.store.fault().is_some()
            {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        self.deadline.set(None);
    }

    /// Notes which devices the watch events are about.
    fn take_watches(&self, devices: &mut [Device]) -> Told {
        let mut told = Told::default();
        while let Some(event) = self.store.take_watch() {
            let WatchEvent::Changed { path, token } = event else {
                told = Told {
                    scan: true,
                    shutdown: true,
                    settings: true,
                };
                for device in devices.iter_mut() {
                    (device.dirty, device.changed) = (true, true);
                }
                continue;
            };
            if token == power::SHUTDOWN {
                told.shutdown = true;
                continue;
            }
            if C::SETTINGS.contains(&token.as_str()) {
                told.settings = true;
                continue;
            }
            if path.is_empty() && token == BACKEND {
                told.scan = true;
                devices.iter_mut().for_each(|device| device.dirty = true);
                continue;
            }
            if token != BACKEND {
                if let Some(device) = devices.iter_mut().find(|device| token == device.token()) {
                    device.dirty = true;
                    device.changed |= !path.ends_with("/state");
                }
                continue;
            }
            let below = |device: &Device| {
                let rest = path.strip_prefix(device.backend.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then_some(rest)
            };
            match devices.iter_mut().find(|device| below(device).is_some()) {
                // Our own doing.
                Some(device)
                    if below(device).and_then(|rest| rest.strip_prefix('/')) == Some(statistics::NODE) => {}
                Some(device) => device.dirty = true,
                None => told.scan = true,
            }
        }
        told
    }

    /// Takes what the class has to say.
    fn ask_class(&self, devices: &mut [Device]) {
        while let Some((id, reason)) = self.class.take_fault() {
            if let Some(device) = devices.iter_mut().find(|device| device.id == id) {
                self.class.disconnect(id);
                self.host.forget(transcript::key(id));
                device.phase = Phase::Draining;
                device.error = Some(reason);
                device.dirty = true;
            }
        }
        while let Some((id, nodes)) = self.class.take_update() {
            if let Some(device) = devices.iter_mut().find(|device| device.id == id) {
                device.update = nodes;
                device.dirty = true;
            }
        }
        for device in devices
            .iter_mut()
            .filter(|device| device.phase == Phase::Draining)
        {
            device.dirty |= self.is_released(device.id);
        }
    }

    /// Drops the devices that are gone; true if there were any.
    async fn forget(&self, devices: &mut Vec<Device>) -> bool {
        let before = devices.len();
        for device in devices.iter().filter(|device| device.forgotten) {
            self.class.remove(device.id);
            let (token, paths) = (device.token(), device.watched(C::WATCHED));
            for ended in join_all(paths.iter().map(|path| self.store.unwatch(path, &token))).await {
                match ended {
                    Ok(()) | Err(XsError::NoEntry) => {}
                    Err(error) => log::warn!("{} {}: cannot end its watch: {error}", C::KIND, device.id),
                }
            }
        }
        devices.retain(|device| !device.forgotten);
        devices.len() < before
    }
}
