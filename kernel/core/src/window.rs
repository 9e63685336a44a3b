//! Guest-physical address space where granted pages are mapped: slots of one page, with what Xen gave for each.
//!
//! The slots are survivors, and nothing else knows of the mappings: what is written here is what the next life unmaps, or
//! hands out again. Each slot carries a check of its own, because a frame number that is believed reaches a device.

use alloc::vec::Vec;
use core::ops::Range;

use outrigger_ring::SharedPages;
use outrigger_xen::PAGE_SIZE;

use crate::survivors::digest;

/// Bytes of a slot: two words.
pub(crate) const SLOT: usize = 16;

/// Nothing.
const FREE: u64 = 0;
/// Taken, nothing mapped yet. No sealed slot has this first word, since its check is never 0.
const RESERVED: u64 = 1;

/// What is mapped at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) dom: u16,
    pub(crate) gref: u32,
    pub(crate) read_only: bool,
    /// Xen's name for the mapping.
    pub(crate) handle: u32,
    /// The machine frame.
    pub(crate) frame: u64,
}

const FRAME_BITS: u32 = 40;

impl Held {
    /// What claims are compared by.
    fn key(self) -> u64 {
        u64::from(self.dom) << 33 | u64::from(self.read_only) << 32 | u64::from(self.gref)
    }

    /// `None`: Xen's numbers are larger than any Xen gives (a 24-bit handle, a 40-bit frame).
    #[inline]
    fn encode(self) -> Option<[u64; 2]> {
        if self.handle >> 24 != 0 || self.frame >> FRAME_BITS != 0 || self.dom >> 15 != 0 {
            return None;
        }
        let what = u64::from(self.gref) | u64::from(self.dom) << 32 | u64::from(self.read_only) << 47;
        let place = self.frame | u64::from(self.handle) << FRAME_BITS;
        Some([what | check(what, place) << 48, place])
    }

    fn decode([first, place]: [u64; 2]) -> Option<Self> {
        let what = first & ((1 << 48) - 1);
        (first >> 48 == check(what, place)).then_some(Self {
            dom: (what >> 32) as u16 & 0x7fff,
            gref: what as u32,
            read_only: what >> 47 != 0,
            handle: (place >> FRAME_BITS) as u32,
            frame: place & ((1 << FRAME_BITS) - 1),
        })
    }
}

/// 16 bits, never 0.
#[inline]
fn check(what: u64, place: u64) -> u64 {
    digest([what, place]) >> 48 | 1
}

/// Mappings of an earlier life, until somebody claims them.
#[derive(Debug, Default)]
struct Orphans {
    /// Sorted.
    by_key: Vec<(u64, u32)>,
    /// One bit a slot.
    unclaimed: Vec<u64>,
    left: usize,
}

impl Orphans {
    fn is_unclaimed(&self, slot: u32) -> bool {
        let word = self.unclaimed.get(slot as usize / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }

    fn claim(&mut self, slot: u32) {
        self.unclaimed[slot as usize / 64] &= !(1 << (slot % 64));
        self.left -= 1;
    }

    fn of_key(&self, key: u64) -> impl Iterator<Item = u32> {
        let first = self.by_key.partition_point(|entry| entry.0 < key);
        let same = self.by_key[first..]
            .iter()
            .take_while(move |entry| entry.0 == key);
        same.map(|entry| entry.1).filter(|slot| self.is_unclaimed(*slot))
    }
}

/// Writes what is mapped at a guest-physical address into the slot of the window from `base` on, if it has that address:
/// before the window itself is looked at.
pub(crate) fn note<P: SharedPages>(base: u64, slots: &P, address: u64, held: Option<Held>) {
    let slot = address.checked_sub(base).map(|offset| offset / PAGE_SIZE as u64);
    let Some(at) = slot.and_then(|slot| usize::try_from(slot).ok()?.checked_mul(SLOT)) else {
        return;
    };
    if at >= slots.len() {
        return;
    }
    let [first, place] = held.map_or(Some([FREE, 0]), Held::encode).unwrap_or([FREE, 0]);
    slots.store_u64(at + 8, place);
    slots.store_u64(at, first);
}

/// A window of slots.
#[derive(Debug)]
pub(crate) struct Window<P> {
    base: u64,
    slots: P,
    /// How far slots have ever been taken, for the next life, which looks no further: one word.
    reach: P,
    reached: usize,
    count: usize,
    free: usize,
    /// Where to look first: behind what was taken last, so that a transient mapping finds its slot at once.
    next: usize,
    orphans: Orphans,
    damaged: usize,
}

impl<P: SharedPages> Window<P> {
    /// A window over `range`, as far as `slots` reaches; empty, or with what an earlier life has left in it.
    pub(crate) fn new(range: Range<u64>, slots: P, reach: P, is_first_life: bool) -> Self {
        let room = slots.len() / SLOT;
        let pages = (range.end - range.start) / PAGE_SIZE as u64;
        let count = usize::try_from(pages).unwrap_or(room).min(room);
        let mut window = Self {
            base: range.start,
            slots,
            reach,
            reached: 0,
            count,
            free: count,
            next: 0,
            orphans: Orphans::default(),
            damaged: 0,
        };
        if is_first_life {
            (0..count).for_each(|slot| window.store(slot, FREE));
            window.keep_reach();
        } else {
            window.take_over();
        }
        window
    }

    /// Finds what an earlier life has mapped.
    fn take_over(&mut self) {
        let reach = self.reach.load_u64(0);
        // Twice, once inverted; or else everything is looked at.
        let is_sound = (reach >> 32) as u32 == !(reach as u32);
        self.reached = if is_sound {
            reach as u32 as usize
        } else {
            self.count
        }
        .min(self.count);
        self.keep_reach();
        let orphans = &mut self.orphans;
        orphans.unclaimed = alloc::vec![0; self.reached.div_ceil(64)];
        for slot in 0..self.reached {
            let first = self.slots.load_u64(SLOT * slot);
            match first {
                FREE => continue,
                RESERVED => {
                    self.slots.store_u64(SLOT * slot, FREE);
                    continue;
                }
                _ => self.free -= 1,
            }
            match Held::decode([first, self.slots.load_u64(SLOT * slot + 8)]) {
                Some(held) => {
                    orphans.by_key.push((held.key(), slot as u32));
                    orphans.unclaimed[slot / 64] |= 1 << (slot % 64);
                    orphans.left += 1;
                }
                // Whatever is mapped there stays, since nobody knows its handle: the slot is never used again.
                None => self.damaged += 1,
            }
        }
        orphans.by_key.sort_unstable();
    }

    #[inline]
    fn load(&self, slot: usize) -> u64 {
        self.slots.load_u64(SLOT * slot)
    }

    #[inline]
    fn store(&self, slot: usize, word: u64) {
        self.slots.store_u64(SLOT * slot, word);
    }

    fn keep_reach(&self) {
        let reach = self.reached as u32;
        self.reach
            .store_u64(0, u64::from(!reach) << 32 | u64::from(reach));
    }

    /// A slot is about to be used.
    #[inline]
    fn reserve(&mut self, slot: usize) {
        if slot >= self.reached {
            self.reached = slot + 1;
            self.keep_reach();
        }
        self.store(slot, RESERVED);
    }

    /// Slots in all.
    pub(crate) fn slots(&self) -> usize {
        self.count
    }

    /// Slots that are free.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.free
    }

    /// Slots of an earlier life whose content makes no sense.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged
    }

    /// The guest-physical address of a slot.
    #[inline]
    pub(crate) fn address(&self, slot: u32) -> u64 {
        self.base + u64::from(slot) * PAGE_SIZE as u64
    }

    /// The slot at a guest-physical address.
    pub(crate) fn slot_at(&self, address: u64) -> Option<u32> {
        let slot = address.checked_sub(self.base)? / PAGE_SIZE as u64;
        (slot < self.count as u64).then_some(slot as u32)
    }

    /// Takes one slot.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.free == 0 {
            return None;
        }
        if self.next >= self.count || self.load(self.next) != FREE {
            let next = self.next;
            let mut all = (next..self.count).chain(0..next);
            self.next = all.find(|slot| self.load(*slot) == FREE)?;
        }
        let slot = self.next;
        self.reserve(slot);
        self.free -= 1;
        self.next = slot + 1;
        Some(slot as u32)
    }

    /// Takes `count` slots that follow each other, by first fit; returns the first.
    pub(crate) fn take_run(&mut self, count: usize) -> Option<u32> {
        let mut run = 0;
        for slot in 0..self.count {
            run = if self.load(slot) == FREE { run + 1 } else { 0 };
            if run == count {
                let first = slot + 1 - count;
                (first..=slot).for_each(|slot| self.reserve(slot));
                self.free -= count;
                return Some(first as u32);
            }
        }
        None
    }

    /// Remembers what is mapped at a taken slot.
    ///
    /// # Panics
    /// Xen gave a number that Xen does not give.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, held: Held) {
        let [first, place] = held.encode().expect("handles have 24 bits and frames 40");
        // The first word last: without it the slot is only reserved.
        self.slots.store_u64(SLOT * slot as usize + 8, place);
        self.store(slot as usize, first);
    }

    /// What is mapped there; `None` if nothing is.
    #[inline]
    pub(crate) fn held(&self, slot: u32) -> Option<Held> {
        let at = SLOT * slot as usize;
        let first = self.load(slot as usize);
        (first > RESERVED).then(|| Held::decode([first, self.slots.load_u64(at + 8)]))?
    }

    /// Gives a slot back.
    #[inline]
    pub(crate) fn release(&mut self, slot: u32) {
        debug_assert!(self.load(slot as usize) != FREE, "a slot is released once");
        self.store(slot as usize, FREE);
        self.free += 1;
        self.next = slot as usize;
    }
}

/// What an earlier life has left.
impl<P: SharedPages> Window<P> {
    /// Whether there is anything that nobody has claimed.
    #[inline]
    pub(crate) fn has_orphans(&self) -> bool {
        self.orphans.left > 0
    }

    /// Claims `refs` of `dom`, mapped side by side; the first slot.
    pub(crate) fn claim(
        &mut self,
        dom: u16,
        refs: impl ExactSizeIterator<Item = u32> + Clone,
        read_only: bool,
    ) -> Option<u32> {
        let count = refs.len() as u32;
        let wanted = |gref| {
            Held {
                dom,
                gref,
                read_only,
                handle: 0,
                frame: 0,
            }
            .key()
        };
        let is = |slot: u32, gref: u32| {
            self.orphans.is_unclaimed(slot) && self.held(slot).is_some_and(|held| held.key() == wanted(gref))
        };
        let mut firsts = self.orphans.of_key(wanted(refs.clone().next()?));
        let first = firsts.find(|first| (*first..).zip(refs.clone()).all(|(slot, gref)| is(slot, gref)))?;
        drop(firsts);
        (first..first + count).for_each(|slot| self.orphans.claim(slot));
        Some(first)
    }

    /// Slots of `dom` that nobody has claimed.
    pub(crate) fn unclaimed(&self, dom: u16) -> usize {
        if !self.has_orphans() {
            return 0;
        }
        let of_dom =
            |entry: &&(u64, u32)| entry.0 >> 33 == u64::from(dom) && self.orphans.is_unclaimed(entry.1);
        self.orphans.by_key.iter().filter(of_dom).count()
    }

    /// Takes at most `most` of the unclaimed slots, of `dom` or of all, to be unmapped by the caller.
    pub(crate) fn take_orphans(&mut self, dom: Option<u16>, most: usize) -> Vec<u32> {
        let of_dom = |entry: &&(u64, u32)| dom.is_none_or(|dom| entry.0 >> 33 == u64::from(dom));
        let unclaimed = |slot: &u32| self.orphans.is_unclaimed(*slot);
        let entries = self.orphans.by_key.iter().filter(of_dom);
        let slots: Vec<u32> = entries
            .map(|entry| entry.1)
            .filter(unclaimed)
            .take(most)
            .collect();
        slots.iter().for_each(|slot| self.orphans.claim(*slot));
        if self.orphans.left == 0 {
            self.orphans = Orphans::default();
        }
        slots
    }
}

#[cfg(test)]
mod tests;
