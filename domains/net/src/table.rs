//! Which address was seen behind which port: bounded, aging, and not to be flooded out.

use alloc::vec::Vec;
use core::time::Duration;

use outrigger_xen::Instant;

use crate::packet::Mac;

/// How long an address is remembered after it was last heard of.
pub const AGE: Duration = Duration::from_secs(300);
/// Addresses in all.
pub const ENTRIES: usize = 1024;
/// Addresses behind one port: a guest that makes up addresses forgets its own, and nobody else's.
pub const ENTRIES_PER_PORT: u16 = 32;
/// Places that an address may be in.
const WAYS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Entry {
    lan: u32,
    mac: Mac,
    port: u8,
    seen: Instant,
}

/// Learned addresses, by LAN (a segment and a VLAN).
#[derive(Debug)]
pub struct MacTable {
    entries: Vec<Option<Entry>>,
    /// Entries of each port.
    of_port: [u16; 256],
}

impl Default for MacTable {
    fn default() -> Self {
        Self {
            entries: alloc::vec![None; ENTRIES],
            of_port: [0; 256],
        }
    }
}

impl MacTable {
    /// The places for an address.
    fn set(lan: u32, mac: Mac) -> core::ops::Range<usize> {
        let [a, b, c, d, e, f] = mac.0;
        let mut hash = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) ^ u64::from(lan) << 40;
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let start = (hash >> 32) as usize % (ENTRIES / WAYS) * WAYS;
        start..start + WAYS
    }

    /// The port behind which an address was heard of, not too long ago.
    pub fn find(&self, lan: u32, mac: Mac, now: Instant) -> Option<u8> {
        self.entries[Self::set(lan, mac)]
            .iter()
            .flatten()
            .find(|entry| entry.lan == lan && entry.mac == mac && now.since(entry.seen) < AGE)
            .map(|entry| entry.port)
    }

    /// An address was heard of behind `port`. It moves there if it was elsewhere. False if it was not remembered: the port
    /// has its share, or the places for it are taken by others that are alive.
    pub fn learn(&mut self, lan: u32, mac: Mac, port: u8, now: Instant) -> bool {
        let Self { entries, of_port } = self;
        let set = &mut entries[Self::set(lan, mac)];
        let known = set
            .iter()
            .position(|entry| entry.is_some_and(|entry| entry.lan == lan && entry.mac == mac));
        let place = known.or_else(|| {
            let free = |entry: &Option<Entry>| entry.is_none_or(|entry| now.since(entry.seen) >= AGE);
            set.iter().position(free)
        });
        let Some(place) = place else { return false };
        let old = set[place];
        let stays = old.is_some_and(|old| old.port == port);
        if !stays && of_port[usize::from(port)] >= ENTRIES_PER_PORT {
            return false;
        }
        if let Some(old) = old {
            of_port[usize::from(old.port)] -= 1;
        }
        of_port[usize::from(port)] += 1;
        set[place] = Some(Entry {
            lan,
            mac,
            port,
            seen: now,
        });
        true
    }

    /// A port is gone.
    pub fn forget_port(&mut self, port: u8) {
        for entry in &mut self.entries {
            if entry.is_some_and(|entry| entry.port == port) {
                *entry = None;
            }
        }
        self.of_port[usize::from(port)] = 0;
    }

    /// Gives up what is too old, so that it does not count against its port's share. To be called now and then.
    pub fn age(&mut self, now: Instant) {
        for place in &mut self.entries {
            if let Some(entry) = place
                && now.since(entry.seen) >= AGE
            {
                self.of_port[usize::from(entry.port)] -= 1;
                *place = None;
            }
        }
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// None is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mac(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    #[test]
    fn a_port_that_makes_up_addresses_floods_out_nobody() {
        let mut table = MacTable::default();
        assert!(table.learn(1, mac(7), 1, Instant(0)));
        for number in 1000..200_000 {
            table.learn(1, mac(number), 2, Instant(1));
        }
        assert_eq!(table.find(1, mac(7), Instant(2)), Some(1));
        assert_eq!(table.len(), 1 + usize::from(ENTRIES_PER_PORT));
        assert_eq!(
            table.find(2, mac(7), Instant(2)),
            None,
            "another LAN is another LAN"
        );
        assert!(table.learn(1, mac(7), 3, Instant(3)), "it moved");
        assert_eq!(table.find(1, mac(7), Instant(4)), Some(3));
        table.forget_port(2);
        assert_eq!(table.len(), 1);
        let old = Instant(3).after(AGE);
        assert_eq!(table.find(1, mac(7), old), None);
        table.age(old);
        assert!(table.is_empty());
    }

    proptest! {
        #[test]
        fn shares_are_counted_right(steps in prop::collection::vec((0u32..3, 0u32..400, 0u8..6, 0u64..400), 0..600)) {
            let mut table = MacTable::default();
            let mut now = 0;
            for (lan, number, port, seconds) in steps {
                now += seconds * 100_000_000;
                if table.learn(lan, mac(number), port, Instant(now)) {
                    prop_assert_eq!(table.find(lan, mac(number), Instant(now)), Some(port));
                }
                if number == 13 { table.forget_port(port) }
                if number == 17 { table.age(Instant(now)) }
                for port in 0..6u8 {
                    let count = table.entries.iter().flatten().filter(|entry| entry.port == port).count();
                    prop_assert_eq!(count, usize::from(table.of_port[usize::from(port)]));
                    prop_assert!(count <= ENTRIES_PER_PORT.into());
                }
            }
        }
    }
}
