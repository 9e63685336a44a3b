//! `outrigger restart NAME`: has a driver domain start over inside itself, which its guests do not notice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Toolstack;
use crate::error::{Error, Fault};

/// How long the domain is given.
const PATIENCE: Duration = Duration::from_secs(10);

/// A restart in place, as the domain reports it in its own XenStore directory (`data/restart`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restart {
    /// How many there have been.
    pub count: u64,
    /// Why.
    pub reason: String,
    /// From the fault until its guests were served again, in microseconds.
    pub pause_us: u64,
}

/// Restarts it, and waits until it serves again.
///
/// # Errors
/// There is no such domain, or it does not restart in time.
pub fn restart(dom0: Toolstack, name: &str) -> Result<Restart, Error> {
    let domid = dom0.domid(name)?;
    let before = count(dom0, domid)?;
    dom0.xl(&["reboot", name])?;
    wait(dom0, name, domid, before)
}

/// How often the domain has restarted.
pub(super) fn count(dom0: Toolstack, domid: u32) -> Result<u64, Error> {
    let count = dom0.read(&node(domid, "count"))?;
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// Waits for one restart more than `before`.
pub(super) fn wait(dom0: Toolstack, name: &str, domid: u32, before: u64) -> Result<Restart, Error> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let count = count(dom0, domid)?;
        if count > before {
            let pause = dom0.read(&node(domid, "pause-us"))?;
            return Ok(Restart {
                count,
                reason: dom0.read(&node(domid, "reason"))?.unwrap_or_default(),
                pause_us: pause.and_then(|pause| pause.parse().ok()).unwrap_or(0),
            });
        }
        sleep(Duration::from_millis(50));
    }
    Err(Error {
        place: name.to_owned(),
        fault: Fault::NotRestarted,
    })
}

fn node(domid: u32, name: &str) -> String {
    format!("/local/domain/{domid}/data/restart/{name}")
}
