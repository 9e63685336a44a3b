//! What devices have done, where users look: the node `statistics` of a device's own directory, which goes with it, and
//! `data/<name>` for what is no device's.
//!
//! Words of `key=value`, one space between them; neither has a space or an `=`. The last is `restarts=N`, how
//! often this domain has restarted in place (`data/restart/count`): the other counters began at zero then.

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
        let restarts = self.host.life();
        let whole = |words: String| {
            debug_assert!(is_words(&words), "\"{words}\" is not key=value");
            format!("{words} restarts={restarts}")
        };
        let served = |device: &&mut Device| matches!(device.phase, Phase::Connected | Phase::Closing);
        for device in devices.iter_mut().filter(served) {
            if let Some(words) = self.class.statistics(device.id).map(whole)
                && words != device.statistics
            {
                writes.push((format!("{}/{NODE}", device.backend), words.clone()));
                device.statistics = words;
            }
        }
        let mut now = self.class.totals();
        now.push(("loop".into(), format!("late-looks={}", self.late_looks.get())));
        let now: Vec<_> = now
            .into_iter()
            .map(|(name, words)| (name, whole(words)))
            .collect();
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

/// Whether a reader that splits at spaces, and each part at its one `=`, finds a key and a value everywhere.
fn is_words(words: &str) -> bool {
    let is_sound = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    words.split(' ').all(|word| {
        word.split_once('=')
            .is_some_and(|(key, value)| is_sound(key) && is_sound(value) && !value.contains('='))
    })
}

#[cfg(test)]
mod tests {
    use super::is_words;

    #[test]
    fn words_have_keys_and_values() {
        assert!(is_words("reads=1") && is_words("link=up tx-dropped-bad-grant=3"));
        for bad in [
            "",
            "reads",
            "reads=",
            "=1",
            "a=1  b=2",
            "a=1 ",
            "a=b=c",
            "tx-dropped-bad grant=3",
            "reads=1, 3 requests carried out again",
        ] {
            assert!(!is_words(bad), "{bad}");
        }
    }
}
