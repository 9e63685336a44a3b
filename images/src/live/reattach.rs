//! `outrigger reattach NAME`: after a driver domain has died altogether and been created anew, its guests' devices still
//! name the dead one. Each is taken out and plugged in again, as the toolstack's own records describe it.
//!
//! A guest takes a device out in its own time, and what it writes last (state 6) lands in the new device's nodes if those
//! are there already. So the new one comes a little later, and whether the guest has taken it is looked at: not, and it
//! is done once more. Linux 7.3 writes nothing into nodes whose state is 1 again, and takes the new device as soon as it
//! sees them ("state reset occurred, reconnecting"); what a guest runs is not known here, so that it helps, but is not
//! relied on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Toolstack;
use crate::error::{Error, Fault};

/// What a guest is given to see that a device has gone.
const SETTLE: Duration = Duration::from_millis(500);
/// What a guest is given to take a device.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a network card is plugged in before it is given up. A disk is once: a guest that cannot let go of the old one
/// (requests of a mounted file system wait for ever) does not take a third either.
const VIF_TRIES: usize = 3;

/// A guest, of `xl list -l`.
#[derive(Debug, Deserialize)]
struct Guest {
    domid: u32,
    config: Config,
}

#[derive(Debug, Deserialize)]
struct Config {
    c_info: Info,
    #[serde(default)]
    disks: Vec<Disk>,
    #[serde(default)]
    nics: Vec<Nic>,
}

#[derive(Debug, Deserialize)]
struct Info {
    #[serde(default)]
    name: String,
}

/// `libxl_device_disk`, as far as a driver domain's disks go.
#[derive(Debug, Deserialize)]
struct Disk {
    #[serde(default)]
    backend_domname: String,
    #[serde(default)]
    pdev_path: String,
    vdev: String,
    #[serde(default)]
    readwrite: u32,
    #[serde(default)]
    removable: u32,
    /// `libxl_defbool`, in words.
    discard_enable: Option<String>,
    #[serde(default)]
    direct_io_safe: bool,
}

/// `libxl_device_nic`.
#[derive(Debug, Deserialize)]
struct Nic {
    #[serde(default)]
    backend_domname: String,
    #[serde(default)]
    devid: u32,
    mac: Option<String>,
    bridge: Option<String>,
    ip: Option<String>,
    script: Option<String>,
    ifname: Option<String>,
    gatewaydev: Option<String>,
    mtu: Option<u32>,
    vlan: Option<String>,
    #[serde(default)]
    rate_bytes_per_interval: u64,
    #[serde(default)]
    rate_interval_usecs: u32,
}

/// A device that names a dead driver domain, and the two calls of `xl` that plug it in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plug {
    /// Whose it is.
    pub guest: String,
    /// What it is: `vif 0`, `vbd xvda`.
    pub device: String,
    /// Takes it out.
    pub detach: Vec<String>,
    /// Plugs it in.
    pub attach: Vec<String>,
    /// The toolstack's record of it in XenStore.
    record: String,
}

/// Every device of driver domain `name` that another domain than the running `name` was to serve.
///
/// # Errors
/// There is no such domain, or `xl` does not say what there is.
pub fn stale(dom0: Toolstack, name: &str) -> Result<Vec<Plug>, Error> {
    let serving = dom0.domid(name)?;
    let guests: Vec<Guest> = serde_json::from_str(&dom0.xl(&["list", "-l"])?).map_err(|error| Error {
        place: "xl list -l".to_owned(),
        fault: Fault::Program(error.to_string()),
    })?;
    let mut plugs = Vec::new();
    for guest in &guests {
        let records = format!("/libxl/{}/device", guest.domid);
        let is_stale = |kind: &str, device: &str| -> Result<bool, Error> {
            let backend = dom0.read(&format!("{records}/{kind}/{device}/backend"))?;
            Ok(backend.is_some_and(|path| !path.starts_with(&format!("/local/domain/{serving}/"))))
        };
        for nic in guest.config.nics.iter().filter(|nic| nic.backend_domname == name) {
            if is_stale("vif", &nic.devid.to_string())? {
                plugs.push(guest.vif(nic, format!("{records}/vif/{}", nic.devid)));
            }
        }
        let disks = guest
            .config
            .disks
            .iter()
            .filter(|disk| disk.backend_domname == name);
        let disks: Vec<&Disk> = disks.collect();
        if disks.is_empty() {
            continue;
        }
        for device in dom0.list(&format!("{records}/vbd"))? {
            let vdev = dom0.read(&format!("{records}/vbd/{device}/dev"))?;
            let disk = disks.iter().find(|disk| Some(&disk.vdev) == vdev.as_ref());
            if let Some(disk) = disk
                && is_stale("vbd", &device)?
            {
                plugs.push(guest.vbd(disk, format!("{records}/vbd/{device}")));
            }
        }
    }
    Ok(plugs)
}

/// Plugs one device in again.
///
/// # Errors
/// What `xl` says of the step that failed, or that the guest does not take the device.
pub fn plug(dom0: Toolstack, plug: &Plug) -> Result<(), Error> {
    let tries = if plug.record.contains("/vif/") {
        VIF_TRIES
    } else {
        1
    };
    for _ in 0..tries {
        xl(dom0, &plug.detach)?;
        sleep(SETTLE);
        xl(dom0, &plug.attach)?;
        if is_taken(dom0, plug)? {
            return Ok(());
        }
    }
    Err(Error {
        place: format!("xl {}", plug.attach.join(" ")),
        fault: Fault::NotTaken,
    })
}

fn xl(dom0: Toolstack, words: &[String]) -> Result<String, Error> {
    dom0.xl(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Whether the guest takes the device: both ends come to state 4. False as soon as its end is at 6.
fn is_taken(dom0: Toolstack, plug: &Plug) -> Result<bool, Error> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut states = [None, None];
        for (state, side) in states.iter_mut().zip(["backend", "frontend"]) {
            if let Some(path) = dom0.read(&format!("{}/{side}", plug.record))? {
                *state = dom0.read(&format!("{path}/state"))?;
            }
        }
        match states.each_ref().map(Option::as_deref) {
            [Some("4"), Some("4")] => return Ok(true),
            [_, Some("6")] => return Ok(false),
            _ => sleep(Duration::from_millis(100)),
        }
    }
    Ok(false)
}

impl Guest {
    fn vif(&self, nic: &Nic, record: String) -> Plug {
        let (guest, devid) = (self.domid.to_string(), nic.devid.to_string());
        let mut attach = vec!["network-attach".to_owned(), guest.clone()];
        attach.push(format!("backend={}", nic.backend_domname));
        let texts = [
            ("mac", &nic.mac),
            ("bridge", &nic.bridge),
            ("ip", &nic.ip),
            ("script", &nic.script),
            ("vifname", &nic.ifname),
            ("gatewaydev", &nic.gatewaydev),
            ("vlan", &nic.vlan),
        ];
        attach.extend(
            texts
                .iter()
                .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?))),
        );
        attach.extend(nic.mtu.filter(|mtu| *mtu != 0).map(|mtu| format!("mtu={mtu}")));
        if nic.rate_bytes_per_interval > 0 && nic.rate_interval_usecs > 0 {
            let interval = u64::from(nic.rate_interval_usecs);
            let bytes_a_second = nic.rate_bytes_per_interval.saturating_mul(1_000_000) / interval;
            attach.push(format!("rate={bytes_a_second}B/s@{interval}us"));
        }
        Plug {
            guest: self.config.c_info.name.clone(),
            device: format!("vif {devid}"),
            detach: vec!["network-detach".to_owned(), guest, devid],
            attach,
            record,
        }
    }

    fn vbd(&self, disk: &Disk, record: String) -> Plug {
        let guest = self.domid.to_string();
        let mut words = vec![
            format!("backend={}", disk.backend_domname),
            format!("vdev={}", disk.vdev),
            "format=raw".to_owned(),
            format!("access={}", if disk.readwrite != 0 { "rw" } else { "ro" }),
        ];
        words.extend((disk.removable != 0).then(|| "removable".to_owned()));
        words.extend(disk.direct_io_safe.then(|| "direct-io-safe".to_owned()));
        match disk.discard_enable.as_deref() {
            Some("True") => words.push("discard".to_owned()),
            Some("False") => words.push("no-discard".to_owned()),
            _ => {}
        }
        // Last, because it takes all that follows it.
        words.push(format!("target={}", disk.pdev_path));
        Plug {
            guest: self.config.c_info.name.clone(),
            device: format!("vbd {}", disk.vdev),
            detach: vec!["block-detach".to_owned(), guest.clone(), disk.vdev.clone()],
            attach: vec!["block-attach".to_owned(), guest, words.join(",")],
            record,
        }
    }
}
