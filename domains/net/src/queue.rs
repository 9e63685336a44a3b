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
    TX_SLOT_WORDS, Taken,
};
use outrigger_ring::{BackRing, Overflow, SharedPages};
use outrigger_xen::{
    CopyOp, CopySide, DomId, EventChannels, GrantRef, GrantTable, MappedPages, PAGE_SIZE, Port,
};

use crate::batch::{Batch, Delivery, Purpose};
use crate::counters::Counters;
use crate::layout::{DATA_SLOTS_MAX, Layout};
use crate::ledger::Ledger;

/// Frames that a frontend gets before it is seen to have posted pages again, which it does when it has taken some out of its ring;
/// more datagrams of a wire wait. What its system takes at once goes to sockets that nobody can read meanwhile, and what they
/// have no room for is lost after all the work was done: Linux's hold 43 packets of netfront's, a page each (`rmem_default`).
const BURST: u32 = 36;

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
    /// Frames given since the frontend was last seen to have posted pages.
    burst: u32,
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
            burst: 0,
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
        let room = PAGE_SIZE - usize::from(headroom);
        let Some(layout) = Layout::new(&batch.sources, notes.len, room) else {
            return Ok(false);
        };
        let slots = layout.count + extras;
        if self.answers.len() + slots > RING_SLOTS {
            return Ok(false);
        }
        if (self.posted as usize) < slots {
            self.see_pages(self.rx.pending()?);
            if (self.posted as usize) < slots {
                return Ok(false);
            }
        }
        if batch.deliveries.len() == batch.deliveries.capacity() {
            return Ok(false);
        }
        self.burst += 1;
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
        let pages = self.answer(headroom, notes, extras, &layout);
        self.scatter(batch, headroom, &layout, &pages, purpose);
        Ok(true)
    }

    fn see_pages(&mut self, posted: u32) {
        if posted > self.posted {
            self.burst = 0;
        }
        self.posted = posted;
    }

    /// Whether the frontend was given all that it gets before it posts pages again. What cannot wait is delivered all the same.
    pub fn is_ahead(&mut self) -> bool {
        if self.burst >= BURST
            && let Ok(posted) = self.rx.pending()
        {
            self.see_pages(posted);
        }
        self.burst >= BURST
    }

    /// It gets more without having posted any.
    pub fn begin_burst(&mut self) {
        self.burst = 0;
    }

    fn next_request(&mut self) -> RxRequest {
        let mut words = [0; RX_SLOT_WORDS];
        self.rx.consume(&mut words);
        self.posted -= 1;
        RxRequest::decode(words)
    }

    /// Takes the pages and plans the responses; the pages of the data slots.
    #[inline]
    fn answer(
        &mut self,
        headroom: u16,
        notes: &Notes,
        extras: usize,
        layout: &Layout,
    ) -> [GrantRef; DATA_SLOTS_MAX] {
        let mut pages = [GrantRef(0); DATA_SLOTS_MAX];
        for (at, page) in pages.iter_mut().enumerate().take(layout.count) {
            let request = self.next_request();
            *page = request.gref;
            let response = RxResponse {
                id: request.id,
                offset: headroom,
                checksum: if at == 0 {
                    notes.checksum
                } else {
                    Checksum::Unknown
                },
                more: at + 1 < layout.count,
                extra: at == 0 && extras > 0,
                status: RxStatus::Bytes(layout.lens[at]),
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
        }
        pages
    }

    /// Plans the copies.
    #[inline]
    fn scatter(
        &self,
        batch: &mut Batch,
        headroom: u16,
        layout: &Layout,
        pages: &[GrantRef],
        purpose: Purpose,
    ) {
        let (mut page, mut offset) = (0, headroom);
        for at in 0..batch.sources.len() {
            let mut source = batch.sources[at];
            while source.len > 0 {
                let mut room = headroom + layout.lens[page] - offset;
                if room == 0 {
                    (page, offset) = (page + 1, headroom);
                    room = layout.lens[page];
                }
                let len = source.len.min(room);
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
        let posted = self.rx.await_more(known)?;
        self.see_pages(posted);
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
