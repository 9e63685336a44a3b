//! Which guest's the later fragments of a datagram are: their first one, which comes before them, has told. Guests share the
//! places: when there is none left, whoever has most gives one up to whoever has fewer.

use core::net::Ipv4Addr;

use super::Inside;
use super::headers::Headers;

/// Datagrams under way.
const DATAGRAMS: usize = 64;
/// Seconds until the rest must have come.
const PATIENCE: u32 = 5;

/// A datagram, as its fragments name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub protocol: u8,
    /// Its number.
    pub id: u16,
}

impl Key {
    /// The datagram that these are headers of.
    pub fn of(headers: &Headers) -> Self {
        Self {
            source: headers.source,
            destination: headers.destination,
            protocol: headers.protocol,
            id: headers.id,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Datagram {
    key: Key,
    inside: Inside,
    owner: u8,
    until: u32,
}

/// The datagrams of which a first fragment has passed.
pub struct Fragments([Option<Datagram>; DATAGRAMS]);

impl Default for Fragments {
    fn default() -> Self {
        Self([None; DATAGRAMS])
    }
}

impl Fragments {
    /// A first fragment has passed, of a vif that is this owner's. False if there is no room for one more of the owner's.
    pub fn remember(&mut self, key: Key, inside: Inside, owner: u8, now: u32) -> bool {
        let same = |place: &Option<Datagram>| place.is_some_and(|datagram| datagram.key == key);
        let free = |place: &Option<Datagram>| place.is_none_or(|datagram| now >= datagram.until);
        let place = self.0.iter().position(same);
        let place = place.or_else(|| self.0.iter().position(free));
        let Some(place) = place.or_else(|| self.surplus(owner)) else {
            return false;
        };
        self.0[place] = Some(Datagram {
            key,
            inside,
            owner,
            until: now + PATIENCE,
        });
        true
    }

    /// The place of the oldest datagram of who has most, if that are at least two more than `owner` has.
    fn surplus(&self, owner: u8) -> Option<usize> {
        let mut has = [0_u8; 256];
        for datagram in self.0.iter().flatten() {
            has[usize::from(datagram.owner)] += 1;
        }
        let most = has.iter().copied().max().unwrap_or(0);
        let its = self.0.iter().enumerate().filter_map(|(at, place)| {
            let datagram = place.filter(|datagram| has[usize::from(datagram.owner)] == most)?;
            Some((at, datagram.until))
        });
        let oldest = its.min_by_key(|(_, until)| *until).map(|(at, _)| at);
        oldest.filter(|_| most >= has[usize::from(owner)] + 2)
    }

    /// Whose a later fragment is; `last`: none will follow.
    pub fn find(&mut self, key: Key, last: bool, now: u32) -> Option<Inside> {
        let is_it = |datagram: &Datagram| datagram.key == key && now < datagram.until;
        let place = self
            .0
            .iter_mut()
            .find(|place| place.as_ref().is_some_and(is_it))?;
        let inside = place.map(|datagram| datagram.inside);
        if last {
            *place = None;
        }
        inside
    }

    /// A guest is gone.
    pub fn forget(&mut self, guest: u8) {
        for place in &mut self.0 {
            if place.is_some_and(|datagram| datagram.inside.guest == guest) {
                *place = None;
            }
        }
    }
}
