//! The one comparison that event-idx is about.

/// Whether moving an index from `old` to `new` passes `event`, modulo 2¹⁶: the other side asked to be notified once the
/// entry with index `event` is there (VIRTIO 1.2 §2.7.10.1, `vring_need_event`).
///
/// Comparing `new > event` instead loses the notification of a batch that crosses 65535 → 0.
#[inline]
pub fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
