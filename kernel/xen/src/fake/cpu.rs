//! Time and waiting.

use super::Domain;
use crate::{Clock, Cpu, Instant, Wake};

impl Clock for Domain {
    fn now(&self) -> Instant {
        Instant(self.xen.0.borrow().now)
    }

    fn still_alive(&self) {
        self.sign_of_life();
    }
}

impl Domain {
    /// The device interrupt bound as number `irq` fires.
    pub fn raise_irq(&self, irq: u32) {
        self.with(|domain| domain.irqs.insert(irq));
    }
}

impl Cpu for Domain {
    /// Nobody else runs meanwhile: with nothing pending the clock jumps to the deadline; with no deadline either, the wait
    /// ends with nothing set.
    fn wait(&mut self, deadline: Option<Instant>) -> Wake {
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        let mut wake = Wake {
            events: domain.ports.any_pending(),
            devices: core::mem::take(&mut domain.irqs),
            timer: false,
        };
        if let Some(Instant(deadline)) = deadline {
            if !wake.events && wake.devices.is_empty() {
                world.now = world.now.max(deadline);
            }
            wake.timer = world.now >= deadline;
        }
        wake
    }
}
