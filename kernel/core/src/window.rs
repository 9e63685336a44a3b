//! Guest-physical address space where granted pages are mapped: slots of one page, with the handle that Xen gave each.

use alloc::vec::Vec;
use core::ops::Range;

use outrigger_xen::PAGE_SIZE;

/// No mapping: never a handle of Xen's, whose tracking tables are far smaller.
const FREE: u32 = u32::MAX;

/// Taken, no handle yet.
const RESERVED: u32 = u32::MAX - 1;

/// A window of slots.
#[derive(Debug)]
pub(crate) struct Window {
    base: u64,
    handles: Vec<u32>,
    free: usize,
    /// Where to look first: behind what was taken last, so that a transient mapping finds its slot at once.
    next: usize,
}

impl Window {
    /// A window over `range`, at most `most` slots of it.
    pub(crate) fn new(range: Range<u64>, most: usize) -> Self {
        let pages = usize::try_from((range.end - range.start) / PAGE_SIZE as u64)
            .unwrap_or(most)
            .min(most);
        Self {
            base: range.start,
            handles: alloc::vec![FREE; pages],
            free: pages,
            next: 0,
        }
    }

    /// Slots in all.
    pub(crate) fn slots(&self) -> usize {
        self.handles.len()
    }

    /// The guest-physical address of a slot.
    pub(crate) fn address(&self, slot: u32) -> u64 {
        self.base + u64::from(slot) * PAGE_SIZE as u64
    }

    /// Takes one slot.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.free == 0 {
            return None;
        }
        if self.handles.get(self.next) != Some(&FREE) {
            let after = self
                .handles
                .iter()
                .skip(self.next)
                .position(|handle| *handle == FREE);
            self.next = after
                .map(|at| at + self.next)
                .or_else(|| self.handles.iter().position(|handle| *handle == FREE))?;
        }
        let slot = self.next;
        self.handles[slot] = RESERVED;
        self.free -= 1;
        self.next = slot + 1;
        Some(slot as u32)
    }

    /// Takes `count` slots that follow each other, by first fit; returns the first.
    pub(crate) fn take_run(&mut self, count: usize) -> Option<u32> {
        let start = self
            .handles
            .windows(count.max(1))
            .position(|run| run.iter().all(|handle| *handle == FREE))?;
        self.handles[start..start + count].fill(RESERVED);
        self.free -= count;
        Some(start as u32)
    }

    /// Remembers the handle of what is mapped at a taken slot.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, handle: u32) {
        self.handles[slot as usize] = handle;
    }

    /// The handle of what is mapped there; `None` if nothing is.
    #[inline]
    pub(crate) fn handle(&self, slot: u32) -> Option<u32> {
        self.handles
            .get(slot as usize)
            .copied()
            .filter(|handle| *handle < RESERVED)
    }

    /// Gives a slot back.
    #[inline]
    pub(crate) fn release(&mut self, slot: u32) {
        debug_assert!(self.handles[slot as usize] != FREE, "a slot is released once");
        self.handles[slot as usize] = FREE;
        self.free += 1;
        self.next = slot as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_and_go() {
        let mut window = Window::new(0x1000_0000..0x1000_4000, 100);
        let all: Vec<u32> = core::iter::from_fn(|| window.take()).collect();
        assert_eq!((all.as_slice(), window.slots()), (&[0, 1, 2, 3][..], 4));
        assert_eq!(window.free, 0);
        window.set(2, 77);
        assert_eq!(window.handle(2), Some(77));
        assert_eq!(window.handle(1), None, "taken is not mapped");
        window.release(1);
        window.release(2);
        assert_eq!(window.handle(2), None);
        assert_eq!(window.take_run(3), None, "no three in a row");
        assert_eq!(window.take_run(2), Some(1));
        assert_eq!(window.take(), None);
        window.release(3);
        assert_eq!(window.take(), Some(3));
        assert_eq!(window.address(3), 0x1000_3000);
    }
}
