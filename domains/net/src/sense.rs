//! The beginning of a turn: guests' packets are taken out of their rings and checked, within bounds.

use outrigger_devices::{NetDevice, RxChecksum};
use outrigger_netif::{Checksum, Multicast, Taken, TxPacket};
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant, PAGE_SIZE};
use xen_unikernel_abi::io::netif::{NETIF_RSP_ERROR, NETIF_RSP_OKAY};

use crate::batch::{GUEST_FRAMES, Incoming, Origin};
use crate::counters::Drop;
use crate::packet::{HEAD_BYTES, Mac};
use crate::pool::{FRAME_START, MAX_PIECES};
use crate::queue::Look;
use crate::service::State;
use crate::set::{SET_CAPACITY, Set};
use crate::vif::Fault;

/// Packets that a queue may have taken in one turn, and the least of a guest's share in it.
const PACKET_BUDGET: u32 = 32;
/// The part of all pages that is not for frames to a wire.
pub(crate) const WIRE_RESERVE: usize = 4;
/// Slots for each packet of a share, for packets are not of one size, and may be refused after they have used up many. Each slot is a
/// page of ours, or less.
const SLOTS_A_PACKET: u32 = 4;
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
        let mut shares = self.share_out(active);
        let (mut first, mut cut) = (None, None);
        for number in active.iter_from(self.first) {
            if shares.full {
                self.active.insert(number);
                continue;
            }
            let Some((vif, queue)) = self.places[number] else {
                continue;
            };
            first = first.or(Some(number + 1));
            match self.sense_queue(hv, number, (vif.into(), queue.into()), &mut shares, now) {
                Ok(Sensed::Drained) => self.unchecked.insert(number),
                Ok(Sensed::More) => self.active.insert(number),
                Ok(Sensed::Full) => {
                    shares.full = true;
                    cut = cut.or(Some(number));
                    self.active.insert(number);
                }
                Ok(Sensed::Starved) => {
                    cut = cut.or(Some(number));
                    self.starved.insert(number);
                }
                Ok(Sensed::Congested) => self.starved.insert(number),
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
        // Whoever found no room is first when there is some; otherwise everybody is at times.
        self.first = cut.or(first).unwrap_or(0) % SET_CAPACITY;
    }

    /// What each guest may have taken in this turn, of so many that have something.
    #[inline]
    fn share_out(&mut self, active: Set) -> Shares {
        let mut guests = Set::default();
        for number in active.iter() {
            if let Some((vif, _)) = self.places[number] {
                let guest = self.guests.of(vif.into());
                guests.insert(guest);
                self.spent[guest] = (0, 0);
            }
        }
        let count = guests.iter().count() as u32;
        let all = GUEST_FRAMES as u32;
        let (guest, queue) = if count > 1 {
            let share = (all / count).max(PACKET_BUDGET);
            (share, share)
        } else {
            (all, PACKET_BUDGET)
        };
        let mut congested = Set::default();
        for (number, nic) in self.nics.iter().enumerate() {
            if nic.is_congested() {
                congested.insert(number);
            }
        }
        Shares {
            guest,
            queue,
            congested,
            full: false,
        }
    }

    #[inline]
    fn sense_queue<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        number: usize,
        place: (usize, usize),
        shares: &mut Shares,
        now: Instant,
    ) -> Result<Sensed, Fault> {
        let guest = self.guests.of(place.0);
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
            let spent = &mut self.spent[guest];
            if shares.are_spent(shares.queue, (packets, slots)) || shares.are_spent(shares.guest, *spent) {
                return Ok(Sensed::More);
            }
            if !self.batch.has_room() {
                return Ok(Sensed::Full);
            }
            // Whoever sends to a wire that is busy waits for it, and leaves pages to those who do not.
            let reserve = match vif.to_wire {
                Some(nic) if shares.congested.contains(nic.into()) => return Ok(Sensed::Congested),
                Some(_) => self.pool.size() / WIRE_RESERVE,
                None => 0,
            };
            if self.pool.free() < MAX_PIECES.max(reserve) {
                return Ok(Sensed::Starved);
            }
            if let Some(rate) = &mut vif.rate
                && let Err(until) = rate.check(now)
            {
                return Ok(Sensed::Limited(until));
            }
            self.touched.insert(number);
            let (taken, used) = queue.take(pending, &mut self.batch)?;
            (packets, slots) = (packets + 1, slots + used);
            *spent = (spent.0 + 1, spent.1 + used);
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
        let stored = if served.to_wire.is_some() {
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

/// What a turn has for each guest, and for each queue.
struct Shares {
    /// Packets of a guest, whatever becomes of them: of one that is alone, as many as there may be in a turn.
    guest: u32,
    /// Packets of a queue.
    queue: u32,
    /// Cards that have enough to send.
    congested: Set,
    /// The turn has no more room.
    full: bool,
}

impl Shares {
    /// Whether so many packets with so many slots are all of a share.
    fn are_spent(&self, share: u32, (packets, slots): (u32, u32)) -> bool {
        packets >= share || slots >= SLOTS_A_PACKET * share
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
    /// The card that it sends to has enough.
    Congested,
    /// It has sent as much as it may until then.
    Limited(Instant),
}
