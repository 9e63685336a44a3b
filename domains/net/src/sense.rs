//! The beginning of a turn: guests' packets are taken out of their rings and checked, within bounds.

use outrigger_devices::{NetDevice, RxChecksum};
use outrigger_netif::{Checksum, Multicast, Taken, TxPacket};
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant, PAGE_SIZE};
use xen_unikernel_abi::io::netif::{NETIF_RSP_ERROR, NETIF_RSP_OKAY};

use crate::batch::{Incoming, Origin};
use crate::counters::Drop;
use crate::nic::Nic;
use crate::packet::{HEAD_BYTES, Mac};
use crate::pool::{FRAME_START, MAX_PIECES};
use crate::queue::Look;
use crate::service::State;
use crate::set::SET_CAPACITY;
use crate::vif::Fault;

/// Most packets that a queue may have taken in one turn.
const PACKET_BUDGET: usize = 32;
/// The part of all pages that is not for frames to a wire.
pub(crate) const WIRE_RESERVE: usize = 4;
/// Most slots, besides: a packet may be refused after it has used up many.
const SLOT_BUDGET: u32 = 128;
/// Lengths of a first slot that is copied as a whole. From Ethernet's, IPv4's and TCP's least headers on it probably holds all
/// there are; and it has to fit into the page of ours where a frame begins.
const FIRST_SLOT: core::ops::RangeInclusive<u16> = 54..=PAGE_SIZE as u16 - FRAME_START;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Each queue's turn: packets are taken and checked, and the copies of their heads planned.
    #[inline]
    pub(crate) fn sense<H: Hypervisor<Pages = P>>(&mut self, hv: &H, now: Instant) {
        let active = self.active.take();
        if active.is_empty() {
            return;
        }
        self.batch.open_to_guests();
        let congested = self.nics.iter().any(Nic::is_congested);
        let first = self.first;
        self.first = (first + 1) % SET_CAPACITY;
        let mut full = false;
        for number in active.iter_from(first) {
            if full {
                self.active.insert(number);
                continue;
            }
            let Some((vif, queue)) = self.places[number] else {
                continue;
            };
            match self.sense_queue(hv, number, (vif.into(), queue.into()), congested, now) {
                Ok(Sensed::Drained) => self.unchecked.insert(number),
                Ok(Sensed::More) => self.active.insert(number),
                Ok(Sensed::Full) => {
                    full = true;
                    // It goes on from here.
                    self.first = number;
                    self.active.insert(number);
                }
                Ok(Sensed::Starved) => self.starved.insert(number),
                Ok(Sensed::Limited(until)) => {
                    self.limited.insert(number);
                    let earlier = self.limited_until.map_or(until, |other| other.min(until));
                    self.limited_until = Some(earlier);
                }
                Err(fault) => {
                    if let Some(vif) = &mut self.vifs[usize::from(vif)] {
                        vif.break_off(fault);
                    }
                    self.poke = true;
                }
            }
        }
    }

    #[inline]
    fn sense_queue<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        number: usize,
        place: (usize, usize),
        congested: bool,
        now: Instant,
    ) -> Result<Sensed, Fault> {
        let (mut packets, mut slots) = (0, 0);
        loop {
            let Some(vif) = self.vifs[place.0].as_mut().filter(|vif| vif.is_served()) else {
                return Ok(Sensed::Drained);
            };
            let Some(queue) = vif.queues.get_mut(place.1) else {
                return Ok(Sensed::Drained);
            };
            let Look::Slots(pending) = queue.look()? else {
                return Ok(Sensed::Drained);
            };
            if packets == PACKET_BUDGET || slots >= SLOT_BUDGET {
                return Ok(Sensed::More);
            }
            if !self.batch.has_room() {
                return Ok(Sensed::Full);
            }
            // Whoever sends to a wire that is busy waits for it, and leaves pages to those who do not.
            let reserve = if vif.to_wire {
                self.pool.size() / WIRE_RESERVE
            } else {
                0
            };
            if (vif.to_wire && congested) || self.pool.free() < MAX_PIECES.max(reserve) {
                return Ok(Sensed::Starved);
            }
            if let Some(rate) = &mut vif.rate
                && let Err(until) = rate.check(now)
            {
                return Ok(Sensed::Limited(until));
            }
            self.touched.insert(number);
            let (taken, used) = queue.take(pending, &mut self.batch)?;
            packets += 1;
            slots += used;
            match taken {
                Taken::Packet(packet) => {
                    if let Some(rate) = &mut vif.rate {
                        rate.spend(packet.len.into());
                    }
                    self.accept(hv, place, &packet);
                }
                Taken::Multicast(change) => self.change_multicast(place, change),
                Taken::Refused(_) | Taken::More => vif.counters.drop_tx(Drop::Refused),
            }
        }
    }

    /// Takes a packet in: a frame for it, and the copies of its first bytes.
    #[inline]
    fn accept<H: Hypervisor<Pages = P>>(&mut self, hv: &H, (vif, queue): (usize, usize), packet: &TxPacket) {
        let len = usize::from(packet.len);
        let pages = (usize::from(FRAME_START) + len).div_ceil(PAGE_SIZE);
        // Each fragment may get a page.
        let pages = if pages == 1 {
            1
        } else {
            pages.max(packet.fragments + 1)
        };
        let Some(served) = self.vifs[vif].as_mut() else {
            return;
        };
        // What probably goes to the wire is copied in one go. If it does not, it goes on from our pages.
        // Of what does not, the first slot, for Xen's work is for each copy: it holds all headers, as a rule, and often the whole frame.
        let first = self.batch.fragments[packet.first_fragment].len;
        let stored = if served.to_wire {
            len
        } else if !served.splits_headers && FIRST_SLOT.contains(&first) {
            first.into()
        } else {
            len.min(HEAD_BYTES)
        };
        let frame = if self.pool.promise(pages) {
            self.pool.begin()
        } else {
            None
        };
        // Both were looked at before the packet was taken.
        let mut left = stored;
        let parts = self.batch.fragments[packet.first_fragment..][..packet.fragments]
            .iter()
            .map(|fragment| usize::from(fragment.len));
        let parts = parts.map(move |part| {
            let part = part.min(left);
            left -= part;
            part
        });
        let Some(frame) = frame.filter(|frame| self.pool.extend(*frame, parts)) else {
            served.counters.drop_tx(Drop::NoMemory);
            return;
        };
        let incoming = Incoming {
            origin: Origin::Guest {
                vif,
                queue,
                slots: packet.slots,
            },
            frame,
            stored,
            len,
            first_fragment: packet.first_fragment,
            fragments: packet.fragments,
            checksum: match packet.checksum {
                Checksum::Unknown => RxChecksum::Unknown,
                Checksum::Validated => RxChecksum::Validated,
                // Where it is, the headers will tell.
                Checksum::Blank => {
                    RxChecksum::Blank(outrigger_devices::BlankChecksum { start: 0, offset: 0 })
                }
            },
            gso: packet.gso.map(|gso| outrigger_devices::Gso {
                kind: gso.kind,
                size: gso.size,
                header_len: 0,
            }),
            dropped: None,
            wire: None,
            vlan: 0,
            delivered: false,
        };
        let at = self.batch.incoming.len();
        self.batch.incoming.push(incoming);
        self.copy_in(hv, at, 0, stored);
    }

    #[cold]
    fn change_multicast(&mut self, (vif, queue): (usize, usize), change: Multicast) {
        let Some(port) = self.switch.port_mut(vif) else {
            return;
        };
        let done = port.multicast.change(Mac(change.address), change.add);
        let status = if done { NETIF_RSP_OKAY } else { NETIF_RSP_ERROR };
        if let Some(vif) = &mut self.vifs[vif]
            && let Some(queue) = vif.queues.get_mut(queue)
        {
            queue.debts.settle(change.slots, status);
            if let Some(told) = &mut vif.told {
                told.keep(&vif.hash, &port.multicast);
            }
        }
    }
}

/// How a look at a queue ended.
enum Sensed {
    /// Nothing more to take.
    Drained,
    /// The queue's budget is spent.
    More,
    /// The turn's is.
    Full,
    /// There are no pages.
    Starved,
    /// It has sent as much as it may until then.
    Limited(Instant),
}
