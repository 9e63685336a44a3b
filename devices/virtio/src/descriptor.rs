//! Descriptors, in a queue's own table or in an indirect one (VIRTIO 1.2 §2.7.5).

use outrigger_devices::DmaAddr;
use outrigger_ring::SharedPages;

/// Size of a descriptor: `le64 addr, le32 len, le16 flags, le16 next`.
pub const DESCRIPTOR_BYTES: usize = 16;

/// A descriptor's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Last of its chain, for the device to read.
    pub const READ: Self = Self(0);
    /// `VIRTQ_DESC_F_NEXT`: the chain goes on at `next`.
    pub const NEXT: Self = Self(1);
    /// `VIRTQ_DESC_F_WRITE`: for the device to write.
    pub const WRITE: Self = Self(2);
    /// `VIRTQ_DESC_F_INDIRECT`: the memory holds a table of descriptors.
    pub const INDIRECT: Self = Self(4);

    /// Both.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Writes one descriptor in two stores. `at` is its byte offset in `table`; `next` counts from the start of the table
/// that the chain is in, and means nothing without [`Flags::NEXT`].
#[inline]
pub fn write_descriptor<M: SharedPages>(
    table: &M,
    at: usize,
    addr: DmaAddr,
    len: u32,
    flags: Flags,
    next: u16,
) {
    table.store_u64(at, addr.bits());
    write_link(table, at, len, flags, next);
}

/// Rewrites all of a descriptor but its address, in one store.
#[inline]
pub fn write_link<M: SharedPages>(table: &M, at: usize, len: u32, flags: Flags, next: u16) {
    table.store_u64(
        at + 8,
        u64::from(len) | u64::from(flags.0) << 32 | u64::from(next) << 48,
    );
}
