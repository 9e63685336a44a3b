//! Controller properties and doorbells (Base 2.0, §3.1).

use std::time::Duration;

use outrigger_devices::Instant;
use outrigger_pci_model::Endpoint;

use crate::queue::{Cq, Sq};
use crate::{Fault, NvmeModel};

impl NvmeModel {
    fn cap(&self) -> u64 {
        let offer = &self.offer;
        u64::from(offer.entries - 1)
            // CQR: queues are contiguous.
            | 1 << 16
            | u64::from(offer.timeout) << 24
            | u64::from(offer.stride) << 32
            | u64::from(offer.nvm) << 37
            | u64::from(offer.page_min) << 48
            | 4 << 52
    }

    fn now(&self) -> Instant {
        self.function.clock().peek()
    }

    fn is_settled(&self) -> bool {
        self.now() >= self.state.borrow().settled
    }

    pub(crate) fn is_ready(&self) -> bool {
        let enabled = self.state.borrow().cc & 1 != 0;
        if enabled {
            self.is_settled() && !self.has_fault(Fault::NeverReady)
        } else {
            !self.is_settled()
        }
    }

    fn csts(&self) -> u32 {
        let fatal = self.has_fault(Fault::Fatal);
        let shut_down = self.state.borrow().shut_down;
        u32::from(self.is_ready()) | u32::from(fatal) << 1 | if shut_down { 2 << 2 } else { 0 }
    }

    fn set_cc(&self, value: u32) {
        let before = self.state.borrow().cc;
        let later = self.now().after(self.offer.ready_time);
        if value & !before & 1 != 0 {
            if self.is_ready() {
                self.blame("CC.EN is set while CSTS.RDY is still 1");
            }
            self.enable(value);
        }
        let mut state = self.state.borrow_mut();
        if before & !value & 1 != 0 {
            (state.cc, state.settled) = (value, later);
            if state.faults.contains(&Fault::NeverStops) {
                state.settled = Instant(u64::MAX);
            }
            drop(state);
            self.forget();
            return;
        }
        if value & 1 != 0 && before & 1 == 0 {
            state.settled = later;
            state.counters.enabled += 1;
        }
        if value & 3 << 14 != 0 && before & 3 << 14 == 0 {
            state.shut_down = true;
            state.counters.shutdowns += 1;
            for disk in state.disks.values_mut() {
                disk.durable.clone_from(&disk.bytes);
            }
        }
        state.cc = value;
    }

    /// Everything in flight is forgotten, and all queues.
    fn forget(&self) {
        let mut state = self.state.borrow_mut();
        state.sqs.clear();
        state.cqs.clear();
        state.fetched.clear();
        (state.granted, state.intms, state.shut_down) = (None, 0, false);
        // A controller that had stopped comes back.
        state.faults.retain(|fault| *fault != Fault::Fatal);
    }

    fn enable(&self, cc: u32) {
        if cc & !1 != 6 << 16 | 4 << 20 {
            self.blame("CC has other entry sizes, page size or command set than were agreed on");
        }
        let (aqa, asq, acq) = {
            let state = self.state.borrow();
            (state.aqa, state.asq, state.acq)
        };
        if asq % 4096 != 0 || acq % 4096 != 0 || asq == 0 || acq == 0 {
            self.blame("ASQ or ACQ is no page");
        }
        let (sq_size, cq_size) = ((aqa & 0xfff) + 1, (aqa >> 16 & 0xfff) + 1);
        if sq_size < 2 || cq_size < 2 {
            self.blame("an admin queue of less than two entries");
        }
        let mut state = self.state.borrow_mut();
        state.sqs.insert(0, Sq::new(asq, sq_size, 0));
        state.cqs.insert(0, Cq::new(acq, cq_size, Some(0)));
    }

    fn doorbell(&self, at: u64, value: u32) {
        let stride = 4 << self.offer.stride;
        let index = (at - 0x1000) / stride;
        let (id, is_head) = ((index / 2) as u16, index % 2 == 1);
        if !(at - 0x1000).is_multiple_of(stride) {
            return self.blame("a write between doorbells");
        }
        if !self.is_ready() || self.state.borrow().cc & 1 == 0 {
            return self.blame("a doorbell while the controller is not ready");
        }
        if is_head {
            self.count(|counters| counters.heads += 1);
            let moved = self
                .state
                .borrow_mut()
                .cqs
                .get_mut(&id)
                .map(|cq| cq.set_head(value));
            match moved {
                None => self.blame("the doorbell of a completion queue that does not exist"),
                Some(false) => self.blame("a completion queue head that passes its tail"),
                Some(true) => {}
            }
        } else {
            self.count(|counters| counters.tails += 1);
            let size = self.state.borrow().sqs.get(&id).map(|sq| sq.size);
            match size {
                None => return self.blame("the doorbell of a submission queue that does not exist"),
                Some(size) if value >= size => return self.blame("a submission queue tail out of range"),
                Some(_) => {}
            }
            if let Some(sq) = self.state.borrow_mut().sqs.get_mut(&id) {
                sq.tail = value;
            }
            if id == 0 || !self.state.borrow().held {
                self.run();
            }
        }
    }

    fn read_u32(&self, at: u64) -> u32 {
        let state = self.state.borrow();
        match at {
            0x00 => self.cap() as u32,
            0x04 => (self.cap() >> 32) as u32,
            0x08 => self.offer.version,
            0x0c | 0x10 => state.intms,
            0x14 => state.cc,
            0x1c => {
                drop(state);
                self.csts()
            }
            0x24 => state.aqa,
            0x28 => state.asq as u32,
            0x2c => (state.asq >> 32) as u32,
            0x30 => state.acq as u32,
            0x34 => (state.acq >> 32) as u32,
            0x1000.. => {
                drop(state);
                self.blame("a doorbell is read");
                0
            }
            _ => 0,
        }
    }

    fn write_u32(&self, at: u64, value: u32) {
        let put = |register: &mut u64, high: bool| {
            let shift = if high { 32 } else { 0 };
            *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
        };
        if matches!(at, 0x24..0x38) && self.state.borrow().cc & 1 != 0 {
            return self.blame("an admin queue register is written while the controller is enabled");
        }
        match at {
            0x0c | 0x10 => {
                if self.function.has_msix_on() {
                    self.blame("INTMS or INTMC is written with MSI-X");
                }
                {
                    let mut state = self.state.borrow_mut();
                    state.intms = if at == 0x0c {
                        state.intms | value
                    } else {
                        state.intms & !value
                    };
                }
                self.remind();
            }
            0x14 => self.set_cc(value),
            0x24 => self.state.borrow_mut().aqa = value,
            0x28 | 0x2c => put(&mut self.state.borrow_mut().asq, at == 0x2c),
            0x30 | 0x34 => put(&mut self.state.borrow_mut().acq, at == 0x34),
            0x1000.. => self.doorbell(at, value),
            _ => self.blame("a write to a register that is read-only or reserved"),
        }
    }
}

impl Endpoint for NvmeModel {
    fn read(&self, bar: u8, at: u64, len: usize) -> u64 {
        assert_eq!(bar, 0, "the only BAR");
        self.count(|counters| counters.reads += 1);
        if len != 4 {
            self.blame("a register is read otherwise than by 32 bits");
        }
        self.read_u32(at).into()
    }

    fn write(&self, bar: u8, at: u64, len: usize, value: u64) {
        assert_eq!(bar, 0, "the only BAR");
        self.count(|counters| counters.writes += 1);
        if len != 4 {
            self.blame("a register is written otherwise than by 32 bits");
        }
        self.write_u32(at, value as u32);
    }

    fn reset(&self) {
        self.forget();
        let mut state = self.state.borrow_mut();
        (state.cc, state.aqa, state.asq, state.acq) = (0, 0, 0, 0);
        state.settled = Instant(0).after(Duration::ZERO);
        state.faults.retain(|fault| *fault != Fault::NeverStops);
    }

    fn is_line_up(&self) -> bool {
        let state = self.state.borrow();
        state.intms & 1 == 0 && state.cqs.values().any(Cq::wants_interrupt)
    }
}
