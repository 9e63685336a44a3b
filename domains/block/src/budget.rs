//! How much of the domain's address space for grants each ring may take, so that none can leave another without.

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

/// Room for the largest request, without which a ring could come to a stop.
const LEAST: usize = MAX_INDIRECT_SEGMENTS;

/// CPU pages that are never promised: those that a ring without persistent grants maps for a moment.
const SPARE: usize = 64;

/// So many rings find room for the least, whoever came first.
const RINGS_KEPT: usize = 32;

/// What is left of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    left: Budget,
    rings: usize,
}

impl Ledger {
    pub fn new(budget: Budget) -> Self {
        Self {
            left: budget,
            rings: 0,
        }
    }

    /// What each of `rings` further rings of `ring_pages` pages and `slots` slots may have: the least, and besides what it
    /// can make use of, but not more than its part of half of what nobody needs. `None` if even the least is not there.
    pub fn allow(
        &self,
        rings: usize,
        ring_pages: usize,
        slots: usize,
        persistent: bool,
    ) -> Option<Allowance> {
        let rings = rings.max(1);
        let unclaimed = self.left.dma_pages.checked_sub(rings * LEAST)?;
        let cpu_left = self.left.cpu_pages.saturating_sub(SPARE) / rings;
        let indirect_most = cpu_left.checked_sub(ring_pages)? / 4;
        let others = RINGS_KEPT.saturating_sub(self.rings + rings);
        let share = LEAST + unclaimed.saturating_sub(others * LEAST) / 2 / rings;
        if !persistent {
            return Some(Allowance {
                persistent: 0,
                transients: (32 * slots).clamp(LEAST, 2048).min(share),
                indirect: 0,
                ring: ring_pages,
            });
        }
        // A frontend that keeps its grants has 32 segments and an indirect page a slot of them, as Linux does.
        let indirect = (4 * slots).clamp(4, 128).min(indirect_most);
        Some(Allowance {
            persistent: (33 * slots).min(4096).min(share - LEAST),
            transients: LEAST,
            // A power of two of sets of four, or none.
            indirect: if indirect >= 4 {
                4 << (indirect / 4).ilog2()
            } else {
                0
            },
            ring: ring_pages,
        })
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

    #[test]
    fn a_stock_guest_gets_all_it_can_use() {
        let ledger = Ledger::new(Budget::default());
        let allowance = ledger.allow(1, 1, 32, true).unwrap();
        assert_eq!(
            allowance,
            Allowance {
                persistent: 1056,
                transients: 256,
                indirect: 128,
                ring: 1
            }
        );
        assert!(ledger.allow(4, 1, 32, true).unwrap().persistent >= 1000);
        let allowance = ledger.allow(1, 1, 32, false).unwrap();
        assert_eq!(
            (allowance.persistent, allowance.transients, allowance.indirect),
            (0, 1024, 0)
        );
    }

    #[test]
    fn sixteen_stock_guests_keep_all_their_grants() {
        let mut ledger = Ledger::new(Budget::default());
        for guest in 1..=16 {
            let allowance = ledger.allow(1, 1, 32, true).unwrap();
            assert_eq!(
                (allowance.persistent, allowance.indirect),
                (1056, 128),
                "guest {guest}"
            );
            ledger.take(&allowance);
        }
    }

    #[test]
    fn the_greedy_leave_room_for_others() {
        for persistent in [false, true] {
            for (pages, slots) in [(1, 32), (16, 512)] {
                let mut ledger = Ledger::new(Budget::default());
                let mut allowances = Vec::new();
                while let Some(allowance) = ledger.allow(1, pages, slots, persistent) {
                    assert!(allowance.transients >= LEAST);
                    assert!(allowance.indirect == 0 || (allowance.indirect / 4).is_power_of_two());
                    ledger.take(&allowance);
                    allowances.push(allowance);
                }
                assert!(allowances.len() >= RINGS_KEPT, "only {} rings", allowances.len());
                for allowance in &allowances {
                    ledger.give_back(allowance);
                }
                assert_eq!((ledger.left, ledger.rings), (Budget::default(), 0));
            }
        }
    }

    #[test]
    fn a_small_machine_refuses_in_time() {
        let small = |dma_pages, cpu_pages| Ledger::new(Budget { dma_pages, cpu_pages });
        assert_eq!(small(LEAST - 1, 4000).allow(1, 1, 32, true), None);
        assert_eq!(small(16_384, 16).allow(1, 1, 32, true), None);
        let allowance = small(LEAST, SPARE + 1).allow(1, 1, 32, true).unwrap();
        assert_eq!((allowance.persistent, allowance.indirect), (0, 0));
    }
}
