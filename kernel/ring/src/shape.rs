//! Where things are in a shared ring (`public/io/ring.h`, `DEFINE_RING_TYPES`).

/// Offset of `req_prod` in the ring's first page.
pub(crate) const REQ_PROD: usize = 0;
/// Offset of `req_event`.
pub(crate) const REQ_EVENT: usize = 4;
/// Offset of `rsp_prod`.
pub(crate) const RSP_PROD: usize = 8;
/// Offset of `rsp_event`.
pub(crate) const RSP_EVENT: usize = 12;
/// Offset of the first slot.
pub(crate) const SLOTS: usize = 64;

/// A producer index that claims more than the ring can hold: the other end is broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// What the other end wrote.
    pub claimed: u32,
    /// What we have consumed up to.
    pub consumed: u32,
}

/// A ring that cannot be: slots not word-sized, or none fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeError;

/// The geometry of a ring: slot size in bytes and number of slots (a power of two).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingShape {
    slot_bytes: u32,
    slots: u32,
}

impl RingShape {
    /// The shape of a ring of `bytes` bytes with slots of `slot_bytes`: as many slots as fit after the 64-byte header,
    /// rounded down to a power of two.
    ///
    /// # Errors
    /// `slot_bytes` is not a whole number of 32-bit words, or not one slot fits.
    pub fn new(bytes: usize, slot_bytes: usize) -> Result<Self, ShapeError> {
        if slot_bytes == 0 || !slot_bytes.is_multiple_of(4) {
            return Err(ShapeError);
        }
        let fit = bytes.saturating_sub(SLOTS) / slot_bytes;
        let fit = u32::try_from(fit).map_err(|_| ShapeError)?;
        let slots = 1 << fit.checked_ilog2().ok_or(ShapeError)?;
        Ok(Self {
            slot_bytes: u32::try_from(slot_bytes).map_err(|_| ShapeError)?,
            slots,
        })
    }

    /// Number of slots.
    pub fn slots(self) -> u32 {
        self.slots
    }

    /// Bytes a slot.
    pub fn slot_bytes(self) -> usize {
        self.slot_bytes as usize
    }

    /// Byte offset of the slot that index `index` (free running) names.
    #[inline]
    pub(crate) fn at(self, index: u32) -> usize {
        SLOTS + ((index & (self.slots - 1)) * self.slot_bytes) as usize
    }
}

/// Whether moving a producer from `old` to `new` passes `event`, modulo 2³² (`RING_PUSH_*_AND_CHECK_NOTIFY`).
#[inline]
pub(crate) fn passes(event: u32, old: u32, new: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}
