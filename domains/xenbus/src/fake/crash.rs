//! Lives that fail at a given step.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};
use std::string::String;

use outrigger_xen::fake::{Crash, Domain};
use outrigger_xen::{Key, Wake};

use super::Life;
use crate::{Backend, Service};

/// The guests and the toolstack of a test, who do one thing after the other on the machine `H`, and do not fail.
pub trait Others<H> {
    /// Goes on, as far as that is possible without waiting. True if something was done.
    fn go_on(&mut self, host: &H) -> bool;
    /// All is done.
    fn is_over(&self) -> bool;
    /// What they wait for, in words.
    fn waits_for(&self, host: &H) -> String;
}

/// One life of the driver domain `dd` on `host`, from where its image has made the class until all is over, or it fails.
///
/// # Panics
/// Nothing happens any more; or with [`Crash`].
pub fn live<H>(dd: &Domain, service: &impl Service, host: &H, others: &mut impl Others<H>) {
    let store = dd.xenstore();
    let backend = Backend::new(&store, dd, service);
    backend.resume();
    let life = Life::new(dd, service, &store, &backend);
    let mut wake = Some(Wake::default());
    let mut idle = 0;
    while !others.is_over() {
        if let Some(this) = wake {
            wake = life.turn_and_look(this);
            continue;
        }
        if others.go_on(host) {
            idle = 0;
        } else {
            idle += 1;
            assert!(idle < 300, "nothing happens any more: {}", others.waits_for(host));
            dd.xen().advance(Duration::from_millis(10));
        }
        // XenStore may have something to say.
        wake = Some(life.woken().unwrap_or_default());
    }
}

/// A life that fails after so many steps, and then restarts; true if it did not come to that.
pub fn live_for(dd: &Domain, steps: u64, live: impl FnOnce()) -> bool {
    dd.crash_at(steps);
    match catch_unwind(AssertUnwindSafe(live)) {
        Ok(()) => {
            dd.crash_never();
            true
        }
        Err(crash) if crash.is::<Crash>() => {
            dd.restart();
            false
        }
        Err(failure) => resume_unwind(failure),
    }
}

/// A record of a device's: not the place in XenStore's ring.
pub fn is_a_devices(key: Key) -> bool {
    key.kind == Key::TRANSCRIPT || key.kind >= Key::CLASS
}
