//! Who behind the translation speaks with whom, and under which port of ours.
//!
//! A guest's endpoint has one port of ours whomever it speaks to (RFC 4787, REQ-1); in comes only what answers (address and
//! port dependent filtering). Everything is bounded and nothing is swept: an entry that has timed out is not found, and is
//! taken out when room is wanted. Each owner of guests' cards has a few entries of its own, which nobody can take from it; of those
//! that all share it may have another one as long as it has fewer of them than are free. After that it gets one from whoever
//! has more, until both have as many.

use alloc::boxed::Box;
use core::net::Ipv4Addr;

use session::{CLASSES, EMPTY, INDEXES, Index, Link, NONE};
pub use session::{Class, Endpoint, Protocol, Session};

/// No port below is used: those are for services.
const PORT_MIN: u16 = 1024;
/// Most entries that make room for a new one.
const SWEEP: usize = 64;
/// Entries that are looked at for one of who has too many, and how far they are from each other: what a guest begins at once is side
/// by side.
const SAMPLE: usize = 64;
const STRIDE: usize = 997;

/// No room: the table is full, or the guest has its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many entries there are, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Numbers of guests are below this.
    pub guests: u16,
    /// Each one's own.
    pub each: u16,
    /// What all share.
    pub shared: u16,
}

/// All conversations.
pub struct Table {
    room: Room,
    /// Entries in use that are not guests' own.
    shared_used: usize,
    sessions: Box<[Session]>,
    /// First of the free ones, which hang together by `newer`.
    free: u16,
    used: usize,
    buckets: [Box<[u16]>; INDEXES],
    /// Of each class: the one that was silent longest, and the one heard last.
    silence: [(u16, u16); CLASSES],
    /// Ports in use, of each protocol.
    ports: [Box<[u64]>; 3],
    /// Whose each guest's card is, and how many entries an owner has.
    owners: [u8; 256],
    of_owner: [u16; 256],
    /// For the buckets.
    secret: u64,
    /// For the next port.
    random: u64,
}

impl Table {
    /// With so much room, of which at most 65,534 is used. `seed`: nobody outside knows it.
    pub fn new(room: Room, seed: u64) -> Self {
        let capacity = usize::from(room.guests) * usize::from(room.each) + usize::from(room.shared);
        let capacity = capacity.min(usize::from(NONE - 1));
        let buckets = 2 * capacity.next_power_of_two();
        let bucket = || alloc::vec![NONE; buckets].into_boxed_slice();
        let ports = || alloc::vec![0; 1024].into_boxed_slice();
        let mut table = Self {
            room,
            shared_used: 0,
            sessions: alloc::vec![EMPTY; capacity].into_boxed_slice(),
            free: NONE,
            used: 0,
            buckets: [bucket(), bucket(), bucket()],
            silence: [(NONE, NONE); CLASSES],
            ports: [ports(), ports(), ports()],
            owners: core::array::from_fn(|guest| guest as u8),
            of_owner: [0; 256],
            secret: seed,
            // Of 0 comes nothing but 0.
            random: seed.rotate_left(17) | 1,
        };
        table.clear();
        table
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sessions.fill(EMPTY);
        self.free = NONE;
        for at in (0..self.sessions.len()).rev() {
            self.sessions[at].newer = self.free;
            self.free = at as u16;
        }
        (self.used, self.shared_used) = (0, 0);
        self.buckets.iter_mut().for_each(|buckets| buckets.fill(NONE));
        self.silence = [(NONE, NONE); CLASSES];
        self.ports.iter_mut().for_each(|ports| ports.fill(0));
        self.of_owner = [0; 256];
    }

    /// How many conversations there are, timed out or not.
    pub fn len(&self) -> usize {
        self.used
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whose a guest's card is; its own number if nobody has said so.
    pub fn owner(&self, guest: u8) -> u8 {
        self.owners[usize::from(guest)]
    }

    /// Says so, while it has no conversations.
    pub fn own(&mut self, guest: u8, owner: u8) {
        self.owners[usize::from(guest)] = owner;
    }

    /// How many are a guest's, and its owner's others'.
    pub fn of_guest(&self, guest: u8) -> usize {
        self.of_owner[usize::from(self.owner(guest))].into()
    }

    /// The conversation with this number.
    pub fn session(&mut self, number: u16) -> &mut Session {
        &mut self.sessions[usize::from(number)]
    }

    /// The conversation of these ends, if it lives.
    pub fn outbound(&self, protocol: Protocol, inside: Endpoint, remote: Endpoint, now: u32) -> Option<u16> {
        let key = self.key(protocol, inside.ip, inside.port, remote);
        self.find(Index::Outbound, key, now, |session| {
            session.protocol == protocol && session.inside == inside && session.remote == remote
        })
    }

    /// The conversation that this other end has with our port, if it lives.
    pub fn inbound(&self, protocol: Protocol, outside: u16, remote: Endpoint, now: u32) -> Option<u16> {
        let key = self.key(protocol, Ipv4Addr::UNSPECIFIED, outside, remote);
        self.find(Index::Inbound, key, now, |session| {
            session.protocol == protocol && session.outside == outside && session.remote == remote
        })
    }

    /// Begins a conversation, which [`outbound`](Self::outbound) has not found.
    ///
    /// # Errors
    /// [`Full`].
    pub fn begin(
        &mut self,
        guest: u8,
        protocol: Protocol,
        (inside, remote): (Endpoint, Endpoint),
        class: Class,
        now: u32,
    ) -> Result<u16, Full> {
        self.sweep(now);
        let (has, own) = (self.of_guest(guest), usize::from(self.room.each));
        let free = usize::from(self.room.shared) - self.shared_used;
        if has >= own && has - own >= free {
            let silent = self.surplus(has).ok_or(Full)?;
            self.end(silent);
        }
        // One of these ends that has timed out and was not swept would be found instead.
        let key = self.key(protocol, inside.ip, inside.port, remote);
        let stale = self.find(Index::Outbound, key, 0, |session| {
            session.protocol == protocol && session.inside == inside && session.remote == remote
        });
        if let Some(stale) = stale {
            self.end(stale);
        }
        let outside = match self.mapping(protocol, inside) {
            Some(outside) => outside,
            None => self.choose(protocol, inside.port).ok_or(Full)?,
        };
        let number = self.free;
        let session = self.sessions.get_mut(usize::from(number)).ok_or(Full)?;
        self.free = session.newer;
        *session = Session {
            guest,
            protocol,
            inside,
            outside,
            remote,
            class,
            seen: now,
            ..EMPTY
        };
        self.used += 1;
        let owner = usize::from(self.owner(guest));
        self.of_owner[owner] += 1;
        self.shared_used += usize::from(self.of_owner[owner] > self.room.each);
        self.ports[protocol as usize][usize::from(outside / 64)] |= 1 << (outside % 64);
        for index in [Index::Outbound, Index::Inbound, Index::Mapping] {
            self.link(index, number);
        }
        self.append(number, class, now);
        Ok(number)
    }

    /// Something was heard of a conversation, which is in this state from now on.
    pub fn heard(&mut self, number: u16, class: Class, now: u32) {
        let session = &self.sessions[usize::from(number)];
        // Once a second is enough.
        if session.class == class && session.seen == now {
            return;
        }
        self.unlist(number);
        self.append(number, class, now);
    }

    /// A guest is gone, and all its conversations.
    pub fn forget(&mut self, guest: u8) {
        for class in 0..CLASSES {
            let mut number = self.silence[class].0;
            while number != NONE && self.of_guest(guest) > 0 {
                let session = &self.sessions[usize::from(number)];
                let (newer, its) = (session.newer, session.guest == guest);
                if its {
                    self.end(number);
                }
                number = newer;
            }
        }
    }

    /// Takes some of those out that have timed out.
    fn sweep(&mut self, now: u32) {
        let mut left = SWEEP;
        for class in 0..CLASSES {
            while let Some(session) = self.sessions.get(usize::from(self.silence[class].0))
                && left > 0
                && !session.lives(now)
            {
                self.end(self.silence[class].0);
                left -= 1;
            }
        }
    }

    /// An entry of an owner who has at least two more than `has`: of some that are looked at, one that has ended or was never open,
    /// or was silent longest.
    #[cold]
    fn surplus(&mut self, has: usize) -> Option<u16> {
        let random = self.random() as usize;
        let has_more = |owner: u8| usize::from(self.of_owner[usize::from(owner)]) >= has + 2;
        if !(0..=u8::MAX).any(has_more) {
            return None;
        }
        let capacity = self.sessions.len();
        let looked_at = (0..SAMPLE).map(|step| (random % capacity + STRIDE * step) % capacity);
        let theirs = looked_at.filter_map(|number| {
            let session = &self.sessions[number];
            // No entry that is free has a port.
            let is_surplus = session.outside != 0 && has_more(self.owner(session.guest));
            is_surplus.then_some((session.class == Class::Open, session.seen, number as u16))
        });
        theirs.min().map(|(.., number)| number)
    }

    /// Another number each time (xorshift): nobody is to foresee it.
    fn random(&mut self) -> u64 {
        let mut random = self.random;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random = random;
        random
    }

    fn end(&mut self, number: u16) {
        let Session {
            guest,
            protocol,
            inside,
            outside,
            ..
        } = self.sessions[usize::from(number)];
        self.unlist(number);
        for index in [Index::Outbound, Index::Inbound, Index::Mapping] {
            self.unlink(index, number);
        }
        if self.mapping(protocol, inside).is_none() {
            self.ports[protocol as usize][usize::from(outside / 64)] &= !(1 << (outside % 64));
        }
        let owner = usize::from(self.owner(guest));
        self.shared_used -= usize::from(self.of_owner[owner] > self.room.each);
        self.of_owner[owner] -= 1;
        self.used -= 1;
        self.sessions[usize::from(number)] = Session {
            newer: self.free,
            ..EMPTY
        };
        self.free = number;
    }

    /// The port of ours that a guest's endpoint has.
    fn mapping(&self, protocol: Protocol, inside: Endpoint) -> Option<u16> {
        let key = self.mapping_key(protocol, inside);
        let found = self.find(Index::Mapping, key, 0, |session| {
            session.protocol == protocol && session.inside == inside
        });
        found.map(|number| self.sessions[usize::from(number)].outside)
    }

    /// A free port: the guest's own if it can be, another one of the same parity (RFC 4787, REQ-4) if not.
    fn choose(&mut self, protocol: Protocol, wanted: u16) -> Option<u16> {
        let random = self.random();
        let ports = &self.ports[protocol as usize];
        let free = |port: u16| ports[usize::from(port / 64)] & 1 << (port % 64) == 0;
        if wanted >= PORT_MIN && free(wanted) {
            return Some(wanted);
        }
        let parity = 0x5555_5555_5555_5555 << (wanted % 2);
        let first = usize::from(PORT_MIN / 64);
        let words = ports.len() - first;
        let start = random as usize % words;
        let bit = (random >> 32) as u32 % 64;
        (0..words).find_map(|step| {
            let word = first + (start + step) % words;
            let open = !ports[word] & parity;
            let turned = open.rotate_right(bit);
            (open != 0).then(|| (64 * word) as u16 + ((turned.trailing_zeros() + bit) % 64) as u16)
        })
    }

    fn find(&self, index: Index, key: usize, now: u32, is_it: impl Fn(&Session) -> bool) -> Option<u16> {
        let mut number = self.buckets[index as usize][key];
        while let Some(session) = self.sessions.get(usize::from(number)) {
            if is_it(session) {
                return session.lives(now).then_some(number);
            }
            number = session.links[index as usize].next;
        }
        None
    }

    fn key(&self, protocol: Protocol, ip: Ipv4Addr, port: u16, remote: Endpoint) -> usize {
        let near = u64::from(ip.to_bits()) << 24 | u64::from(port) << 8 | protocol as u64;
        let far = u64::from(remote.ip.to_bits()) << 16 | u64::from(remote.port);
        self.mix(near, far)
    }

    fn mapping_key(&self, protocol: Protocol, inside: Endpoint) -> usize {
        let near = u64::from(inside.ip.to_bits()) << 24 | u64::from(inside.port) << 8 | protocol as u64;
        self.mix(near, 1)
    }

    /// A bucket. Whoever does not know the seed cannot choose keys that meet.
    fn mix(&self, near: u64, far: u64) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let first = (near ^ self.secret).wrapping_mul(ODD);
        let second = (far ^ first ^ first >> 29 ^ self.secret.rotate_left(32)).wrapping_mul(ODD);
        (second ^ second >> 32) as usize & (self.buckets[0].len() - 1)
    }
}

mod lists;
mod session;
#[cfg(test)]
mod tests;
