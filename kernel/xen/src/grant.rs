//! Grant tables (`public/grant_table.h`): how guests lend us their pages.

use alloc::vec::Vec;

use outrigger_ring::SharedPages;

use crate::{DmaPage, DomId};

/// A grant reference: an index into the grant table of the domain that grants. From a guest it is an allegation, which
/// only Xen believes or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantRef(pub u32);

/// Operations that go in one hypercall. More go in several.
pub const GRANT_BATCH: usize = 128;

/// What a mapping may do to the granted page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// Why a grant operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// Xen's status (`GNTST_*`, negative): the reference is bad, revoked, read-only, another domain's …: the guest's fault.
    Refused(i16),
    /// Our own window or Xen's tracking table is full: nobody's fault, try again when something has been unmapped.
    Exhausted,
}

/// One page of a batch to map for DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// The reference, in the granting domain's table.
    pub gref: GrantRef,
    /// What the device will do with it.
    pub access: Access,
}

/// A granted page mapped so that a device may reach it; the CPU does not look at it. It must go back through
/// [`GrantTable::unmap_for_dma`]: dropping it leaks the guest's page, and is a bug.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a mapping must be unmapped"]
pub struct DmaMap {
    page: DmaPage,
    slot: u32,
}

impl DmaMap {
    /// For implementations of [`GrantTable`]: the page, and the implementation's own number for the mapping.
    pub fn mint(page: DmaPage, slot: u32) -> Self {
        Self { page, slot }
    }

    /// The page, for a device.
    #[inline]
    pub fn page(&self) -> DmaPage {
        self.page
    }

    /// The implementation's own number for the mapping.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

/// Granted pages mapped contiguously for the CPU (a ring, indirect pages). It must go back through
/// [`GrantTable::unmap_pages`].
#[derive(Debug)]
#[must_use = "a mapping must be unmapped"]
pub struct MappedPages<P> {
    /// The memory.
    pub pages: P,
    slot: u32,
}

impl<P> MappedPages<P> {
    /// For implementations of [`GrantTable`].
    pub fn mint(pages: P, slot: u32) -> Self {
        Self { pages, slot }
    }

    /// The implementation's own number for the first page's mapping.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

/// One end of a grant copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopySide {
    /// A page that `DomId` granted.
    Granted(DomId, GrantRef),
    /// A page of our own, by its guest frame number.
    Own(u64),
}

/// One grant copy (`struct gnttab_copy`), within one page on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOp {
    /// Where from, and the byte offset there.
    pub from: (CopySide, u16),
    /// Where to, and the byte offset there.
    pub to: (CopySide, u16),
    /// Bytes.
    pub len: u16,
}

/// Granted pages: mapping, unmapping, copying, always in batches of one hypercall. A page that an earlier life of this
/// domain had mapped, and that nobody has claimed, is handed out again without one (see [`Survivors`](crate::Survivors)).
pub trait GrantTable {
    /// Memory mapped for the CPU. Cheap to clone; must not be used after its [`MappedPages`] was unmapped (`kernel/core`
    /// keeps the address range reserved and unmapped, so that a use after that faults instead of reading something else).
    type Pages: SharedPages + Clone;

    /// Maps `refs` contiguously for the CPU.
    ///
    /// # Errors
    /// One of them is refused, then none stays mapped; or there is no room.
    fn map_pages(
        &self,
        dom: DomId,
        refs: &[GrantRef],
        access: Access,
    ) -> Result<MappedPages<Self::Pages>, GrantError>;

    /// Unmaps what [`map_pages`](Self::map_pages) mapped.
    fn unmap_pages(&self, mapped: MappedPages<Self::Pages>);

    /// Maps a batch for DMA, and pushes one result for each request onto `out`, in order. `out` must have the capacity:
    /// nothing here allocates. One bad reference fails alone.
    fn map_for_dma(&self, dom: DomId, requests: &[MapRequest], out: &mut Vec<Result<DmaMap, GrantError>>);

    /// Unmaps a batch, leaving `maps` empty (its capacity stays).
    fn unmap_for_dma(&self, maps: &mut Vec<DmaMap>);

    /// Copies a batch; `results[i]` tells how `ops[i]` went. The slices have the same length.
    fn copy(&self, ops: &[CopyOp], results: &mut [Result<(), GrantError>]);
}
