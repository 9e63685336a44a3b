//! What Dom0 wants of the class, by nodes of this domain's own directory.

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::XsError;

use crate::DeviceClass;
use crate::backend::Backend;
use crate::join::join_all;

/// Most bytes of a value. No setting is longer.
const VALUE_MAX: usize = 256;

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// Reads all settings, and tells the class.
    pub(crate) async fn read_settings(&self) {
        let values = join_all(C::SETTINGS.iter().map(|node| self.store.read_text(node))).await;
        for (node, value) in C::SETTINGS.iter().zip(values) {
            match value {
                Ok(value) if value.len() <= VALUE_MAX => self.class.set(node, &value),
                Ok(value) => log::warn!("{node}: {} bytes; write at most {VALUE_MAX}", value.len()),
                Err(XsError::NoEntry) => self.class.set(node, ""),
                Err(error) => log::warn!("{node}: {error}"),
            }
        }
    }

    /// Writes the settings that have changed by themselves.
    pub(crate) async fn write_settings(&self) {
        while let Some((node, value)) = self.class.take_setting() {
            if let Err(error) = self.store.write(node, &value).await {
                log::warn!("{node}: {error}");
            }
        }
    }
}
