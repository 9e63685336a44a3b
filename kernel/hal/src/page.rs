//! Addresses that a device may be told.

/// Xen's page size, on every architecture, in bytes.
pub const PAGE_SIZE: usize = 4096;

/// An address as the device sees it: a machine address without an IOMMU, a guest-physical one with it.
///
/// Opaque on purpose: only [`DmaPage`]s make one, and only a DMA pool or a mapped grant makes those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DmaAddr(u64);

impl DmaAddr {
    /// The number to write into a descriptor or a register.
    #[inline]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// One 4 KiB page that a device may reach. Consecutive pages of a buffer need not follow each other on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaPage {
    bus: u64,
    gfn: u32,
}

impl DmaPage {
    /// Mints a page from its bus address and its frame number in this domain: for `kernel/core` and for `FakeXen` alone
    /// (`cargo xtask check` looks).
    ///
    /// # Panics
    /// An address that is not page-aligned, or a frame beyond 16 TiB.
    pub fn mint(bus: u64, gfn: u64) -> Self {
        assert!(
            bus.is_multiple_of(PAGE_SIZE as u64),
            "a page begins at a page boundary"
        );
        let gfn = u32::try_from(gfn).expect("a domain's own frames are below 16 TiB");
        Self { bus, gfn }
    }

    /// The bus address of the byte `offset` within the page.
    ///
    /// # Panics
    /// An offset outside the page.
    #[inline]
    pub fn at(self, offset: usize) -> DmaAddr {
        assert!(offset < PAGE_SIZE, "an address within its page");
        DmaAddr(self.bus + offset as u64)
    }

    /// `len` bytes from `offset` on; `None` if they do not lie within the page or are none.
    #[inline]
    pub fn segment(self, offset: u32, len: u32) -> Option<DmaSegment> {
        let end = offset.checked_add(len)?;
        (len > 0 && end as usize <= PAGE_SIZE).then(|| DmaSegment {
            addr: self.at(offset as usize),
            len,
            gfn: self.gfn,
        })
    }
}

/// A piece of memory for a device to read or write, contiguous on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaSegment {
    /// Where it begins.
    pub addr: DmaAddr,
    /// Its length in bytes, never 0.
    pub len: u32,
    /// The frame that it lies in, as this domain numbers its frames: for the CPU, where a device needs its help.
    pub gfn: u32,
}

impl DmaSegment {
    /// What is left of it behind its first `bytes`; `None` if nothing is.
    #[inline]
    #[must_use]
    pub fn behind(self, bytes: u32) -> Option<Self> {
        let len = self.len.checked_sub(bytes).filter(|len| *len > 0)?;
        Some(Self {
            addr: DmaAddr(self.addr.0 + u64::from(bytes)),
            len,
            ..self
        })
    }
}
