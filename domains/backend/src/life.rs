//! What of a device outlives a restart of this domain in place: its records.

use alloc::format;
use alloc::string::{String, ToString};

use outrigger_ring::SharedPages;
use outrigger_xen::{Key, Survivors};
use outrigger_xenbus::DeviceId;

/// A device that is about to be attached to.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Which one.
    pub device: DeviceId,
    /// An earlier life of this domain has served it: its records are there, and its frontend expects everything to go on.
    pub resumed: bool,
}

/// Why a device cannot be served on, for its `error` node.
pub fn unsound(why: &str) -> String {
    format!("what was kept of it over a restart cannot be believed: {why}")
}

impl Life {
    /// The name of a record of the device's: `part` is a ring, or whatever else there are several of.
    pub fn key(&self, part: u8) -> Key {
        Key {
            kind: Key::CLASS,
            frontend: self.device.frontend,
            handle: self.device.handle,
            part,
        }
    }

    /// A record of `bytes` bytes: what an earlier life has left, or a new one, all zero.
    ///
    /// # Errors
    /// There is no room for one, or none was left, or it is too short.
    pub fn record<H: Survivors>(&self, hv: &H, part: u8, bytes: usize) -> Result<H::Record, String> {
        if !self.resumed {
            let record = hv.keep(self.key(part), bytes);
            return record.ok_or_else(|| "no room to note down what outlives a restart".to_string());
        }
        let kept = hv
            .kept(self.key(part))
            .ok_or_else(|| unsound("there is nothing"))?;
        if kept.len() < bytes {
            return Err(unsound("it is too short"));
        }
        Ok(kept)
    }

    /// The device's channels are given back: the records of so many parts are kept no longer. To be the last thing, because
    /// without them the next life does not serve the device.
    pub fn end(&self, hv: &impl Survivors, parts: u8) {
        (0..parts).for_each(|part| hv.forget(self.key(part)));
    }
}
