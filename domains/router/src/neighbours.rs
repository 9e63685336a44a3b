//! Whose MAC a next hop on the way out has (ARP, RFC 826), and the few frames that wait for an answer.
//!
//! Nothing is learned that was not asked for. A guest that calls whole subnets makes others' unanswered questions be asked
//! again, at most; what is known and used stays.

use core::net::Ipv4Addr;
use core::time::Duration;

use outrigger_segments::Subnet;
use outrigger_xen::Instant;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, EthernetRepr};

use super::mailbox::{Frames, Mailbox};
use crate::Mac;
use crate::pace::Pace;

const NEIGHBOURS: usize = 64;
/// After so long it is asked again.
const FRESH: Duration = Duration::from_secs(60);
/// After so long without an answer nothing is sent there any more.
const GOOD: Duration = Duration::from_secs(120);
/// How often one is asked.
const AGAIN: Duration = Duration::from_secs(1);
/// Questions a second to all.
const QUESTIONS: u32 = 50;
/// Frames that wait, and how long.
const WAITING: usize = 8;
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    ip: Ipv4Addr,
    /// Its MAC, and when it told us.
    known: Option<(Mac, Instant)>,
    asked: Option<Instant>,
    used: Instant,
}

/// The next hops of one address of ours.
pub struct Neighbours {
    neighbours: [Option<Neighbour>; NEIGHBOURS],
    /// Marked with the address that they wait for.
    waiting: Frames,
    since: Instant,
    /// Questions to all.
    questions: Pace,
}

impl Neighbours {
    /// Nobody is known.
    pub fn new(now: Instant) -> Self {
        Self {
            neighbours: [None; NEIGHBOURS],
            waiting: Frames::new(WAITING),
            since: now,
            questions: Pace::new(QUESTIONS),
        }
    }

    /// The MAC of a neighbour, if it is known; if not, or not for long any more, it is asked for.
    pub fn find(
        &mut self,
        ip: Ipv4Addr,
        now: Instant,
        (mac, own): (Mac, Subnet),
        out: &mut Frames,
    ) -> Option<Mac> {
        let place = self.place(ip);
        let known = self.neighbours[place]
            .take()
            .filter(|neighbour| neighbour.ip == ip);
        let neighbour = self.neighbours[place].insert(Neighbour {
            ip,
            known: known.and_then(|neighbour| neighbour.known),
            asked: known.and_then(|neighbour| neighbour.asked),
            used: now,
        });
        let fresh = |known: &(Mac, Instant)| now.since(known.1) < FRESH;
        if !neighbour.known.as_ref().is_some_and(fresh)
            && neighbour.asked.is_none_or(|asked| now.since(asked) >= AGAIN)
            && self.questions.take(now)
        {
            neighbour.asked = Some(now);
            ask(ip, (mac, own), out);
        }
        let known = neighbour.known.filter(|known| now.since(known.1) < GOOD);
        known.map(|(mac, _)| mac)
    }

    /// Its place, or one that is free, or that of somebody who never answered, or of who was not needed longest.
    fn place(&self, ip: Ipv4Addr) -> usize {
        let places = self.neighbours.iter().enumerate();
        let best = places.min_by_key(|(_, place)| match place {
            Some(neighbour) if neighbour.ip == ip => (0, Instant(0)),
            None => (1, Instant(0)),
            Some(neighbour) if neighbour.known.is_none() => (2, neighbour.used),
            Some(neighbour) => (3, neighbour.used),
        });
        best.map_or(0, |(place, _)| place)
    }

    /// A frame waits until its next hop has answered. False if too many do.
    pub fn wait(&mut self, ip: Ipv4Addr, now: Instant, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.waiting.is_empty() || now.since(self.since) >= PATIENCE {
            self.since = now;
            while !self.waiting.is_empty() {
                self.waiting.pop();
            }
        }
        self.waiting.push(len, ip.to_bits(), fill)
    }

    /// Hears an ARP packet for our address: who was asked has answered, and what waits for it goes on.
    pub fn hear(&mut self, frame: &[u8], own: Subnet, now: Instant, mailbox: &mut Mailbox) {
        let Some((sender, target, mac)) = read(frame) else {
            return;
        };
        let asked = self
            .neighbours
            .iter_mut()
            .flatten()
            .find(|neighbour| neighbour.ip == sender);
        let Some(neighbour) = asked.filter(|_| target == own.address() && !mac.is_multicast()) else {
            return;
        };
        neighbour.known = Some((mac, now));
        // Once around: those that wait for others stay, in order.
        for _ in 0..WAITING {
            let Some(frame) = self.waiting.front_mut() else {
                return;
            };
            let (mark, len) = (frame.mark, frame.bytes().len());
            let mut copy = [0; super::mailbox::FRAME_MAX];
            copy[..len].copy_from_slice(frame.bytes());
            self.waiting.pop();
            if mark == sender.to_bits() {
                copy[..6].copy_from_slice(&mac.0);
                // If there is no room it is lost, as it was before.
                mailbox
                    .written
                    .push(len, 0, |bytes| bytes.copy_from_slice(&copy[..len]));
            } else {
                self.waiting
                    .push(len, mark, |bytes| bytes.copy_from_slice(&copy[..len]));
            }
        }
    }

    /// The address is another one.
    pub fn clear(&mut self) {
        self.neighbours = [None; NEIGHBOURS];
        while !self.waiting.is_empty() {
            self.waiting.pop();
        }
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

fn ask(ip: Ipv4Addr, (mac, own): (Mac, Subnet), out: &mut Frames) {
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
    out.push(ethernet.buffer_len() + question.buffer_len(), 0, |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        ethernet.emit(&mut frame);
        question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
}

#[cfg(test)]
mod tests;
