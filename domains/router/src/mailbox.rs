//! Frames for us and from us: copies, in two bounded queues, which smoltcp takes for a network card. Guests share their room:
//! when there is none left, whoever has most gives up a place to whoever has fewer.

use alloc::boxed::Box;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Longest frame that we take or send.
pub const FRAME_MAX: usize = 1514;

/// The wire, as who a frame is from; guests have other numbers.
pub const WIRE: u8 = 0xfe;
/// Ourselves.
pub const OURSELVES: u8 = 0xff;

/// A copy of a frame.
#[derive(Clone, Copy)]
pub struct Copied {
    len: u16,
    /// Whose doing it is.
    from: u8,
    /// For the taker: the port that it came from, say.
    pub mark: u32,
    bytes: [u8; FRAME_MAX],
}

impl Copied {
    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whose doing it is: a guest's, the wire's, or ours.
    pub fn from(&self) -> u8 {
        self.from
    }

    /// The frame, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It has a place.
    Added,
    /// It has the place of another one, with this mark, which is lost.
    Instead(u32),
    /// It is lost: too long, or there is no room for one more of the same sender.
    Refused,
}

/// A few frames, in order. Nothing here allocates after [`new`](Self::new).
pub struct Frames {
    places: Box<[Copied]>,
    first: usize,
    count: usize,
}

impl Frames {
    /// Room for so many.
    pub fn new(capacity: usize) -> Self {
        let empty = Copied {
            len: 0,
            from: OURSELVES,
            mark: 0,
            bytes: [0; FRAME_MAX],
        };
        Self {
            places: alloc::vec![empty; capacity].into_boxed_slice(),
            first: 0,
            count: 0,
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// There is no room.
    pub fn is_full(&self) -> bool {
        self.count == self.places.len()
    }

    /// Adds a frame of `len` bytes, which `fill` writes: an answer of ours. False if there is no room, or it is too long.
    pub fn push(&mut self, len: usize, mark: u32, fill: impl FnOnce(&mut [u8])) -> bool {
        !self.is_full() && self.put(len, (OURSELVES, mark), fill) == Put::Added
    }

    /// Adds a frame that is `from` a guest, or that a guest has caused. If there is no room, it gets the last place of who has most,
    /// if that one has at least two more.
    pub fn put(&mut self, len: usize, (from, mark): (u8, u32), fill: impl FnOnce(&mut [u8])) -> Put {
        if len > FRAME_MAX {
            return Put::Refused;
        }
        let (at, put) = if self.is_full() {
            let Some(at) = self.surplus(from) else {
                return Put::Refused;
            };
            (at, Put::Instead(self.places[at].mark))
        } else {
            self.count += 1;
            (self.nth(self.count - 1), Put::Added)
        };
        let place = &mut self.places[at];
        (place.len, place.from, place.mark) = (len as u16, from, mark);
        fill(place.bytes_mut());
        put
    }

    /// The place of frame `number`.
    fn nth(&self, number: usize) -> usize {
        (self.first + number) % self.places.len()
    }

    /// The last place of who has most, if that are at least two more than `from` has.
    #[cold]
    fn surplus(&self, from: u8) -> Option<usize> {
        let places = || (0..self.count).map(|number| self.nth(number));
        let has = |whose: u8| places().filter(|at| self.places[*at].from == whose).count();
        let most = places().max_by_key(|at| has(self.places[*at].from))?;
        (has(self.places[most].from) >= has(from) + 2).then_some(most)
    }

    /// The first one.
    pub fn front(&self) -> Option<&Copied> {
        (self.count > 0).then(|| &self.places[self.first])
    }

    /// Leaves those out that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&Copied) -> bool) {
        let mut kept = 0;
        for number in 0..self.count {
            let (from, to) = (self.nth(number), self.nth(kept));
            if keep(&self.places[from]) {
                self.places.swap(from, to);
                kept += 1;
            }
        }
        self.count = kept;
    }

    /// The first one is done with.
    pub fn pop(&mut self) {
        if self.count > 0 {
            self.first = (self.first + 1) % self.places.len();
            self.count -= 1;
        }
    }
}

/// What came for us and was not looked at yet, and what we have written and not sent yet.
pub struct Mailbox {
    /// What came.
    pub received: Frames,
    /// What is to be sent.
    pub written: Frames,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            received: Frames::new(16),
            written: Frames::new(16),
        }
    }
}

/// A frame that came.
pub struct RxToken<'a>(&'a mut Frames);
/// Room for one to be sent.
pub struct TxToken<'a>(&'a mut Frames);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.0.front().map_or(&[], Copied::bytes));
        self.0.pop();
        result
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut result = None;
        let mut f = Some(f);
        let fits = self.0.push(len, 0, |bytes| result = f.take().map(|f| f(bytes)));
        // There is room: tokens are given only then, and smoltcp keeps to the length that it was told.
        assert!(fits, "a frame of {len} bytes from smoltcp");
        match result {
            Some(result) => result,
            None => unreachable!("the frame was written"),
        }
    }
}

impl Device for Mailbox {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let Self { received, written } = self;
        (!received.is_empty() && !written.is_full()).then_some((RxToken(received), TxToken(written)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        (!self.written.is_full()).then_some(TxToken(&mut self.written))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }
}
