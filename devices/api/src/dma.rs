//! Memory that a driver shares with its device.

use outrigger_ring::SharedPages;
use outrigger_xen::DmaPage;

/// One zeroed page, for the CPU and for the device.
#[derive(Clone, Debug)]
pub struct DmaMemory<M> {
    /// The CPU's view, exactly one page.
    pub memory: M,
    /// The device's view.
    pub page: DmaPage,
}

/// Where drivers get their descriptor rings and buffers. A page at a time: consecutive pages need not be contiguous on
/// the bus, and what needs more than a page in one piece must be laid out otherwise.
pub trait DmaPool {
    /// The CPU's view of a page. The device is the other party that writes it.
    type Memory: SharedPages + Clone;

    /// One zeroed page within the device's reach; `None` when there is none left. For start-up, never the data path.
    fn page(&self) -> Option<DmaMemory<Self::Memory>>;
}

/// A pool may be lent.
impl<D: DmaPool> DmaPool for &D {
    type Memory = D::Memory;
    fn page(&self) -> Option<DmaMemory<Self::Memory>> {
        (**self).page()
    }
}

#[cfg(feature = "fake")]
impl DmaPool for outrigger_xen::fake::Domain {
    type Memory = outrigger_xen::fake::FakePages;
    fn page(&self) -> Option<DmaMemory<Self::Memory>> {
        self.pool_page().map(|(memory, page)| DmaMemory { memory, page })
    }
}
