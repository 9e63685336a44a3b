//! `FakeXen`, a hypervisor for host tests: several domains with their own pages, grant table and event channels, a bus
//! for their devices, a clock that is advanced by hand, and a xenstored that speaks the wire protocol.
//!
//! It answers as Xen does where that matters to a backend (`GNTST_*` codes, pending at bind, unbound after the other end
//! closed …), and is harder where Xen would let a bug pass: a mapping used after its unmap, a port closed twice or a
//! device's access to memory that nobody mapped for it panics, and so fails the test.
//!
//! [`FakeXen::domain`] gives a [`Domain`], which implements [`GrantTable`](crate::GrantTable),
//! [`EventChannels`](crate::EventChannels), [`Clock`](crate::Clock) and [`Cpu`](crate::Cpu) for that domain, and offers
//! what a frontend does (`pages`, `grant`, `alloc_unbound`) and what a device does (`dma_read`, `dma_write`).
//!
//! A domain restarts in place by [`Domain::restart`], after it was made to fail at any step it takes
//! ([`Domain::crash_at`]).

mod bus;
mod counts;
mod cpu;
mod event;
mod grant;
mod pages;
mod pool;
mod quiet;
mod survivors;
mod watchdog;
mod xenstored;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use std::vec::Vec;

use crate::{Access, DomId, Ended, Instant, IrqSet, Key, PAGE_SIZE};

pub use counts::{Counts, Hypercall};
pub use event::PortState;
pub use grant::GrantInUse;
pub use outrigger_hal::OptOut;
pub use pages::FakePages;
pub use quiet::Quiet;
pub use survivors::Crash;
pub use xenstored::{Caller, Device, Errno, Perm, Perms, Request, Toolstack, Verdict, XenStored};

use counts::Calls;
use event::Ports;
use grant::{GrantEntry, Mapping};
use pages::Page;
use survivors::{Record, Steps};

/// How much of everything a domain may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages it may hold mapped from others at once (its window, or Xen's maptrack).
    pub mapped_pages: usize,
    /// Entries in its own grant table; entry 0 is reserved as in Xen's version 1 tables (0 to 7 are).
    pub grants: u32,
    /// Ports, port 0 included, which is never used.
    pub ports: u32,
    /// Pages its DMA pool gives out.
    pub pool_pages: usize,
    /// Bytes of records that survive a restart.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mapped_pages: 65_536,
            grants: 32_768,
            ports: 1023,
            pool_pages: 4096,
            record_bytes: 1 << 20,
        }
    }
}

/// What Xen and the machine know of one domain.
struct DomainState {
    limits: Limits,
    counts: Counts,
    calls: Calls,
    pages: Vec<Rc<Page>>,
    grants: BTreeMap<u32, GrantEntry>,
    next_grant: u32,
    failed_revokes: u32,
    mappings: BTreeMap<u32, Mapping>,
    next_mapping: u32,
    pool: BTreeMap<u64, Rc<Page>>,
    /// Pages of an earlier life's pool that were not given out again; the next is the last.
    pool_free: Vec<Rc<Page>>,
    pool_views: Vec<FakePages>,
    records: BTreeMap<Key, Record>,
    life: u32,
    ended: Option<Ended>,
    steps: Rc<Steps>,
    ports: Ports,
    irqs: IrqSet,
}

#[derive(Default)]
struct World {
    now: u64,
    pages_made: u64,
    domains: BTreeMap<DomId, DomainState>,
    xenstored: XenStored,
    /// Whether unprivileged domains are kept apart (XSM SILO, the default of Debian's arm64 build).
    silo: bool,
}

/// The hypervisor and its machine. Clones are the same machine.
#[derive(Clone, Default)]
pub struct FakeXen(Rc<RefCell<World>>);

impl FakeXen {
    /// A machine with no domain yet, at time 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The domain of that number, created with default [`Limits`] if it is not there.
    pub fn domain(&self, id: DomId) -> Domain {
        self.0
            .borrow_mut()
            .domains
            .entry(id)
            .or_insert_with(|| DomainState {
                limits: Limits::default(),
                counts: Counts::default(),
                calls: Calls::default(),
                pages: Vec::new(),
                grants: BTreeMap::new(),
                next_grant: 8,
                failed_revokes: 0,
                mappings: BTreeMap::new(),
                next_mapping: 1,
                pool: BTreeMap::new(),
                pool_free: Vec::new(),
                pool_views: Vec::new(),
                records: BTreeMap::new(),
                life: 0,
                ended: None,
                steps: Rc::default(),
                ports: Ports::default(),
                irqs: IrqSet::EMPTY,
            });
        Domain {
            xen: self.clone(),
            id,
        }
    }

    /// Destroys a domain as `xl destroy` does: its mappings end, its ports close, its grants can no longer be mapped.
    /// Pages that somebody else still has mapped live on until they are unmapped.
    pub fn destroy(&self, id: DomId) {
        let mut world = self.0.borrow_mut();
        let Some(mut gone) = world.domains.remove(&id) else {
            return;
        };
        for (_, mapping) in core::mem::take(&mut gone.mappings) {
            world.release(&mapping);
        }
        world.close_all(id, &mut gone.ports);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut world = self.0.borrow_mut();
        world.now = Instant(world.now).after(by).0;
    }

    /// Keeps unprivileged domains apart (XSM SILO), or not.
    pub fn set_silo(&self, silo: bool) {
        self.0.borrow_mut().silo = silo;
    }

    /// The end of a test: the domain holds no mapping and no port.
    ///
    /// # Panics
    /// It does.
    pub fn assert_nothing_held(&self, id: DomId) {
        let world = self.0.borrow();
        let Some(domain) = world.domains.get(&id) else {
            return;
        };
        assert!(
            domain.mappings.is_empty(),
            "domain {} still has {} mappings",
            id.0,
            domain.mappings.len()
        );
        let ports = domain.ports.in_use();
        assert!(ports.is_empty(), "domain {} still has ports {ports:?}", id.0);
    }

    /// The end of a test in which every device was removed: besides, no device of it is left in XenStore, and no
    /// transaction is open.
    ///
    /// # Panics
    /// There is.
    pub fn assert_nothing_left(&self, id: DomId) {
        self.assert_nothing_held(id);
        let xenstored = self.xenstored();
        let devices = xenstored.devices_of(id);
        assert!(devices.is_empty(), "domain {} still has {devices:?}", id.0);
        assert_eq!(
            xenstored.open_transactions(id),
            0,
            "domain {} left a transaction open",
            id.0
        );
    }
}

/// One domain: its seams, and what tests do in its name. Clones are the same domain.
#[derive(Clone)]
pub struct Domain {
    xen: FakeXen,
    id: DomId,
}

impl core::fmt::Debug for Domain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Domain({})", self.id.0)
    }
}

impl Domain {
    /// Its number.
    pub fn id(&self) -> DomId {
        self.id
    }

    /// The machine it is on.
    pub fn xen(&self) -> &FakeXen {
        &self.xen
    }

    /// Its limits from now on; what it holds already stays.
    pub fn set_limits(&self, limits: Limits) {
        self.with(|domain| domain.limits = limits);
    }

    /// Fresh zeroed pages of its own, contiguous for itself, scattered on the bus.
    pub fn pages(&self, count: usize) -> FakePages {
        let mut world = self.xen.0.borrow_mut();
        let pages: Vec<_> = (0..count).map(|_| world.new_page(self.id)).collect();
        world.domain_mut(self.id).pages.extend(pages.iter().cloned());
        FakePages::new(pages, true, Access::ReadWrite)
    }

    fn with<T>(&self, act: impl FnOnce(&mut DomainState) -> T) -> T {
        act(self.xen.0.borrow_mut().domain_mut(self.id))
    }
}

impl World {
    fn domain_mut(&mut self, id: DomId) -> &mut DomainState {
        self.domains
            .get_mut(&id)
            .expect("the domain has not been destroyed")
    }

    /// A page whose neighbour on the bus is never its neighbour in the guest.
    fn new_page(&mut self, owner: DomId) -> Rc<Page> {
        let index = self.pages_made;
        self.pages_made += 1;
        // An odd multiplier permutes the 20-bit frame numbers; consecutive indices land far apart.
        let frame = (index.wrapping_mul(0x9_e375) + 0x51) & 0xf_ffff;
        let machine = 0x8_0000_0000 + frame * PAGE_SIZE as u64;
        Page::new(owner, 0x4_0000 + index, machine)
    }
}
