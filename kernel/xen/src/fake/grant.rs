//! Grant tables, version 1.

use std::rc::Rc;
use std::vec::Vec;

use xen_unikernel_abi::grant_table::{
    GNTST_bad_copy_arg, GNTST_bad_domain, GNTST_bad_gntref, GNTST_general_error, GNTST_permission_denied,
};

use super::pages::Page;
use super::{Domain, FakePages, Hypercall, World};
use crate::{
    Access, CopyOp, CopySide, DmaMap, DmaPage, DomId, GrantError, GrantRef, GrantTable, MapRequest,
    MappedPages, PAGE_SIZE,
};

/// The grant cannot be ended: somebody has it mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantInUse;

pub(super) struct GrantEntry {
    to: DomId,
    access: Access,
    page: Rc<Page>,
    in_use: u32,
}

/// What one `map_pages`, or one entry of a `map_for_dma`, holds.
pub(super) struct Mapping {
    pub from: DomId,
    grants: Vec<(GrantRef, Rc<Page>)>,
    pub access: Access,
    pub dma: bool,
    /// The CPU's view, to be ended with the mapping.
    view: Option<FakePages>,
    /// It is an earlier life's, and nobody has claimed it.
    orphan: bool,
}

impl Mapping {
    pub fn pages(&self) -> impl Iterator<Item = &Rc<Page>> {
        self.grants.iter().map(|(_, page)| page)
    }

    pub fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Whoever had it is no more.
    pub fn orphan(&mut self) {
        self.orphan = true;
        if let Some(view) = self.view.take() {
            view.view.live.set(false);
        }
    }

    fn maps(&self, refs: &[GrantRef]) -> bool {
        self.grants.len() == refs.len()
            && self
                .grants
                .iter()
                .zip(refs)
                .all(|((gref, _), other)| gref == other)
    }
}

/// Where a mapping shows its page to the domain that made it: behind all memory.
pub(super) fn window_gfn(slot: u32) -> u64 {
    0x100_0000 + u64::from(slot)
}

impl World {
    /// Checks a use of a grant as Xen does, and gives its page.
    fn look_up(&self, by: DomId, from: DomId, gref: GrantRef, access: Access) -> Result<Rc<Page>, i16> {
        let domain = self.domains.get(&from).ok_or(GNTST_bad_domain)?;
        if self.silo && by.0 != 0 && from.0 != 0 && by != from {
            return Err(GNTST_permission_denied);
        }
        if gref.0 >= domain.limits.grants {
            return Err(GNTST_bad_gntref);
        }
        let entry = domain.grants.get(&gref.0).ok_or(GNTST_general_error)?;
        if entry.to != by || (access == Access::ReadWrite && entry.access == Access::ReadOnly) {
            return Err(GNTST_general_error);
        }
        Ok(entry.page.clone())
    }

    fn map(
        &mut self,
        by: DomId,
        from: DomId,
        refs: &[GrantRef],
        access: Access,
        dma: bool,
    ) -> Result<(u32, Vec<Rc<Page>>), GrantError> {
        if let Some(slot) = self.orphan(by, from, refs, access, dma) {
            return Ok(self.adopt(by, slot));
        }
        let held: usize = self
            .domain_mut(by)
            .mappings
            .values()
            .map(|mapping| mapping.grants.len())
            .sum();
        if held + refs.len() > self.domain_mut(by).limits.mapped_pages {
            return Err(GrantError::Exhausted);
        }
        let mut grants = Vec::new();
        for gref in refs {
            grants.push((
                *gref,
                self.look_up(by, from, *gref, access)
                    .map_err(GrantError::Refused)?,
            ));
        }
        for (gref, _) in &grants {
            if let Some(entry) = self.domain_mut(from).grants.get_mut(&gref.0) {
                entry.in_use += 1;
            }
        }
        let pages: Vec<_> = grants.iter().map(|(_, page)| page.clone()).collect();
        let domain = self.domain_mut(by);
        domain.counts.maps += refs.len() as u64;
        let slot = domain.next_mapping;
        domain.next_mapping += 1;
        let steps = domain.steps.clone();
        let view = (!dma).then(|| FakePages::stepping(pages.clone(), false, access, steps));
        domain.mappings.insert(
            slot,
            Mapping {
                from,
                grants,
                access,
                dma,
                view,
                orphan: false,
            },
        );
        Ok((slot, pages))
    }

    /// A mapping of an earlier life that is what is wanted.
    fn orphan(&self, by: DomId, from: DomId, refs: &[GrantRef], access: Access, dma: bool) -> Option<u32> {
        let mut mappings = self.domains[&by].mappings.iter();
        let found = mappings.find(|(_, mapping)| {
            mapping.orphan
                && (mapping.from, mapping.access, mapping.dma) == (from, access, dma)
                && mapping.maps(refs)
        });
        found.map(|(slot, _)| *slot)
    }

    /// A mapping of an earlier life belongs to this one.
    fn adopt(&mut self, by: DomId, slot: u32) -> (u32, Vec<Rc<Page>>) {
        let domain = self.domain_mut(by);
        let steps = domain.steps.clone();
        let mapping = domain.mappings.get_mut(&slot).expect("it was found there");
        mapping.orphan = false;
        let pages: Vec<_> = mapping.pages().cloned().collect();
        if !mapping.dma {
            mapping.view = Some(FakePages::stepping(pages.clone(), false, mapping.access, steps));
        }
        (slot, pages)
    }

    /// A mapping ends: its grants are in use once less.
    pub(super) fn release(&mut self, mapping: &Mapping) {
        if let Some(view) = &mapping.view {
            view.view.live.set(false);
        }
        let Some(from) = self.domains.get_mut(&mapping.from) else {
            return;
        };
        for (gref, page) in &mapping.grants {
            // A domain of the same number may be another one by now.
            if let Some(entry) = from
                .grants
                .get_mut(&gref.0)
                .filter(|entry| Rc::ptr_eq(&entry.page, page))
            {
                entry.in_use -= 1;
            }
        }
    }

    pub(super) fn unmap(&mut self, by: DomId, slot: u32) -> Mapping {
        let domain = self.domain_mut(by);
        let mapping = domain.mappings.remove(&slot).expect("what is unmapped is mapped");
        domain.counts.unmaps += mapping.grants.len() as u64;
        self.release(&mapping);
        mapping
    }

    fn copy_side(&self, by: DomId, side: CopySide, access: Access) -> Result<(Rc<Page>, bool), i16> {
        match side {
            CopySide::Granted(from, gref) => Ok((self.look_up(by, from, gref, access)?, true)),
            CopySide::Own(gfn) => {
                let domain = &self.domains[&by];
                let own = domain
                    .pages
                    .iter()
                    .chain(domain.pool.values())
                    .find(|page| page.gfn == gfn);
                let own = own.unwrap_or_else(|| panic!("{gfn:#x} is no frame of domain {}", by.0));
                Ok((own.clone(), false))
            }
        }
    }

    fn copy_one(&self, by: DomId, op: &CopyOp) -> Result<(), i16> {
        let len = usize::from(op.len);
        let (from_at, to_at) = (usize::from(op.from.1), usize::from(op.to.1));
        if from_at + len > PAGE_SIZE || to_at + len > PAGE_SIZE {
            return Err(GNTST_bad_copy_arg);
        }
        let (from, foreign) = self.copy_side(by, op.from.0, Access::ReadOnly)?;
        let (to, _) = self.copy_side(by, op.to.0, Access::ReadWrite)?;
        if foreign {
            from.note_fetch(from_at, len);
        }
        let mut bytes = std::vec![0; len];
        from.peek(from_at, &mut bytes);
        to.poke(to_at, &bytes);
        Ok(())
    }
}

impl GrantTable for Domain {
    type Pages = FakePages;

    fn map_pages(
        &self,
        dom: DomId,
        refs: &[GrantRef],
        access: Access,
    ) -> Result<MappedPages<FakePages>, GrantError> {
        let orphan = self.xen.0.borrow().orphan(self.id, dom, refs, access, false);
        if orphan.is_none() {
            self.hypercall(Hypercall::MapGrantRef);
        }
        let mut world = self.xen.0.borrow_mut();
        let (slot, _) = world.map(self.id, dom, refs, access, false)?;
        let view = world.domain_mut(self.id).mappings[&slot].view.clone();
        Ok(MappedPages::mint(view.expect("mapped for the CPU"), slot))
    }

    /// # Panics
    /// It is not mapped.
    fn unmap_pages(&self, mapped: MappedPages<FakePages>) {
        self.hypercall(Hypercall::UnmapGrantRef);
        self.xen.0.borrow_mut().unmap(self.id, mapped.slot());
    }

    /// # Panics
    /// `out` lacks the capacity: the data path would allocate.
    fn map_for_dma(&self, dom: DomId, requests: &[MapRequest], out: &mut Vec<Result<DmaMap, GrantError>>) {
        assert!(
            out.capacity() - out.len() >= requests.len(),
            "the batch's results have room"
        );
        let fresh = requests.iter().any(|request| {
            let world = self.xen.0.borrow();
            let orphan = world.orphan(self.id, dom, &[request.gref], request.access, true);
            orphan.is_none()
        });
        if fresh {
            self.grant_op(Hypercall::MapGrantRef, requests.len());
        }
        let mut world = self.xen.0.borrow_mut();
        for request in requests {
            let mapped = world.map(self.id, dom, &[request.gref], request.access, true);
            out.push(
                mapped.map(|(slot, pages)| {
                    DmaMap::mint(DmaPage::mint(pages[0].machine, window_gfn(slot)), slot)
                }),
            );
        }
    }

    /// # Panics
    /// One of them is not mapped.
    fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>) {
        if maps.is_empty() {
            return;
        }
        self.grant_op(Hypercall::UnmapGrantRef, maps.len());
        let mut world = self.xen.0.borrow_mut();
        for map in maps.drain(..) {
            world.unmap(self.id, map.slot());
        }
    }

    fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]) {
        assert_eq!(ops.len(), results.len(), "one result for each operation");
        if ops.is_empty() {
            return;
        }
        self.grant_op(Hypercall::Copy, ops.len());
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        domain.counts.copies += ops.len() as u64;
        domain.calls.copied += ops.iter().map(|op| u64::from(op.len)).sum::<u64>();
        for (op, result) in ops.iter().zip(results) {
            *result = world.copy_one(self.id, op).map_err(GrantError::Refused);
        }
    }
}

impl Domain {
    /// Grants page `index` of `pages` (its own) to `to`.
    ///
    /// # Panics
    /// The page is another domain's, or the table is full.
    pub fn grant(&self, pages: &FakePages, index: usize, to: DomId, access: Access) -> GrantRef {
        let page = pages.pages[index].clone();
        assert!(page.owner == self.id, "a domain grants its own pages");
        self.with(|domain| {
            let gref = domain.next_grant;
            assert!(gref < domain.limits.grants, "the grant table has room");
            domain.next_grant += 1;
            domain.grants.insert(
                gref,
                GrantEntry {
                    to,
                    access,
                    page,
                    in_use: 0,
                },
            );
            GrantRef(gref)
        })
    }

    /// Grants every page of `pages`.
    pub fn grant_all(&self, pages: &FakePages, to: DomId, access: Access) -> Vec<GrantRef> {
        (0..pages.pages.len())
            .map(|index| self.grant(pages, index, to, access))
            .collect()
    }

    /// Ends a grant, as a frontend does when it has got its response.
    ///
    /// # Errors
    /// It is still mapped; that is counted too, see [`failed_revokes`](Self::failed_revokes).
    pub fn revoke(&self, gref: GrantRef) -> Result<(), GrantInUse> {
        self.with(|domain| match domain.grants.get(&gref.0) {
            Some(entry) if entry.in_use > 0 => {
                domain.failed_revokes += 1;
                Err(GrantInUse)
            }
            _ => {
                domain.grants.remove(&gref.0);
                Ok(())
            }
        })
    }

    /// How often this domain could not end a grant because somebody had it mapped (XSA-396).
    pub fn failed_revokes(&self) -> u32 {
        self.with(|domain| domain.failed_revokes)
    }

    /// How often a grant of this domain is mapped now.
    pub fn grant_uses(&self, gref: GrantRef) -> u32 {
        self.with(|domain| domain.grants.get(&gref.0).map_or(0, |entry| entry.in_use))
    }

    /// Pages this domain has mapped from others now.
    pub fn mapped_pages(&self) -> usize {
        self.with(|domain| domain.mappings.values().map(|mapping| mapping.grants.len()).sum())
    }
}
