//! Frames for us and from us: copies, in two bounded queues, which smoltcp takes for a network card.

use alloc::boxed::Box;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Longest frame that we take or send.
pub const FRAME_MAX: usize = 1514;

/// A copy of a frame.
#[derive(Clone, Copy)]
pub struct Copied {
    len: u16,
    /// For the taker: the port that it came from, say.
    pub mark: u32,
    bytes: [u8; FRAME_MAX],
}

impl Copied {
    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The frame, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
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

    /// Adds a frame of `len` bytes, which `fill` writes. False if there is no room, or it is too long.
    pub fn push(&mut self, len: usize, mark: u32, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.is_full() || len > FRAME_MAX {
            return false;
        }
        let at = (self.first + self.count) % self.places.len();
        let place = &mut self.places[at];
        (place.len, place.mark) = (len as u16, mark);
        fill(place.bytes_mut());
        self.count += 1;
        true
    }

    /// The first one.
    pub fn front(&self) -> Option<&Copied> {
        (self.count > 0).then(|| &self.places[self.first])
    }

    /// The first one, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut Copied> {
        (self.count > 0).then(|| &mut self.places[self.first])
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
