//! Which multicast addresses a guest listens to, if it cares to say.

use alloc::vec::Vec;

use crate::packet::Mac;

/// Most addresses of a guest, as Linux has it.
const ADDRESSES_MAX: usize = 64;

/// A list of addresses; everything while there is none.
#[derive(Clone, Debug, Default)]
pub struct MulticastFilter {
    listed: Option<Vec<Mac>>,
}

impl MulticastFilter {
    /// Nothing but broadcast and what will be added.
    pub fn selective() -> Self {
        Self {
            listed: Some(Vec::with_capacity(ADDRESSES_MAX)),
        }
    }

    /// Everything.
    pub fn open() -> Self {
        Self::default()
    }

    /// Adds an address or removes one. False if that cannot be: no multicast address, too many, or the guest never asked
    /// for a filter.
    pub fn change(&mut self, address: Mac, add: bool) -> bool {
        let Some(listed) = &mut self.listed else {
            return false;
        };
        let at = listed.iter().position(|listed| *listed == address);
        match (add, at) {
            (true, Some(_)) => true,
            (true, None) => {
                let fits = address.is_multicast() && listed.len() < ADDRESSES_MAX;
                if fits {
                    listed.push(address);
                }
                fits
            }
            (false, Some(at)) => {
                listed.swap_remove(at);
                true
            }
            // Removed already, or it never was.
            (false, None) => address.is_multicast(),
        }
    }

    /// Whether a frame to this multicast address is for the guest.
    pub fn wants(&self, address: Mac) -> bool {
        address == Mac::BROADCAST
            || self
                .listed
                .as_ref()
                .is_none_or(|listed| listed.contains(&address))
    }
}
