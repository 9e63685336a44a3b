//! TX: from slots to packets.

use alloc::vec::Vec;

use outrigger_xen::{GrantRef, PAGE_SIZE};
use xen_unikernel_abi::io::netif::{NETTXF_extra_info, NETTXF_more_data, XEN_NETIF_NR_SLOTS_MIN};

use crate::debt::Slots;
use crate::{Checksum, Debts, ETH_HLEN, Extra, Gso, HashValue};

/// Bytes of a slot.
pub const TX_SLOT_BYTES: usize = 12;
/// The same in words.
pub const TX_SLOT_WORDS: usize = 3;
/// Most fragments of a packet.
pub const MAX_FRAGMENTS: usize = XEN_NETIF_NR_SLOTS_MIN;
/// Data slots of a packet from which on the frontend cannot be in its right mind.
const FATAL_SLOTS: usize = 2 * MAX_FRAGMENTS;
/// Extras of a packet from which on it cannot either: there are four kinds.
const FATAL_EXTRAS: usize = 8;

/// `netif_tx_request`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxRequest {
    /// The page, granted for reading only.
    pub gref: u32,
    /// Where the data begins in it.
    pub offset: u16,
    /// `NETTXF_*`.
    pub flags: u16,
    /// To be echoed.
    pub id: u16,
    /// Bytes: of the whole packet in its first slot, of the fragment in the others.
    pub size: u16,
}

impl TxRequest {
    /// From a private copy of a slot.
    pub fn decode(words: [u32; TX_SLOT_WORDS]) -> Self {
        // Halves of words, so nothing is lost.
        Self {
            gref: words[0],
            offset: words[1] as u16,
            flags: (words[1] >> 16) as u16,
            id: words[2] as u16,
            size: (words[2] >> 16) as u16,
        }
    }

    /// The slot's words, as frontends write them.
    pub fn encode(self) -> [u32; TX_SLOT_WORDS] {
        [
            self.gref,
            u32::from(self.offset) | u32::from(self.flags) << 16,
            u32::from(self.id) | u32::from(self.size) << 16,
        ]
    }
}

/// A piece of a packet: it lies within its page and is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The page.
    pub gref: GrantRef,
    /// Where it begins in the page, in bytes.
    pub offset: u16,
    /// Its bytes.
    pub len: u16,
}

/// One packet, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxPacket {
    /// Bytes, at least [`ETH_HLEN`].
    pub len: u16,
    /// Its first fragment in the list that [`Assembly::take`] was given.
    pub first_fragment: usize,
    /// How many it has, 1 to 18; together they are `len` long.
    pub fragments: usize,
    /// What is known of its checksum.
    pub checksum: Checksum,
    /// It stands for several.
    pub gso: Option<Gso>,
    /// The frontend's hash of it.
    pub hash: Option<HashValue>,
    /// What is owed for it.
    pub slots: Slots,
}

/// A change of the list of multicast addresses that the frontend wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The address, as alleged: it may be no multicast address at all.
    pub address: [u8; 6],
    /// Add it, or remove it.
    pub add: bool,
    /// What is owed for the request.
    pub slots: Slots,
}

/// Why a packet is answered without having been sent. Its slots stay settled as errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Shorter than an Ethernet header.
    Runt,
    /// A fragment that does not lie within its page.
    Bounds,
    /// The fragments are longer than the packet.
    Length,
    /// More than 18 data slots.
    Slots,
    /// An extra that does not exist, or a GSO of unknown kind or of size 0.
    Extra,
}

impl Refusal {
    /// How many reasons there are, for tables of counters.
    pub const COUNT: usize = 5;
}

/// The ring makes no sense any more: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// What came of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The packet goes on in the next slot.
    More,
    /// A packet is complete.
    Packet(TxPacket),
    /// It was no packet but a request.
    Multicast(Multicast),
    /// The packet is over, and refused.
    Refused(Refusal),
}

/// Puts packets together, slot by slot.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    state: State,
    head: TxRequest,
    /// Bytes of the packet that no later fragment has claimed: those of the first.
    head_len: u16,
    first_debt: u16,
    first_fragment: usize,
    data_slots: usize,
    extras: usize,
    gso: Option<Gso>,
    hash: Option<HashValue>,
    multicast: Option<(bool, [u8; 6])>,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Extra,
    Data,
}

impl Assembly {
    /// Whether the last slot ended a packet. If not, and there are no more slots, the frontend published half a packet.
    pub fn is_between_packets(&self) -> bool {
        self.state == State::Head
    }

    /// Takes a private copy of the next slot. The debt is written down before anything else; `fragments` must have room for
    /// [`MAX_FRAGMENTS`] more when a packet begins. Fragments of a packet that does not come to be are taken out again.
    ///
    /// # Errors
    /// What follows cannot be told apart any more.
    #[inline]
    pub fn take(
        &mut self,
        words: [u32; TX_SLOT_WORDS],
        debts: &mut Debts,
        fragments: &mut Vec<Fragment>,
    ) -> Result<Taken, Broken> {
        match self.state {
            State::Head => {
                self.begin(TxRequest::decode(words), debts, fragments);
                if self.head.flags & NETTXF_extra_info != 0 {
                    self.state = State::Extra;
                    return Ok(Taken::More);
                }
            }
            State::Extra => {
                debts.extra(self.head.id);
                if self.take_extra([words[0], words[1]])? {
                    return Ok(Taken::More);
                }
                // Such a request carries no data, whatever its flags say (as Linux has it).
                if let Some((add, address)) = self.multicast {
                    self.state = State::Head;
                    fragments.truncate(self.first_fragment);
                    let slots = debts.since(self.first_debt);
                    return Ok(Taken::Multicast(Multicast { address, add, slots }));
                }
            }
            State::Data => {
                let request = TxRequest::decode(words);
                debts.data(request.id);
                self.take_data(request, fragments)?;
                if request.flags & NETTXF_more_data != 0 {
                    return Ok(Taken::More);
                }
                return Ok(self.end(debts, fragments));
            }
        }
        if self.head.flags & NETTXF_more_data != 0 {
            self.state = State::Data;
            return Ok(Taken::More);
        }
        Ok(self.end(debts, fragments))
    }

    #[inline]
    fn begin(&mut self, head: TxRequest, debts: &mut Debts, fragments: &mut Vec<Fragment>) {
        self.head = head;
        self.head_len = head.size;
        self.first_debt = debts.mark();
        debts.data(head.id);
        self.first_fragment = fragments.len();
        // Its length is known at the end.
        fragments.push(Fragment {
            gref: GrantRef(head.gref),
            offset: head.offset,
            len: 0,
        });
        self.data_slots = 1;
        self.extras = 0;
        self.gso = None;
        self.hash = None;
        self.multicast = None;
        self.refusal = (head.size < ETH_HLEN).then_some(Refusal::Runt);
    }

    /// True if another extra follows.
    fn take_extra(&mut self, words: [u32; 2]) -> Result<bool, Broken> {
        self.extras += 1;
        if self.extras > FATAL_EXTRAS {
            return Err(Broken("a packet with too many extras"));
        }
        let (extra, more) = Extra::decode(words);
        match extra {
            Some(Extra::Gso(Ok(gso))) => self.gso = Some(gso),
            Some(Extra::Hash(hash)) => self.hash = Some(hash),
            Some(Extra::MulticastAdd(address)) => self.multicast = Some((true, address)),
            Some(Extra::MulticastDel(address)) => self.multicast = Some((false, address)),
            Some(Extra::Gso(Err(()))) | None => self.refuse(Refusal::Extra),
        }
        Ok(more)
    }

    #[inline]
    fn take_data(&mut self, request: TxRequest, fragments: &mut Vec<Fragment>) -> Result<(), Broken> {
        self.data_slots += 1;
        if self.data_slots > FATAL_SLOTS {
            return Err(Broken("a packet of too many slots"));
        }
        if self.data_slots > MAX_FRAGMENTS {
            self.refuse(Refusal::Slots);
            return Ok(());
        }
        match self.head_len.checked_sub(request.size) {
            Some(left) => self.head_len = left,
            None => self.refuse(Refusal::Length),
        }
        if !is_within_page(request.offset, request.size) {
            self.refuse(Refusal::Bounds);
        }
        // An empty fragment is answered like the rest, but there is nothing to copy.
        if request.size > 0 && self.refusal.is_none() {
            fragments.push(Fragment {
                gref: GrantRef(request.gref),
                offset: request.offset,
                len: request.size,
            });
        }
        Ok(())
    }

    /// The first reason counts.
    fn refuse(&mut self, why: Refusal) {
        self.refusal.get_or_insert(why);
    }

    #[inline]
    fn end(&mut self, debts: &Debts, fragments: &mut Vec<Fragment>) -> Taken {
        self.state = State::Head;
        if !is_within_page(self.head.offset, self.head_len) {
            self.refuse(Refusal::Bounds);
        }
        if let Some(why) = self.refusal {
            fragments.truncate(self.first_fragment);
            return Taken::Refused(why);
        }
        fragments[self.first_fragment].len = self.head_len;
        let first_fragment = self.first_fragment + usize::from(self.head_len == 0);
        Taken::Packet(TxPacket {
            len: self.head.size,
            first_fragment,
            fragments: fragments.len() - first_fragment,
            checksum: Checksum::from_tx(self.head.flags),
            gso: self.gso,
            hash: self.hash,
            slots: debts.since(self.first_debt),
        })
    }
}

fn is_within_page(offset: u16, len: u16) -> bool {
    usize::from(offset) + usize::from(len) <= PAGE_SIZE
}
