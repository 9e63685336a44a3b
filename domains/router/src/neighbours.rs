//! Whose MAC a next hop on the way out has (ARP, RFC 826), and the few frames that wait for an answer.
//!
//! Nothing is learned that was not asked for, and a guest's word is not taken against the wire's. Guests share places, questions
//! and frames that wait: a guest that calls whole subnets finds its own calls forgotten. The router, whom all need, has a place of
//! its own, is asked for at nobody's expense, and again before its entry ends.

use core::net::Ipv4Addr;
use core::time::Duration;

use outrigger_segments::Subnet;
use outrigger_xen::Instant;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, EthernetRepr};

use super::mailbox::{Frames, OURSELVES, Put};
use crate::Mac;
use crate::pace::Paces;

/// Places: the router's, which is the first, and those that guests share.
const NEIGHBOURS: usize = 65;
const ROUTER: usize = 0;
/// After so long it is asked again.
const FRESH: Duration = Duration::from_secs(60);
/// After so long without an answer nothing is sent there any more.
const GOOD: Duration = Duration::from_secs(120);
/// How often one is asked.
const AGAIN: Duration = Duration::from_secs(1);
/// Questions a second that each guest may cause. All together stay below what the switch floods for us.
const QUESTIONS: u32 = 25;
/// Frames that wait, how long, and how often that is looked at.
const WAITING: usize = 16;
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    ip: Ipv4Addr,
    /// Who has called it first.
    by: u8,
    /// Its MAC, and when it told us.
    known: Option<(Mac, Instant)>,
    /// It told us from the wire, or is trusted as if it had.
    from_wire: bool,
    asked: Option<Instant>,
    used: Instant,
    /// Since when frames wait for it.
    awaited: Option<Instant>,
}

impl Neighbour {
    /// Whether it knows no more than `for_long`.
    fn is_known(&self, for_long: Duration, now: Instant) -> bool {
        self.known.is_some_and(|(_, since)| now.since(since) < for_long)
    }
}

/// The next hops of one address of ours.
pub struct Neighbours {
    router: Option<Ipv4Addr>,
    neighbours: [Option<Neighbour>; NEIGHBOURS],
    /// Marked with the address that they wait for.
    waiting: Frames,
    /// When is looked for those that wait in vain.
    look: Instant,
    questions: Paces,
}

impl Neighbours {
    /// Nobody is known.
    pub fn new(now: Instant) -> Self {
        Self {
            router: None,
            neighbours: [None; NEIGHBOURS],
            waiting: Frames::new(WAITING),
            look: now,
            questions: Paces::new(QUESTIONS),
        }
    }

    /// The MAC of a neighbour that guest `by` calls, if it is known; if not, or not for long any more, it is asked for.
    pub fn find(
        &mut self,
        ip: Ipv4Addr,
        by: u8,
        now: Instant,
        ours: (Mac, Subnet),
        out: &mut Frames,
    ) -> Option<Mac> {
        let place = self.place(ip, by, now);
        let new = Neighbour {
            ip,
            by,
            known: None,
            from_wire: false,
            asked: None,
            used: now,
            awaited: None,
        };
        let neighbour = match &mut self.neighbours[place] {
            Some(neighbour) if neighbour.ip == ip => neighbour,
            other => other.insert(new),
        };
        neighbour.used = now;
        let due =
            !neighbour.is_known(FRESH, now) && neighbour.asked.is_none_or(|asked| now.since(asked) >= AGAIN);
        let by = if place == ROUTER { OURSELVES } else { by };
        if due && (place == ROUTER || self.questions.take(by, now)) {
            neighbour.asked = Some(now);
            ask(ip, by, ours, out);
        }
        let known = neighbour.known.filter(|known| now.since(known.1) < GOOD);
        known.map(|(mac, _)| mac)
    }

    /// Asks for the router again before it is forgotten, if it was needed of late; when to look next.
    pub fn refresh(&mut self, now: Instant, ours: (Mac, Subnet), out: &mut Frames) -> Option<Instant> {
        let router = self.neighbours[ROUTER].as_mut()?;
        let (_, since) = router.known?;
        if !router.is_known(GOOD, now) || now.since(router.used) >= GOOD {
            return None;
        }
        let again = router.asked.map_or(now, |asked| asked.after(AGAIN));
        let due = since.after(FRESH).max(again);
        if now < due {
            return Some(due);
        }
        router.asked = Some(now);
        ask(router.ip, OURSELVES, ours, out);
        Some(now.after(AGAIN))
    }

    /// Its place, or one that is free, or one that `by` can have.
    fn place(&self, ip: Ipv4Addr, by: u8, now: Instant) -> usize {
        if self.router == Some(ip) {
            return ROUTER;
        }
        let place = |wanted: Option<Ipv4Addr>| {
            let shared = self.neighbours.iter().skip(ROUTER + 1);
            let found = shared
                .map(|place| place.map(|neighbour| neighbour.ip))
                .position(|its| its == wanted);
            found.map(|found| found + ROUTER + 1)
        };
        place(Some(ip))
            .or_else(|| place(None))
            .unwrap_or_else(|| self.surplus(by, now))
    }

    /// A place of who has most, or of `by` if nobody has more: of who did not answer, or of who was not needed longest.
    fn surplus(&self, by: u8, now: Instant) -> usize {
        let shared = || self.neighbours.iter().enumerate().skip(ROUTER + 1);
        let mut has = [0_u8; 256];
        for (_, neighbour) in shared().filter_map(|(at, place)| Some((at, place.as_ref()?))) {
            has[usize::from(neighbour.by)] += 1;
        }
        let most = has.iter().copied().max().unwrap_or(0);
        let its_own = has[usize::from(by)] == most;
        let first = shared().min_by_key(|(_, place)| {
            place.as_ref().map(|neighbour| {
                let gives = if its_own {
                    neighbour.by == by
                } else {
                    has[usize::from(neighbour.by)] == most
                };
                let asked = |asked| now.since(asked) < AGAIN;
                let lives = neighbour.known.is_some() || neighbour.asked.is_some_and(asked);
                (!gives, lives, neighbour.used)
            })
        });
        first.map_or(ROUTER + 1, |(place, _)| place)
    }

    fn known_place(&mut self, ip: Ipv4Addr) -> Option<&mut Neighbour> {
        let mut all = self.neighbours.iter_mut().flatten();
        all.find(|neighbour| neighbour.ip == ip)
    }

    /// A frame of guest `by` waits until its next hop, which was just called, has answered.
    pub fn wait(
        &mut self,
        ip: Ipv4Addr,
        by: u8,
        now: Instant,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Put {
        if now >= self.look {
            self.look = now.after(LOOK);
            self.give_up(now);
        }
        let Some(neighbour) = self.known_place(ip) else {
            return Put::Refused;
        };
        neighbour.awaited.get_or_insert(now);
        self.waiting.put(len, (by, ip.to_bits()), fill)
    }

    /// Leaves out what waits in vain, or for somebody whose place is another's by now.
    fn give_up(&mut self, now: Instant) {
        for neighbour in self.neighbours.iter_mut().flatten() {
            neighbour.awaited = neighbour.awaited.filter(|since| now.since(*since) < PATIENCE);
        }
        let Self {
            neighbours, waiting, ..
        } = self;
        waiting.retain(|frame| {
            let mut all = neighbours.iter().flatten();
            all.any(|neighbour| neighbour.awaited.is_some() && neighbour.ip.to_bits() == frame.mark)
        });
    }

    /// Hears an ARP packet for our address: who was asked has answered, and what waits for it goes on. `from_wire`: or from
    /// somebody who is trusted as if it were.
    pub fn hear(&mut self, frame: &[u8], from_wire: bool, own: Subnet, now: Instant, out: &mut Frames) {
        let Some((sender, target, mac)) = read(frame) else {
            return;
        };
        let Some(neighbour) = self.known_place(sender) else {
            return;
        };
        let contradicts = neighbour.from_wire && !from_wire && neighbour.is_known(GOOD, now);
        if contradicts || target != own.address() || mac.is_multicast() {
            return;
        }
        (neighbour.known, neighbour.from_wire) = (Some((mac, now)), from_wire);
        neighbour.awaited = None;
        self.waiting.retain(|frame| {
            let others = frame.mark != sender.to_bits();
            if !others {
                // If there is no room it is lost, as it was before.
                out.put(frame.bytes().len(), (frame.from(), 0), |bytes| {
                    bytes.copy_from_slice(frame.bytes());
                    bytes[..6].copy_from_slice(&mac.0);
                });
            }
            others
        });
    }

    /// The router is another one.
    pub fn set_router(&mut self, router: Option<Ipv4Addr>) {
        if self.router != router {
            (self.router, self.neighbours[ROUTER]) = (router, None);
        }
    }

    /// The address is another one.
    pub fn clear(&mut self) {
        self.neighbours = [None; NEIGHBOURS];
        self.waiting.retain(|_| false);
    }
}

/// Sender and target of an ARP packet, and the sender's MAC.
fn read(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, Mac)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    match ArpRepr::parse(&packet).ok()? {
        ArpRepr::EthernetIpv4 {
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } => Some((source_protocol_addr, target_protocol_addr, source_hardware_addr)),
        _ => None,
    }
}

fn ask(ip: Ipv4Addr, by: u8, (mac, own): (Mac, Subnet), out: &mut Frames) {
    let ethernet = EthernetRepr {
        src_addr: mac,
        dst_addr: Mac::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let question = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: own.address(),
        target_hardware_addr: Mac([0; 6]),
        target_protocol_addr: ip,
    };
    // If there is no room, the next packet asks again.
    let len = ethernet.buffer_len() + question.buffer_len();
    out.put(len, (by, 0), |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        ethernet.emit(&mut frame);
        question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
}

#[cfg(test)]
mod tests;
