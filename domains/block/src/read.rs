//! Reading the segments of indirect requests.

use outrigger_blkif::{Refusal, Request, Segment, Segments};
use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::{Access, GrantError, GrantRef, GrantTable, PAGE_SIZE};

use crate::journal::Slot;
use crate::ring::{Io, REQUEST_BUDGET, Ring};

impl<P: SharedPages + Clone> Ring<P> {
    /// Reads the segments of the indirect requests in `unread`, and gathers them. True if there was no room for it.
    ///
    /// Mapping a page to look at it beats a grant copy: with persistent grants it is mapped once for ever, and without
    /// them one hypercall maps the pages of all requests of a turn, at the price of a copy's, and none of our own pages has
    /// to be found for it.
    #[cold]
    pub(crate) fn read_indirect<H, D>(&mut self, io: &mut Io<'_, H, D>) -> bool
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        let unread = core::mem::take(&mut self.unread);
        let mut exhausted = false;
        let mut kept = 0;
        let mut unread = unread;
        if self.indirect.capacity() == 0 && unread.len() > 1 && self.read_together(io, &unread) {
            unread.clear();
        }
        for at in 0..unread.len() {
            let (slot, page) = unread[at];
            let mapped = if exhausted {
                Err(GrantError::Exhausted)
            } else if let Some(pages) = self.indirect.find(page).cloned() {
                // An earlier request of this turn named the same page.
                self.read_one(io, slot, &pages, 0);
                continue;
            } else {
                io.hv.map_pages(self.dom, &[page], Access::ReadOnly)
            };
            match mapped {
                Ok(mapped) => {
                    self.gather.maps += 1;
                    self.read_one(io, slot, &mapped.pages, 0);
                    if let Some(old) = self.indirect.insert(page, mapped) {
                        self.gather.unmaps += 1;
                        io.hv.unmap_pages(old);
                    }
                }
                Err(GrantError::Refused(_)) => self.refuse(slot, Refusal::Grant),
                Err(GrantError::Exhausted) => {
                    exhausted = true;
                    unread[kept] = (slot, page);
                    kept += 1;
                }
            }
        }
        unread.truncate(kept);
        self.unread = unread;
        exhausted
    }

    /// The pages of all requests in one batch. False if that cannot be done, and then nothing was.
    fn read_together<H, D>(&mut self, io: &mut Io<'_, H, D>, unread: &[(Slot, GrantRef)]) -> bool
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        let mut refs = [GrantRef(0); REQUEST_BUDGET as usize];
        let Some(refs) = refs.get_mut(..unread.len()) else {
            return false;
        };
        for (gref, (_, page)) in refs.iter_mut().zip(unread) {
            *gref = *page;
        }
        let Ok(mapped) = io.hv.map_pages(self.dom, refs, Access::ReadOnly) else {
            return false;
        };
        self.gather.maps += unread.len() as u64;
        for (index, (slot, _)) in unread.iter().enumerate() {
            self.read_one(io, *slot, &mapped.pages, index);
        }
        self.gather.unmaps += unread.len() as u64;
        io.hv.unmap_pages(mapped);
        true
    }

    /// Copies the segments of one indirect request out of page `index` of `pages`, once, and gathers them.
    fn read_one<H, D>(&mut self, io: &mut Io<'_, H, D>, slot: Slot, pages: &P, index: usize)
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        // Decoded before, from the same words, so it is what it was.
        let noted = self.journal.recall(slot);
        let Ok(Request::Indirect {
            op,
            sector,
            nr_segments,
            ..
        }) = noted
            .map_err(|_| Refusal::Gone)
            .and_then(|()| Request::decode(self.abi, &self.journal.request, self.view.max_indirect))
        else {
            return self.refuse(slot, Refusal::Unsupported);
        };
        let words = &mut io.batch.words[..Segment::WORDS * nr_segments];
        pages.copy_out(index * PAGE_SIZE, words);
        let gathered = self
            .gather
            .gather(&self.view, slot, op, sector, Segments::new(words));
        self.go_on(io, slot, gathered);
    }
}
