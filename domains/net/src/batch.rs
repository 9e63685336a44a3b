//! What one turn works on: its frames, and the copies that Xen makes for it, as few hypercalls as can be.

use alloc::vec::Vec;

use outrigger_devices::{Gso, RxChecksum};
use outrigger_netif::{Fragment, MAX_FRAGMENTS, Slots};
use outrigger_xen::{CopyOp, CopySide, GrantError, GrantTable};

use crate::counters::Drop;

/// Most frames of guests a turn, and most of our own.
pub(crate) const GUEST_FRAMES: usize = 128;
/// Most frames of wires a turn: what comes for eight guests at once is merged to a frame or two for each.
pub(crate) const WIRE_FRAMES: usize = 256;
/// Copies gathered before they are made. What one frame needs in one go is far less.
const COPIES: usize = 1024;
/// Room that one frame to one receiver may need: each fragment and each page begin a copy.
pub(crate) const COPIES_A_FRAME: usize = 4 * MAX_FRAGMENTS;

/// Where a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Guest {
        vif: usize,
        queue: usize,
        slots: Slots,
    },
    Wire {
        nic: usize,
    },
    /// From a station of our own, at this port of the switch.
    Own {
        port: usize,
    },
}

/// One frame of this turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub origin: Origin,
    /// In our pages: its first `stored` bytes, or all of it.
    pub frame: u16,
    pub stored: usize,
    pub len: usize,
    pub first_fragment: usize,
    pub fragments: usize,
    /// Blank means "as the headers say" until the headers were looked at.
    pub checksum: RxChecksum,
    pub gso: Option<Gso>,
    /// It goes nowhere.
    pub dropped: Option<Drop>,
    /// It goes to this card.
    pub wire: Option<usize>,
    /// With this VLAN's tag there; 0: without.
    pub vlan: u16,
    /// It goes, or went, to somebody else.
    pub delivered: bool,
}

/// What one copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To have a frame, or its head, in our pages.
    Store(u16),
    /// To give it to a guest.
    Deliver(u16),
}

/// A frame in a guest's pages: which responses tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub vif: usize,
    pub queue: usize,
    pub first: usize,
    pub count: usize,
    pub bytes: usize,
    pub failed: bool,
}

/// Bytes to be copied from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub side: CopySide,
    pub offset: u16,
    pub len: u16,
}

pub(crate) struct Batch {
    pub incoming: Vec<Incoming>,
    /// As many there may be when guests, or stations of ours, have sent what they may.
    most: usize,
    pub fragments: Vec<Fragment>,
    pub deliveries: Vec<Delivery>,
    /// Frames that need work of ours before these vifs can have them, or that are for stations of ours.
    pub later: Vec<(u16, u8)>,
    /// Frames that wait until these vifs have posted pages.
    pub waiting: Vec<(u16, u8)>,
    /// Frames that have waited and were given to their guests.
    pub served: Vec<u16>,
    /// Scratch: the parts of one frame.
    pub sources: Vec<Source>,
    ops: Vec<CopyOp>,
    purposes: Vec<Purpose>,
    results: Vec<Result<(), GrantError>>,
}

impl Batch {
    pub fn new() -> Self {
        Self {
            incoming: Vec::with_capacity(2 * GUEST_FRAMES + WIRE_FRAMES),
            most: GUEST_FRAMES,
            fragments: Vec::with_capacity((GUEST_FRAMES + 1) * MAX_FRAGMENTS),
            deliveries: Vec::with_capacity(COPIES),
            later: Vec::with_capacity(COPIES),
            waiting: Vec::with_capacity(COPIES),
            served: Vec::with_capacity(COPIES),
            sources: Vec::with_capacity(COPIES_A_FRAME),
            ops: Vec::with_capacity(COPIES),
            purposes: Vec::with_capacity(COPIES),
            results: Vec::with_capacity(COPIES),
        }
    }

    /// Guests may send from here on.
    pub fn open_to_guests(&mut self) {
        self.most = self.incoming.capacity().min(self.incoming.len() + GUEST_FRAMES);
    }

    /// Whether another frame of a guest, or of a station of ours, fits this turn.
    pub fn has_room(&self) -> bool {
        self.incoming.len() < self.most && self.fragments.capacity() - self.fragments.len() >= MAX_FRAGMENTS
    }

    /// Adds a copy; [`make_room`](Self::make_room) comes before.
    #[inline]
    pub fn copy(&mut self, op: CopyOp, purpose: Purpose) {
        debug_assert!(self.ops.len() < self.ops.capacity(), "room was made");
        self.ops.push(op);
        self.purposes.push(purpose);
    }

    /// Makes the copies gathered so far if there might be no room for one more frame.
    #[inline]
    pub fn make_room<H: GrantTable>(&mut self, hv: &H) {
        if self.ops.len() + COPIES_A_FRAME > COPIES {
            self.flush(hv);
        }
    }

    /// Makes all copies gathered so far, in one hypercall, and notes what failed.
    #[inline]
    pub fn flush<H: GrantTable>(&mut self, hv: &H) {
        if self.ops.is_empty() {
            return;
        }
        self.results.clear();
        self.results.resize(self.ops.len(), Ok(()));
        hv.copy(&self.ops, &mut self.results);
        for (result, purpose) in self.results.iter().zip(&self.purposes) {
            if result.is_ok() {
                continue;
            }
            match *purpose {
                Purpose::Store(incoming) => self.incoming[usize::from(incoming)].dropped = Some(Drop::Grant),
                Purpose::Deliver(delivery) => self.deliveries[usize::from(delivery)].failed = true,
            }
        }
        self.ops.clear();
        self.purposes.clear();
    }

    /// Forgets everything, for the next turn.
    pub fn clear(&mut self) {
        debug_assert!(self.ops.is_empty(), "all copies were made");
        self.incoming.clear();
        self.most = GUEST_FRAMES;
        self.fragments.clear();
        self.deliveries.clear();
        self.later.clear();
        self.waiting.clear();
        self.served.clear();
    }

    /// The part of the fragments of a packet from byte `skip` on.
    pub fn granted(
        &self,
        incoming: &Incoming,
        skip: usize,
    ) -> impl Iterator<Item = Fragment> + Clone + use<'_> {
        let mut skip = skip;
        let its = &self.fragments[incoming.first_fragment..][..incoming.fragments];
        its.iter().filter_map(move |fragment| {
            let here = skip.min(fragment.len.into());
            skip -= here;
            // At most the fragment's length.
            let here = here as u16;
            (here < fragment.len).then(|| Fragment {
                gref: fragment.gref,
                offset: fragment.offset + here,
                len: fragment.len - here,
            })
        })
    }
}
