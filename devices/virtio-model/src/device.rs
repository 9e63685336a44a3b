//! What a transport has behind it.

use crate::queue::{Chain, Piece};
use crate::{Bus, Fault, Identity, Order};

/// What is offered by every device, whatever it is.
#[derive(Clone, Debug)]
pub struct TransportOffer {
    /// What the transport says it is.
    pub identity: Identity,
    /// `VIRTIO_F_ACCESS_PLATFORM`, and then the driver must take it.
    pub access_platform: bool,
    /// `QueueNumMax`.
    pub queue_size: u16,
    /// How often the status reads as before after a reset.
    pub reset_reads: u32,
    /// `FEATURES_OK` does not stay set.
    pub refuses_features: bool,
    /// In which order requests end.
    pub order: Order,
}

/// A configuration field: offset, width of an access, feature bit that makes it valid.
pub type Field = (usize, usize, Option<u32>);

/// A device behind a transport.
pub trait Device {
    /// The feature bits it offers.
    fn features(&self) -> u64;

    /// What is wrong with a choice of features that were all offered.
    fn refuses(&self, taken: u64) -> Option<String>;

    /// Its configuration as it is now.
    fn config(&self) -> Vec<u8>;

    /// The fields of its configuration.
    fn fields(&self) -> &'static [Field];

    /// A configuration byte was read; true if the configuration changes right after.
    fn config_was_read(&mut self, at: usize) -> bool;

    /// A configuration byte was written; false if the driver may not.
    fn config_was_written(&mut self, _at: usize, _value: u8) -> bool {
        false
    }

    /// Number of queues.
    fn queues(&self) -> usize;

    /// It was reset.
    fn reset(&mut self);

    /// How many of these chains the next request takes; 0 if nothing is to be done with them yet.
    fn wants(&mut self, queue: usize, features: u64, taken: &[Chain]) -> usize;

    /// Does one request with all the chains it wanted. Returns the bytes written into each chain used, the first ones; or
    /// what the driver did wrong.
    fn perform(
        &mut self,
        bus: &Bus,
        queue: usize,
        features: u64,
        chains: &[Chain],
        fault: Option<Fault>,
    ) -> Result<Vec<u32>, String>;
}

/// All bytes of some memory.
pub(crate) fn gather(bus: &Bus, pieces: &[Piece]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in pieces {
        let from = all.len();
        all.resize(from + piece.len as usize, 0);
        bus.read(piece.addr, &mut all[from..]);
    }
    all
}

/// Writes bytes into memory, as many as fit.
pub(crate) fn scatter(bus: &Bus, pieces: &[Piece], mut bytes: &[u8]) {
    for piece in pieces {
        let (now, later) = bytes.split_at(bytes.len().min(piece.len as usize));
        bus.write(piece.addr, now);
        bytes = later;
    }
}

/// Writes the last of the device-writable bytes.
pub(crate) fn write_last(bus: &Bus, pieces: &[Piece], byte: u8) {
    if let Some(last) = pieces.iter().rfind(|piece| piece.write) {
        bus.write(last.addr + u64::from(last.len) - 1, &[byte]);
    }
}
