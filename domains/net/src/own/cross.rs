//! Frames that cross from a NAT segment to the outside, or back: their headers are changed, and they go on as if our own
//! station on the other side had sent them. The rest of the frame stays where it is.

use core::net::Ipv4Addr;

use outrigger_devices::{NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_router::errors::{self, IcmpError};
use outrigger_router::nat::headers::{Edit, Headers};
use outrigger_router::nat::{Inside, Refused};
use outrigger_router::{Role, Station};
use outrigger_segments::Subnet;
use outrigger_xen::Instant;

use crate::batch::Origin;
use crate::counters::Drop;
use crate::packet::{Mac, Packet, TCP, UDP};
use crate::plan::Head;
use crate::service::State;
use crate::switch::{MAX_VIFS, Targets};

/// What becomes of a frame to one of our stations.
pub(crate) enum Crossing {
    /// It is for the station.
    Stays,
    /// It goes to others.
    Goes(Targets),
    /// It waits at this port until its next hop is known.
    Waits(usize),
}

/// Whether an address may be somebody's outside.
fn is_global(address: Ipv4Addr) -> bool {
    !matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
}

/// Seconds.
fn seconds(now: Instant) -> u32 {
    u32::try_from(now.0 / 1_000_000_000).unwrap_or(u32::MAX)
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Translates a frame to the station at `port`, if it is to cross. `mtu`: bytes of the longest packet that it stands for.
    ///
    /// # Errors
    /// What it is dropped for.
    #[inline(never)]
    pub(crate) fn cross(
        &mut self,
        at: usize,
        port: usize,
        (head, packet): (&mut Head, &mut Packet),
        mtu: usize,
        now: Instant,
    ) -> Result<Crossing, Drop> {
        let incoming = self.batch.incoming[at];
        if incoming.gso.is_some() {
            // Its checksum may have been blanked since.
            (*head, *packet) = self.head(at).ok_or(Drop::Malformed)?;
        }
        if !packet.is_ipv4() || packet.destination.is_multicast() {
            return Ok(Crossing::Stays);
        }
        let Some(headers) = Headers::look(head.bytes(), packet.payload, incoming.len) else {
            return Err(Drop::Malformed);
        };
        let blank = matches!(incoming.checksum, RxChecksum::Blank(_));
        let station = port - MAX_VIFS;
        let way = match (&self.own.stations[station].role, incoming.origin) {
            (Role::Gateway(_), Origin::Guest { vif, .. }) => {
                self.outbound(station, vif, (head, headers, blank), mtu, now)?
            }
            (Role::Outside(_), origin) => {
                self.is_near(station, origin, &headers)?;
                self.inbound(station, (head, headers, blank), now)?
            }
            _ => None,
        };
        let Some(Way { from, to, source }) = way else {
            return Ok(Crossing::Stays);
        };
        let bytes = head.bytes_mut();
        bytes[..6].copy_from_slice(&to.unwrap_or(source).0);
        bytes[6..12].copy_from_slice(&source.0);
        let changed = match headers.protocol {
            TCP => headers.transport + 18,
            UDP => headers.transport + 8,
            _ => headers.end,
        };
        let changed = &head.bytes()[..changed.min(headers.end)];
        self.pool.write(incoming.frame, 0, changed);
        *packet = Packet::peek(head.bytes()).ok_or(Drop::Malformed)?;
        if to.is_none() {
            return Ok(Crossing::Waits(from));
        }
        let targets = self.switch.route_guest(from, packet, head.bytes(), now)?;
        Ok(Crossing::Goes(targets))
    }

    /// A guest's packet to its router. `None`: it is for the router itself.
    fn outbound(
        &mut self,
        station: usize,
        vif: usize,
        (head, headers, blank): (&mut Head, Headers, bool),
        mtu: usize,
        now: Instant,
    ) -> Result<Option<Way>, Drop> {
        let guest = self.guests.of(vif) as u8;
        let stations = &mut self.own.stations;
        let (inner, own) = (
            &stations[station],
            stations[station].address.ok_or(Drop::NoRoute)?,
        );
        if headers.destination == own.address() {
            return Ok(None);
        }
        let Role::Gateway(gateway) = &inner.role else {
            return Ok(None);
        };
        let lan = self.own.lans[gateway.outside];
        let most = self.switch.uplink(lan).and_then(|nic| self.nics.get(nic));
        let most = most.map_or(u16::MAX, |card| card.limits.mtu);
        let error = if headers.ttl <= 1 {
            Some(IcmpError::TimeExceeded)
        } else if mtu > most.into() && headers.dont_fragment {
            Some(IcmpError::TooLong(most))
        } else {
            None
        };
        let outside = gateway.outside;
        if !own.has_station(headers.source) {
            return Err(Drop::SourceIp);
        }
        if let Some(error) = error {
            let Station {
                role: Role::Gateway(gateway),
                mailbox,
                mac,
                ..
            } = &mut stations[station]
            else {
                return Ok(None);
            };
            if gateway.errors.take(guest, now) {
                let about = (head.bytes(), &headers);
                errors::tell(error, guest, about, (*mac, own), &mut mailbox.written);
            }
            self.own.due = true;
            return Err(Drop::Untranslated);
        }
        let Station {
            role: Role::Outside(out),
            mailbox,
            mac,
            address,
            router,
            ..
        } = &mut stations[outside]
        else {
            return Err(Drop::NoRoute);
        };
        let ours = address.ok_or(Drop::NoRoute)?;
        let to = headers.destination;
        // Neither other guests nor we are reached around the switch.
        let barred = !is_global(to)
            || own.contains(to)
            || (ours.contains(to) && !ours.has_station(to))
            || own.overlaps(ours);
        if barred {
            return Err(Drop::NoDestination);
        }
        let hop = if ours.contains(to) {
            to
        } else {
            router.ok_or(Drop::NoRoute)?
        };
        let mut edit = Edit {
            head: head.bytes_mut(),
            headers,
            blank,
        };
        let translated = out
            .nat
            .outbound(&mut edit, vif as u8, ours.address(), seconds(now));
        translated.map_err(|why| match why {
            Refused::Full => Drop::NatFull,
            Refused::Unsupported => Drop::Untranslated,
        })?;
        edit.decrement_ttl();
        let to = out
            .neighbours
            .find(hop, guest, now, (*mac, ours), &mut mailbox.written);
        let way = Way {
            from: MAX_VIFS + outside,
            to: to.map(|to| Mac(to.0)),
            source: Mac(mac.0),
        };
        // A question may have been written.
        self.own.due |= !mailbox.written.is_empty();
        Ok(Some(way))
    }

    /// A guest beside our address outside may be behind none but its own subnet's: what comes from farther comes by our router.
    ///
    /// # Errors
    /// It is not.
    fn is_near(&self, station: usize, origin: Origin, headers: &Headers) -> Result<(), Drop> {
        let Origin::Guest { vif, .. } = origin else {
            return Ok(());
        };
        let ours = self.own.stations[station].address;
        let near = ours.is_none_or(|ours| ours.contains(headers.source));
        (near || self.switch.is_trusted(vif))
            .then_some(())
            .ok_or(Drop::SourceIp)
    }

    /// A packet to our address outside. `None`: it is for us.
    fn inbound(
        &mut self,
        station: usize,
        (head, headers, blank): (&mut Head, Headers, bool),
        now: Instant,
    ) -> Result<Option<Way>, Drop> {
        let station = &mut self.own.stations[station];
        let Role::Outside(outside) = &mut station.role else {
            return Ok(None);
        };
        let ours = station.address.map(Subnet::address);
        if ours != Some(headers.destination) {
            return Ok(None);
        }
        let mut edit = Edit {
            head: head.bytes_mut(),
            headers,
            blank,
        };
        let Some(Inside { guest, .. }) = outside.nat.inbound(&mut edit, seconds(now)) else {
            return Ok(None);
        };
        if headers.ttl <= 1 {
            return Err(Drop::Untranslated);
        }
        edit.decrement_ttl();
        let port = self.switch.port_mut(guest.into()).ok_or(Drop::NoDestination)?;
        let (lan, to) = (port.lan, port.mac);
        let gateway = self.own.lans.iter().position(|its| *its == lan);
        let gateway = gateway.ok_or(Drop::NoDestination)?;
        Ok(Some(Way {
            from: MAX_VIFS + gateway,
            to: Some(to),
            source: Mac(self.own.stations[gateway].mac.0),
        }))
    }
}

/// How a translated frame goes on.
struct Way {
    /// From this port of ours.
    from: usize,
    /// To this station, once it is known.
    to: Option<Mac>,
    /// With this source.
    source: Mac,
}
