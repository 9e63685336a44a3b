//! How much of the domain's address space for grants each ring may take, so that none can leave another without.

use crate::service::MAX_RINGS;
use crate::vbd::{MAX_QUEUES, MAX_RING_PAGE_ORDER};
use crate::view::MAX_INDIRECT_SEGMENTS;

/// Pages that can be mapped at once, of all guests together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For devices: data pages.
    pub dma_pages: usize,
    /// For the CPU: rings and indirect pages.
    pub cpu_pages: usize,
}

impl Default for Budget {
    /// What `kernel/core` offers on Arm: 128 MiB of Xen's extended region, and the grant window of 16 MiB less a reserve.
    fn default() -> Self {
        Self {
            dma_pages: 32_768,
            cpu_pages: 4000,
        }
    }
}

/// What one ring was promised. It is never more in use than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Data pages that may stay mapped.
    pub persistent: usize,
    /// Data pages mapped for a request.
    pub transients: usize,
    /// Indirect pages that may stay mapped.
    pub indirect: usize,
    /// Pages of the ring itself.
    pub ring: usize,
}

/// What a ring can make use of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Pages of the ring.
    pub ring_pages: usize,
    /// Requests that it holds.
    pub slots: usize,
    /// Most segments of a request.
    pub segments: usize,
    /// The frontend keeps its grants.
    pub persistent: bool,
}

impl Need {
    /// Data pages that may stay mapped: a frontend that keeps its grants has 32 segments and an indirect page
    /// a slot of them, as Linux does.
    pub fn persistent(&self) -> usize {
        if self.persistent {
            (33 * self.slots).min(4096)
        } else {
            0
        }
    }
}

/// What a frontend is offered. The first ones get more than they need; the later they come, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// `multi-queue-max-queues`
    pub queues: u32,
    /// `max-ring-page-order`
    pub order: u32,
    /// `feature-max-indirect-segments`
    pub segments: usize,
}

impl Offer {
    pub const MOST: Self = Self {
        queues: 4,
        order: 4,
        segments: MAX_INDIRECT_SEGMENTS,
    };

    /// Rings, and slots of all of them, that a frontend may make of it.
    pub fn most(&self) -> Rings {
        Rings {
            rings: self.queues as usize,
            slots: self.queues as usize * (PAGE_SLOTS << self.order),
        }
    }
}

/// Rings that are there, or promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    pub rings: usize,
    /// Of all of them.
    pub slots: usize,
}

/// Requests of one page, and so of a ring: blkif has 32 in a page.
pub(crate) const PAGE_SLOTS: usize = 32;

/// Requests of all rings: each takes 128 bytes of the memory that outlives a restart (`Survivors`), 1 MiB of
/// 1.3.
pub(crate) const SLOTS: usize = 8192;

/// Segments that are offered when there is no room for more: as many as Linux's frontend uses.
const FEW_SEGMENTS: usize = 32;

/// CPU pages that are never promised: those that a ring without persistent grants maps for a moment.
const SPARE: usize = 64;

/// CPU pages that are left for each ring that may still come.
const RING_KEPT: usize = 4;

/// What is left of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    total: Budget,
    left: Budget,
    rings: usize,
}

impl Ledger {
    pub fn new(budget: Budget) -> Self {
        Self {
            total: budget,
            left: budget,
            rings: 0,
        }
    }

    /// What a further vbd is offered, when `taken` is there or promised and `vbds` may come after it. Each of
    /// those finds a ring of one page and room for requests of [`FEW_SEGMENTS`]; of what is beyond that, a
    /// frontend gets a part.
    pub fn offer(&self, taken: Rings, vbds: usize) -> Offer {
        let rings = MAX_RINGS.saturating_sub(taken.rings);
        let spare = rings.saturating_sub(vbds + 1);
        let queues = 1 + (spare / 8).min(MAX_QUEUES as usize - 1);
        let slots = SLOTS.saturating_sub(taken.slots + PAGE_SLOTS * rings) / 2;
        let fits = |order: &u32| queues * ((PAGE_SLOTS << order) - PAGE_SLOTS) <= slots;
        let order = (0..=MAX_RING_PAGE_ORDER).rev().find(fits).unwrap_or(0);
        let pages = self.left.dma_pages.saturating_sub(FEW_SEGMENTS * rings) / 2;
        Offer {
            queues: queues as u32,
            order,
            segments: if pages >= queues * MAX_INDIRECT_SEGMENTS {
                MAX_INDIRECT_SEGMENTS
            } else {
                FEW_SEGMENTS
            },
        }
    }

    /// What each of `rings` further rings may have: room for its largest request, without which it could come
    /// to a stop, and besides what it can make use of, but not more than its part of half of what nobody
    /// needs. `None` if even the least is not there.
    pub fn allow(&self, rings: usize, need: &Need) -> Option<Allowance> {
        let rings = rings.max(1);
        let least = need.segments;
        let unclaimed = self.left.dma_pages.checked_sub(rings * least)?;
        let cpu_left = self.left.cpu_pages.saturating_sub(SPARE);
        let cpu_unclaimed = cpu_left.checked_sub(rings * need.ring_pages)?;
        let others = MAX_RINGS.saturating_sub(self.rings + rings);
        let share = least + unclaimed.saturating_sub(others * FEW_SEGMENTS) / 2 / rings;
        if !need.persistent {
            return Some(Allowance {
                persistent: 0,
                transients: (32 * need.slots).clamp(least, 2048).min(share),
                indirect: 0,
                ring: need.ring_pages,
            });
        }
        let indirect_most = cpu_unclaimed.saturating_sub(others * RING_KEPT) / rings / 4;
        let indirect = (4 * need.slots).clamp(4, 128).min(indirect_most);
        Some(Allowance {
            persistent: need.persistent().min(share - least),
            transients: least,
            // A power of two of sets of four, or none.
            indirect: if indirect >= 4 {
                4 << (indirect / 4).ilog2()
            } else {
                0
            },
            ring: need.ring_pages,
        })
    }

    /// Pages that each ring could keep if all of them, and `rings` further ones, kept as many.
    pub fn fair(&self, rings: usize, need: &Need) -> usize {
        let all = self.rings + rings.max(1);
        self.total.dma_pages.saturating_sub(all * need.segments) / all / 2
    }

    pub fn take(&mut self, allowance: &Allowance) {
        self.left.dma_pages -= allowance.persistent + allowance.transients;
        self.left.cpu_pages -= allowance.indirect + allowance.ring;
        self.rings += 1;
    }

    pub fn give_back(&mut self, allowance: &Allowance) {
        self.left.dma_pages += allowance.persistent + allowance.transients;
        self.left.cpu_pages += allowance.indirect + allowance.ring;
        self.rings -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vbd::MAX_VBDS;

    const STOCK: Need = Need {
        ring_pages: 1,
        slots: 32,
        segments: MAX_INDIRECT_SEGMENTS,
        persistent: true,
    };

    #[test]
    fn a_stock_guest_gets_all_it_can_use() {
        let ledger = Ledger::new(Budget::default());
        let allowance = ledger.allow(1, &STOCK).unwrap();
        assert_eq!(
            allowance,
            Allowance {
                persistent: 1056,
                transients: 256,
                indirect: 128,
                ring: 1
            }
        );
        assert!(ledger.allow(4, &STOCK).unwrap().persistent >= 1000);
        let mapped = Need {
            persistent: false,
            ..STOCK
        };
        let allowance = ledger.allow(1, &mapped).unwrap();
        assert_eq!(
            (allowance.persistent, allowance.transients, allowance.indirect),
            (0, 1024, 0)
        );
    }

    #[test]
    fn twenty_stock_disks_keep_all_their_grants() {
        let mut ledger = Ledger::new(Budget::default());
        for guest in 1..=20 {
            let allowance = ledger.allow(1, &STOCK).unwrap();
            assert_eq!(
                (allowance.persistent, allowance.indirect),
                (1056, 128),
                "guest {guest}"
            );
            ledger.take(&allowance);
        }
    }

    /// 64 vbds, each of which takes all that it is offered, find room for requests of the size that they were
    /// offered.
    #[test]
    fn the_greedy_leave_room_for_others() {
        for persistent in [false, true] {
            let mut ledger = Ledger::new(Budget::default());
            let mut taken = Rings::default();
            let mut allowances = Vec::new();
            for vbd in 0..MAX_VBDS {
                let offer = ledger.offer(taken, MAX_VBDS - 1 - vbd);
                let most = offer.most();
                taken.rings += most.rings;
                taken.slots += most.slots;
                let need = Need {
                    ring_pages: 1 << offer.order,
                    slots: PAGE_SLOTS << offer.order,
                    segments: offer.segments,
                    persistent,
                };
                for left in (1..=most.rings).rev() {
                    let allowance = ledger.allow(left, &need);
                    let allowance = allowance.unwrap_or_else(|| panic!("vbd {vbd} finds no room"));
                    assert!(allowance.transients >= offer.segments);
                    assert!(allowance.indirect == 0 || (allowance.indirect / 4).is_power_of_two());
                    ledger.take(&allowance);
                    allowances.push(allowance);
                }
            }
            assert!(taken.rings <= MAX_RINGS && taken.slots <= SLOTS, "{taken:?}");
            for allowance in &allowances {
                ledger.give_back(allowance);
            }
            assert_eq!((ledger.left, ledger.rings), (Budget::default(), 0));
        }
    }

    #[test]
    fn the_first_guests_are_offered_all() {
        let ledger = Ledger::new(Budget::default());
        assert_eq!(ledger.offer(Rings::default(), MAX_VBDS - 1), Offer::MOST);
        let full = Rings {
            rings: MAX_RINGS - 1,
            slots: SLOTS,
        };
        let least = ledger.offer(full, 0);
        assert_eq!((least.queues, least.order), (1, 0));
    }

    #[test]
    fn a_small_machine_refuses_in_time() {
        let small = |dma_pages, cpu_pages| Ledger::new(Budget { dma_pages, cpu_pages });
        assert_eq!(small(255, 4000).allow(1, &STOCK), None);
        assert_eq!(small(16_384, 16).allow(1, &STOCK), None);
        let allowance = small(256, SPARE + 1).allow(1, &STOCK).unwrap();
        assert_eq!((allowance.persistent, allowance.indirect), (0, 0));
    }
}
