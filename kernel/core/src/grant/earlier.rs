//! What an earlier life of this domain had mapped.

use outrigger_ring::SharedPages;
use outrigger_xen::DomId;
use xen_unikernel_abi::grant_table::{
    self as abi, GNTST_okay, GNTTAB_NR_RESERVED_ENTRIES, GnttabMapGrantRef, GnttabUnmapGrantRef,
};

use super::{BATCH, Grants, outcome};
use crate::Shared;
use crate::survivors::facts::Facts;
use crate::window::Held;

/// Tells what Xen had answered when the last life ended, before that could take note of it: what is mapped at an address
/// now, or that nothing is.
pub(super) fn take_note(
    facts: &Facts<Shared>,
    maps: &[GnttabMapGrantRef],
    unmaps: &[GnttabUnmapGrantRef],
    mut note: impl FnMut(u64, Option<Held>),
) {
    for map in maps.iter().take(facts.maps()) {
        if let Ok(held) = outcome(map) {
            note(map.host_addr, Some(held));
        }
    }
    let unmaps = unmaps.iter().take(facts.unmaps());
    for unmap in unmaps.filter(|unmap| unmap.status == GNTST_okay) {
        note(unmap.host_addr, None);
    }
}

impl Grants {
    /// Pages of `dom` that an earlier life had mapped and nobody has claimed.
    pub(crate) fn unclaimed(&self, dom: DomId) -> usize {
        self.cpu.borrow().unclaimed(dom.0) + self.dma.borrow().unclaimed(dom.0)
    }

    /// Whether there is anything that nobody has claimed.
    #[inline]
    pub(super) fn has_orphans(&self) -> bool {
        self.cpu.borrow().has_orphans() || self.dma.borrow().has_orphans()
    }

    /// Unmaps at most `most` of what nobody has claimed, of `dom` or of all; true if there may be more.
    pub(crate) fn sweep(&self, dom: Option<DomId>, most: usize) -> bool {
        let mut left = most;
        for window in [&self.cpu, &self.dma] {
            let orphans = window.borrow_mut().take_orphans(dom.map(|dom| dom.0), left);
            left -= orphans.len();
            self.unmap(window, orphans.into_iter());
        }
        self.has_orphans()
    }

    /// Ends what an earlier life had mapped of its own pages, and the grants themselves.
    pub(crate) fn forget_own(&self, own: DomId) {
        while self.unclaimed(own) > 0 {
            self.sweep(Some(own), BATCH);
        }
        for gref in (GNTTAB_NR_RESERVED_ENTRIES..).take(BATCH) {
            self.own
                .release_u16(gref as usize * size_of::<abi::GrantEntryV1>(), 0);
        }
    }

    /// Slots whose content an earlier life left senseless: what is mapped there stays.
    pub(crate) fn damaged(&self) -> usize {
        self.cpu.borrow().damaged() + self.dma.borrow().damaged()
    }
}
