//! The toolstack: the nodes that `xl` makes and removes, with their permissions (libxl's `libxl__device_generic_add`,
//! `libxl__initiate_device_generic_remove`).

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{Caller, Perms, XenStored};
use crate::DomId;

/// Domain 0's toolstack.
#[derive(Clone)]
pub struct Toolstack {
    dom0: Caller,
}

/// One device between a driver domain and a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver domain.
    pub backend: DomId,
    /// The guest.
    pub frontend: DomId,
    /// `vbd`, `vif` …, in both paths.
    pub kind: &'static str,
    /// Its number.
    pub devid: u32,
}

impl Device {
    /// `/local/domain/<dd>/backend/<kind>/<fe>/<devid>`.
    pub fn backend_path(&self) -> String {
        format!(
            "/local/domain/{}/backend/{}/{}/{}",
            self.backend.0, self.kind, self.frontend.0, self.devid
        )
    }

    /// `/local/domain/<fe>/device/<kind>/<devid>`.
    pub fn frontend_path(&self) -> String {
        format!(
            "/local/domain/{}/device/{}/{}",
            self.frontend.0, self.kind, self.devid
        )
    }

    fn libxl_path(&self) -> String {
        format!("/libxl/{}/device/{}/{}", self.frontend.0, self.kind, self.devid)
    }
}

impl XenStored {
    /// The toolstack of domain 0.
    pub fn toolstack(&self) -> Toolstack {
        Toolstack {
            dom0: self.by(DomId(0)),
        }
    }
}

/// Domain 0 may do everything, so that nothing it does to the tree fails.
fn done(result: Result<(), &'static str>) {
    result.expect("domain 0 may do everything");
}

impl Toolstack {
    /// The directory of a new domain: read-only to it, but for the nodes that libxl gives it.
    pub fn create_domain(&self, domain: DomId) {
        let top = format!("/local/domain/{}", domain.0);
        let read_only = Perms::owned_by(DomId(0)).readable_by(domain);
        for path in ["", "/device", "/control", "/cpu", "/memory"] {
            done(self.dom0.mkdir(&format!("{top}{path}")));
            done(self.dom0.set_perms(&format!("{top}{path}"), read_only.clone()));
        }
        let own = [
            "control/shutdown",
            "control/feature-poweroff",
            "control/feature-reboot",
            "control/feature-suspend",
            "control/sysrq",
            "data",
            "drivers",
            "feature",
            "attr",
            "error",
            "device/suspend/event-channel",
        ];
        for path in own {
            done(self.dom0.write(&format!("{top}/{path}"), ""));
            done(
                self.dom0
                    .set_perms(&format!("{top}/{path}"), Perms::owned_by(domain)),
            );
        }
        done(self.dom0.write(&format!("{top}/domid"), domain.0.to_string()));
    }

    /// Makes a device's nodes in one go. `backend` and `frontend` are the keys beside those that every device has.
    pub fn attach(&self, device: Device, backend: &[(&str, &str)], frontend: &[(&str, &str)]) {
        let (be, fe) = (device.backend_path(), device.frontend_path());
        let common = [
            (&be, "frontend", fe.clone()),
            (&be, "frontend-id", device.frontend.0.to_string()),
            (&be, "online", "1".into()),
            (&be, "state", "1".into()),
            (&fe, "backend", be.clone()),
            (&fe, "backend-id", device.backend.0.to_string()),
            (&fe, "state", "1".into()),
        ];
        // The directories first, so that the keys take their permissions over.
        for (path, owner, reader) in [
            (&be, device.backend, device.frontend),
            (&fe, device.frontend, device.backend),
        ] {
            let parents: Vec<usize> = path.match_indices('/').map(|(at, _)| at).skip(3).collect();
            for at in parents {
                let above = &path[..at];
                if !self.dom0.exists(above) {
                    done(self.dom0.mkdir(above));
                }
            }
            done(self.dom0.mkdir(path));
            done(
                self.dom0
                    .set_perms(path, Perms::owned_by(owner).readable_by(reader)),
            );
        }
        let keys = |top: &String, keys: &[(&str, &str)]| -> Vec<(String, String)> {
            keys.iter()
                .map(|(key, value)| (format!("{top}/{key}"), (*value).to_string()))
                .collect()
        };
        let mut writes = keys(&be, backend);
        writes.extend(keys(&fe, frontend));
        writes.extend(common.map(|(top, key, value)| (format!("{top}/{key}"), value)));
        writes.push((format!("{}/backend", device.libxl_path()), be));
        done(self.dom0.transact(&writes, &[]));
    }

    /// Begins `xl …-detach`: the backend is asked to close.
    pub fn begin_detach(&self, device: Device) {
        self.close(device, &[]);
    }

    /// Begins the end of a guest: its nodes go together with the request to close.
    pub fn begin_destroy(&self, device: Device) {
        let frontend = device.frontend_path();
        let there = self.dom0.exists(&frontend);
        self.close(
            device,
            if there {
                core::slice::from_ref(&frontend)
            } else {
                &[]
            },
        );
    }

    fn close(&self, device: Device, removals: &[String]) {
        let be = device.backend_path();
        let Ok(state) = self.dom0.read(&format!("{be}/state")) else {
            return;
        };
        let mut writes = Vec::from([(format!("{be}/online"), "0".into())]);
        if state != "6" {
            writes.push((format!("{be}/state"), "5".into()));
        }
        done(self.dom0.transact(&writes, removals));
    }

    /// Ends a detach when the backend's directory is gone: true if it was and everything is removed.
    pub fn finish_detach(&self, device: Device) -> bool {
        if self.dom0.exists(&device.backend_path()) {
            return false;
        }
        for path in [device.frontend_path(), device.libxl_path()] {
            if self.dom0.exists(&path) {
                done(self.dom0.rm(&path));
            }
        }
        true
    }

    /// What libxl does when its patience ends: everything goes.
    pub fn force_remove(&self, device: Device) {
        for path in [device.backend_path(), device.frontend_path(), device.libxl_path()] {
            if self.dom0.exists(&path) {
                done(self.dom0.rm(&path));
            }
        }
    }

    /// Removes a domain's directory.
    pub fn remove_domain(&self, domain: DomId) {
        done(self.dom0.rm(&format!("/local/domain/{}", domain.0)));
    }
}
