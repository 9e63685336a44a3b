//! What the loop asks of the backend.

use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Wake};
use outrigger_xenbus::{Service, TurnOutcome};

use crate::service::Block;

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> Service for Block<'_, H, D, M> {
    fn turn(&self, wake: Wake) -> TurnOutcome {
        Block::turn(self, wake)
    }

    fn has_work(&self) -> bool {
        Block::has_work(self)
    }

    fn look_at_rings(&self) {
        let state = &mut *self.state.borrow_mut();
        let served = state.rings.iter().enumerate();
        let served = served.filter_map(|(index, ring)| ring.is_some().then_some(index));
        served.for_each(|index| state.active.insert(index));
    }
}
