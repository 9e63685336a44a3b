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
    /// What `kernel/core` offers on Arm: 64 MiB of Xen's extended region, and the grant window of 16 MiB less a reserve.
    fn default() -> Self {
        Self {
            dma_pages: 16_384,
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

impl Budget {
    /// What each of `rings` rings of `ring_pages` pages and `slots` slots may have: what it can make use of, but never more
    /// than the least and its part of a quarter of what is left. `None` if even the least is not there.
    pub(crate) fn allow(
        &self,
        rings: usize,
        ring_pages: usize,
        slots: usize,
        persistent: bool,
    ) -> Option<Allowance> {
        let rings = rings.max(1);
        let dma_left = self.dma_pages / rings;
        let cpu_left = self.cpu_pages.saturating_sub(SPARE) / rings;
        if dma_left < LEAST || cpu_left < ring_pages {
            return None;
        }
        let share = LEAST + (dma_left - LEAST) / 4;
        // A frontend that keeps its grants has 32 segments and an indirect page a slot of them, as Linux does.
        let wanted = if persistent {
            LEAST
        } else {
            (32 * slots).clamp(LEAST, 2048)
        };
        let transients = wanted.min(share);
        let persistent_pages = if persistent {
            (33 * slots).min(4096).min(share - transients)
        } else {
            0
        };
        let indirect = (4 * slots).clamp(4, 128).min((cpu_left - ring_pages) / 4);
        Some(Allowance {
            persistent: persistent_pages,
            transients,
            // A power of two of sets of four, or none.
            indirect: if persistent && indirect >= 4 {
                4 << (indirect / 4).ilog2()
            } else {
                0
            },
            ring: ring_pages,
        })
    }

    pub(crate) fn take(&mut self, allowance: &Allowance) {
        self.dma_pages -= allowance.persistent + allowance.transients;
        self.cpu_pages -= allowance.indirect + allowance.ring;
    }

    pub(crate) fn give_back(&mut self, allowance: &Allowance) {
        self.dma_pages += allowance.persistent + allowance.transients;
        self.cpu_pages += allowance.indirect + allowance.ring;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_guest_gets_all_it_can_use() {
        let allowance = Budget::default().allow(1, 1, 32, true).unwrap();
        assert_eq!(
            allowance,
            Allowance {
                persistent: 1056,
                transients: 256,
                indirect: 128,
                ring: 1
            }
        );
        let allowance = Budget::default().allow(1, 1, 32, false).unwrap();
        assert_eq!(
            (allowance.persistent, allowance.transients, allowance.indirect),
            (0, 1024, 0)
        );
    }

    #[test]
    fn whoever_comes_there_is_the_least_or_a_refusal() {
        for persistent in [false, true] {
            let mut budget = Budget::default();
            let mut rings = 0;
            while let Some(allowance) = budget.allow(1, 16, 512, persistent) {
                assert!(allowance.transients >= LEAST);
                assert!(allowance.indirect.is_multiple_of(4));
                budget.take(&allowance);
                rings += 1;
            }
            assert!(rings >= 8, "only {rings} rings of the largest kind");
        }
    }
}
