//! From segments to memory that the device may reach.

use alloc::vec::Vec;

use outrigger_blkif::{DataOp, Refusal, Segment, Segments};
use outrigger_devices::DmaSegment;
use outrigger_xen::{Access, DmaMap, DmaPage, DomId, GrantError, GrantTable, MapRequest};

use crate::batch::{Batch, TURN_SEGMENTS};
use crate::journal::{Journal, Slot};
use crate::persistent::PersistentGrants;
use crate::ring::{REQUEST_BUDGET, Turn};
use crate::transient::{Chain, TransientMaps};
use crate::view::DiskView;

/// A ring takes no further request in a turn once those it took have this many segments: 2 MiB.
pub(crate) const SEGMENT_BUDGET: usize = 512;

/// A read or write whose pages are all within the device's reach: `segments[start..end]` of [`Gather`].
#[derive(Clone, Copy)]
pub(crate) struct Gathered {
    pub slot: Slot,
    pub op: DataOp,
    /// First sector, on the device.
    pub sector: u64,
    pub sectors: u32,
    pub start: usize,
    pub end: usize,
}

/// A read or write some of whose pages have to be mapped first: `wanted[start..end]`.
#[derive(Clone, Copy)]
struct Planned {
    slot: Slot,
    op: DataOp,
    sector: u64,
    sectors: u32,
    start: usize,
    end: usize,
}

struct Wanted {
    segment: Segment,
    /// It is part of the batch under way.
    asked: bool,
}

/// What became of a planned request.
pub(crate) enum Mapped {
    /// All of its pages are there.
    Ready(Gathered),
    /// Xen refused one of its references.
    Refused(Slot),
}

/// The grants of one ring, and the memory of the requests it is working on.
pub(crate) struct Gather {
    dom: DomId,
    /// Whether the frontend agreed to persistent grants.
    keep: bool,
    pub persistent: PersistentGrants,
    pub transients: TransientMaps,
    /// Memory of the requests that were gathered and not yet submitted.
    pub segments: Vec<DmaSegment>,
    wanted: Vec<Wanted>,
    planned: Vec<Planned>,
    /// Pages mapped and unmapped so far.
    pub maps: u64,
    pub unmaps: u64,
}

impl Gather {
    /// Room for `persistent` pages that stay and `transients` that go with their request, allocated now.
    pub fn new(dom: DomId, persistent: usize, transients: usize) -> Self {
        Self {
            dom,
            keep: persistent > 0,
            persistent: PersistentGrants::new(persistent),
            transients: TransientMaps::new(transients),
            segments: Vec::with_capacity(TURN_SEGMENTS),
            wanted: Vec::with_capacity(TURN_SEGMENTS),
            planned: Vec::with_capacity(REQUEST_BUDGET as usize),
            maps: 0,
            unmaps: 0,
        }
    }

    /// Checks a request and finds its memory. `None`: some page has to be mapped, and the request waits for
    /// [`map`](Self::map).
    #[inline]
    pub fn gather(
        &mut self,
        view: &DiskView,
        slot: Slot,
        op: DataOp,
        sector: u64,
        request: Segments<'_>,
    ) -> Result<Option<Gathered>, Refusal> {
        let start = self.segments.len();
        let (mut sectors, mut lengths) = (0_u32, 0);
        let index = self.persistent.index();
        for segment in request.iter() {
            let found = segment.map(|segment| (segment, index.find(segment.gref)));
            match found {
                Ok((segment, Some(page))) => {
                    // At most 256 times 8.
                    sectors = sectors.wrapping_add(segment.sectors());
                    lengths |= segment.sectors();
                    self.segments.push(dma(page, segment));
                }
                Ok((_, None)) => {
                    self.segments.truncate(start);
                    return self.plan(view, slot, op, sector, request).map(|()| None);
                }
                Err(why) => {
                    self.segments.truncate(start);
                    return Err(why);
                }
            }
        }
        match view.check_data(op, sector, sectors, lengths) {
            Ok(sector) => Ok(Some(Gathered {
                slot,
                op,
                sector,
                sectors,
                start,
                end: self.segments.len(),
            })),
            Err(why) => {
                self.segments.truncate(start);
                Err(why)
            }
        }
    }

    /// Checks a request and notes it down for the next batch of maps.
    fn plan(
        &mut self,
        view: &DiskView,
        slot: Slot,
        op: DataOp,
        sector: u64,
        request: Segments<'_>,
    ) -> Result<(), Refusal> {
        let start = self.wanted.len();
        let (mut sectors, mut lengths) = (0, 0);
        let checked = request
            .iter()
            .try_for_each(|segment| {
                let segment = segment?;
                sectors += segment.sectors();
                lengths |= segment.sectors();
                self.wanted.push(Wanted {
                    segment,
                    asked: false,
                });
                Ok(())
            })
            .and_then(|()| view.check_data(op, sector, sectors, lengths));
        match checked {
            Ok(sector) => {
                self.planned.push(Planned {
                    slot,
                    op,
                    sector,
                    sectors,
                    start,
                    end: self.wanted.len(),
                });
                Ok(())
            }
            Err(why) => {
                self.wanted.truncate(start);
                Err(why)
            }
        }
    }

    /// Whether requests wait for [`map`](Self::map).
    #[inline]
    pub fn has_plan(&self) -> bool {
        !self.planned.is_empty()
    }

    /// Maps the pages of all planned requests, or of as many as there is room for in this turn, in one call.
    /// What could not be mapped stays planned; what became of the others is in [`Batch::outcomes`]. Says what
    /// the rest waits for: nothing, a completion, the next turn ([`Turn::More`]), or Xen or our own window,
    /// which were exhausted.
    pub fn map<H: GrantTable>(
        &mut self,
        hv: &H,
        batch: &mut Batch,
        journal: &mut Journal<H::Pages>,
    ) -> Option<Turn> {
        batch.requests.clear();
        batch.results.clear();
        let mut room = self.transients.room();
        let mut pages = batch.maps_left.min(batch.ring_left);
        let mut count = 0;
        let mut rest = None;
        for planned in &self.planned {
            let begun = batch.requests.len();
            let access = access(self.keep, planned.op);
            for wanted in &mut self.wanted[planned.start..planned.end] {
                wanted.asked = self.persistent.find(wanted.segment.gref).is_none();
                if wanted.asked {
                    batch.requests.push(MapRequest {
                        gref: wanted.segment.gref,
                        access,
                    });
                }
            }
            // Even if the cache takes none of them.
            let needed = batch.requests.len() - begun;
            if needed > room || needed > pages {
                rest = Some(if needed > room { Turn::Waiting } else { Turn::More });
                batch.is_short |= needed <= room && needed > batch.maps_left;
                batch.requests.truncate(begun);
                break;
            }
            room -= needed;
            pages -= needed;
            batch.maps_left -= needed;
            batch.ring_left -= needed;
            count += 1;
        }
        if !batch.requests.is_empty() {
            hv.map_for_dma(self.dom, &batch.requests, &mut batch.results);
            assert!(
                batch.results.len() == batch.requests.len(),
                "one result for each reference"
            );
        }
        let mut results = core::mem::take(&mut batch.results);
        {
            let mut results = results.drain(..);
            let mut kept = 0;
            for index in 0..self.planned.len() {
                let planned = self.planned[index];
                let outcome = if index < count {
                    self.settle(hv, batch, journal, planned, &mut results)
                } else {
                    Err(GrantError::Exhausted)
                };
                match outcome {
                    Ok(gathered) => batch.outcomes.push(Mapped::Ready(gathered)),
                    Err(GrantError::Refused(_)) => batch.outcomes.push(Mapped::Refused(planned.slot)),
                    Err(GrantError::Exhausted) => {
                        if index < count {
                            rest = Some(Turn::Exhausted);
                        }
                        self.planned[kept] = planned;
                        kept += 1;
                    }
                }
            }
            self.planned.truncate(kept);
        }
        // The vector goes back for its capacity.
        batch.results = results;
        if self.planned.is_empty() {
            self.wanted.clear();
        }
        rest
    }

    /// Files the results of one request's maps and gathers its memory; undoes them if it cannot go on.
    fn settle<H: GrantTable>(
        &mut self,
        hv: &H,
        batch: &mut Batch,
        journal: &mut Journal<H::Pages>,
        planned: Planned,
        results: &mut impl Iterator<Item = Result<DmaMap, GrantError>>,
    ) -> Result<Gathered, GrantError> {
        let start = self.segments.len();
        let mut failed = None;
        let maps = &mut journal.progress(planned.slot).maps;
        for wanted in &self.wanted[planned.start..planned.end] {
            let segment = wanted.segment;
            let page = if wanted.asked {
                match results.next() {
                    Some(Ok(map)) => {
                        self.maps += 1;
                        let page = map.page();
                        let kept = if self.keep {
                            self.persistent.insert(segment.gref, map)
                        } else {
                            Err(map)
                        };
                        if let Err(map) = kept {
                            self.transients.push(maps, map);
                        }
                        Some(page)
                    }
                    Some(Err(error)) => {
                        // A refusal outweighs exhaustion: trying again will not help.
                        if failed.is_none() || matches!(error, GrantError::Refused(_)) {
                            failed = Some(error);
                        }
                        None
                    }
                    None => None,
                }
            } else {
                self.persistent.find(segment.gref)
            };
            match page {
                Some(page) => self.segments.push(dma(page, segment)),
                None => failed = failed.or(Some(GrantError::Exhausted)),
            }
        }
        let Some(error) = failed else {
            return Ok(Gathered {
                slot: planned.slot,
                op: planned.op,
                sector: planned.sector,
                sectors: planned.sectors,
                start,
                end: self.segments.len(),
            });
        };
        self.segments.truncate(start);
        self.release(hv, batch, maps);
        Err(error)
    }

    /// The requests that wait to be mapped, given up.
    pub fn cancel(&mut self, mut each: impl FnMut(Slot)) {
        for planned in self.planned.drain(..) {
            each(planned.slot);
        }
        self.wanted.clear();
    }

    /// Gives up a request's own mappings, to be unmapped with the batch.
    #[inline]
    pub fn release<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch, maps: &mut Chain) {
        if *maps != Chain::EMPTY {
            self.release_all(hv, batch, maps);
        }
    }

    fn release_all<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch, maps: &mut Chain) {
        while let Some(map) = self.transients.pop(maps) {
            if batch.unmapping.len() == batch.unmapping.capacity() {
                batch.unmap(hv);
            }
            batch.unmapping.push(map);
            batch.unmaps_left = batch.unmaps_left.saturating_sub(1);
            self.unmaps += 1;
        }
    }

    /// Unmaps at most `most` of the pages that were kept and are not any more; how many.
    pub fn unmap_retired<H: GrantTable>(&mut self, hv: &H, batch: &mut Batch, most: usize) -> usize {
        let retired = self.persistent.retired();
        let count = retired.len().min(most);
        batch.unmap(hv);
        batch.unmapping.extend(retired.drain(retired.len() - count..));
        batch.unmap(hv);
        self.unmaps += count as u64;
        count
    }
}

/// What a page is mapped for. One that is kept may serve the other way next time.
fn access(keep: bool, op: DataOp) -> Access {
    match op {
        DataOp::Write if !keep => Access::ReadOnly,
        _ => Access::ReadWrite,
    }
}

#[inline]
fn dma(page: DmaPage, segment: Segment) -> DmaSegment {
    page.segment(segment.first_sector() * 512, segment.sectors() * 512)
        .expect("a checked segment lies within its page")
}
