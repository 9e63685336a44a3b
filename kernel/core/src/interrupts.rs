//! The interrupts of devices: which are taken, and when each one ends.
//!
//! An interrupt is active from its acknowledgement to its end. A *level* line ends at the next wait: by then
//! the driver has quieted the device, and the line does not fire again for nothing. An *edge* ends as soon as
//! it is acknowledged. What it announces is in memory already, and Xen drops an edge that comes while an
//! earlier one of the same line is active in a list register ("unable to inject hw irq"): ended late, 10 of
//! 200 MSI-X were lost on two processors.

use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::{IrqSet, Wake};

use crate::survivors::facts::Facts;

/// How an interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    Edge,
    Level,
}

/// What acknowledges and ends interrupts.
pub(crate) trait Controller {
    /// Takes the pending interrupt of highest priority, which is active until [`end`](Self::end).
    fn acknowledge(&self) -> Option<u32>;
    /// It is not active any more.
    fn end(&self, interrupt: u32);
}

/// The interrupts of devices. The index is the number in [`Wake::devices`].
pub(crate) struct Lines<P> {
    lines: Vec<(u32, Trigger)>,
    /// Level lines taken by the last wait. They end when the driver has quieted its device.
    taken: IrqSet,
    /// The interrupts between acknowledgement and end are survivors: only their own end frees the controller
    /// for others.
    facts: Facts<P>,
}

impl<P: SharedPages> Lines<P> {
    /// No lines yet. Ends what an earlier life was in the midst of, the innermost first.
    pub fn new(controller: &impl Controller, facts: Facts<P>) -> Self {
        for interrupt in facts.take_in_service().into_iter().flatten() {
            controller.end(interrupt);
        }
        Self {
            lines: Vec::new(),
            taken: IrqSet::EMPTY,
            facts,
        }
    }

    /// Binds a line; its number, or `None` if [`IrqSet::MAX`] are bound already.
    pub fn bind(&mut self, interrupt: u32, trigger: Trigger) -> Option<u32> {
        let number = self.lines.len() as u32;
        if number >= IrqSet::MAX {
            return None;
        }
        self.lines.push((interrupt, trigger));
        Some(number)
    }

    /// Ends the level lines that the last wait took.
    #[inline]
    pub fn end_taken(&mut self, controller: &impl Controller) {
        while let Some(number) = self.taken.take_first() {
            controller.end(self.lines[number as usize].0);
            self.facts.set_taken(None);
        }
    }

    /// Takes every interrupt that is pending now, a device's once. Whatever is no device's is given to
    /// `other` before it ends. True if there was any.
    #[inline]
    pub fn collect(
        &mut self,
        controller: &impl Controller,
        wake: &mut Wake,
        mut other: impl FnMut(u32, &mut Wake),
    ) -> bool {
        let mut any = false;
        while let Some(interrupt) = controller.acknowledge() {
            any = true;
            self.facts.set_in_service(Some(interrupt));
            let line = self.lines.iter().position(|line| line.0 == interrupt);
            let mut again = false;
            match line {
                Some(line) => {
                    let number = line as u32;
                    again = wake.devices.contains(number);
                    wake.devices.insert(number);
                    if self.lines[line].1 == Trigger::Level {
                        self.taken.insert(number);
                        self.facts.set_taken(Some(interrupt));
                        self.facts.set_in_service(None);
                        continue;
                    }
                }
                None => other(interrupt, wake),
            }
            controller.end(interrupt);
            self.facts.set_in_service(None);
            if again {
                // A device that fires without end may not keep us here.
                break;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};

    use outrigger_xen::DomId;
    use outrigger_xen::fake::{FakePages, FakeXen};

    use super::*;

    /// The events' line, a device's edge, and a device's level.
    const EVENTS: u32 = 31;
    const EDGE: u32 = 78;
    const LEVEL: u32 = 37;

    /// Xen's virtual controller: lines of one priority, of which one is active at a time. An edge of an
    /// active line is lost.
    #[derive(Default)]
    struct Vgic {
        pending: RefCell<Vec<u32>>,
        active: Cell<Option<u32>>,
        /// The level line is up.
        up: Cell<bool>,
        lost: Cell<u32>,
        /// Edges that come right after each acknowledgement.
        storm: Cell<u32>,
    }

    impl Vgic {
        fn edge(&self, interrupt: u32) {
            if self.active.get() == Some(interrupt) {
                self.lost.set(self.lost.get() + 1);
            } else if !self.pending.borrow().contains(&interrupt) {
                self.pending.borrow_mut().push(interrupt);
            }
        }
    }

    impl Controller for Vgic {
        fn acknowledge(&self) -> Option<u32> {
            if self.active.get().is_some() {
                return None;
            }
            let pending = self.pending.borrow_mut().pop();
            let taken = pending.or(self.up.get().then_some(LEVEL))?;
            self.active.set(Some(taken));
            Some(taken)
        }

        fn end(&self, interrupt: u32) {
            assert_eq!(
                self.active.replace(None),
                Some(interrupt),
                "only what is active can end"
            );
            if self.storm.get() > 0 {
                self.storm.set(self.storm.get() - 1);
                self.edge(interrupt);
            }
        }
    }

    fn page() -> FakePages {
        FakeXen::new().domain(DomId(3)).pages(1)
    }

    fn lines(vgic: &Vgic, page: &FakePages) -> Lines<FakePages> {
        let mut lines = Lines::new(vgic, Facts::at(page.clone()));
        assert_eq!(lines.bind(EDGE, Trigger::Edge), Some(0));
        assert_eq!(lines.bind(LEVEL, Trigger::Level), Some(1));
        lines
    }

    fn collect(lines: &mut Lines<FakePages>, vgic: &Vgic) -> Wake {
        let mut wake = Wake::default();
        lines.collect(vgic, &mut wake, |other, wake| wake.events |= other == EVENTS);
        wake
    }

    #[test]
    fn no_edge_is_lost_while_an_earlier_one_is_served() {
        let (vgic, page) = (Vgic::default(), page());
        Facts::begin(page.clone(), 0, 0);
        let mut lines = lines(&vgic, &page);
        for _ in 0..1000 {
            vgic.edge(EDGE);
            lines.end_taken(&vgic);
            assert_eq!(collect(&mut lines, &vgic).devices, IrqSet::of(0));
            // The driver looks at its device, which completes something just behind that look.
            vgic.edge(EDGE);
            lines.end_taken(&vgic);
            assert_eq!(
                collect(&mut lines, &vgic).devices,
                IrqSet::of(0),
                "it is heard of"
            );
        }
        assert_eq!(vgic.lost.get(), 0);
    }

    #[test]
    fn a_level_line_fires_once_until_its_driver_has_quieted_the_device() {
        let (vgic, page) = (Vgic::default(), page());
        Facts::begin(page.clone(), 0, 0);
        let mut lines = lines(&vgic, &page);
        vgic.up.set(true);
        assert_eq!(collect(&mut lines, &vgic).devices, IrqSet::of(1));
        assert_eq!(collect(&mut lines, &vgic), Wake::default(), "it is still active");
        vgic.up.set(false);
        lines.end_taken(&vgic);
        assert_eq!(collect(&mut lines, &vgic), Wake::default());
        vgic.up.set(true);
        assert_eq!(collect(&mut lines, &vgic).devices, IrqSet::of(1));
    }

    #[test]
    fn events_and_edges_are_taken_in_one_go() {
        let (vgic, page) = (Vgic::default(), page());
        Facts::begin(page.clone(), 0, 0);
        let mut lines = lines(&vgic, &page);
        vgic.edge(EVENTS);
        vgic.edge(EDGE);
        let wake = collect(&mut lines, &vgic);
        assert!(wake.events && wake.devices == IrqSet::of(0));
        assert_eq!(vgic.active.get(), None);
    }

    #[test]
    fn a_device_that_fires_without_end_does_not_keep_us() {
        let (vgic, page) = (Vgic::default(), page());
        Facts::begin(page.clone(), 0, 0);
        let mut lines = lines(&vgic, &page);
        vgic.edge(EDGE);
        vgic.storm.set(1000);
        assert_eq!(collect(&mut lines, &vgic).devices, IrqSet::of(0));
        assert!(vgic.storm.get() >= 997, "two were taken");
    }

    #[test]
    fn the_next_life_ends_what_this_one_had_taken() {
        let (vgic, page) = (Vgic::default(), page());
        Facts::begin(page.clone(), 0, 0);
        let mut first = lines(&vgic, &page);
        vgic.up.set(true);
        collect(&mut first, &vgic);
        vgic.up.set(false);
        // It fails before its next wait.
        assert_eq!(vgic.active.get(), Some(LEVEL));
        lines(&vgic, &page);
        assert_eq!(vgic.active.get(), None);
        // Nothing is ended twice, and an edge that was served is nobody's to end.
        vgic.edge(EDGE);
        collect(&mut first, &vgic);
        lines(&vgic, &page);
    }
}
