//! Finding the devices: `backend/<kind>/<frontend>/<handle>`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::DomId;
use outrigger_xen::xenstore::{XsError, parse_u32};

use crate::backend::{BACKEND, Backend};
use crate::device::{Device, frontend_path};
use crate::{DeviceClass, DeviceId, Refusal};

/// Most devices at once. xenstored grants a domain 128 watches, and each device takes one.
const DEVICES_MAX: usize = 100;

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
                if devices.len() >= DEVICES_MAX {
                    log::error!("{} {id}: {DEVICES_MAX} devices are served already", C::KIND);
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
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A device that is new to us: finds its frontend and watches it. What is wrong with it is its own affair.
    async fn discover(&self, id: DeviceId, backend: String) -> Device {
        let mut device = Device::new(id, backend, self.clock.now());
        let named = self
            .store
            .read_text(&format!("{}/frontend", device.backend))
            .await;
        let found = match frontend_path(named.as_deref().unwrap_or_default(), id.frontend) {
            Ok(frontend) => {
                let state = format!("{frontend}/state");
                match self.store.watch(&state, &device.token()).await {
                    Ok(()) | Err(XsError::Exists) => Ok(frontend),
                    Err(error) => Err(Refusal(format!("cannot watch {state}: {error}"))),
                }
            }
            Err(refusal) => Err(refusal),
        };
        match found {
            Ok(frontend) => device.frontend = Some(frontend),
            Err(refusal) => device.error = Some(refusal.0),
        }
        device
    }
}
