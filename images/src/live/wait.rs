//! `outrigger wait NAME`: until a driver domain serves, so that guests that need it can be started.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Toolstack;
use crate::error::{Error, Fault};

/// How often it is looked at.
const PACE: Duration = Duration::from_millis(200);

/// Waits until the domain `name` is there and answers the toolstack. Returns its number.
///
/// # Errors
/// It does not within `timeout`, or has given up; or there is no toolstack to ask.
pub fn wait(dom0: Toolstack, name: &str, timeout: Duration) -> Result<u32, Error> {
    let end = Instant::now() + timeout;
    let fault = |fault| Error {
        place: name.to_owned(),
        fault,
    };
    loop {
        let missing = match dom0.domid(name) {
            Ok(domid) => {
                let domain = format!("/local/domain/{domid}");
                if let Some(state) = dom0.read(&format!("{domain}/data/restart/state"))?
                    && has_given_up(&state)
                {
                    return Err(fault(Fault::Program(state)));
                }
                if dom0.read(&format!("{domain}/{SERVES}"))?.as_deref() == Some("1") {
                    return Ok(domid);
                }
                false
            }
            Err(Error {
                fault: Fault::NoSuchDomain,
                ..
            }) => true,
            Err(error) => return Err(error),
        };
        if Instant::now() >= end {
            return Err(fault(Fault::NotServing {
                seconds: timeout.as_secs(),
                missing,
            }));
        }
        sleep(PACE);
    }
}

/// What a driver domain sets to 1 when it begins to serve (`domains/xenbus`).
pub(super) const SERVES: &str = "control/feature-poweroff";

/// Whether the state of a domain's restarts says that there will be none any more.
pub(super) fn has_given_up(state: &str) -> bool {
    state.starts_with("stopped")
}
