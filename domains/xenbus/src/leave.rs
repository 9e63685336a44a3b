//! The domain's end in good order: who asks it to power off while guests use its devices (`xl shutdown`, a host that shuts
//! down all its domains at once) gets that when they have closed, or after a bounded time.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::{Instant, Shutdown};

use crate::backend::Backend;
use crate::device::Device;
use crate::join::join_all;
use crate::power::Wish;
use crate::{DeviceClass, Phase};

/// Most bytes of the node that names users.
const USERS_MAX: usize = 1024;

/// An end that guests are waited for.
pub(crate) struct Leaving {
    wish: Wish,
    /// Whom the console and XenStore have named.
    named: String,
}

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// How long guests are waited for when the toolstack asks the domain to power off; not at all without this.
    pub fn set_shutdown_wait(&self, wait: Duration) {
        self.shutdown_wait.set(wait);
    }

    /// Takes a wish of the toolstack, or of an earlier life's. A second one is obeyed at once.
    pub(crate) fn wish(&self, wish: Wish) {
        let waits = matches!(wish.end, Shutdown::PowerOff | Shutdown::Halt) && wish.until > self.host.now();
        if waits && self.leaving.take().is_none() {
            let named = String::new();
            self.leaving.replace(Some(Leaving { wish, named }));
        } else {
            self.shutdown.set(Some(wish.end));
        }
    }

    /// Ends the domain if it is to end and nobody uses it or it has waited long enough; says who does. Returns when it
    /// ends at the latest.
    pub(crate) async fn leave(&self, devices: &[Device]) -> Option<Instant> {
        let Leaving { wish, named } = self.leaving.take()?;
        let users = users(devices);
        if users.is_empty() || self.is_past(Some(wish.until)) {
            if !users.is_empty() {
                log::warn!("{}: ends, though it is used by {users}", C::KIND);
            }
            self.shutdown.set(Some(wish.end));
            return None;
        }
        if users != named {
            let seconds = wish.until.since(self.host.now()).as_secs();
            log::warn!(
                "{}: is used by {users}; ends when they have closed, in {seconds} s at the latest, or when asked again",
                C::KIND
            );
            let nodes = [
                ("data/shutdown/used-by", users.clone()),
                ("data/shutdown/seconds-left", format!("{seconds}")),
            ];
            let writes = join_all(nodes.iter().map(|(path, text)| self.store.write(path, text))).await;
            if let Some(error) = writes.into_iter().find_map(Result::err) {
                log::warn!("data/shutdown: {error}");
            }
        }
        self.leaving.replace(Some(Leaving { wish, named: users }));
        Some(wish.until)
    }
}

/// The devices that guests use, as `GUEST/NUMBER`; as many as a node takes.
fn users(devices: &[Device]) -> String {
    let is_used =
        |device: &&Device| matches!(device.phase, Phase::Connected | Phase::Closing | Phase::Draining);
    let mut users = String::new();
    for device in devices.iter().filter(is_used) {
        if users.len() > USERS_MAX {
            users += " …";
            break;
        }
        if !users.is_empty() {
            users.push(' ');
        }
        users += &format!("{}", device.id);
    }
    users
}
