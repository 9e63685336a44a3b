//! Restart in place: what a domain's next life finds, and where a test lets it fail.

use std::boxed::Box;
use std::cell::Cell;
use std::rc::Rc;
use std::vec::Vec;

use super::pages::Page;
use super::watchdog::Work;
use super::{Domain, FakePages, Hypercall, PAGE_SIZE};
use crate::xenstore::XenStore;
use crate::{Access, DomId, Ended, Instant, Key, Survivors};

/// The kind of record that keeps a XenStore connection's place.
const PLACE: u8 = Key::CLASS - 1;

/// What a domain panics with when it was told to fail ([`Domain::crash_at`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash;

/// Counts what a domain does that others can see.
#[derive(Debug, Default)]
pub(super) struct Steps {
    taken: Cell<u64>,
    crash_at: Cell<Option<u64>>,
    /// This life has ended: what still runs of it, while a test unwinds and drops it, does nothing any more.
    over: Cell<bool>,
    /// What it has done since its last sign of life.
    pub(super) unseen: Work,
}

impl Steps {
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Those of the next life.
    fn next_life(&self) -> Rc<Self> {
        self.over.set(true);
        Rc::new(Self {
            taken: self.taken.clone(),
            ..Self::default()
        })
    }

    /// One more is about to be done.
    ///
    /// # Panics
    /// With [`Crash`], if it was the last that this life was granted.
    pub fn take(&self) {
        self.unseen.add(Work::STORE);
        self.taken.set(self.taken.get() + 1);
        if self.crash_at.get() == Some(self.taken.get()) {
            self.crash_at.set(None);
            self.over.set(true);
            // Without the panic hook: nobody wants to read thousands of these.
            std::panic::resume_unwind(Box::new(Crash));
        }
    }
}

/// A record, and the one view that all who have it share.
pub(super) struct Record {
    pages: Vec<Rc<Page>>,
    view: FakePages,
}

impl Domain {
    /// From now on fails when it is about to take its step number `steps` (from 1 on): it panics with [`Crash`], and the
    /// step is not taken. A step is whatever another party, or the next life, can see: a hypercall, a store to a ring, to
    /// a page of the pool or to a record, pending ports taken, and what a device model reports by [`step`](Self::step).
    pub fn crash_at(&self, steps: u64) {
        let own = self.steps();
        own.crash_at.set(Some(own.taken.get() + steps));
    }

    /// It is not to fail any more.
    pub fn crash_never(&self) {
        self.steps().crash_at.set(None);
    }

    /// Steps so far.
    pub fn steps_taken(&self) -> u64 {
        self.steps().taken.get()
    }

    /// Something is about to happen that a device can see (a register is written).
    pub fn step(&self) {
        let steps = self.steps();
        steps.unseen.add(Work::CALL);
        steps.take();
    }

    /// Starts over in place, as `kernel/core` does: the mappings stay but belong to nobody, the ports are closed, the
    /// pool's pages are given out again, and every view of the earlier life is dead. The test begins the new life with
    /// fresh objects on this domain; drivers reset their devices.
    pub fn restart(&self) {
        let mut world = self.xen.0.borrow_mut();
        let now = world.now;
        let domain = world.domain_mut(self.id);
        domain.life += 1;
        domain.steps = domain.steps.next_life();
        domain.ended = Some(Ended {
            at: Instant(now),
            reason: "a test".into(),
            trace: Vec::new(),
        });
        let mut ports = core::mem::take(&mut domain.ports);
        for mapping in domain.mappings.values_mut() {
            mapping.orphan();
        }
        domain.pool_free = domain.pool.values().cloned().collect();
        // In the order in which they were first given out.
        domain.pool_free.sort_by_key(|page| core::cmp::Reverse(page.gfn));
        for view in domain.pool_views.drain(..) {
            view.view.live.set(false);
        }
        let steps = domain.steps.clone();
        for record in domain.records.values_mut() {
            record.view.view.live.set(false);
            record.view = record_view(&record.pages, record.view.len, &steps);
        }
        world.close_interdomain(self.id, &mut ports);
        world.domain_mut(self.id).ports = ports;
    }

    /// Starts over, but nothing that was recorded can be believed: there are no records.
    pub fn restart_unsound(&self) {
        self.restart();
        // The connection's place is the kernel's, and has nothing to do with records.
        self.with(|domain| domain.records.retain(|key, _| key.kind == PLACE));
    }

    /// A XenStore client for this life: the first life's connects, a later one's goes on where that was. Its indices' stores
    /// are steps.
    ///
    /// # Panics
    /// There is no room for where it keeps its place.
    pub fn xenstore(&self) -> XenStore<FakePages> {
        let xenstored = self.xen.xenstored();
        let page = xenstored
            .page_of(self.id)
            .unwrap_or_else(|| xenstored.connect(self.id));
        let mut page = FakePages::stepping(page.pages.to_vec(), true, Access::ReadWrite, self.steps());
        page.least_step = 4;
        let key = Key {
            kind: PLACE,
            frontend: self.id,
            handle: 0,
            part: 0,
        };
        let place = self.kept(key).or_else(|| self.keep(key, 16));
        XenStore::in_life(
            page,
            || {},
            place.expect("there is room for 16 bytes"),
            self.life(),
        )
    }

    /// The records as they are, for a test to look at or to damage; its stores are no steps.
    pub fn records(&self) -> Vec<(Key, FakePages)> {
        self.with(|domain| {
            let view = |record: &Record| FakePages::new(record.pages.clone(), true, Access::ReadWrite);
            domain
                .records
                .iter()
                .map(|(key, record)| (*key, view(record)))
                .collect()
        })
    }

    /// Pages that an earlier life had mapped and that nobody has claimed, of all guests.
    pub fn unclaimed_pages(&self) -> usize {
        self.with(|domain| {
            let unclaimed = domain.mappings.values().filter(|mapping| mapping.is_orphan());
            unclaimed.map(|mapping| mapping.pages().count()).sum()
        })
    }

    pub(super) fn steps(&self) -> Rc<Steps> {
        self.with(|domain| domain.steps.clone())
    }
}

fn record_view(pages: &[Rc<Page>], len: usize, steps: &Rc<Steps>) -> FakePages {
    let mut view = FakePages::stepping(pages.to_vec(), true, Access::ReadWrite, steps.clone());
    view.len = len;
    view
}

impl Survivors for Domain {
    type Record = FakePages;

    fn keep(&self, key: Key, len: usize) -> Option<FakePages> {
        self.step();
        self.forget(key);
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        let used: usize = domain.records.values().map(|record| record.view.len).sum();
        if used + len > domain.limits.record_bytes {
            return None;
        }
        let pages: Vec<Rc<Page>> = (0..len.div_ceil(PAGE_SIZE).max(1))
            .map(|_| world.new_page(self.id))
            .collect();
        let domain = world.domain_mut(self.id);
        let view = record_view(&pages, len, &domain.steps);
        domain.records.insert(
            key,
            Record {
                pages,
                view: view.clone(),
            },
        );
        Some(view)
    }

    fn kept(&self, key: Key) -> Option<FakePages> {
        self.with(|domain| domain.records.get(&key).map(|record| record.view.clone()))
    }

    fn forget(&self, key: Key) {
        self.step();
        if let Some(record) = self.with(|domain| domain.records.remove(&key)) {
            record.view.view.live.set(false);
        }
    }

    fn keys(&self) -> Vec<Key> {
        self.with(|domain| domain.records.keys().copied().collect())
    }

    fn life(&self) -> u32 {
        self.with(|domain| domain.life)
    }

    fn ended(&self) -> Option<Ended> {
        self.with(|domain| domain.ended.clone())
    }

    fn unclaimed(&self, dom: DomId) -> usize {
        self.with(|domain| {
            let of_dom = domain.mappings.values().filter(|mapping| mapping.from == dom);
            let unclaimed = of_dom.filter(|mapping| mapping.is_orphan());
            unclaimed.map(|mapping| mapping.pages().count()).sum()
        })
    }

    fn sweep(&self, dom: Option<DomId>, most: usize) -> bool {
        let orphans: Vec<u32> = self.with(|domain| {
            let orphans = domain
                .mappings
                .iter()
                .filter(|(_, mapping)| mapping.is_orphan() && dom.is_none_or(|dom| dom == mapping.from));
            orphans.map(|(slot, _)| *slot).collect()
        });
        if !orphans.is_empty() {
            self.hypercall(Hypercall::UnmapGrantRef);
        }
        let mut swept = 0;
        for slot in orphans {
            if swept >= most {
                break;
            }
            swept += self.xen.0.borrow_mut().unmap(self.id, slot).pages().count();
        }
        self.unclaimed_pages() > 0
    }
}
