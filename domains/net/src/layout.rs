//! How a frame lies in the pages that a guest has posted.

use outrigger_netif::rx_slots;
use outrigger_xen::PAGE_SIZE;

use crate::batch::Source;

/// Most slots of a packet that a frontend must take (`XEN_NETIF_NR_SLOTS_MIN`).
pub(crate) const DATA_SLOTS_MAX: usize = outrigger_netif::MAX_FRAGMENTS;

/// A frontend may have one page less room for frames whose first page holds more than this: it moves no more of it out of its
/// page (`RX_COPY_THRESHOLD` of Linux's).
const SMALL_FIRST: usize = 256;

/// How many bytes of a frame each of a guest's pages gets.
pub(crate) struct Layout {
    pub lens: [u16; DATA_SLOTS_MAX],
    pub count: usize,
}

impl Layout {
    /// For a frame of `len` bytes in these parts, and pages with that much room. A part that would run past a page's end begins
    /// on the next one, so that it is one copy and not two: Xen's work for a copy is more than the bytes. Without gaps if
    /// that takes too many pages; `None` if even that does.
    #[inline]
    pub fn new(parts: &[Source], len: usize, room: usize) -> Option<Self> {
        Self::loose(parts, room).or_else(|| Self::tight(len, room))
    }

    fn loose(parts: &[Source], room: usize) -> Option<Self> {
        let mut layout = Self {
            lens: [0; DATA_SLOTS_MAX],
            count: 1,
        };
        for part in parts {
            let here = usize::from(*layout.lens.get(layout.count - 1)?);
            if here + usize::from(part.len) <= room {
                layout.lens[layout.count - 1] += part.len;
            } else if usize::from(part.len) <= room && here > 0 {
                *layout.lens.get_mut(layout.count)? = part.len;
                layout.count += 1;
            } else {
                return None;
            }
        }
        let large_first = usize::from(layout.lens[0]) > SMALL_FIRST;
        (layout.count < DATA_SLOTS_MAX || !large_first).then_some(layout)
    }

    fn tight(len: usize, room: usize) -> Option<Self> {
        let count = rx_slots(len, (PAGE_SIZE - room) as u16, 0);
        let mut lens = [0; DATA_SLOTS_MAX];
        let mut left = len;
        for page in lens.get_mut(..count)? {
            *page = left.min(room) as u16;
            left -= usize::from(*page);
        }
        Some(Self { lens, count })
    }
}
