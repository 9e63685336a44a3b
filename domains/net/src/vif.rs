//! A guest's network card.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_devices::{Gso, GsoKind, RxChecksum};
use outrigger_netif::{Control, ControlRequest, ControlWords, Extra, HashControl, HashValue, MAPPING_SIZE};
use outrigger_ring::{BackRing, Overflow, SharedPages};
use outrigger_xen::{
    CopyOp, CopySide, EventChannels, GrantError, GrantTable, Instant, MappedPages, Port, Survivors,
};
use outrigger_xenbus::DeviceId;

use crate::counters::{Counters, Drop};
use crate::filter::SourceFilter;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::multicast::MulticastFilter;
use crate::packet::{Mac, Network, Packet, TCP};
use crate::pool::Buffer;
use crate::queue::Queue;
use crate::rate::Bucket;
use crate::switch::Lan;
use crate::told::Told;

/// Most frames that wait for a guest.
pub(crate) const WAITING_MAX: usize = 256;

/// Control messages served a turn.
pub(crate) const CONTROL_BUDGET: u32 = 8;

/// Why a vif is not served any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub &'static str);

/// A frame that waits for its guest to post pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub frame: u16,
    pub len: usize,
    pub checksum: RxChecksum,
    pub gso: Option<Gso>,
}

/// What the toolstack wants of a vif.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub mac: Mac,
    pub lan: Lan,
    pub filter: SourceFilter,
    pub rate: Option<String>,
    /// Bytes of a frame after its Ethernet header.
    pub mtu: usize,
}

/// What the frontend takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    pub sg: bool,
    pub gso4: bool,
    pub gso6: bool,
    pub blank4: bool,
    pub blank6: bool,
    /// Bytes to leave free at the start of each page.
    pub headroom: u16,
}

impl Takes {
    /// Whether the guest takes frames that stand for several. One with an XDP program does not, whatever it said before: the program
    /// sees a page, and Linux's netfront drops frames of more.
    pub fn several(&self, kind: GsoKind) -> bool {
        let takes = match kind {
            GsoKind::TcpV4 => self.gso4,
            GsoKind::TcpV6 => self.gso6,
        };
        takes && self.headroom == 0
    }

    /// Whether a frame need not be cut for this guest.
    pub fn whole(&self, gso: Option<Gso>) -> bool {
        gso.is_none_or(|gso| self.several(gso.kind))
    }

    /// Whether the guest can do with this checksum as it is.
    pub fn checksum(&self, checksum: RxChecksum, packet: &Packet) -> bool {
        match (checksum, packet.network) {
            (RxChecksum::Blank(_), Network::Ip(ip)) => {
                if ip.source.is_ipv4() {
                    self.blank4
                } else {
                    self.blank6
                }
            }
            _ => true,
        }
    }
}

pub(crate) struct ControlRing<P> {
    pub ring: BackRing<P>,
    pub mapped: MappedPages<P>,
    pub port: Port,
    pub ledger: Ledger<P>,
}

pub(crate) struct Vif<P> {
    pub id: DeviceId,
    pub wanted: Wanted,
    pub takes: Takes,
    pub queues: Vec<Queue<P>>,
    /// The number of its first queue among all queues.
    pub first_queue: usize,
    pub control: Option<Box<ControlRing<P>>>,
    pub hash: HashControl,
    /// What of all that is kept for the next life.
    pub told: Option<Told<P>>,
    pub rate: Option<Bucket>,
    pub counters: Counters,
    /// Its last frame went to this card's wire, so that its next one probably does.
    pub to_wire: Option<u8>,
    /// A frame's headers did not all lie in its first slot, so that its next one's may not either.
    pub splits_headers: bool,
    /// Frames for which the guest had no pages, in order.
    pub waiting: VecDeque<Waiting>,
    /// Pages of ours that they are in.
    pub waiting_pages: usize,
    /// Since when the guest has taken none of them.
    pub waiting_since: Instant,
    /// To be told to the control plane.
    pub fault: Option<Fault>,
    /// Its rings make no sense; they are not looked at any more.
    pub broken: bool,
}

impl<P: SharedPages + Clone> Vif<P> {
    pub fn new(id: DeviceId, wanted: Wanted) -> Self {
        Self {
            id,
            wanted,
            takes: Takes::default(),
            queues: Vec::new(),
            first_queue: 0,
            control: None,
            hash: HashControl::new(1),
            told: None,
            rate: None,
            counters: Counters::default(),
            to_wire: None,
            splits_headers: false,
            waiting: VecDeque::with_capacity(WAITING_MAX),
            waiting_pages: 0,
            waiting_since: Instant(0),
            fault: None,
            broken: false,
        }
    }

    pub fn is_connected(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Whether frames may be exchanged.
    pub fn is_served(&self) -> bool {
        self.is_connected() && !self.broken
    }

    /// The rings make no sense: nothing is taken or given from now on.
    #[cold]
    pub fn break_off(&mut self, fault: Fault) {
        self.broken = true;
        self.fault = Some(fault);
    }

    /// It answers DHCP and is not trusted: one line, once a connection.
    #[cold]
    pub fn tell_of_dhcp(&self) {
        if self.counters.tx_dropped[Drop::DhcpServer as usize] == 1 {
            let [a, b, c, d, e, f] = self.wanted.mac.0;
            log::warn!(
                "vif {}: it answers DHCP, which is dropped; if it shall, its segment needs \
                 trusted={a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}",
                self.id
            );
        }
    }

    /// The guest's own hash of a frame, if it has asked for one, and the queue that the frame belongs to.
    #[inline]
    pub fn spread(&self, packet: &Packet, head: &[u8]) -> (usize, Option<HashValue>) {
        let hashed = self.hash.is_on();
        if self.queues.len() == 1 && !hashed {
            return (0, None);
        }
        let Network::Ip(ip) = packet.network else {
            return (0, None);
        };
        let addresses = match ip.source {
            core::net::IpAddr::V4(_) => ip.offset + 12..ip.offset + 20,
            core::net::IpAddr::V6(_) => ip.offset + 8..ip.offset + 40,
        };
        let addresses = head.get(addresses).unwrap_or_default();
        let ports = packet.ports(head);
        if hashed {
            let value = self.hash.hash(addresses, ports.filter(|_| ip.protocol == TCP));
            let queue = value.map_or(0, |value| self.hash.queue(value.value));
            return (queue % self.queues.len(), value);
        }
        let ports = ports.unwrap_or_default();
        let mut mixed: u32 = 0;
        for word in addresses
            .as_chunks::<4>()
            .0
            .iter()
            .chain(core::iter::once(&ports))
        {
            mixed = (mixed ^ u32::from_le_bytes(*word)).wrapping_mul(0x9e37_79b1);
        }
        ((mixed >> 16) as usize % self.queues.len(), None)
    }

    /// What goes with a frame besides its bytes.
    pub fn extras(gso: Option<Gso>, hash: Option<HashValue>) -> [Option<Extra>; 2] {
        let gso = gso.map(|gso| {
            Extra::Gso(Ok(outrigger_netif::Gso {
                kind: gso.kind,
                size: gso.size,
            }))
        });
        [gso, hash.map(HashValue::extra)]
    }

    /// Serves the control ring. True if there is more to do.
    #[cold]
    pub fn serve_control<H, M>(
        &mut self,
        hv: &H,
        scratch: &Buffer<M>,
        multicast: &MulticastFilter,
    ) -> Result<bool, Overflow>
    where
        H: GrantTable + EventChannels,
        M: SharedPages,
    {
        let Some(control) = &mut self.control else {
            return Ok(false);
        };
        let pending = control.ring.pending()?;
        let mut responses = [[0; 3]; CONTROL_BUDGET as usize];
        let count = pending.min(CONTROL_BUDGET) as usize;
        for answer in &mut responses[..count] {
            let mut words: ControlWords = [0; 4];
            control.ring.consume(&mut words);
            let response = match self.hash.handle(ControlRequest::decode(words)) {
                Control::Respond(response) => response,
                Control::Read(wanted) => {
                    let op = CopyOp {
                        from: (CopySide::Granted(self.id.frontend, wanted.gref), 0),
                        to: (CopySide::Own(scratch.gfn), 0),
                        len: wanted.bytes,
                    };
                    let mut results = [Err(GrantError::Exhausted)];
                    hv.copy(&[op], &mut results);
                    let mut data = [0; MAPPING_SIZE * 4];
                    let data = &mut data[..usize::from(wanted.bytes)];
                    for (at, byte) in data.iter_mut().enumerate() {
                        *byte = scratch.memory.load_u8(at);
                    }
                    self.hash.complete(wanted, results[0].is_ok().then_some(data))
                }
            };
            *answer = response.encode();
        }
        if let Some(told) = self.told.as_mut().filter(|_| count > 0) {
            told.keep(&self.hash, multicast);
            let words = responses[..count].as_flattened().iter().copied();
            control.ledger.note(&control.ring, words);
        }
        for answer in &responses[..count] {
            control.ring.respond(answer);
        }
        if control.ring.push() {
            self.counters.notifications += 1;
            hv.notify(control.port);
        }
        control.ring.final_check()
    }

    /// Gives every ring and port back. Nothing is owed between turns.
    pub fn disconnect<H>(&mut self, hv: &H)
    where
        H: GrantTable<Pages = P> + EventChannels + Survivors,
    {
        let life = Life {
            vif: self.id,
            resumed: false,
        };
        let queues = self.queues.len();
        for queue in self.queues.drain(..) {
            queue.release(hv);
        }
        if let Some(control) = self.control.take() {
            let ControlRing {
                ring, mapped, port, ..
            } = *control;
            hv.close(port);
            drop(ring);
            hv.unmap_pages(mapped);
        }
        self.told = None;
        // Last: without it the next life would not serve the vif.
        life.end(hv, queues);
        self.hash = HashControl::new(1);
        self.broken = false;
    }
}
