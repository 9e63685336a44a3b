//! Source NAT: guests behind one address of ours (RFC 3022; RFC 4787, 5382 and 5508 for how it behaves).
//!
//! It changes a private copy of a frame's headers and nothing else: the payload stays where it is, a frame that stands for
//! several stays one, and a blank checksum stays blank.

pub mod fragments;
pub mod headers;
pub mod table;

use core::net::Ipv4Addr;

use fragments::{Fragments, Key};
use headers::{Carried, Edit, Headers, ICMP, Part, Side};
use table::{Class, Endpoint, Protocol, Room, Table};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The port of name servers.
const DNS: u16 = 53;

/// Why a guest's packet is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing that can be translated.
    Unsupported,
    /// The table is full, or the guest has its share.
    Full,
}

/// Whom a packet from outside is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The guest.
    pub guest: u8,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// The translation of all guests behind one address.
pub struct Nat {
    table: Table,
    fragments: Fragments,
}

impl Nat {
    /// With so much room. `seed`: nobody outside knows it.
    pub fn new(room: Room, seed: u64) -> Self {
        Self {
            table: Table::new(room, seed),
            fragments: Fragments::default(),
        }
    }

    /// The address is another one: nobody's conversation goes on.
    pub fn clear(&mut self) {
        self.table.clear();
        self.fragments = Fragments::default();
    }

    /// Whose a guest's card is: what owners share is shared among them, however many cards one has. To be said while the card has
    /// no conversations.
    pub fn own(&mut self, guest: u8, owner: u8) {
        self.table.own(guest, owner);
    }

    /// A guest is gone.
    pub fn forget(&mut self, guest: u8) {
        self.table.forget(guest);
        self.fragments.forget(guest);
    }

    /// The conversations.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Translates a guest's packet, so that it comes from `outside`, our address. `now` in seconds.
    ///
    /// # Errors
    /// What it is dropped for; it was not changed then.
    pub fn outbound(
        &mut self,
        edit: &mut Edit<'_>,
        guest: u8,
        outside: Ipv4Addr,
        now: u32,
    ) -> Result<(), Refused> {
        let headers = edit.headers;
        let key = Key::of(&headers);
        if let Part::Rest { last } = headers.part {
            let known = self.fragments.find(key, last, now);
            known
                .filter(|inside| inside.guest == guest)
                .ok_or(Refused::Unsupported)?;
            edit.set_address(Side::Source, outside);
            return Ok(());
        }
        let port = match headers.carried(edit.head).ok_or(Refused::Unsupported)? {
            Carried::Tcp { ports, flags } => self.tcp_out(guest, &headers, ports, flags, now)?,
            Carried::Udp { ports: [from, to] } => {
                let class = if to == DNS { Class::Dns } else { Class::Udp };
                self.out(guest, Protocol::Udp, &headers, [from, to], class, now)?
            }
            Carried::Echo { ident, reply: false } => {
                self.out(guest, Protocol::Echo, &headers, [ident, 0], Class::Echo, now)?
            }
            // Nobody outside can have asked.
            Carried::Echo { reply: true, .. } => return Err(Refused::Unsupported),
            Carried::Error(quoted) => return self.error_out(edit, quoted, outside, now),
        };
        if headers.part == Part::First {
            let inside = Inside {
                guest,
                ip: headers.source,
            };
            // Without its first fragment the others are nothing.
            let owner = self.table.owner(guest);
            if !self.fragments.remember(key, inside, owner, now) {
                return Err(Refused::Full);
            }
        }
        edit.set_address(Side::Source, outside);
        edit.set_port(Side::Source, port);
        Ok(())
    }

    /// The port of ours for a guest's packet.
    fn out(
        &mut self,
        guest: u8,
        protocol: Protocol,
        headers: &Headers,
        [from, to]: [u16; 2],
        class: Class,
        now: u32,
    ) -> Result<u16, Refused> {
        let (inside, remote) = ends(headers.source, from, headers.destination, to);
        let number = match self.table.outbound(protocol, inside, remote, now) {
            Some(number) => {
                self.table.heard(number, class, now);
                number
            }
            None => {
                let begun = self.table.begin(guest, protocol, (inside, remote), class, now);
                begun.map_err(|table::Full| Refused::Full)?
            }
        };
        Ok(self.table.session(number).outside)
    }

    fn tcp_out(
        &mut self,
        guest: u8,
        headers: &Headers,
        [from, to]: [u16; 2],
        flags: u8,
        now: u32,
    ) -> Result<u16, Refused> {
        let (inside, remote) = ends(headers.source, from, headers.destination, to);
        let Some(number) = self.table.outbound(Protocol::Tcp, inside, remote, now) else {
            // What is in the middle of a conversation may go on after we have restarted; its end needs no entry.
            if flags & RST != 0 {
                return Err(Refused::Unsupported);
            }
            return self.out(guest, Protocol::Tcp, headers, [from, to], Class::Opening, now);
        };
        let session = self.table.session(number);
        let class = match session.class {
            _ if flags & (FIN | RST) != 0 => Class::Closing,
            // The same ends once more.
            Class::Closing if flags & (SYN | ACK) == SYN => {
                session.answered = false;
                Class::Opening
            }
            Class::Opening if session.answered && flags & ACK != 0 => Class::Open,
            class => class,
        };
        let outside = session.outside;
        self.table.heard(number, class, now);
        Ok(outside)
    }

    /// Translates a packet to our address, so that it goes to the guest that it answers. `None`: it answers none, and was
    /// not changed.
    pub fn inbound(&mut self, edit: &mut Edit<'_>, now: u32) -> Option<Inside> {
        let headers = edit.headers;
        let key = Key::of(&headers);
        if let Part::Rest { last } = headers.part {
            let inside = self.fragments.find(key, last, now)?;
            edit.set_address(Side::Destination, inside.ip);
            return Some(inside);
        }
        let (protocol, from, to, flags) = match headers.carried(edit.head)? {
            Carried::Tcp {
                ports: [from, to],
                flags,
            } => (Protocol::Tcp, from, to, flags),
            Carried::Udp { ports: [from, to] } => (Protocol::Udp, from, to, 0),
            Carried::Echo { ident, reply: true } => (Protocol::Echo, 0, ident, 0),
            Carried::Echo { reply: false, .. } => return None,
            Carried::Error(quoted) => return self.error_in(edit, quoted, now),
        };
        let remote = Endpoint {
            ip: headers.source,
            port: from,
        };
        let number = self.table.inbound(protocol, to, remote, now)?;
        let session = *self.table.session(number);
        let inside = Inside {
            guest: session.guest,
            ip: session.inside.ip,
        };
        let owner = self.table.owner(inside.guest);
        if headers.part == Part::First && !self.fragments.remember(key, inside, owner, now) {
            return None;
        }
        if protocol == Protocol::Tcp {
            let ends = flags & (FIN | RST) != 0;
            self.table.session(number).answered |= flags & (ACK | RST) == ACK;
            let class = if ends { Class::Closing } else { session.class };
            self.table.heard(number, class, now);
        }
        // What comes in keeps no UDP port open: anybody could (RFC 4787, REQ-6).
        edit.set_address(Side::Destination, session.inside.ip);
        edit.set_port(Side::Destination, session.inside.port);
        Some(inside)
    }

    /// An ICMP error of a guest, about what it got: it quotes the guest's own address as destination.
    fn error_out(
        &mut self,
        edit: &mut Edit<'_>,
        quoted: Headers,
        outside: Ipv4Addr,
        now: u32,
    ) -> Result<(), Refused> {
        let (protocol, remote_port, port) =
            quoted_ends(&quoted, edit.head, true).ok_or(Refused::Unsupported)?;
        if quoted.destination != edit.headers.source {
            return Err(Refused::Unsupported);
        }
        let (inside, remote) = ends(quoted.destination, port, quoted.source, remote_port);
        let number = self.table.outbound(protocol, inside, remote, now);
        let number = number.ok_or(Refused::Unsupported)?;
        let port = self.table.session(number).outside;
        edit.quoted(quoted, |quoted| {
            quoted.set_address(Side::Destination, outside);
            quoted.set_port(Side::Destination, port);
        });
        edit.set_address(Side::Source, outside);
        Ok(())
    }

    /// An ICMP error from outside, about what a guest has sent: it quotes our address and port as source.
    fn error_in(&mut self, edit: &mut Edit<'_>, quoted: Headers, now: u32) -> Option<Inside> {
        let (protocol, port, remote_port) = quoted_ends(&quoted, edit.head, false)?;
        if quoted.source != edit.headers.destination {
            return None;
        }
        let remote = Endpoint {
            ip: quoted.destination,
            port: remote_port,
        };
        let number = self.table.inbound(protocol, port, remote, now)?;
        let session = *self.table.session(number);
        edit.quoted(quoted, |quoted| {
            quoted.set_address(Side::Source, session.inside.ip);
            quoted.set_port(Side::Source, session.inside.port);
        });
        edit.set_address(Side::Destination, session.inside.ip);
        Some(Inside {
            guest: session.guest,
            ip: session.inside.ip,
        })
    }
}

fn ends(inside: Ipv4Addr, port: u16, remote: Ipv4Addr, remote_port: u16) -> (Endpoint, Endpoint) {
    let inside = Endpoint { ip: inside, port };
    let remote = Endpoint {
        ip: remote,
        port: remote_port,
    };
    (inside, remote)
}

/// Protocol, source and destination port of a quoted packet, which came from outside, or went there. Of an echo the remote
/// side's port is 0.
fn quoted_ends(quoted: &Headers, head: &[u8], came: bool) -> Option<(Protocol, u16, u16)> {
    match quoted.quoted_ports(head)? {
        Carried::Tcp {
            ports: [from, to], ..
        } => Some((Protocol::Tcp, from, to)),
        Carried::Udp { ports: [from, to] } => Some((Protocol::Udp, from, to)),
        Carried::Echo { ident, reply } if reply == came && quoted.protocol == ICMP => Some(if came {
            (Protocol::Echo, 0, ident)
        } else {
            (Protocol::Echo, ident, 0)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
