//! The bus: what a device of a domain may reach, and nothing else.

use std::vec::Vec;

use super::grant::window_gfn;
use super::pages::Page;
use super::{Domain, FakePages};
use crate::{Access, DmaAddr, DmaPage, DmaSegment, PAGE_SIZE};

use std::rc::Rc;

impl Domain {
    /// A zeroed page for this domain and its device; `None` when the pool's limit is reached.
    pub fn pool_page(&self) -> Option<(FakePages, DmaPage)> {
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        let page = match domain.pool_free.pop() {
            Some(page) => {
                page.clear();
                page
            }
            None if domain.pool.len() >= domain.limits.pool_pages => return None,
            None => world.new_page(self.id),
        };
        let domain = world.domain_mut(self.id);
        domain.pool.insert(page.machine, page.clone());
        let dma = DmaPage::mint(page.machine, page.gfn);
        let view = FakePages::stepping(Vec::from([page]), true, Access::ReadWrite, domain.steps.clone());
        domain.pool_views.push(view.clone());
        Some((view, dma))
    }

    /// The memory in which a segment lies, as this domain's own processor may look at it: a page of the pool, or one
    /// mapped for DMA.
    ///
    /// # Panics
    /// It is neither, or not any more.
    pub fn dma_view(&self, segment: DmaSegment) -> FakePages {
        let gfn = u64::from(segment.gfn);
        let page = self.with(|domain| {
            let pool = domain.pool.values().find(|page| page.gfn == gfn);
            if let Some(page) = pool {
                return (page.clone(), true, Access::ReadWrite);
            }
            let slot = domain.mappings.iter().find(|(slot, _)| window_gfn(**slot) == gfn);
            let mapping = slot.map(|(_, mapping)| mapping).filter(|mapping| mapping.dma);
            let mapping =
                mapping.unwrap_or_else(|| panic!("frame {gfn:#x} is neither pool memory nor mapped"));
            let page = mapping.pages().next().expect("a mapping for DMA has a page");
            (page.clone(), false, mapping.access)
        });
        FakePages::new(Vec::from([page.0]), page.1, page.2)
    }

    /// The device of this domain reads memory.
    ///
    /// # Panics
    /// The address is neither of the pool nor of a page mapped for DMA.
    pub fn dma_read(&self, addr: DmaAddr, out: &mut [u8]) {
        self.dma_read_at(addr.bits(), out);
    }

    /// The device of this domain writes memory.
    ///
    /// # Panics
    /// As [`dma_read`](Self::dma_read), or the page is mapped for reading only.
    pub fn dma_write(&self, addr: DmaAddr, bytes: &[u8]) {
        self.dma_write_at(addr.bits(), bytes);
    }

    /// [`dma_read`](Self::dma_read) of an address as it was found in a register or a descriptor.
    pub fn dma_read_at(&self, mut addr: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let (page, offset, len) = self.reach(addr, out.len(), Access::ReadOnly);
            let (here, rest) = out.split_at_mut(len);
            page.peek(offset, here);
            (addr, out) = (addr + len as u64, rest);
        }
    }

    /// [`dma_write`](Self::dma_write) of an address as it was found in a register or a descriptor.
    pub fn dma_write_at(&self, mut addr: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (page, offset, len) = self.reach(addr, bytes.len(), Access::ReadWrite);
            let (here, rest) = bytes.split_at(len);
            page.poke(offset, here);
            (addr, bytes) = (addr + len as u64, rest);
        }
    }

    /// The page at a bus address, the offset in it and how much of `len` lies there.
    fn reach(&self, addr: u64, len: usize, need: Access) -> (Rc<Page>, usize, usize) {
        let offset = usize::try_from(addr % PAGE_SIZE as u64).expect("below a page");
        let machine = addr - offset as u64;
        let page = self.with(|domain| {
            if let Some(page) = domain.pool.get(&machine) {
                return page.clone();
            }
            let mut found = None;
            for mapping in domain.mappings.values().filter(|mapping| mapping.dma) {
                for page in mapping.pages().filter(|page| page.machine == machine) {
                    if mapping.access == Access::ReadWrite {
                        return page.clone();
                    }
                    found = Some(page.clone());
                }
            }
            match found {
                Some(page) if need == Access::ReadOnly => page,
                Some(_) => panic!("the device writes {addr:#x}, which is mapped for reading only"),
                None => {
                    panic!("the device reaches {addr:#x}, which is neither pool memory nor mapped for DMA")
                }
            }
        });
        (page, offset, len.min(PAGE_SIZE - offset))
    }
}
