//! Which multicast addresses a guest listens to, if it cares to say.

use alloc::vec::Vec;

use crate::packet::Mac;

/// Most addresses of a guest, as Linux has it.
pub(crate) const ADDRESSES_MAX: usize = 64;

/// A list of addresses, which counts only while the guest wants it to.
#[derive(Clone, Debug)]
pub struct MulticastFilter {
    listed: Vec<Mac>,
    applied: bool,
}

impl MulticastFilter {
    /// An empty list, and whether it counts: then only broadcast and what will be added passes.
    pub fn new(applied: bool) -> Self {
        Self {
            listed: Vec::with_capacity(ADDRESSES_MAX),
            applied,
        }
    }

    /// Whether the list counts from now on.
    pub fn apply(&mut self, applied: bool) {
        self.applied = applied;
    }

    /// Adds an address or removes one, whether the list counts or not. False if that cannot be: no multicast address, or too
    /// many.
    pub fn change(&mut self, address: Mac, add: bool) -> bool {
        let at = self.listed.iter().position(|listed| *listed == address);
        match (add, at) {
            (true, Some(_)) => true,
            (true, None) => {
                let fits = address.is_multicast() && self.listed.len() < ADDRESSES_MAX;
                if fits {
                    self.listed.push(address);
                }
                fits
            }
            (false, Some(at)) => {
                self.listed.swap_remove(at);
                true
            }
            // Removed already, or it never was.
            (false, None) => address.is_multicast(),
        }
    }

    /// The addresses.
    pub fn listed(&self) -> &[Mac] {
        &self.listed
    }

    /// Whether a frame to this multicast address is for the guest.
    pub fn wants(&self, address: Mac) -> bool {
        address == Mac::BROADCAST || !self.applied || self.listed.contains(&address)
    }
}
