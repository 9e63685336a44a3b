//! The watchdog: a domain that is watched gives a sign of life before it has done too much, and ends its turn
//! before others have waited for too long.
//!
//! The real one (`kernel/core`) counts time. Here it is work: what a step costs on the slowest machine that a
//! domain is tested on (QEMU without hardware virtualization), roughly in sixteenths of a microsecond.

use core::cell::Cell;

use super::Domain;
use crate::GRANT_BATCH;

/// Work since the last sign of life. It fails the test beyond [`LIMIT`](Self::LIMIT).
#[derive(Debug, Default)]
pub(super) struct Work {
    done: Cell<u64>,
    /// Since the turn began, signs of life or not.
    turn: Cell<u64>,
    watched: Cell<bool>,
}

impl Work {
    /// A load, or a store that others can see.
    pub const STORE: u64 = 1;
    /// A hypercall, or a register of a device.
    pub const CALL: u64 = 128;
    /// A page that is mapped or unmapped, or a copy.
    const PAGE: u64 = 1024;
    /// Two long batches of pages, and all that belongs to them: a third of the real watchdog's 50 ms.
    const LIMIT: u64 = 2 * Self::PAGE * GRANT_BATCH as u64;

    /// The same of a turn, in which every guest may have had its part.
    const TURN: u64 = 20 * Self::LIMIT;

    /// So much is done.
    ///
    /// # Panics
    /// It is too much since the last sign of life, or for one turn.
    pub fn add(&self, work: u64) {
        if self.watched.get() {
            let [done, turn] = [&self.done, &self.turn].map(|sum| {
                sum.set(sum.get() + work);
                sum.get()
            });
            assert!(
                turn <= Self::TURN,
                "{turn} units of work in one turn: all others wait for it"
            );
            assert!(
                done <= Self::LIMIT,
                "{done} units of work without a sign of life (Clock::still_alive): the watchdog would end this life"
            );
        }
    }

    pub fn alive(&self) {
        self.done.set(0);
    }
}

impl Domain {
    /// A turn of it begins, in which too much work between two signs of life, or altogether, panics; or it is
    /// over.
    pub fn watch(&self, watched: bool) {
        let steps = self.steps();
        steps.unseen.alive();
        steps.unseen.turn.set(0);
        steps.unseen.watched.set(watched);
    }

    pub(super) fn sign_of_life(&self) {
        self.steps().unseen.alive();
    }

    /// So many operations on pages, in batches as Xen takes them; each batch is a sign of life, as in
    /// `kernel/core`.
    pub(super) fn page_work(&self, operations: usize) {
        let unseen = &self.steps().unseen;
        let mut left = operations;
        while left > 0 {
            let batch = left.min(GRANT_BATCH);
            left -= batch;
            unseen.add(Work::PAGE * batch as u64);
            unseen.alive();
        }
    }
}
