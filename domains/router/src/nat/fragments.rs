//! Which guest's the later fragments of a datagram are: their first one, which comes before them, has told.

use core::net::Ipv4Addr;

use super::Inside;
use super::headers::Headers;

/// Datagrams under way.
const DATAGRAMS: usize = 64;
/// Most of them of one guest.
const OF_GUEST: usize = 16;
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
    /// A first fragment has passed. False if there is no room, or the guest has its share.
    pub fn remember(&mut self, key: Key, inside: Inside, now: u32) -> bool {
        let live = |datagram: &&Datagram| now < datagram.until;
        let its = |datagram: &&Datagram| datagram.inside.guest == inside.guest && datagram.key != key;
        if self.0.iter().flatten().filter(live).filter(its).count() >= OF_GUEST {
            return false;
        }
        let same = |place: &Option<Datagram>| place.is_some_and(|datagram| datagram.key == key);
        let free = |place: &Option<Datagram>| place.is_none_or(|datagram| now >= datagram.until);
        let place = self
            .0
            .iter()
            .position(same)
            .or_else(|| self.0.iter().position(free));
        let Some(place) = place else { return false };
        self.0[place] = Some(Datagram {
            key,
            inside,
            until: now + PATIENCE,
        });
        true
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
