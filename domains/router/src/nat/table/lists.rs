//! How conversations hang together: in their buckets, and in the order of their silence.

use super::{Class, Index, Link, NONE, Table};

impl Table {
    fn bucket(&self, index: Index, number: u16) -> usize {
        let session = &self.sessions[usize::from(number)];
        let unspecified = core::net::Ipv4Addr::UNSPECIFIED;
        match index {
            Index::Outbound => {
                let inside = session.inside;
                self.key(session.protocol, inside.ip, inside.port, session.remote)
            }
            Index::Inbound => self.key(session.protocol, unspecified, session.outside, session.remote),
            Index::Mapping => self.mapping_key(session.protocol, session.inside),
        }
    }

    /// Puts a session into its bucket.
    pub(super) fn link(&mut self, index: Index, number: u16) {
        let bucket = self.bucket(index, number);
        let index = index as usize;
        let next = core::mem::replace(&mut self.buckets[index][bucket], number);
        if let Some(session) = self.sessions.get_mut(usize::from(next)) {
            session.links[index].previous = number;
        }
        let previous = NONE;
        self.sessions[usize::from(number)].links[index] = Link { next, previous };
    }

    /// Takes it out.
    pub(super) fn unlink(&mut self, index: Index, number: u16) {
        let bucket = self.bucket(index, number);
        let index = index as usize;
        let Link { next, previous } = self.sessions[usize::from(number)].links[index];
        match self.sessions.get_mut(usize::from(previous)) {
            Some(session) => session.links[index].next = next,
            None => self.buckets[index][bucket] = next,
        }
        if let Some(session) = self.sessions.get_mut(usize::from(next)) {
            session.links[index].previous = previous;
        }
    }

    /// It was heard last of its class.
    pub(super) fn append(&mut self, number: u16, class: Class, now: u32) {
        let last = self.silence[class as usize].1;
        let session = &mut self.sessions[usize::from(number)];
        (session.class, session.seen) = (class, now);
        (session.older, session.newer) = (last, NONE);
        match self.sessions.get_mut(usize::from(last)) {
            Some(session) => session.newer = number,
            None => self.silence[class as usize].0 = number,
        }
        self.silence[class as usize].1 = number;
    }

    /// Takes it out of its class.
    pub(super) fn unlist(&mut self, number: u16) {
        let session = &self.sessions[usize::from(number)];
        let (class, older, newer) = (session.class as usize, session.older, session.newer);
        match self.sessions.get_mut(usize::from(older)) {
            Some(session) => session.newer = newer,
            None => self.silence[class].0 = newer,
        }
        match self.sessions.get_mut(usize::from(newer)) {
            Some(session) => session.older = older,
            None => self.silence[class].1 = older,
        }
    }
}
