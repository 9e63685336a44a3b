//! A domain whose hypercalls an allocation counter does not see: they allocate as they like.

use core::cell::RefCell;
use std::boxed::Box;
use std::vec::Vec;

use super::{Domain, FakePages, OptOut};
use crate::{
    Access, Clock, CopyOp, DmaMap, DomId, Ended, EventChannels, EventError, GrantError, GrantRef, GrantTable,
    Instant, Key, MapRequest, MappedPages, Port, Survivors,
};

/// A domain, without the allocations of its hypervisor.
pub struct Quiet {
    domain: Domain,
    opt_out: OptOut,
    /// Run with each notification, as its receiver on another processor would.
    pub on_notify: RefCell<Option<Box<dyn FnMut()>>>,
}

impl Quiet {
    /// That domain; what Xen does is run by `opt_out`.
    pub fn new(domain: Domain, opt_out: OptOut) -> Self {
        Self {
            domain,
            opt_out,
            on_notify: RefCell::new(None),
        }
    }

    fn quiet<T>(&self, act: impl FnOnce() -> T) -> T {
        self.with(|_| act())
    }

    /// Does something with the domain that is not counted.
    ///
    /// # Panics
    /// The closure was not run.
    pub fn with<T>(&self, act: impl FnOnce(&Domain) -> T) -> T {
        let (mut act, mut result) = (Some(act), None);
        (self.opt_out)(&mut || result = act.take().map(|act| act(&self.domain)));
        result.expect("it ran")
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
        self.quiet(|| self.domain.map_pages(dom, refs, access))
    }

    fn unmap_pages(&self, mapped: MappedPages<FakePages>) {
        self.quiet(|| self.domain.unmap_pages(mapped));
    }

    fn map_for_dma(&self, dom: DomId, requests: &[MapRequest], out: &mut Vec<Result<DmaMap, GrantError>>) {
        self.quiet(|| self.domain.map_for_dma(dom, requests, out));
    }

    fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>) {
        self.quiet(|| self.domain.unmap_for_dma(maps));
    }

    fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]) {
        self.quiet(|| self.domain.copy(ops, results));
    }
}

impl EventChannels for Quiet {
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError> {
        self.quiet(|| self.domain.bind_interdomain(dom, remote))
    }

    fn close(&self, port: Port) {
        self.quiet(|| self.domain.close(port));
    }

    fn notify(&self, port: Port) {
        self.quiet(|| self.domain.notify(port));
        if let Some(hear) = &mut *self.on_notify.borrow_mut() {
            self.quiet(hear);
        }
    }

    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        let pending = self.quiet(|| {
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

    fn still_alive(&self) {
        self.domain.still_alive();
    }
}

impl Survivors for Quiet {
    type Record = FakePages;

    fn keep(&self, key: Key, len: usize) -> Option<FakePages> {
        self.quiet(|| self.domain.keep(key, len))
    }

    fn kept(&self, key: Key) -> Option<FakePages> {
        self.quiet(|| self.domain.kept(key))
    }

    fn forget(&self, key: Key) {
        self.quiet(|| self.domain.forget(key));
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
        self.quiet(|| self.domain.sweep(dom, most))
    }
}
