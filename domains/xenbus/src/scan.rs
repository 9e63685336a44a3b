//! Finding the devices: `backend/<kind>/<frontend>/<handle>`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::DomId;
use outrigger_xen::xenstore::{XsError, parse_u32};

use crate::backend::{BACKEND, Backend};
use crate::device::{Device, frontend_path};
use crate::join::join_all;
use crate::{DeviceClass, DeviceId};

/// Most devices at once: xenstored grants a domain 128 watches, two are ours, and each device takes one or more.
const fn devices_max(watched: usize) -> usize {
    let devices = 126 / (1 + watched);
    if devices < 100 { devices } else { 100 }
}

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// Adds the devices that are not known yet, in the order of their numbers.
    pub(crate) async fn scan(&self, devices: &mut Vec<Device>) -> Result<(), XsError> {
        let top = format!("{BACKEND}/{}", C::KIND);
        let mut complete = Ok(());
        for frontend in self.list(&top).await? {
            let Ok(frontend) = u16::try_from(frontend) else {
                continue;
            };
            let handles = self
                .list(&format!("{top}/{frontend}"))
                .await
                .unwrap_or_else(|error| {
                    complete = Err(error);
                    Vec::new()
                });
            for handle in handles {
                let id = DeviceId {
                    frontend: DomId(frontend),
                    handle,
                };
                if devices.iter().any(|device| device.id == id) {
                    continue;
                }
                let most = const { devices_max(C::WATCHED.len()) };
                if devices.len() >= most {
                    log::error!("{} {id}: {most} devices are served already", C::KIND);
                    return complete;
                }
                devices.push(self.discover(id, format!("{top}/{id}")).await);
            }
        }
        complete
    }

    /// The children of a directory that are numbers, in order.
    async fn list(&self, path: &str) -> Result<Vec<u32>, XsError> {
        let names = match self.store.directory(path).await {
            Err(XsError::NoEntry | XsError::Access) => return Ok(Vec::new()),
            names => names?,
        };
        let number = |name: &str| parse_u32(name.as_bytes()).filter(|number| number.to_string() == *name);
        let mut numbers: Vec<u32> = Vec::new();
        // They are few, and a sort would be kilobytes of code.
        for number in names.iter().filter_map(|name| number(name)) {
            numbers.insert(numbers.partition_point(|other| *other < number), number);
        }
        Ok(numbers)
    }

    /// A device that is new to us: finds its frontend and watches it. What is wrong with it is its own affair.
    async fn discover(&self, id: DeviceId, backend: String) -> Device {
        let mut device = Device::new(id, backend, self.host.now());
        let named = self
            .store
            .read_text(&format!("{}/frontend", device.backend))
            .await;
        match frontend_path(named.as_deref().unwrap_or_default(), id.frontend) {
            Ok(frontend) => device.frontend = Some(frontend),
            Err(refusal) => device.error = Some(refusal.0),
        }
        self.watch_frontend(&mut device).await;
        device
    }

    /// Watches a device's frontend; without that it cannot be served.
    pub(crate) async fn watch_frontend(&self, device: &mut Device) {
        let (token, paths) = (device.token(), device.watched(C::WATCHED));
        let set = join_all(paths.iter().map(|path| self.store.watch(path, &token))).await;
        let failed = |(_, set): &(&String, Result<(), XsError>)| {
            set.as_ref().is_err_and(|error| *error != XsError::Exists)
        };
        if let Some((path, Err(error))) = paths.iter().zip(set).find(failed) {
            device.frontend = None;
            device.error = Some(format!("cannot watch {path}: {error}"));
            join_all(paths.iter().map(|path| self.store.unwatch(path, &token))).await;
        }
    }
}
