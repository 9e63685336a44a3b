//! FakeXen allocates as it likes; the allocation counter does not see it.

use std::cell::RefCell;

use outrigger_xen::fake::{Domain, FakePages};
use outrigger_xen::{
    Access, Clock, CopyOp, DmaMap, DomId, Ended, EventChannels, EventError, GrantError, GrantRef, GrantTable,
    Instant, Key, MapRequest, MappedPages, Port, Survivors,
};

/// Runs what is none of the backend's doing.
pub fn quiet<T>(act: impl FnOnce() -> T) -> T {
    let mut result = None;
    allocation_counter::opt_out(|| result = Some(act()));
    result.expect("it ran")
}

/// A domain whose hypercalls are not counted.
pub struct Quiet {
    domain: Domain,
    /// Run with each notification, as its receiver on another processor would.
    pub on_notify: RefCell<Option<Box<dyn FnMut()>>>,
}

impl Quiet {
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            on_notify: RefCell::new(None),
        }
    }
}

impl GrantTable for Quiet {
    type Pages = FakePages;

    fn map_pages(
        &self,
        dom: DomId,
        refs: &[GrantRef],
        access: Access,
    ) -> Result<MappedPages<FakePages>, GrantError> {
        quiet(|| self.domain.map_pages(dom, refs, access))
    }

    fn unmap_pages(&self, mapped: MappedPages<FakePages>) {
        quiet(|| self.domain.unmap_pages(mapped));
    }

    fn map_for_dma(&self, dom: DomId, requests: &[MapRequest], out: &mut Vec<Result<DmaMap, GrantError>>) {
        quiet(|| self.domain.map_for_dma(dom, requests, out));
    }

    fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>) {
        quiet(|| self.domain.unmap_for_dma(maps));
    }

    fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]) {
        quiet(|| self.domain.copy(ops, results));
    }
}

impl EventChannels for Quiet {
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError> {
        quiet(|| self.domain.bind_interdomain(dom, remote))
    }

    fn close(&self, port: Port) {
        quiet(|| self.domain.close(port));
    }

    fn notify(&self, port: Port) {
        quiet(|| self.domain.notify(port));
        if let Some(hear) = &mut *self.on_notify.borrow_mut() {
            quiet(hear);
        }
    }

    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        let pending = quiet(|| {
            let mut pending = Vec::new();
            self.domain.take_pending(&mut |port| pending.push(port));
            pending
        });
        pending.into_iter().for_each(each);
    }
}

impl Clock for Quiet {
    fn now(&self) -> Instant {
        self.domain.now()
    }
}

impl Survivors for Quiet {
    type Record = FakePages;

    fn keep(&self, key: Key, len: usize) -> Option<FakePages> {
        quiet(|| self.domain.keep(key, len))
    }

    fn kept(&self, key: Key) -> Option<FakePages> {
        quiet(|| self.domain.kept(key))
    }

    fn forget(&self, key: Key) {
        quiet(|| self.domain.forget(key));
    }

    fn keys(&self) -> Vec<Key> {
        self.domain.keys()
    }

    fn life(&self) -> u32 {
        self.domain.life()
    }

    fn unclaimed(&self, dom: DomId) -> usize {
        self.domain.unclaimed(dom)
    }

    fn ended(&self) -> Option<Ended> {
        self.domain.ended()
    }

    fn sweep(&self, dom: Option<DomId>, most: usize) -> bool {
        quiet(|| self.domain.sweep(dom, most))
    }
}
