//! One queue of a vif: a TX ring and an RX ring.
//!
//! A turn ends with every consumed slot answered: TX because the data has been copied by then, RX because slots are consumed
//! only for frames that are there. So between turns nothing is owed, and a restart in place has only to attach again. What
//! is owed within a turn is plain data: [`Debts`], and the words in `answers`. Before they are written they are noted in
//! the queue's [`Ledger`]s.

use alloc::vec::Vec;

use outrigger_devices::RxChecksum;
use outrigger_netif::{
    Assembly, Broken, Checksum, Debts, Extra, RING_SLOTS, RX_SLOT_WORDS, RxRequest, RxResponse, RxStatus,
    TX_SLOT_WORDS, Taken, rx_slots,
};
use outrigger_ring::{BackRing, Overflow, SharedPages};
use outrigger_xen::{
    CopyOp, CopySide, DomId, EventChannels, GrantRef, GrantTable, MappedPages, PAGE_SIZE, Port,
};

use crate::batch::{Batch, Delivery, Purpose};
use crate::counters::Counters;
use crate::ledger::Ledger;

/// Most slots of a packet that a frontend must take (`XEN_NETIF_NR_SLOTS_MIN`).
const DATA_SLOTS_MAX: usize = outrigger_netif::MAX_FRAGMENTS;

/// What is to be said of a frame that a guest gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes {
    pub len: usize,
    pub checksum: Checksum,
    pub extras: [Option<Extra>; 2],
}

/// One response to be written.
#[derive(Clone, Copy, Debug)]
struct Answer {
    words: [u32; RX_SLOT_WORDS],
    /// Of a data slot: may become an error.
    response: Option<RxResponse>,
}

pub(crate) struct Queue<P> {
    dom: DomId,
    tx: BackRing<P>,
    rx: BackRing<P>,
    mapped: [MappedPages<P>; 2],
    pub tx_port: Port,
    pub rx_port: Port,
    assembly: Assembly,
    pub debts: Debts,
    answers: Vec<Answer>,
    ledgers: [Ledger<P>; 2],
    /// Empty pages that the frontend was last seen to have posted and that are not consumed.
    posted: u32,
}

/// What a look at the TX ring gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing is there.
    Empty,
    /// That many slots.
    Slots(u32),
}

pub(crate) struct Parts<P> {
    pub dom: DomId,
    pub tx: (BackRing<P>, MappedPages<P>),
    pub rx: (BackRing<P>, MappedPages<P>),
    pub ledgers: [Ledger<P>; 2],
    pub tx_port: Port,
    pub rx_port: Port,
}

/// The ring makes no sense.
impl From<Overflow> for crate::vif::Fault {
    fn from(_: Overflow) -> Self {
        Self("a ring claims more requests than it has slots")
    }
}

impl From<Broken> for crate::vif::Fault {
    fn from(Broken(why): Broken) -> Self {
        Self(why)
    }
}

impl<P: SharedPages + Clone> Queue<P> {
    pub fn new(parts: Parts<P>) -> Self {
        let (tx, tx_mapped) = parts.tx;
        let (rx, rx_mapped) = parts.rx;
        Self {
            dom: parts.dom,
            tx,
            rx,
            mapped: [tx_mapped, rx_mapped],
            tx_port: parts.tx_port,
            rx_port: parts.rx_port,
            assembly: Assembly::default(),
            debts: Debts::default(),
            answers: Vec::with_capacity(RING_SLOTS),
            ledgers: parts.ledgers,
            posted: 0,
        }
    }

    pub fn look(&self) -> Result<Look, Overflow> {
        Ok(match self.tx.pending()? {
            0 => Look::Empty,
            slots => Look::Slots(slots),
        })
    }

    /// Takes one packet (or request) out of the TX ring, of at most `slots` slots; how many it had.
    ///
    /// # Errors
    /// The slots make no sense, or are half a packet.
    #[inline]
    pub fn take(&mut self, slots: u32, batch: &mut Batch) -> Result<(Taken, u32), crate::vif::Fault> {
        debug_assert!(self.assembly.is_between_packets(), "packets are taken whole");
        let mut words = [0; TX_SLOT_WORDS];
        for taken in 1..=slots {
            self.tx.consume(&mut words);
            match self.assembly.take(words, &mut self.debts, &mut batch.fragments)? {
                Taken::More => {}
                done => return Ok((done, taken)),
            }
        }
        Err(crate::vif::Fault("a packet that runs past the producer"))
    }

    /// Gives a frame, whose parts are `batch.sources`, to the guest: takes empty pages, plans the copies and the responses.
    /// False if there are not enough.
    ///
    /// # Errors
    /// The ring makes no sense.
    pub fn deliver<H: GrantTable>(
        &mut self,
        hv: &H,
        batch: &mut Batch,
        headroom: u16,
        notes: &Notes,
        place: (usize, usize),
    ) -> Result<bool, Overflow> {
        let extras = notes.extras.iter().flatten().count();
        let slots = rx_slots(notes.len, headroom, extras);
        if slots - extras > DATA_SLOTS_MAX || self.answers.len() + slots > RING_SLOTS {
            return Ok(false);
        }
        if (self.posted as usize) < slots {
            self.posted = self.rx.pending()?;
            if (self.posted as usize) < slots {
                return Ok(false);
            }
        }
        if batch.deliveries.len() == batch.deliveries.capacity() {
            return Ok(false);
        }
        batch.make_room(hv);
        let delivery = Delivery {
            vif: place.0,
            queue: place.1,
            first: self.answers.len(),
            count: slots,
            bytes: notes.len,
            failed: false,
        };
        let purpose = Purpose::Deliver(batch.deliveries.len() as u16);
        batch.deliveries.push(delivery);
        let pages = self.answer(headroom, notes, extras);
        self.scatter(batch, headroom, &pages, purpose);
        Ok(true)
    }

    fn next_request(&mut self) -> RxRequest {
        let mut words = [0; RX_SLOT_WORDS];
        self.rx.consume(&mut words);
        self.posted -= 1;
        RxRequest::decode(words)
    }

    /// Takes the pages and plans the responses; the pages of the data slots.
    #[inline]
    fn answer(&mut self, headroom: u16, notes: &Notes, extras: usize) -> [GrantRef; DATA_SLOTS_MAX] {
        let room = PAGE_SIZE - usize::from(headroom);
        let mut pages = [GrantRef(0); DATA_SLOTS_MAX];
        let mut left = notes.len;
        let mut at = 0;
        while left > 0 {
            let request = self.next_request();
            pages[at] = request.gref;
            let here = left.min(room);
            left -= here;
            let response = RxResponse {
                id: request.id,
                offset: headroom,
                checksum: if at == 0 {
                    notes.checksum
                } else {
                    Checksum::Unknown
                },
                more: left > 0,
                extra: at == 0 && extras > 0,
                status: RxStatus::Bytes(here as u16),
            };
            self.answers.push(Answer {
                words: response.encode(),
                response: Some(response),
            });
            if at == 0 {
                let mut more = extras;
                for extra in notes.extras.iter().flatten() {
                    // Its page stays empty; the slot is what counts.
                    self.next_request();
                    more -= 1;
                    self.answers.push(Answer {
                        words: extra.encode(more > 0),
                        response: None,
                    });
                }
            }
            at += 1;
        }
        pages
    }

    /// Plans the copies.
    #[inline]
    fn scatter(&self, batch: &mut Batch, headroom: u16, pages: &[GrantRef], purpose: Purpose) {
        let (mut page, mut offset) = (0, headroom);
        for at in 0..batch.sources.len() {
            let mut source = batch.sources[at];
            while source.len > 0 {
                if usize::from(offset) == PAGE_SIZE {
                    (page, offset) = (page + 1, headroom);
                }
                let len = source.len.min(PAGE_SIZE as u16 - offset);
                let op = CopyOp {
                    from: (source.side, source.offset),
                    to: (CopySide::Granted(self.dom, pages[page]), offset),
                    len,
                };
                batch.copy(op, purpose);
                offset += len;
                source.offset += len;
                source.len -= len;
            }
        }
    }

    /// A delivery failed: its data slots say so, and stay a chain.
    pub fn fail(&mut self, delivery: &Delivery) {
        for answer in &mut self.answers[delivery.first..delivery.first + delivery.count] {
            if let Some(response) = &mut answer.response {
                response.status = RxStatus::Error;
                answer.words = response.encode();
            }
        }
    }

    /// Writes all responses, and notifies once a port if that was asked for.
    #[inline]
    pub fn respond<H: EventChannels>(&mut self, hv: &H, counters: &mut Counters) {
        let Self {
            tx,
            rx,
            debts,
            answers,
            ledgers: [tx_ledger, rx_ledger],
            ..
        } = self;
        if !debts.is_empty() {
            tx_ledger.note(tx, debts.words());
        }
        if !answers.is_empty() {
            rx_ledger.note(rx, answers.iter().flat_map(|answer| answer.words));
        }
        debts.pay(|word| tx.respond(&[word]));
        for answer in self.answers.drain(..) {
            self.rx.respond(&answer.words);
        }
        let (tx, rx) = (self.tx.push(), self.rx.push());
        let together = self.tx_port == self.rx_port;
        for (port, wanted) in [
            (self.tx_port, tx || (together && rx)),
            (self.rx_port, rx && !together),
        ] {
            if wanted {
                counters.notifications += 1;
                hv.notify(port);
            }
        }
    }

    /// Whether there is something to take.
    pub fn has_more(&self) -> Result<bool, Overflow> {
        Ok(self.tx.pending()? > 0)
    }

    /// Before the domain sleeps: true if there is something to take after all.
    pub fn final_check(&mut self) -> Result<bool, Overflow> {
        self.tx.final_check()
    }

    /// Asks to be told of the next page posted; true if there are more already than were known.
    pub fn await_pages(&mut self) -> Result<bool, Overflow> {
        let known = self.posted;
        self.posted = self.rx.await_more(known)?;
        Ok(self.posted > known)
    }

    /// Gives everything back.
    pub fn release<H: GrantTable<Pages = P> + EventChannels>(self, hv: &H) {
        hv.close(self.tx_port);
        if self.rx_port != self.tx_port {
            hv.close(self.rx_port);
        }
        drop((self.tx, self.rx));
        for mapped in self.mapped {
            hv.unmap_pages(mapped);
        }
    }
}

/// How a frame's checksum is told to a guest.
pub(crate) fn told(checksum: RxChecksum) -> Checksum {
    match checksum {
        RxChecksum::Unknown => Checksum::Unknown,
        RxChecksum::Validated => Checksum::Validated,
        RxChecksum::Blank(_) => Checksum::Blank,
    }
}
