//! What outlives a restart in place.
//!
//! A driver domain that fails starts over inside itself: the same domid, the same grants, the same rings, all else from
//! zero. Three things are carried over: the *records* that a backend keeps here, the mappings of granted pages (Xen knows
//! them, and nobody can list them), and the shared rings themselves, which are the guests' memory.
//!
//! A record is where its data lives, never a copy of it: so keeping it costs the data path nothing, and what it says is
//! what was true when the domain failed. One processor runs everything, so program order is the order in which the next
//! life finds the stores; it may have failed between any two of them.
//!
//! **Mappings** of the earlier life belong to nobody until somebody maps the same page again:
//! [`GrantTable::map_pages`](crate::GrantTable::map_pages) and [`map_for_dma`](crate::GrantTable::map_for_dma) find
//! them by domain, reference and access, and hand them out without asking Xen. What nobody has claimed after a while goes
//! by [`sweep`](Survivors::sweep), and before a guest is told that nothing of its is held
//! ([`unclaimed`](Survivors::unclaimed)).
//!
//! **Ports** of the earlier life are closed before the new one begins: a ring's remote port is bound again like at first,
//! and is pending at once. **Devices** are reset by their drivers' probe before any memory is used again.

use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;

use crate::{DomId, Instant};

/// What a record is about: which kind, of which device, and which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it holds: one of the constants of [`Key`], or a class's own from [`Key::CLASS`] on. Never 0.
    pub kind: u8,
    /// The device's guest.
    pub frontend: DomId,
    /// The device's number in that guest.
    pub handle: u32,
    /// The ring, or whatever else there are several of.
    pub part: u8,
}

impl Key {
    /// XenBus: what was read and published when a device connected.
    pub const TRANSCRIPT: u8 = 1;
    /// XenBus: how the toolstack wants the domain to end.
    pub const WISH: u8 = 2;
    /// The first kind that a device class may give its own meaning.
    pub const CLASS: u8 = 16;

    /// As one number, never 0.
    pub fn bits(self) -> u64 {
        u64::from(self.kind) << 56
            | u64::from(self.frontend.0) << 40
            | u64::from(self.handle) << 8
            | u64::from(self.part)
    }

    /// From its number; `None` for a kind of 0.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let [kind, dom_high, dom_low, h3, h2, h1, h0, part] = bits.to_be_bytes();
        (kind != 0).then_some(Self {
            kind,
            frontend: DomId(u16::from_be_bytes([dom_high, dom_low])),
            handle: u32::from_be_bytes([h3, h2, h1, h0]),
            part,
        })
    }
}

/// Where in the domain's own directory of XenStore it is written whether the domain goes on.
pub const RESTART_STATE: &str = "data/restart/state";

/// How a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, by this domain's clock, which goes on.
    pub at: Instant,
    /// Why, in printable ASCII.
    pub reason: String,
    /// Return addresses, innermost first.
    pub trace: Vec<u64>,
}

/// The memory that outlives a restart in place, and what the earlier life had mapped.
pub trait Survivors {
    /// A record's bytes. The other party that wrote them is an earlier life, which may have been wrong about everything:
    /// whoever finds a record checks each value before it is used.
    type Record: SharedPages;

    /// Makes a record of `len` bytes, all zero, in place of one with the same key. `None`: there is no room, and what
    /// would have been in it is lost at the next restart. Not for the data path.
    fn keep(&self, key: Key, len: usize) -> Option<Self::Record>;
    /// The record with that key, of this life or of an earlier one.
    fn kept(&self, key: Key) -> Option<Self::Record>;
    /// Drops a record, if there is one. Whoever still has it must not use it any more.
    fn forget(&self, key: Key);
    /// The keys of all records.
    fn keys(&self) -> Vec<Key>;
    /// How often the domain has restarted in place: 0 in its first life.
    fn life(&self) -> u32;
    /// How the last life ended; `None` in the first.
    fn ended(&self) -> Option<Ended>;
    /// Pages that an earlier life had mapped from `dom` and that nobody has claimed in this one.
    fn unclaimed(&self, dom: DomId) -> usize;
    /// Unmaps at most `most` of the pages that nobody has claimed, of one guest or of all; whether there may be more.
    fn sweep(&self, dom: Option<DomId>, most: usize) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbers_and_back() {
        let key = Key {
            kind: Key::CLASS,
            frontend: DomId(0x7fef),
            handle: u32::MAX,
            part: 7,
        };
        assert_eq!(Key::from_bits(key.bits()), Some(key));
        assert_eq!(key.bits(), 0x107f_efff_ffff_ff07);
        assert_eq!(Key::from_bits(0xff_ffff_ffff_ffff), None);
    }
}
