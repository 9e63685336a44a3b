//! The domain's own place on a segment: an address of its own, which answers ARP and ping (smoltcp).
//!
//! It is let in only what it serves, so that whoever looks for more finds nothing: ARP, ICMP, answers to its own DHCP
//! client; on a NAT segment its guests' questions to the DHCP server.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use outrigger_segments::{DNS_MAX, Own, Subnet};
use outrigger_xen::Instant;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::IpCidr;

use super::dhcp::{self, Offer};
use super::leases::Leases;
use super::mailbox::Mailbox;
use super::neighbours::Neighbours;
use crate::nat::Nat;
use crate::nat::headers::{Carried, Headers};
use crate::pace::Paces;
use crate::{ETH_HLEN, Mac};

/// What an address is for.
pub enum Role {
    /// To be reached.
    Host,
    /// And guests of NAT segments are behind it.
    Outside(Box<Outside>),
    /// It is the router of such a segment.
    Gateway(Box<Gateway>),
}

/// What translation needs on the side of the wire.
pub struct Outside {
    /// The translation of all guests behind the address.
    pub nat: Nat,
    /// Who has which MAC there.
    pub neighbours: Neighbours,
}

/// What translation needs on the side of the guests.
pub struct Gateway {
    /// The station behind whose address they are.
    pub outside: usize,
    /// Whose address is which.
    pub leases: Leases,
    /// Name servers, if they are not the outside's.
    pub dns: Vec<Ipv4Addr>,
    /// ICMP errors that we send to each guest.
    pub errors: Paces,
}

/// An address of ours on one segment.
pub struct Station {
    /// The segment's name.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// What came for it, and what it has to say.
    pub mailbox: Mailbox,
    /// Its address, once it has one.
    pub address: Option<Subnet>,
    /// The way out of its subnet.
    pub router: Option<Ipv4Addr>,
    /// The DHCP server that it has its address from.
    pub server: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// What it is for.
    pub role: Role,
    interface: Interface,
    sockets: SocketSet<'static>,
    client: Option<SocketHandle>,
    /// Its address, its router or its DHCP server is another one, since somebody last asked.
    pub changed: bool,
    /// When it wants to be polled without having got anything.
    pub deadline: Option<Instant>,
}

fn stack_time(now: Instant) -> StackInstant {
    StackInstant::from_micros((now.0 / 1000).cast_signed())
}

impl Station {
    /// `seed`: nobody outside knows it.
    pub fn new(name: String, mac: Mac, own: &Own, role: Role, (now, seed): (Instant, u64)) -> Self {
        let mut mailbox = Mailbox::default();
        let mut config = Config::new(mac.into());
        config.random_seed = seed;
        let interface = Interface::new(config, &mut mailbox, stack_time(now));
        // Stations are never taken away.
        let place: &'static mut [SocketStorage<'static>] = Box::leak(Box::new([SocketStorage::EMPTY]));
        let mut sockets = SocketSet::new(place);
        let client = own.address.is_none().then(|| sockets.add(dhcpv4::Socket::new()));
        let mut station = Self {
            name,
            mac,
            mailbox,
            address: None,
            router: None,
            server: None,
            dns: own.dns.clone(),
            role,
            interface,
            sockets,
            client,
            changed: false,
            deadline: client.map(|_| now),
        };
        station.configure(own.address, own.router);
        station
    }

    /// The address is this one from now on.
    fn configure(&mut self, address: Option<Subnet>, router: Option<Ipv4Addr>) {
        if self.address != address
            && let Role::Outside(outside) = &mut self.role
        {
            outside.nat.clear();
            outside.neighbours.clear();
        }
        self.changed = true;
        (self.address, self.router) = (address, router);
        if let Role::Outside(outside) = &mut self.role {
            outside.neighbours.set_router(router);
        }
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for one.
            addresses.extend(address.map(|own| IpCidr::new(own.address().into(), own.prefix())));
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = router {
            // There is room for one.
            let _ = routes.add_default_ipv4_route(router);
        }
        match (address, router) {
            (Some(address), Some(router)) => {
                log::info!("{}: own address {address}, router {router}", self.name)
            }
            (Some(address), None) => log::info!("{}: own address {address}", self.name),
            (None, _) => {}
        }
    }

    /// Whether it has any use for a frame of `len` bytes with these first bytes. `from_network`: it came from the uplink's wire, or
    /// from a guest that is trusted as if it had. Only there is asked who we are; from others a station takes ARP, ping and
    /// what guests ask of their gateway, and whatever is added to that list is to be nothing that a guest could mislead us by.
    pub fn wants(&self, head: &[u8], len: usize, from_network: bool) -> bool {
        match head.get(12..ETH_HLEN) {
            Some([0x08, 0x06]) => return true,
            Some([0x08, 0x00]) => {}
            _ => return false,
        }
        let Some(headers) = Headers::look(head, ETH_HLEN, len) else {
            return false;
        };
        match headers.carried(head) {
            Some(Carried::Udp { ports: [_, to] }) => match self.role {
                Role::Gateway(_) => to == dhcp::SERVER_PORT,
                _ => from_network && to == dhcp::CLIENT_PORT && self.client.is_some(),
            },
            Some(Carried::Echo { reply: false, .. }) => self.is_own(headers.destination),
            _ => false,
        }
    }

    /// Hears an ARP packet, of which these are the first bytes, before it is in the mailbox: nobody can crowd it out there.
    pub fn hear(&mut self, head: &[u8], from_network: bool, now: Instant) {
        if let (Role::Outside(outside), Some(own)) = (&mut self.role, self.address) {
            let written = &mut self.mailbox.written;
            outside.neighbours.hear(head, from_network, own, now, written);
        }
    }

    /// Where a packet to the outside goes first.
    pub fn next_hop(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        let near = self.address?.contains(destination);
        if near { Some(destination) } else { self.router }
    }

    fn is_own(&self, address: Ipv4Addr) -> bool {
        self.address.is_some_and(|own| own.address() == address)
    }

    /// Looks at what came, and writes what there is to be said. `offer`: what guests are told, on a NAT segment.
    pub fn poll(&mut self, now: Instant, offer: Option<&Offer<'_>>) {
        let time = stack_time(now);
        while let Some(frame) = self.mailbox.received.front() {
            if self.mailbox.written.is_full() {
                return;
            }
            let (bytes, vif) = (frame.bytes(), frame.mark as u8);
            if let (Role::Gateway(gateway), Some(offer)) = (&self.role, offer)
                && let Some((mac, payload)) = dhcp_question(bytes)
            {
                if let Some(lease) = gateway.leases.of(vif) {
                    dhcp::answer(payload, mac, lease, offer, &mut self.mailbox.written);
                }
                self.mailbox.received.pop();
                continue;
            }
            let Self {
                interface,
                mailbox,
                sockets,
                ..
            } = self;
            if interface.poll_ingress_single(time, mailbox, sockets) == PollIngressSingleResult::None {
                break;
            }
        }
        let Self {
            interface,
            mailbox,
            sockets,
            ..
        } = self;
        // Bounded by the room in the mailbox.
        while interface.poll_egress(time, mailbox, sockets) == PollResult::SocketStateChanged {}
        self.hear_dhcp();
        let next = self.interface.poll_at(time, &self.sockets);
        let next = next.map(|at| Instant(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000)));
        let refresh = match (&mut self.role, self.address) {
            (Role::Outside(outside), Some(own)) => {
                let (neighbours, written) = (&mut outside.neighbours, &mut self.mailbox.written);
                neighbours.refresh(now, (self.mac, own), written)
            }
            _ => None,
        };
        self.deadline = next.into_iter().chain(refresh).min();
    }

    /// What our DHCP client has got, or lost.
    fn hear_dhcp(&mut self) {
        let Some(client) = self.client else { return };
        let socket = self.sockets.get_mut::<dhcpv4::Socket<'_>>(client);
        match socket.poll() {
            None => {}
            Some(dhcpv4::Event::Deconfigured) => {
                if self.address.is_some() {
                    log::warn!("{}: the lease has ended; there is no address", self.name);
                }
                self.server = None;
                self.configure(None, None);
            }
            Some(dhcpv4::Event::Configured(lease)) => {
                let (address, router, server) = (lease.address, lease.router, lease.server.address);
                self.dns.clear();
                self.dns.extend(lease.dns_servers.iter().copied().take(DNS_MAX));
                let Some(subnet) = Subnet::new(address.address(), address.prefix_len()) else {
                    return log::error!("{}: DHCP gives {address}, which is no station's", self.name);
                };
                let router = router.filter(|router| subnet.has_station(*router));
                self.changed |= self.server != Some(server);
                self.server = Some(server);
                if (self.address, self.router) != (Some(subnet), router) {
                    self.configure(Some(subnet), router);
                }
            }
        }
    }
}

/// Sender and UDP payload of a frame to the DHCP server's port.
fn dhcp_question(frame: &[u8]) -> Option<(Mac, &[u8])> {
    let ip = frame.get(12..ETH_HLEN)? == [8, 0];
    let headers = Headers::look(frame, ETH_HLEN, frame.len()).filter(|_| ip)?;
    let sender = Mac(frame.get(6..12)?.try_into().ok()?);
    match headers.carried(frame)? {
        Carried::Udp {
            ports: [_, dhcp::SERVER_PORT],
        } => Some((sender, frame.get(headers.transport + 8..headers.end)?)),
        _ => None,
    }
}
