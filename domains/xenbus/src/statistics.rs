//! What devices have done, where users look: the node `statistics` of a device's own directory, which goes with it, and
//! `data/<name>` for what is no device's.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::XsError;

use crate::backend::Backend;
use crate::device::Device;
use crate::join::join_all;
use crate::{DeviceClass, Phase};

/// How often they are written, if they have changed.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// The node's name in a device's directory.
pub(crate) const NODE: &str = "statistics";

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// Writes what has changed since the last time, all at once. `totals`: what was written for no device.
    pub(crate) async fn write_statistics(&self, devices: &mut [Device], totals: &mut Vec<(String, String)>) {
        let mut writes = Vec::new();
        let served = |device: &&mut Device| matches!(device.phase, Phase::Connected | Phase::Closing);
        for device in devices.iter_mut().filter(served) {
            if let Some(words) = self.class.statistics(device.id)
                && words != device.statistics
            {
                writes.push((format!("{}/{NODE}", device.backend), words.clone()));
                device.statistics = words;
            }
        }
        let mut now = self.class.totals();
        now.push(("loop".into(), format!("late-looks={}", self.late_looks.get())));
        let changed = now.iter().filter(|entry| !totals.contains(entry));
        writes.extend(changed.map(|(name, words)| (format!("data/{name}"), words.clone())));
        *totals = now;
        let written = join_all(writes.iter().map(|(path, words)| self.store.write(path, words))).await;
        for ((path, _), written) in writes.iter().zip(written) {
            match written {
                // The directory may have gone meanwhile; we cannot bring it back, since the one above is not ours.
                Ok(()) | Err(XsError::NoEntry | XsError::Access) => {}
                Err(error) => log::debug!("{path}: {error}"),
            }
        }
    }
}
