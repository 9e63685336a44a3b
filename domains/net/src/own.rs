//! The domain's own addresses, and the segments that it translates. Beside the forwarding path: what is for us is copied, and
//! looked at in a turn of its own; what is translated has its headers changed on its way (`cross`).

mod accept;
mod cross;

pub(crate) use cross::Crossing;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use outrigger_devices::{NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_router::dhcp::Offer;
use outrigger_router::leases::NotHere;
use outrigger_router::nat::table::Room;
use outrigger_router::{Gateway, Leases, Nat, Neighbours, Outside, Paces, Role, Station};
use outrigger_segments::{Parsed, Segment, Subnet};
use outrigger_xen::digest::fnv1a;
use outrigger_xen::{Hypervisor, Instant};

use crate::batch::{Incoming, Origin};
use crate::filter::SourceFilter;
use crate::multicast::MulticastFilter;
use crate::packet::Mac;
use crate::service::{Net, State};
use crate::switch::{Lan, MAX_VIFS};

/// Conversations that are translated at once behind one address: some 0.8 MB.
const CONVERSATIONS: Room = Room {
    guests: MAX_VIFS as u16,
    each: 32,
    shared: 8192,
};
/// Bytes of a packet where no card says otherwise.
const MTU: u16 = 1500;

/// ICMP errors a second to each of a segment's guests.
const ERRORS: u32 = 100;
/// When what found no room is tried again.
const AGAIN: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(crate) struct Own {
    stations: Vec<Station>,
    /// Where each of them is. Its port of the switch is its number behind those of vifs.
    lans: Vec<Lan>,
    /// Something came for one of them, or could not be sent yet.
    due: bool,
    deadline: Option<Instant>,
}

impl Own {
    /// Whether there is something to do.
    #[inline]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// When there will be.
    #[inline]
    pub fn next(&self) -> (bool, Option<Instant>) {
        (self.due, self.deadline)
    }

    /// Whether an address is our own in a LAN.
    pub fn has(&self, lan: Lan, mac: Mac) -> bool {
        let mut places = self.stations.iter().zip(&self.lans);
        places.any(|(station, its)| *its == lan && station.mac.0 == mac.0)
    }

    /// Gives a vif on a NAT segment its address, and takes care that it sends from that alone.
    ///
    /// # Errors
    /// It cannot be in that segment's subnet.
    pub fn lease(
        &mut self,
        lan: Lan,
        vif: usize,
        (mac, mtu): (Mac, usize),
        filter: &mut SourceFilter,
    ) -> Result<(), String> {
        let mut leased = None;
        for (station, its) in self.stations.iter_mut().zip(&self.lans) {
            let (name, own) = (&station.name, station.address);
            let Role::Gateway(gateway) = &mut station.role else {
                continue;
            };
            gateway.leases.release(vif as u8);
            if *its != lan {
                continue;
            }
            let own = own.map_or_else(String::new, |own| format!("{own}"));
            let wanted = gateway.leases.wanted(&filter.addresses);
            let wanted = wanted.map_err(|NotHere| {
                format!("no address in the subnet of segment {name}, {own}; give it one there, or none")
            })?;
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            let assigned = gateway
                .leases
                .assign(vif as u8, (outrigger_router::Mac(mac.0), mtu), wanted);
            leased = Some(assigned.ok_or_else(|| {
                format!("another guest has that address of segment {name}, {own}, or all are taken")
            })?);
        }
        if let Some(address) = leased
            && filter.addresses.is_empty()
        {
            filter.addresses.push(IpAddr::V4(address));
        }
        Ok(())
    }

    /// A vif that is not connected is this guest's.
    pub fn belongs(&mut self, vif: usize, guest: usize) {
        for station in &mut self.stations {
            if let Role::Outside(outside) = &mut station.role {
                outside.nat.own(vif as u8, guest as u8);
            }
        }
    }

    /// A vif is gone for good; its address is kept for it.
    pub fn release(&mut self, vif: usize) {
        for station in &mut self.stations {
            if let Role::Gateway(gateway) = &mut station.role {
                gateway.leases.release(vif as u8);
            }
        }
    }

    /// A vif is disconnected: nobody answers for it any more.
    pub fn forget(&mut self, vif: usize) {
        for station in &mut self.stations {
            if let Role::Outside(outside) = &mut station.role {
                outside.nat.forget(vif as u8);
            }
        }
    }
}

impl<H: Hypervisor, D: NetDevice, M: SharedPages> Net<'_, H, D, M> {
    /// Adds the segments that `text` describes (`outrigger-segments`), after all cards. What makes no sense is logged and left
    /// out.
    pub fn add_segments(&self, text: &str) {
        let now = self.hv.now();
        let state = &mut *self.state.borrow_mut();
        let cards: Vec<&str> = state.nics.iter().map(|nic| nic.name.as_str()).collect();
        let Parsed { segments, faults } = outrigger_segments::parse(text, &cards);
        for fault in faults {
            log::error!("segments=: {fault}; it is not served");
        }
        for segment in &segments {
            let card = segment.card.as_deref();
            let uplink = state.nics.iter().position(|nic| Some(nic.name.as_str()) == card);
            let trusted = segment.trusted.iter().copied().map(Mac).collect();
            state
                .switch
                .add_segment(segment.name.clone(), uplink, trusted, now);
        }
        // Those that have somebody behind them before those that are behind somebody.
        let (bridged, translated): (Vec<_>, Vec<_>) =
            segments.iter().partition(|segment| segment.uplink.is_none());
        for segment in bridged.into_iter().chain(translated) {
            state.add_station(segment, &segments, now);
        }
    }
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    fn add_station(&mut self, segment: &Segment, all: &[Segment], now: Instant) {
        let Some(own) = &segment.own else { return };
        let Some(lan) = self.switch.lan_of_segment(&segment.name, own.vlan) else {
            return;
        };
        let card = self.switch.uplink(lan).and_then(|nic| self.nics.get(nic));
        // A network that accepts one MAC only accepts the card's.
        let mac = card.map_or_else(
            || made_up(&segment.name, self.nics.first().map(|nic| nic.limits.mac)),
            |card| Mac(card.limits.mac),
        );
        let [a, b, c, d, e, f] = mac.0;
        let seed = now.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from_le_bytes([a, b, c, d, e, f, 7, 3]);
        let outside = |name: &String| self.own.stations.iter().position(|station| station.name == *name);
        let behind = |other: &Segment| other.uplink.as_ref() == Some(&segment.name);
        let role = match (&segment.uplink, own.address) {
            (Some(uplink), Some(subnet)) => {
                let Some(outside) = outside(uplink) else { return };
                Role::Gateway(Box::new(Gateway {
                    outside,
                    leases: Leases::new(subnet),
                    dns: own.dns.clone(),
                    errors: Paces::new(ERRORS),
                }))
            }
            _ if all.iter().any(behind) => Role::Outside(Box::new(Outside {
                nat: Nat::new(CONVERSATIONS, seed),
                neighbours: Neighbours::new(now),
            })),
            _ => Role::Host,
        };
        let port = MAX_VIFS + self.own.stations.len();
        let filter = SourceFilter {
            mac: Some(mac),
            addresses: Vec::new(),
        };
        self.switch.plug(port, lan, mac, filter, now);
        if let Some(port) = self.switch.port_mut(port) {
            port.multicast = MulticastFilter::new(true);
        }
        let station = Station::new(
            segment.name.clone(),
            outrigger_router::Mac(mac.0),
            own,
            role,
            (now, seed),
        );
        self.own.stations.push(station);
        self.own.lans.push(lan);
        self.own.due = true;
    }

    /// Our stations' turn: they look at what came, and what they have written becomes frames of this turn.
    #[cold]
    pub(crate) fn serve_own(&mut self, now: Instant) {
        self.own.due = false;
        for at in 0..self.own.stations.len() {
            let (dns, ready, mtu) = self.offered(at);
            let station = &mut self.own.stations[at];
            let offer = station.address.map(|subnet| Offer {
                mac: station.mac,
                subnet,
                dns: &dns,
                ready,
                mtu,
            });
            station.poll(now, offer.as_ref());
            if core::mem::take(&mut station.changed) {
                self.warn_of_overlaps(at);
                self.bar_addresses(at);
            }
            self.inject(at);
        }
        // What finds no room now is tried again soon, and not without a pause.
        let again = now.after(AGAIN);
        let next = |station: &Station| {
            let waits = !station.mailbox.written.is_empty() || !station.mailbox.received.is_empty();
            let deadline = station.deadline.map(|deadline| deadline.max(again));
            deadline.into_iter().chain(waits.then_some(again)).min()
        };
        self.own.deadline = self.own.stations.iter().filter_map(next).min();
    }

    /// Guests are not heard as who we are there, nor as who tells us so, nor as our way out.
    fn bar_addresses(&mut self, at: usize) {
        let station = &self.own.stations[at];
        let ours = station.address.map(Subnet::address);
        let addresses = [ours, station.router, station.server];
        let addresses = addresses.map(|address| address.unwrap_or(Ipv4Addr::BROADCAST));
        self.switch.bar(self.own.lans[at], addresses);
    }

    /// Where the outside has the addresses of the inside, nothing can be translated.
    fn warn_of_overlaps(&self, at: usize) {
        let outside = &self.own.stations[at];
        for station in &self.own.stations {
            if let (Role::Gateway(gateway), Some(inner), Some(outer)) =
                (&station.role, station.address, outside.address)
                && gateway.outside == at
                && inner.overlaps(outer)
            {
                let (name, uplink) = (&station.name, &outside.name);
                log::error!("{name}: {inner} is {uplink}'s network, too: give {name} another address=");
            }
        }
    }

    /// What a NAT segment's guests are told of the outside: name servers, whether more are to come, the MTU.
    fn offered(
        &self,
        at: usize,
    ) -> (
        heapless::Vec<Ipv4Addr, { outrigger_segments::DNS_MAX }>,
        bool,
        u16,
    ) {
        let mut dns = heapless::Vec::new();
        let Role::Gateway(gateway) = &self.own.stations[at].role else {
            return (dns, true, MTU);
        };
        let outside = &self.own.stations[gateway.outside];
        let servers = if gateway.dns.is_empty() {
            &outside.dns
        } else {
            &gateway.dns
        };
        // There is room for as many as there can be.
        dns.extend(servers.iter().copied().take(dns.capacity()));
        let ready = !gateway.dns.is_empty() || outside.address.is_some();
        (dns, ready, self.mtu_of(self.own.lans[gateway.outside]))
    }

    /// Bytes of a packet that a LAN's card takes.
    fn mtu_of(&self, lan: Lan) -> u16 {
        let card = self.switch.uplink(lan).and_then(|nic| self.nics.get(nic));
        card.map_or(MTU, |card| card.limits.mtu)
    }

    /// What a station has written becomes frames of this turn, as far as there is room.
    fn inject(&mut self, at: usize) {
        let Self { own, pool, batch, .. } = self;
        let station = &mut own.stations[at];
        while let Some(copied) = station.mailbox.written.front() {
            let len = copied.bytes().len();
            let frame = if batch.has_room() && pool.promise(1) {
                pool.begin()
            } else {
                None
            };
            let Some(frame) = frame else {
                return;
            };
            if pool.extend(frame, core::iter::once(len)) {
                pool.write(frame, 0, copied.bytes());
                batch.incoming.push(Incoming {
                    origin: Origin::Own { port: MAX_VIFS + at },
                    frame,
                    stored: len,
                    len,
                    first_fragment: 0,
                    fragments: 0,
                    checksum: RxChecksum::Validated,
                    gso: None,
                    dropped: None,
                    wire: None,
                    vlan: 0,
                    delivered: false,
                });
            } else {
                pool.end(frame);
            }
            station.mailbox.written.pop();
        }
    }
}

/// A locally administered MAC for a segment without a card: the same each time, and another one on another machine.
fn made_up(name: &str, card: Option<[u8; 6]>) -> Mac {
    let hash = fnv1a(card.unwrap_or_default().into_iter().chain(name.bytes()));
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    Mac([0x02, a, b, c, d, e])
}
