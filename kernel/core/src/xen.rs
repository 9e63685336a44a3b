//! The hypervisor, as everything above `kernel/core` sees it.

use alloc::vec::Vec;

use outrigger_xen::{
    Access, Clock, CopyOp, DmaMap, DomId, Ended, EventChannels, EventError, GrantError, GrantRef, GrantTable,
    Instant, Key, MapRequest, MappedPages, Port, Survivors,
};

use crate::Shared;
use crate::event::Events;
use crate::grant::Grants;
use crate::survivors::records::Records;

/// Real Xen. There is one, for as long as the domain lives.
pub struct Xen {
    pub(crate) domid: DomId,
    pub(crate) grants: Grants,
    pub(crate) events: Events,
    pub(crate) clock: &'static (dyn Clock + Sync),
    /// The directory of `memory`.
    pub(crate) records: Records<Shared>,
    pub(crate) memory: Shared,
    pub(crate) life: u32,
    pub(crate) ended: Option<Ended>,
}

impl Xen {
    /// This domain's own number.
    pub fn domid(&self) -> DomId {
        self.domid
    }

    /// Granted pages that can be mapped at once: for the CPU, and for devices.
    pub fn mappable(&self) -> (usize, usize) {
        self.grants.room()
    }
}

impl GrantTable for Xen {
    type Pages = Shared;

    fn map_pages(
        &self,
        dom: DomId,
        refs: &[GrantRef],
        access: Access,
    ) -> Result<MappedPages<Shared>, GrantError> {
        self.grants.map_pages(dom, refs, access)
    }

    fn unmap_pages(&self, mapped: MappedPages<Shared>) {
        self.grants.unmap_pages(mapped);
    }

    fn map_for_dma(&self, dom: DomId, requests: &[MapRequest], out: &mut Vec<Result<DmaMap, GrantError>>) {
        self.grants.map_for_dma(dom, requests, out);
    }

    fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>) {
        self.grants.unmap_for_dma(maps);
    }

    fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]) {
        self.grants.copy(ops, results);
    }
}

impl EventChannels for Xen {
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError> {
        self.events.bind_interdomain(dom, remote)
    }

    fn close(&self, port: Port) {
        self.events.close(port);
    }

    #[inline]
    fn notify(&self, port: Port) {
        self.events.notify(port);
    }

    #[inline]
    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        self.events.take_pending(each);
    }
}

impl Clock for Xen {
    #[inline]
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn still_alive(&self) {
        crate::arch::current::alive();
    }
}

impl Survivors for Xen {
    type Record = Shared;

    fn keep(&self, key: Key, len: usize) -> Option<Shared> {
        self.still_alive();
        let place = self.records.make(key, len)?;
        self.still_alive();
        #[cfg(feature = "crash-points")]
        crate::crash::begin();
        Some(self.memory.part(place.start, place.len()))
    }

    fn kept(&self, key: Key) -> Option<Shared> {
        let place = self.records.find(key)?;
        Some(self.memory.part(place.start, place.len()))
    }

    fn forget(&self, key: Key) {
        self.records.forget(key);
    }

    fn keys(&self) -> Vec<Key> {
        self.records.keys()
    }

    fn life(&self) -> u32 {
        self.life
    }

    fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    fn unclaimed(&self, dom: DomId) -> usize {
        self.grants.unclaimed(dom)
    }

    fn sweep(&self, dom: Option<DomId>, most: usize) -> bool {
        self.grants.sweep(dom, most)
    }
}
