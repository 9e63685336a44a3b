//! The addresses of a NAT segment's guests: each vif has one, the same whenever its MAC comes back.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use outrigger_segments::Subnet;

use crate::Mac;

/// Most addresses that are remembered; more than there are vifs, so that those of some that are gone are.
const REMEMBERED: usize = 256;

/// A guest's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    mac: Mac,
    /// The address.
    pub address: Ipv4Addr,
    /// Bytes of a packet that its vif lets through.
    pub mtu: u16,
    /// Whose it is now.
    vif: Option<u8>,
}

/// Who has which address of a subnet. The oldest first.
#[derive(Debug)]
pub struct Leases {
    subnet: Subnet,
    leases: Vec<Lease>,
}

impl Leases {
    /// For a subnet whose own address is the gateway's.
    pub fn new(subnet: Subnet) -> Self {
        Self {
            subnet,
            leases: Vec::with_capacity(REMEMBERED),
        }
    }

    /// The address among a vif's `ip=` that is in this subnet; none if there is no `ip=`.
    ///
    /// # Errors
    /// None is.
    pub fn wanted(&self, addresses: &[IpAddr]) -> Result<Option<Ipv4Addr>, NotHere> {
        let mut here = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address).filter(|address| self.subnet.has_station(*address)),
            IpAddr::V6(_) => None,
        });
        match here.next() {
            None if !addresses.is_empty() => Err(NotHere),
            address => Ok(address),
        }
    }

    /// Gives a vif its address: the one that is wanted, or the one that it had, or one that follows from its MAC.
    /// `None`: another vif has the wanted one, or there is none left.
    pub fn assign(&mut self, vif: u8, (mac, mtu): (Mac, u16), wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let had = self.leases.iter().position(|lease| lease.mac == mac);
        if let Some(had) = had {
            let lease = self.leases.remove(had);
            if wanted.is_none_or(|wanted| wanted == lease.address) {
                let vif = Some(vif);
                self.leases.push(Lease { vif, mtu, ..lease });
                return Some(lease.address);
            }
        }
        let address = match wanted {
            Some(wanted) => {
                let holder = self.leases.iter().position(|lease| lease.address == wanted);
                if let Some(holder) = holder {
                    if self.leases[holder].vif.is_some() {
                        return None;
                    }
                    self.leases.remove(holder);
                }
                wanted
            }
            None => self.free(mac)?,
        };
        if self.leases.len() == REMEMBERED {
            self.forget_oldest()?;
        }
        let vif = Some(vif);
        self.leases.push(Lease {
            mac,
            address,
            mtu,
            vif,
        });
        Some(address)
    }

    /// A vif is gone; its address is remembered.
    pub fn release(&mut self, vif: u8) {
        for lease in &mut self.leases {
            if lease.vif == Some(vif) {
                lease.vif = None;
            }
        }
    }

    /// The address of a vif.
    pub fn of(&self, vif: u8) -> Option<Lease> {
        self.leases.iter().find(|lease| lease.vif == Some(vif)).copied()
    }

    fn forget_oldest(&mut self) -> Option<Lease> {
        let oldest = self.leases.iter().position(|lease| lease.vif.is_none())?;
        Some(self.leases.remove(oldest))
    }

    /// A free address. Where the search begins follows from the MAC alone, so that it is mostly the same after a restart.
    fn free(&mut self, mac: Mac) -> Option<Ipv4Addr> {
        let [a, b, c, d, e, f] = mac.0;
        let hash = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let stations = self.subnet.stations();
        let start = (hash >> 32) as u32 % stations;
        let first = self.subnet.network().to_bits() + 1;
        // At most so many are taken, besides the gateway's.
        let tries = stations.min(REMEMBERED as u32 + 2);
        let nth = |step: u32| Ipv4Addr::from_bits(first + (start + step) % stations);
        let usable = |address: &Ipv4Addr| self.subnet.has_station(*address);
        let taken = |address: &Ipv4Addr| self.leases.iter().any(|lease| lease.address == *address);
        let free = (0..tries)
            .map(nth)
            .find(|address| usable(address) && !taken(address));
        free.or_else(|| Some(self.forget_oldest()?.address))
    }
}

/// No address of an `ip=` is in the subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHere;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn mac(number: u8) -> Mac {
        Mac([0, 0x16, 0x3e, 0, 0, number])
    }

    fn leases(prefix: u8) -> Leases {
        Leases::new(Subnet::new(Ipv4Addr::new(10, 0, 3, 1), prefix).unwrap())
    }

    #[test]
    fn a_mac_has_the_same_address_again() {
        let mut first = leases(24);
        let addresses: Vec<_> = (0..8)
            .map(|number| first.assign(number, (mac(number), 1500), None))
            .collect();
        (0..8).for_each(|number| first.release(number));
        // Other vif numbers, another order, and after a restart, too, as long as no two want the same.
        let mut second = leases(24);
        for number in (0..8).rev() {
            let expected = addresses[usize::from(number)];
            assert_eq!(first.assign(100 + number, (mac(number), 1500), None), expected);
            assert_eq!(second.assign(number, (mac(number), 1500), None), expected);
        }
    }

    #[test]
    fn a_wanted_address_is_given_or_refused() {
        let mut leases = leases(24);
        let wanted = Ipv4Addr::new(10, 0, 3, 77);
        let list = |address: Ipv4Addr| [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(address)];
        assert_eq!(leases.wanted(&list(wanted)), Ok(Some(wanted)));
        assert_eq!(leases.wanted(&[]), Ok(None));
        for other in [[10, 0, 3, 1], [10, 0, 3, 255], [10, 0, 4, 2]] {
            assert_eq!(leases.wanted(&list(other.into())), Err(NotHere));
        }
        assert_eq!(leases.assign(1, (mac(1), 1500), Some(wanted)), Some(wanted));
        assert_eq!(
            leases.assign(2, (mac(2), 1500), Some(wanted)),
            None,
            "it is guest 1's"
        );
        leases.release(1);
        assert_eq!(leases.assign(2, (mac(2), 1500), Some(wanted)), Some(wanted));
        assert_ne!(leases.assign(1, (mac(1), 1500), None), Some(wanted));
    }

    #[test]
    fn a_small_subnet_is_used_up_and_no_more() {
        let mut leases = leases(29);
        for number in 0..5 {
            assert!(leases.assign(number, (mac(number), 1500), None).is_some());
        }
        assert_eq!(leases.assign(5, (mac(5), 1500), None), None);
        leases.release(3);
        assert!(
            leases.assign(5, (mac(5), 1500), None).is_some(),
            "who is gone makes room"
        );
    }

    proptest! {
        #[test]
        fn no_two_have_one(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..200), prefix in 26u8..=30) {
            let mut leases = leases(prefix);
            let mut held: BTreeMap<u8, Ipv4Addr> = BTreeMap::new();
            for (vif, come) in steps {
                if !come {
                    leases.release(vif);
                    held.remove(&vif);
                } else if !held.contains_key(&vif) {
                    let address = leases.assign(vif, (mac(vif), 1500), None);
                    let room = (held.len() as u32) < leases.subnet.stations() - 1;
                    prop_assert_eq!(address.is_some(), room);
                    if let Some(address) = address {
                        prop_assert!(leases.subnet.has_station(address));
                        prop_assert!(held.values().all(|other| *other != address));
                        held.insert(vif, address);
                    }
                }
                for (vif, address) in &held {
                    prop_assert_eq!(leases.of(*vif).map(|lease| lease.address), Some(*address));
                }
                prop_assert!(leases.leases.len() <= REMEMBERED);
            }
        }
    }
}
