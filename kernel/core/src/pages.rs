//! Whole pages of the domain's own RAM, for memory shared with Xen, guests and devices. They are handed out at start-up
//! and never come back.

use core::cell::Cell;
use core::ops::Range;

use outrigger_xen::PAGE_SIZE;

use crate::{Shared, arch};

/// What is left.
#[derive(Debug)]
pub(crate) struct Pages {
    next: Cell<usize>,
    end: usize,
}

impl Pages {
    /// # Safety
    /// `memory` is page-aligned, mapped as normal memory, and nobody else's for ever.
    pub(crate) unsafe fn new(memory: Range<usize>) -> Self {
        Self {
            next: Cell::new(memory.start),
            end: memory.end,
        }
    }

    /// The frame of the next page.
    pub(crate) fn next_gfn(&self) -> u64 {
        (self.next.get() / PAGE_SIZE) as u64
    }

    /// The next page, zeroed.
    pub(crate) fn take(&self) -> Option<Shared> {
        let at = self.next.get();
        if self.end - at < PAGE_SIZE {
            return None;
        }
        self.next.set(at + PAGE_SIZE);
        // SAFETY: within what `new` was promised, and handed out once.
        unsafe {
            arch::current::clear_page(at as *mut u8);
            Some(Shared::new(at, PAGE_SIZE))
        }
    }
}
