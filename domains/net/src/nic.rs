//! A network card, and what waits for it.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_devices::{
    BlankChecksum, DeviceFault, DmaSegment, Gso, Instant, IrqSet, NetDevice, NetLimits, PAGE_SIZE, QueueFull,
    Tag, TxFrame,
};
use outrigger_ring::SharedPages;

use crate::batch::Batch;
use crate::counters::Counters;
use crate::pool::{Cursor, MAX_PIECES, Piece, Pool};
use crate::receive::{Assembly, receive};
use crate::recover::Recovery;

/// Bytes for the headers of one segment: they fit with a VLAN tag.
pub(crate) const HEADER_SLOT: usize = 256;
const HEADERS_A_PAGE: usize = PAGE_SIZE / HEADER_SLOT;

/// Frames that may wait for the card before guests are made to wait.
const BACKLOG_MAX: usize = 64;

/// A frame that is to be sent in segments whose headers are ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Bytes of the headers in the frame.
    pub header_len: usize,
    /// The same in the header pages, where a VLAN tag may have come in.
    pub stored_header_len: usize,
    /// Payload bytes a segment.
    pub size: usize,
    /// Segments.
    pub count: usize,
}

impl Cut {
    /// Pages for so many headers.
    pub fn header_pages(count: usize) -> usize {
        count.div_ceil(HEADERS_A_PAGE)
    }

    /// Where the headers of segment `index` are: which header page, and the offset in it.
    pub fn header_place(index: usize) -> (usize, u16) {
        (
            index / HEADERS_A_PAGE,
            (index % HEADERS_A_PAGE * HEADER_SLOT) as u16,
        )
    }
}

/// A frame for the card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub frame: u16,
    pub len: usize,
    pub checksum: Option<BlankChecksum>,
    pub gso: Option<Gso>,
    pub cut: Option<Cut>,
    /// Segments that the card has.
    pub sent: usize,
    /// Where the payload of the next one begins.
    pub payload: Cursor,
}

pub(crate) struct Nic<D> {
    number: u8,
    pub name: String,
    /// Its interrupts in `Wake::devices`.
    pub interrupts: IrqSet,
    pub device: D,
    pub limits: NetLimits,
    pub recovery: Recovery,
    pub(crate) backlog: VecDeque<Outgoing>,
    segments: Vec<DmaSegment>,
    /// Receive buffers that each queue has.
    pub(crate) posted: Vec<u32>,
    /// Receive buffers that each queue shall have.
    buffers: u32,
    pub(crate) dirty: bool,
    /// Frames with the card.
    pub(crate) in_flight: u32,
    /// How often each frame is with the card.
    pub(crate) held: Vec<u16>,
    /// Which pages the card may receive into.
    pub(crate) given: Vec<bool>,
    /// When it wants to be looked after again.
    next: Option<Instant>,
    pub counters: Counters,
}

impl<D: NetDevice> Nic<D> {
    /// `buffers`: pages to receive into, for all queues together.
    pub fn new(number: usize, name: String, interrupts: IrqSet, device: D, buffers: u32) -> Self {
        let limits = device.limits();
        let queues = limits.queues.max(1);
        Self {
            number: number as u8,
            name,
            interrupts,
            device,
            limits,
            recovery: Recovery::new(),
            backlog: VecDeque::with_capacity(512),
            segments: Vec::with_capacity(MAX_PIECES + 1),
            posted: alloc::vec![0; queues],
            buffers: buffers / queues as u32,
            dirty: false,
            in_flight: 0,
            held: Vec::new(),
            given: Vec::new(),
            next: Some(Instant(0)),
            counters: Counters::default(),
        }
    }

    /// Whether it cuts such frames itself.
    pub fn cuts(&self, gso: Gso) -> bool {
        let kind = match gso.kind {
            outrigger_devices::GsoKind::TcpV4 => self.limits.tso4,
            outrigger_devices::GsoKind::TcpV6 => self.limits.tso6,
        };
        kind && self.limits.tx_checksum && self.limits.max_segments >= MAX_PIECES
    }

    /// Whether it takes frames.
    pub fn has_carrier(&self) -> bool {
        self.limits.link && self.recovery.is_serving()
    }

    /// Whether so much waits for it that guests should wait, too.
    pub fn is_congested(&self) -> bool {
        self.backlog.len() >= BACKLOG_MAX
    }

    /// Whether it has frames that it has not sent yet.
    pub fn is_sending(&self) -> bool {
        self.in_flight > 0
    }

    /// Queues a frame. False if too many wait: the frame is not taken over.
    pub fn queue<M: SharedPages>(&mut self, pool: &mut Pool<M>, outgoing: Outgoing) -> bool {
        if self.backlog.len() == self.backlog.capacity() {
            return false;
        }
        // Held until all of it is with the card.
        pool.frame_mut(outgoing.frame).in_flight += 1;
        self.backlog.push_back(outgoing);
        true
    }

    /// Gives the card what waits for it, as far as it takes it.
    #[inline]
    pub fn drive<M: SharedPages>(&mut self, pool: &mut Pool<M>) {
        while let Some(outgoing) = self.backlog.front_mut() {
            let count = outgoing.cut.map_or(1, |cut| cut.count);
            while outgoing.sent < count {
                let Self { device, segments, .. } = self;
                let behind = gather(pool, outgoing, segments);
                let frame = TxFrame {
                    segments,
                    checksum: outgoing.checksum,
                    gso: outgoing.gso,
                    tag: Tag(outgoing.frame.into()),
                };
                if let Err(QueueFull) = device.submit(0, &frame) {
                    return;
                }
                self.dirty = true;
                self.in_flight += 1;
                self.held[usize::from(outgoing.frame)] += 1;
                pool.frame_mut(outgoing.frame).in_flight += 1;
                outgoing.sent += 1;
                outgoing.payload = behind;
            }
            let Outgoing { frame, len, .. } = *outgoing;
            self.backlog.pop_front();
            self.counters.tx_frames += count as u64;
            self.counters.tx_bytes += len as u64;
            pool.release(frame);
        }
    }

    /// Tells the card, once.
    #[inline]
    pub fn commit(&mut self) {
        if core::mem::take(&mut self.dirty) {
            for queue in 0..self.posted.len() {
                self.device.commit(queue);
            }
        }
    }

    /// Gives it empty pages.
    #[inline]
    pub fn refill<M: SharedPages>(&mut self, pool: &mut Pool<M>) {
        // Once: pages are added before cards are.
        self.held.resize(pool.size(), 0);
        self.given.resize(pool.size(), false);
        for (queue, posted) in self.posted.iter_mut().enumerate() {
            while *posted < self.buffers {
                let Some(page) = pool.take() else { return };
                let whole = Piece {
                    page,
                    offset: 0,
                    len: PAGE_SIZE as u16,
                };
                let given = pool
                    .segment(whole)
                    .map(|segment| self.device.post(queue, Tag(page.into()), segment));
                if given != Some(Ok(())) {
                    pool.put_back(page);
                    break;
                }
                *posted += 1;
                self.given[usize::from(page)] = true;
                self.dirty = true;
            }
        }
    }

    /// Takes what it has read and received, at most `most` buffers. True if there may be more; false too if it failed.
    #[inline]
    pub fn reap<M: SharedPages>(
        &mut self,
        pool: &mut Pool<M>,
        batch: &mut Batch,
        most: usize,
        now: Instant,
    ) -> bool {
        let number = usize::from(self.number);
        if !self.recovery.is_serving() {
            return false;
        }
        let before = self.in_flight;
        let mut fault = None;
        let mut left = most;
        for queue in 0..self.posted.len() {
            let Self {
                device,
                in_flight,
                held,
                given,
                posted,
                counters,
                ..
            } = self;
            if *in_flight > 0
                && let Err(error) = device.reap_tx(queue, &mut |tag| {
                    // A tag is believed as far as it names a frame that is with the card.
                    if let Some(count) = held.get_mut(tag.0 as usize).filter(|count| **count > 0) {
                        *count -= 1;
                        *in_flight = in_flight.saturating_sub(1);
                        pool.release(tag.0 as u16);
                    }
                })
            {
                fault = Some(error);
            }
            let mut assembly = None;
            let received = device.reap_rx(queue, left, &mut |buffer| {
                left = left.saturating_sub(1);
                // And so with pages.
                let Some(given) = given.get_mut(buffer.tag.0 as usize).filter(|given| **given) else {
                    return;
                };
                *given = false;
                posted[queue] = posted[queue].saturating_sub(1);
                receive(number, pool, batch, counters, &mut assembly, buffer);
            });
            if let Err(error) = received {
                fault = Some(error);
            }
            if let Some(Assembly { frame, .. }) = assembly {
                pool.end(frame);
            }
        }
        if self.in_flight < before {
            self.recovery.sent();
        } else if self.limits.link && self.recovery.is_silent(now) {
            fault = fault.or(Some(DeviceFault("it does not send what it was given")));
        }
        if let Some(fault) = fault {
            self.fail(pool, fault.0, now);
            return false;
        }
        left == 0
    }

    /// Looks at the interrupt's cause.
    pub fn acknowledge(&mut self, now: Instant) {
        if !self.recovery.is_serving() {
            return;
        }
        if self.device.acknowledge().config {
            self.look_at_limits();
        }
        self.tick(now);
    }

    /// When to take a turn for its sake.
    pub fn next(&self) -> Option<Instant> {
        let tick = self.next.filter(|_| self.recovery.is_serving());
        tick.into_iter().chain(self.recovery.next()).min()
    }

    /// Whether it wants to be looked after.
    #[inline]
    pub fn is_due(&self, now: Instant) -> bool {
        self.recovery.is_serving() && self.next.is_some_and(|at| now >= at)
    }

    /// After frames were given to it.
    #[inline]
    pub fn expect(&mut self, now: Instant) {
        self.recovery.expect(self.in_flight > 0 && self.limits.link, now);
    }

    /// Lets it look after itself.
    #[cold]
    pub fn tick(&mut self, now: Instant) {
        let tick = self.device.tick(now);
        self.next = tick.again;
        if tick.config {
            self.look_at_limits();
        }
    }

    #[cold]
    pub(crate) fn look_at_limits(&mut self) {
        let link = self.limits.link;
        self.limits = self.device.limits();
        if self.limits.link != link {
            let state = if self.limits.link { "up" } else { "down" };
            log::info!("{}: link is {state}", self.name);
        }
    }

    /// Before the domain sleeps: true if there is something already. `sent`: somebody waits for room.
    pub fn arm(&mut self, sent: bool) -> bool {
        let mut any = false;
        if self.recovery.is_serving() {
            for queue in 0..self.posted.len() {
                any |= self.device.arm(queue, sent || !self.backlog.is_empty());
            }
        }
        any
    }
}

/// The memory of the next thing to submit; where the one after it begins.
#[inline]
fn gather<M: SharedPages>(pool: &Pool<M>, outgoing: &Outgoing, segments: &mut Vec<DmaSegment>) -> Cursor {
    segments.clear();
    let frame = pool.frame(outgoing.frame);
    let Some(cut) = outgoing.cut else {
        segments.extend(frame.pieces().iter().filter_map(|piece| pool.segment(*piece)));
        return outgoing.payload;
    };
    let (page, offset) = Cut::header_place(outgoing.sent);
    if let Some(page) = frame.header_page(page) {
        segments.extend(pool.segment(Piece {
            page,
            offset,
            len: cut.stored_header_len as u16,
        }));
    }
    let left = outgoing.len - cut.header_len - outgoing.sent * cut.size;
    let mut payload = outgoing.payload;
    segments.extend(
        payload
            .take(frame, left.min(cut.size))
            .filter_map(|piece| pool.segment(piece)),
    );
    payload
}
