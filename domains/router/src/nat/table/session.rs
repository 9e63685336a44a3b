//! One conversation, and how it is found and kept.

use core::net::Ipv4Addr;

/// What is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo; its port is the identifier.
    Echo,
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub ip: Ipv4Addr,
    /// The port; of an echo, its identifier inside and 0 of the remote side.
    pub port: u16,
}

/// What state a conversation is in, and so how long it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// TCP that was not answered, or not answered again.
    Opening,
    /// TCP that both sides have acknowledged.
    Open,
    /// TCP that one side has ended.
    Closing,
    /// UDP.
    Udp,
    /// UDP to a name server, which is one question and one answer.
    Dns,
    /// ICMP echo.
    Echo,
}

pub(super) const CLASSES: usize = 6;

impl Class {
    /// Seconds of silence that it survives (RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2).
    pub const fn timeout(self) -> u32 {
        match self {
            Self::Opening | Self::Closing => 240,
            Self::Open => 7440,
            Self::Udp => 300,
            Self::Dns => 30,
            Self::Echo => 60,
        }
    }
}

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Whose it is.
    pub guest: u8,
    /// Of which protocol.
    pub protocol: Protocol,
    /// The guest's end.
    pub inside: Endpoint,
    /// Our port.
    pub outside: u16,
    /// The other end.
    pub remote: Endpoint,
    /// Its state.
    pub class: Class,
    /// The other end has acknowledged something.
    pub answered: bool,
    /// When something was last heard, in seconds.
    pub(super) seen: u32,
    pub(super) links: [Link; INDEXES],
    pub(super) older: u16,
    pub(super) newer: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub next: u16,
    pub previous: u16,
}

/// By what sessions are found.
#[derive(Clone, Copy)]
pub(super) enum Index {
    /// Protocol, guest's end, other end.
    Outbound,
    /// Protocol, our port, other end.
    Inbound,
    /// Protocol, guest's end.
    Mapping,
}

pub(super) const INDEXES: usize = 3;
pub(super) const NONE: u16 = u16::MAX;
impl Session {
    pub(super) fn lives(&self, now: u32) -> bool {
        now < self.seen.saturating_add(self.class.timeout())
    }
}

pub(super) const EMPTY: Session = Session {
    guest: 0,
    protocol: Protocol::Tcp,
    inside: Endpoint {
        ip: Ipv4Addr::UNSPECIFIED,
        port: 0,
    },
    outside: 0,
    remote: Endpoint {
        ip: Ipv4Addr::UNSPECIFIED,
        port: 0,
    },
    class: Class::Opening,
    answered: false,
    seen: 0,
    links: [Link {
        next: NONE,
        previous: NONE,
    }; INDEXES],
    older: NONE,
    newer: NONE,
};
