//! Rings give back what they have: all of it when they go, some of it when others come.

use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::{GRANT_BATCH, Hypervisor};
use outrigger_xenbus::DeviceId;

use crate::budget::{Allowance, Need};
use crate::service::{NO_RING, Served, State};

/// Pages that nobody uses any more and that are unmapped in one turn: one batch.
const PORTION: usize = GRANT_BATCH;

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Begins to close all rings of a vbd.
    pub fn close(&mut self, id: DeviceId) {
        for (index, served) in self.rings.iter_mut().enumerate() {
            if let Some(served) = served
                && served.vbd == id
            {
                served.ring.close();
                self.closing.insert(index);
                self.active.insert(index);
            }
        }
    }

    /// Unmaps some of what nobody uses any more, and lets go of the closed rings that owe and hold nothing. A
    /// bounded portion, so that others' requests go on meanwhile.
    #[cold]
    pub fn release<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        for index in self.closing.iter() {
            let Some(served) = &mut self.rings[index] else {
                self.closing.remove(index);
                continue;
            };
            if served.ring.is_settled() {
                if served.ring.kept() > 0 {
                    served.ring.shed(0);
                }
                self.shedding.insert(index);
            }
        }
        let mut left = PORTION;
        for index in self.shedding.take().iter_from(self.turns as usize) {
            let Some(served) = &mut self.rings[index] else {
                continue;
            };
            if left > 0 {
                left -= served.ring.unmap_some(hv, &mut self.batch, left);
            }
            if left == 0 {
                self.shedding.insert(index);
            } else if self.closing.contains(index) && served.ring.is_settled() {
                self.drop_ring(hv, index);
            }
        }
        if left < PORTION {
            self.active.extend(self.waiting.take());
        }
    }

    /// A ring that has nothing in flight keeps at most `capacity` pages mapped from now on.
    pub fn shed(&mut self, index: usize, capacity: usize) {
        if let Some(served) = &mut self.rings[index] {
            served.ring.shed(capacity);
            self.budget.give_back(&served.allowance);
            served.allowance.persistent = served.allowance.persistent.min(capacity);
            self.budget.take(&served.allowance);
            self.shedding.insert(index);
        }
    }

    /// What each of `rings` further rings may have. If that is less than they can make use of, rings that
    /// have more than their part, and nothing in flight now, give it back: a late guest gets less, not
    /// nothing.
    pub fn allow(&mut self, rings: usize, need: &Need) -> Option<Allowance> {
        let allowance = self.budget.allow(rings, need)?;
        let fair = self.budget.fair(rings, need);
        if allowance.persistent >= need.persistent().min(fair) {
            return Some(allowance);
        }
        for index in 0..self.rings.len() {
            if let Some(served) = &self.rings[index]
                && served.allowance.persistent > fair
                && served.ring.is_idle()
            {
                self.shed(index, fair);
            }
        }
        self.budget.allow(rings, need)
    }

    fn drop_ring<H: Hypervisor<Pages = P>>(&mut self, hv: &H, index: usize) {
        for set in [&mut self.closing, &mut self.active, &mut self.shedding] {
            set.remove(index);
        }
        let Some(served) = self.rings[index].take() else {
            return;
        };
        let Served {
            ring,
            vbd: id,
            allowance,
            ..
        } = *served;
        self.ports[ring.port.0 as usize] = NO_RING;
        self.budget.give_back(&allowance);
        let counters = ring.release(hv);
        if let Some(vbd) = self.vbds.iter_mut().find(|vbd| vbd.id == id) {
            vbd.counters += counters;
            vbd.rings.retain(|ring| *ring != index);
            if vbd.rings.is_empty() {
                let counted = self.disks[vbd.disk].counted();
                log::info!("vbd {id}: disconnected; {}{counted}", vbd.counters);
            }
        }
        self.poke();
    }

    /// Mappings have run out, which the budget should not let happen: of the rings with nothing in flight,
    /// the one that keeps most pages to save work gives them up.
    #[cold]
    pub fn relieve(&mut self) {
        let rings = (0..).zip(&self.rings);
        let idle = rings.filter_map(|(index, served)| {
            let ring = &served.as_ref()?.ring;
            ring.is_idle().then_some((ring.kept(), index))
        });
        let Some((kept @ 1.., index)) = idle.max() else {
            return;
        };
        log::warn!("no room to map grants: ring {index} gives up {kept} persistent ones");
        self.shed(index, kept / 2);
    }
}
