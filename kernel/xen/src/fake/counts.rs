//! What a domain costs Xen.

use core::ops::Sub;

use super::Domain;
use crate::GRANT_BATCH;

/// What a domain has done so far; subtract two for the cost of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All hypercalls: a batch is one, or several if it is long ([`GRANT_BATCH`]).
    pub hypercalls: u64,
    /// Pages mapped, for the CPU or for DMA.
    pub maps: u64,
    /// Pages unmapped.
    pub unmaps: u64,
    /// Grant copies.
    pub copies: u64,
    /// Notifications sent.
    pub notifications: u64,
}

impl Sub for Counts {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            hypercalls: self.hypercalls - earlier.hypercalls,
            maps: self.maps - earlier.maps,
            unmaps: self.unmaps - earlier.unmaps,
            copies: self.copies - earlier.copies,
            notifications: self.notifications - earlier.notifications,
        }
    }
}

/// A hypercall, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypercall {
    /// `GNTTABOP_map_grant_ref`.
    MapGrantRef,
    /// `GNTTABOP_unmap_grant_ref`.
    UnmapGrantRef,
    /// `GNTTABOP_copy`.
    Copy,
    /// `EVTCHNOP_send`.
    Send,
    /// Another `EVTCHNOP`: a port comes or goes.
    Port,
}

/// How often each was made, and how many bytes Xen has copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    by_name: [u64; 5],
    pub copied: u64,
}

impl Domain {
    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.with(|domain| domain.counts)
    }

    /// How often it has made that hypercall so far.
    pub fn hypercalls(&self, which: Hypercall) -> u64 {
        self.with(|domain| domain.calls.by_name[which as usize])
    }

    /// Bytes that Xen has copied for it so far.
    pub fn copied(&self) -> u64 {
        self.with(|domain| domain.calls.copied)
    }

    /// A hypercall is made.
    pub(super) fn hypercall(&self, which: Hypercall) {
        self.step();
        self.count(which, 1);
    }

    /// One of so many operations: one step, as many hypercalls as it takes.
    pub(super) fn grant_op(&self, which: Hypercall, operations: usize) {
        self.step();
        self.page_work(operations);
        self.count(which, operations.div_ceil(GRANT_BATCH) as u64);
    }

    fn count(&self, which: Hypercall, calls: u64) {
        self.with(|domain| {
            domain.counts.hypercalls += calls;
            domain.calls.by_name[which as usize] += calls;
        });
    }
}
