//! Grant tables, version 1: mapping what guests grant, and granting pages of our own.

mod earlier;

use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use outrigger_ring::SharedPages;
use outrigger_xen::{
    Access, CopyOp, CopySide, DmaMap, DmaPage, DomId, GRANT_BATCH, GrantError, GrantRef, MapRequest,
    MappedPages, PAGE_SIZE,
};
use xen_unikernel_abi::grant_table::{
    self as abi, GNTMAP_host_map, GNTMAP_readonly, GNTST_no_device_space, GNTST_no_space, GNTST_okay,
    GNTTAB_NR_RESERVED_ENTRIES, GTF_permit_access, GnttabCopy, GnttabMapGrantRef, GnttabUnmapGrantRef,
};
use xen_unikernel_abi::xen::DOMID_SELF;

use crate::arch::current;
use crate::survivors::facts::Facts;
use crate::survivors::{CPU_SLOTS, DMA_SLOTS};
use crate::window::{self, Held, SLOT, Window};
use crate::{Shared, hypercalls, survivors};

const BATCH: usize = GRANT_BATCH;

/// The domain's grant table and its two windows.
pub(crate) struct Grants {
    /// Frame 0 of our own table: 512 entries, far more than we grant.
    own: Shared,
    /// Where the CPU sees what it maps: stage 1 maps all of it from the start.
    cpu: RefCell<Window<Shared>>,
    /// Where pages are mapped that only a device touches.
    dma: RefCell<Window<Shared>>,
    /// Survivors, like the windows: a life may end between Xen's answer and our noting it.
    facts: Facts<Shared>,
    maps: RefCell<&'static mut [GnttabMapGrantRef; BATCH]>,
    unmaps: RefCell<&'static mut [GnttabUnmapGrantRef; BATCH]>,
    copies: RefCell<[GnttabCopy; BATCH]>,
}

/// Not a status of Xen's: it has not answered yet.
const UNANSWERED: i16 = 1;

/// How one mapping went, as Xen tells it.
#[inline]
fn outcome(done: &GnttabMapGrantRef) -> Result<Held, GrantError> {
    match done.status {
        status if status == GNTST_okay => Ok(Held {
            dom: done.dom,
            gref: done.r#ref,
            read_only: done.flags & GNTMAP_readonly != 0,
            handle: done.handle,
            frame: done.dev_bus_addr / PAGE_SIZE as u64,
        }),
        status if [GNTST_no_device_space, GNTST_no_space].contains(&status) => Err(GrantError::Exhausted),
        status => Err(GrantError::Refused(status)),
    }
}

#[inline]
fn dma_map(frame: u64, gfn: u64, slot: u32) -> DmaMap {
    DmaMap::mint(DmaPage::mint(frame * PAGE_SIZE as u64, gfn), slot)
}

impl Grants {
    /// # Safety
    /// Called once a life; the batches' memory in `region` is nobody else's.
    pub(crate) unsafe fn new(
        own: Shared,
        cpu: Range<u64>,
        dma: Range<u64>,
        region: &Shared,
        is_first_life: bool,
    ) -> Self {
        let facts = Facts::at(region.part(survivors::FACTS, PAGE_SIZE));
        let window = |range: Range<u64>, at, slots, reach| {
            let reach = region.part(survivors::FACTS + reach, 8);
            Window::new(range, region.part(at, slots * SLOT), reach, is_first_life)
        };
        let batch = |at: usize| region.part(at, PAGE_SIZE).address();
        // SAFETY: within the region, page-aligned, and the caller's promise; any bytes are a valid batch.
        let (maps, unmaps): (&mut [GnttabMapGrantRef; BATCH], &mut [GnttabUnmapGrantRef; BATCH]) = unsafe {
            (
                &mut *(batch(survivors::MAPS) as *mut _),
                &mut *(batch(survivors::UNMAPS) as *mut _),
            )
        };
        if !is_first_life {
            earlier::take_note(&facts, maps, unmaps, |address, held| {
                for (range, at, slots) in [
                    (&cpu, survivors::CPU_WINDOW, CPU_SLOTS),
                    (&dma, survivors::DMA_WINDOW, DMA_SLOTS),
                ] {
                    window::note(range.start, &region.part(at, slots * SLOT), address, held);
                }
            });
        }
        facts.set_maps(0);
        facts.set_unmaps(0);
        Self {
            own,
            cpu: RefCell::new(window(
                cpu,
                survivors::CPU_WINDOW,
                CPU_SLOTS,
                Facts::<Shared>::CPU_REACH,
            )),
            dma: RefCell::new(window(
                dma,
                survivors::DMA_WINDOW,
                DMA_SLOTS,
                Facts::<Shared>::DMA_REACH,
            )),
            facts,
            maps: RefCell::new(maps),
            unmaps: RefCell::new(unmaps),
            copies: RefCell::new([GnttabCopy::default(); BATCH]),
        }
    }

    /// Pages that can be mapped at once for the CPU, and for devices.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.cpu.borrow().slots(), self.dma.borrow().slots())
    }

    fn flags(access: Access) -> u32 {
        match access {
            Access::ReadOnly => GNTMAP_host_map | GNTMAP_readonly,
            Access::ReadWrite => GNTMAP_host_map,
        }
    }

    fn unmap(&self, window: &RefCell<Window<Shared>>, slots: impl Iterator<Item = u32>) {
        let mut unmaps = self.unmaps.borrow_mut();
        let mut window = window.borrow_mut();
        let mut slots = slots.peekable();
        while slots.peek().is_some() {
            // Each page is work in Xen; the loop has its end.
            current::alive();
            let mut count = 0;
            for (unmap, slot) in unmaps.iter_mut().zip(&mut slots) {
                let held = window.held(slot).expect("what is unmapped was mapped");
                *unmap = GnttabUnmapGrantRef {
                    host_addr: window.address(slot),
                    dev_bus_addr: 0,
                    handle: held.handle,
                    status: UNANSWERED,
                };
                count += 1;
            }
            let unmaps = &mut unmaps[..count];
            self.facts.set_unmaps(count);
            hypercalls::grant_table_op(abi::GNTTABOP_unmap_grant_ref, unmaps);
            for unmap in unmaps.iter() {
                if unmap.status == GNTST_okay {
                    let slot = window.slot_at(unmap.host_addr).expect("it was a slot's");
                    window.release(slot);
                } else {
                    // Ours in this life: a bug. An earlier life's: Xen knows better than its survivors; the slot stays.
                    log::error!("unmapping failed: status {}", unmap.status);
                }
            }
            self.facts.set_unmaps(0);
        }
    }

    pub(crate) fn map_pages(
        &self,
        dom: DomId,
        refs: &[GrantRef],
        access: Access,
    ) -> Result<MappedPages<Shared>, GrantError> {
        assert!((1..=BATCH).contains(&refs.len()), "a ring has 1 to 16 pages");
        let read_only = access == Access::ReadOnly;
        let claimed = || {
            let wanted = refs.iter().map(|gref| gref.0);
            self.cpu.borrow_mut().claim(dom.0, wanted, read_only)
        };
        if self.has_orphans()
            && let Some(first) = claimed()
        {
            return Ok(self.mapped(first, refs.len()));
        }
        let taken = self.cpu.borrow_mut().take_run(refs.len());
        let first = taken.ok_or(GrantError::Exhausted)?;
        let mut maps = self.maps.borrow_mut();
        let maps = &mut maps[..refs.len()];
        for (i, (map, gref)) in maps.iter_mut().zip(refs).enumerate() {
            *map = GnttabMapGrantRef {
                host_addr: self.cpu.borrow().address(first + i as u32),
                flags: Self::flags(access),
                r#ref: gref.0,
                dom: dom.0,
                status: UNANSWERED,
                ..Default::default()
            };
        }
        self.facts.set_maps(maps.len());
        hypercalls::grant_table_op(abi::GNTTABOP_map_grant_ref, maps);
        let mut failed = None;
        for (i, map) in maps.iter().enumerate() {
            match outcome(map) {
                Ok(held) => self.cpu.borrow_mut().set(first + i as u32, held),
                Err(error) => failed = Some(error),
            }
        }
        self.facts.set_maps(0);
        let slots = first..first + refs.len() as u32;
        if let Some(error) = failed {
            let mapped = |slot: &u32| self.cpu.borrow().held(*slot).is_some();
            let (undo, free): (Vec<u32>, Vec<u32>) = slots.partition(mapped);
            self.unmap(&self.cpu, undo.into_iter());
            free.into_iter()
                .for_each(|slot| self.cpu.borrow_mut().release(slot));
            return Err(error);
        }
        Ok(self.mapped(first, refs.len()))
    }

    /// `count` slots of the CPU's window that are mapped.
    fn mapped(&self, first: u32, count: usize) -> MappedPages<Shared> {
        let base = self.cpu.borrow().address(first) as usize;
        // SAFETY: the window is mapped in stage 1 for good, and in stage 2 from now until `unmap_pages`; nobody else has
        // these slots until then.
        MappedPages::mint(unsafe { Shared::new(base, count * PAGE_SIZE) }, first)
    }

    pub(crate) fn unmap_pages(&self, mapped: MappedPages<Shared>) {
        let first = mapped.slot();
        self.unmap(&self.cpu, first..first + (mapped.pages.len() / PAGE_SIZE) as u32);
    }

    pub(crate) fn map_for_dma(
        &self,
        dom: DomId,
        requests: &[MapRequest],
        out: &mut Vec<Result<DmaMap, GrantError>>,
    ) {
        debug_assert!(
            out.capacity() - out.len() >= requests.len(),
            "the caller has made room"
        );
        if self.dma.borrow().free() < requests.len() && self.has_orphans() {
            self.sweep(None, BATCH.max(requests.len()));
        }
        let mut maps = self.maps.borrow_mut();
        let mut window = self.dma.borrow_mut();
        let base = window.address(0);
        for requests in requests.chunks(BATCH) {
            // As many as a guest may ask for in a turn; the loop has its end.
            current::alive();
            // Claimed pages need no hypercall; what they were waits in `out`, at its place, with the others' to come.
            let first = out.len();
            let (mut count, mut exhausted) = (0, false);
            for request in requests {
                let read_only = request.access == Access::ReadOnly;
                let claimed = window
                    .has_orphans()
                    .then(|| window.claim(dom.0, [request.gref.0].into_iter(), read_only))
                    .flatten();
                if let Some(slot) = claimed {
                    let held = window.held(slot).expect("what is claimed is mapped");
                    let gfn = window.address(slot) / PAGE_SIZE as u64;
                    out.push(Ok(dma_map(held.frame, gfn, slot)));
                    continue;
                }
                exhausted |= window.free() == 0;
                let slot = if exhausted { None } else { window.take() };
                let Some(slot) = slot else {
                    out.push(Err(GrantError::Exhausted));
                    continue;
                };
                maps[count] = GnttabMapGrantRef {
                    host_addr: window.address(slot),
                    flags: Self::flags(request.access),
                    r#ref: request.gref.0,
                    dom: dom.0,
                    status: UNANSWERED,
                    ..Default::default()
                };
                count += 1;
                out.push(Err(GrantError::Refused(UNANSWERED)));
            }
            self.facts.set_maps(count);
            hypercalls::grant_table_op(abi::GNTTABOP_map_grant_ref, &mut maps[..count]);
            let unanswered = |result: &&mut Result<DmaMap, GrantError>| {
                matches!(result, Err(GrantError::Refused(UNANSWERED)))
            };
            for (map, result) in maps[..count]
                .iter()
                .zip(out[first..].iter_mut().filter(unanswered))
            {
                let slot = ((map.host_addr - base) / PAGE_SIZE as u64) as u32;
                let mapped = outcome(map);
                match mapped {
                    Ok(held) => window.set(slot, held),
                    Err(_) => window.release(slot),
                }
                // The machine address, even though only a host mapping was asked for: PROVEN.md, the first find.
                let gfn = map.host_addr / PAGE_SIZE as u64;
                *result = mapped.map(|held| dma_map(held.frame, gfn, slot));
            }
            self.facts.set_maps(0);
        }
    }

    pub(crate) fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>) {
        self.unmap(&self.dma, maps.drain(..).map(|map| map.slot()));
    }

    pub(crate) fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]) {
        assert_eq!(ops.len(), results.len(), "one result an operation");
        let mut copies = self.copies.borrow_mut();
        for (ops, results) in ops.chunks(BATCH).zip(results.chunks_mut(BATCH)) {
            current::alive();
            let copies = &mut copies[..ops.len()];
            for (copy, op) in copies.iter_mut().zip(ops) {
                *copy = GnttabCopy {
                    len: op.len,
                    ..Default::default()
                };
                for ((side, offset), end, granted) in [
                    (op.from, &mut copy.source, abi::GNTCOPY_source_gref),
                    (op.to, &mut copy.dest, abi::GNTCOPY_dest_gref),
                ] {
                    end.offset = offset;
                    match side {
                        CopySide::Granted(dom, gref) => {
                            (end.domid, end.u) = (dom.0, u64::from(gref.0));
                            copy.flags |= granted;
                        }
                        CopySide::Own(frame) => (end.domid, end.u) = (DOMID_SELF, frame),
                    }
                }
            }
            hypercalls::grant_table_op(abi::GNTTABOP_copy, copies);
            for (copy, result) in copies.iter().zip(results) {
                *result = if copy.status == GNTST_okay {
                    Ok(())
                } else {
                    Err(GrantError::Refused(copy.status))
                };
            }
        }
    }

    /// Grants a page of ours to `dom`, for as long as the domain lives. There is one such page.
    pub(crate) fn offer(&self, dom: DomId, page: &Shared) -> GrantRef {
        // Behind those of `bus_addresses`.
        let gref = GNTTAB_NR_RESERVED_ENTRIES + BATCH as u32;
        self.write_own(gref, dom, page);
        GrantRef(gref)
    }

    /// The entry: flags u16, domid u16, frame u32. The frame is written before the flags make it valid.
    fn write_own(&self, gref: u32, dom: DomId, page: &Shared) {
        let entry = gref as usize * size_of::<abi::GrantEntryV1>();
        self.own.store_u32(entry + 4, page.gfn() as u32);
        self.own.store_u16(entry + 2, dom.0);
        self.own.release_u16(entry, GTF_permit_access);
    }

    /// The bus addresses of our own `pages`, in order: each is granted to ourselves and mapped for a moment, which is how a
    /// domain without an IOMMU learns where its memory really is (PROVEN.md, the first find). `self_domid` is our real
    /// number: Xen refuses `DOMID_SELF` here.
    pub(crate) fn bus_addresses(&self, self_domid: DomId, pages: &[Shared], mut each: impl FnMut(DmaPage)) {
        for pages in pages.chunks(BATCH) {
            let mut requests = Vec::with_capacity(pages.len());
            for (gref, page) in (GNTTAB_NR_RESERVED_ENTRIES..).zip(pages) {
                self.write_own(gref, self_domid, page);
                requests.push(MapRequest {
                    gref: GrantRef(gref),
                    access: Access::ReadWrite,
                });
            }
            let mut mapped = Vec::with_capacity(pages.len());
            self.map_for_dma(self_domid, &requests, &mut mapped);
            let mut maps: Vec<DmaMap> = mapped
                .into_iter()
                .map(|map| map.unwrap_or_else(|error| panic!("cannot map a page of our own: {error:?}")))
                .collect();
            // Mapped where it is unmapped again at once: its frame is the one that it is ours by.
            for (map, page) in maps.iter().zip(pages) {
                each(DmaPage::mint(map.page().at(0).bits(), page.gfn()));
            }
            self.unmap_for_dma(&mut maps);
            for gref in (GNTTAB_NR_RESERVED_ENTRIES..).take(pages.len()) {
                self.own
                    .release_u16(gref as usize * size_of::<abi::GrantEntryV1>(), 0);
            }
        }
    }
}
