//! Where frames go. Guests' own addresses are known, not learned, so that nobody can take one over; what is not a guest's is on
//! the wire. Only ports that are declared open (a guest that bridges others) learn.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use outrigger_xen::Instant;

use crate::counters::Drop;
use crate::filter::SourceFilter;
use crate::guard::{self, Barred};
use crate::multicast::MulticastFilter;
use crate::packet::{Mac, Packet};
use crate::rate::Bucket;
use crate::set::Set;
use crate::table::MacTable;

mod names;

/// Most vifs.
pub(crate) const MAX_VIFS: usize = 128;

/// Ports of the domain's own come after those of vifs.
pub(crate) const OWN_PORTS: usize = outrigger_segments::OWN_MAX;

/// Copies of frames to all that one guest may cause: that many at once, and a second.
const VIF_FLOOD: (u64, u64) = (512, 2048);
/// The same of a wire.
const WIRE_FLOOD: (u64, u64) = (2048, 8192);

/// A bridge.
#[derive(Debug)]
struct Segment {
    name: String,
    uplink: Option<usize>,
    flood: Bucket,
    /// Guests that may be its router and its DHCP server.
    trusted: Vec<Mac>,
}

/// Who can hear each other: a segment and a VLAN in it (0: untagged).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lan {
    segment: u16,
    pub vlan: u16,
}

impl Lan {
    fn key(self) -> u32 {
        u32::from(self.segment) << 16 | u32::from(self.vlan)
    }
}

/// A vif's place.
#[derive(Debug)]
pub(crate) struct Port {
    pub lan: Lan,
    pub mac: Mac,
    pub filter: SourceFilter,
    pub multicast: MulticastFilter,
    flood: Bucket,
    /// It may say what the network itself says. Stations of ours may.
    trusted: bool,
    /// Addresses that it may not send from otherwise.
    barred: Barred,
    /// Others may be behind it: it learns, and gets what is for nobody known.
    open: bool,
}

/// Where one frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// To these vifs.
    pub vifs: Set,
    /// To this card.
    pub wire: Option<usize>,
    /// With this VLAN's tag there; 0: without.
    pub vlan: u16,
}

impl Targets {
    fn one(port: usize) -> Self {
        let mut targets = Self::default();
        targets.vifs.insert(port);
        targets
    }
}

#[derive(Debug)]
pub(crate) struct Switch {
    segments: Vec<Segment>,
    ports: Vec<Option<Port>>,
    /// Ports by address: open addressing, rebuilt at each change.
    known: Vec<u8>,
    /// Open ports there are.
    open: Set,
    table: MacTable,
    /// What guests may not send from, where there is a station of ours.
    barred: Vec<(Lan, Barred)>,
}

const NOBODY: u8 = u8::MAX;
const KNOWN_PLACES: usize = 4 * MAX_VIFS;

/// A second in which a flood bucket gains one token each.
fn flood((burst, per_second): (u64, u64), now: Instant) -> Bucket {
    Bucket::new(1, Duration::from_secs(1) / per_second as u32, burst, now)
}

/// Addresses that bridges keep to themselves (IEEE 802.1D, 7.12.6).
fn is_link_local(mac: Mac) -> bool {
    mac.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && mac.0[5] < 0x10
}

fn place(lan: Lan, mac: Mac) -> usize {
    let [a, b, c, d, e, f] = mac.0;
    let bits = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) ^ u64::from(lan.key()) << 24;
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % KNOWN_PLACES
}

impl Switch {
    pub fn new() -> Self {
        Self {
            segments: Vec::new(),
            ports: (0..MAX_VIFS + OWN_PORTS).map(|_| None).collect(),
            known: alloc::vec![NOBODY; KNOWN_PLACES],
            open: Set::default(),
            table: MacTable::default(),
            barred: Vec::new(),
        }
    }

    /// Adds a segment, with a card for its wire if it has one, and guests that may speak for the network.
    pub fn add_segment(&mut self, name: String, uplink: Option<usize>, trusted: Vec<Mac>, now: Instant) {
        self.segments.push(Segment {
            name,
            uplink,
            flood: flood(WIRE_FLOOD, now),
            trusted,
        });
    }

    /// No guest of a LAN may send from these addresses from now on, unless it is trusted.
    pub fn bar(&mut self, lan: Lan, addresses: Barred) {
        self.barred.retain(|(its, _)| *its != lan);
        self.barred.push((lan, addresses));
        for port in self.ports.iter_mut().flatten().filter(|port| port.lan == lan) {
            port.barred = addresses;
        }
    }

    /// Whether a vif may say what the network itself says.
    pub fn is_trusted(&self, vif: usize) -> bool {
        self.ports[vif].as_ref().is_some_and(|port| port.trusted)
    }

    /// The LAN of a segment and a VLAN.
    pub fn lan_of_segment(&self, name: &str, vlan: u16) -> Option<Lan> {
        let segment = self.segments.iter().position(|segment| segment.name == name)? as u16;
        Some(Lan { segment, vlan })
    }

    /// The card that is a LAN's way out.
    pub fn uplink(&self, lan: Lan) -> Option<usize> {
        self.segments[usize::from(lan.segment)].uplink
    }

    /// Who has an address already.
    pub fn owner(&self, lan: Lan, mac: Mac) -> Option<usize> {
        let start = place(lan, mac);
        (0..KNOWN_PLACES)
            .map(|step| self.known[(start + step) % KNOWN_PLACES])
            .take_while(|port| *port != NOBODY)
            .find(|port| {
                self.ports[usize::from(*port)]
                    .as_ref()
                    .is_some_and(|port| port.lan == lan && port.mac == mac)
            })
            .map(usize::from)
    }

    /// A vif is there from now on.
    pub fn plug(&mut self, vif: usize, lan: Lan, mac: Mac, filter: SourceFilter, now: Instant) {
        if filter.mac.is_none() {
            self.open.insert(vif);
        }
        let barred = self.barred.iter().find(|(its, _)| *its == lan);
        let segment = &self.segments[usize::from(lan.segment)];
        self.ports[vif] = Some(Port {
            lan,
            mac,
            trusted: vif >= MAX_VIFS || segment.trusted.contains(&mac),
            barred: barred.map_or(guard::NOBODY, |(_, addresses)| *addresses),
            open: filter.mac.is_none(),
            filter,
            multicast: MulticastFilter::new(false),
            flood: flood(VIF_FLOOD, now),
        });
        self.index();
    }

    /// A vif has gone.
    pub fn unplug(&mut self, vif: usize) {
        self.ports[vif] = None;
        self.open.remove(vif);
        self.table.forget_port(vif as u8);
        self.index();
    }

    fn index(&mut self) {
        self.known.fill(NOBODY);
        for (number, port) in self.ports.iter().enumerate() {
            let Some(port) = port else { continue };
            let mut at = place(port.lan, port.mac);
            while self.known[at] != NOBODY {
                at = (at + 1) % KNOWN_PLACES;
            }
            self.known[at] = number as u8;
        }
    }

    pub fn port_mut(&mut self, vif: usize) -> Option<&mut Port> {
        self.ports[vif].as_mut()
    }

    pub fn lan_of(&self, vif: usize) -> Option<Lan> {
        self.ports[vif].as_ref().map(|port| port.lan)
    }

    /// Everybody in `lan` who wants this multicast address, but for `except`.
    fn listeners(&self, lan: Lan, destination: Mac, except: usize) -> Set {
        let mut set = Set::default();
        for (number, port) in self.ports.iter().enumerate() {
            if let Some(port) = port
                && port.lan == lan
                && number != except
                && (port.open || port.multicast.wants(destination))
            {
                set.insert(number);
            }
        }
        set
    }

    /// Open ports in `lan`, but for `except`.
    fn open_ports(&self, lan: Lan, except: usize) -> Set {
        let mut set = Set::default();
        for number in self.open.iter() {
            if number != except && self.lan_of(number) == Some(lan) {
                set.insert(number);
            }
        }
        set
    }

    /// The vif with an address: its own, or one heard of behind an open port.
    fn find(&self, lan: Lan, mac: Mac, now: Instant) -> Option<usize> {
        self.owner(lan, mac).or_else(|| {
            if self.open.is_empty() {
                return None;
            }
            self.table.find(lan.key(), mac, now).map(usize::from)
        })
    }

    /// Where a guest's frame goes.
    ///
    /// # Errors
    /// What it is dropped for.
    #[inline]
    pub fn route_guest(
        &mut self,
        vif: usize,
        packet: &Packet,
        head: &[u8],
        now: Instant,
    ) -> Result<Targets, Drop> {
        let port = self.ports[vif].as_mut().ok_or(Drop::NoDestination)?;
        port.filter.check(packet, head)?;
        if !port.trusted {
            guard::check(packet, head, &port.barred)?;
        }
        // A guest that could tag its frames could reach any VLAN of the wire.
        if packet.vlan.is_some() {
            return Err(Drop::Vlan);
        }
        let (lan, open) = (port.lan, port.open);
        let wire = self.segments[usize::from(lan.segment)].uplink;
        let destination = packet.destination;
        if is_link_local(destination) {
            return Err(Drop::NoDestination);
        }
        if open && self.owner(lan, packet.source).is_some_and(|owner| owner != vif) {
            return Err(Drop::SourceMac);
        }
        if open {
            self.table.learn(lan.key(), packet.source, vif as u8, now);
        }
        if !destination.is_multicast()
            && let Some(to) = self.find(lan, destination, now)
        {
            if to == vif {
                return Err(Drop::NoDestination);
            }
            return Ok(Targets::one(to));
        }
        let vifs = if destination.is_multicast() {
            self.listeners(lan, destination, vif)
        } else {
            self.open_ports(lan, vif)
        };
        if destination.is_multicast() || !vifs.is_empty() {
            let port = self.ports[vif].as_mut().ok_or(Drop::NoDestination)?;
            if !port.flood.take(now) {
                return Err(Drop::Flood);
            }
        } else if wire.is_none() {
            return Err(Drop::NoDestination);
        }
        let vlan = lan.vlan;
        Ok(Targets { vifs, wire, vlan })
    }

    /// The vif that an untagged frame from the wire of card `nic` is for, by its own address.
    pub fn on_wire(&self, nic: usize, destination: Mac) -> Option<usize> {
        let segment = self
            .segments
            .iter()
            .position(|segment| segment.uplink == Some(nic))?;
        let lan = Lan {
            segment: segment as u16,
            vlan: 0,
        };
        self.owner(lan, destination)
    }

    /// Where a frame from the wire of card `nic` goes.
    ///
    /// # Errors
    /// What it is dropped for.
    #[inline]
    pub fn route_wire(&mut self, nic: usize, packet: &Packet, now: Instant) -> Result<Targets, Drop> {
        let is_its = |segment: &Segment| segment.uplink == Some(nic);
        let segment = self.segments.iter().position(is_its).ok_or(Drop::NoDestination)?;
        let lan = Lan {
            segment: segment as u16,
            vlan: packet.vlan.map_or(0, |tag| tag & 0xfff),
        };
        let destination = packet.destination;
        if is_link_local(destination) {
            return Err(Drop::NoDestination);
        }
        let mut vifs = Set::default();
        if destination.is_multicast() {
            vifs = self.listeners(lan, destination, usize::MAX);
        } else if let Some(to) = self.find(lan, destination, now) {
            return Ok(Targets::one(to));
        } else if !self.open.is_empty() {
            vifs = self.open_ports(lan, usize::MAX);
        }
        if vifs.is_empty() {
            return Err(Drop::NoDestination);
        }
        if !self.segments[segment].flood.take(now) {
            return Err(Drop::Flood);
        }
        Ok(Targets {
            vifs,
            ..Targets::default()
        })
    }

    /// Forgets what is too old; to be called now and then.
    pub fn age(&mut self, now: Instant) {
        if !self.open.is_empty() {
            self.table.age(now);
        }
    }
}

#[cfg(test)]
mod tests;
