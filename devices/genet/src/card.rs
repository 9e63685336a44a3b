//! The controller as a backend sees it.

use core::time::Duration;

use outrigger_devices::{
    Device, DeviceFault, DmaPool, DmaSegment, DmaView, Health, Instant, Interrupt, NetDevice, NetLimits,
    QueueFull, RegisterIo, RxBuffer, Tag, Tick, TxFrame,
};
use outrigger_ring::SharedPages;

use crate::device::Genet;
use crate::mac;
use crate::registers::intrl2;

/// How often to look without interrupts.
const WITHOUT_INTERRUPTS: Duration = Duration::from_millis(1);

impl<R: RegisterIo, P: DmaPool + DmaView> NetDevice for Genet<'_, R, P>
where
    P::Memory: SharedPages,
{
    fn limits(&self) -> NetLimits {
        self.limits
    }

    #[inline]
    fn submit(&mut self, _: usize, frame: &TxFrame<'_>) -> Result<(), QueueFull> {
        if !self.health.is_serving() {
            return Err(QueueFull);
        }
        self.transmit.submit(&self.io, &mut self.path, frame)
    }

    /// # Panics
    /// The buffer is shorter than 2048 bytes (4032 with an MTU above 1950), or does not begin with a cache line (64 bytes).
    #[inline]
    fn post(&mut self, _: usize, tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull> {
        if !self.health.is_serving() {
            return Err(QueueFull);
        }
        self.receive.post(&self.io, &mut self.path, tag, buffer)
    }

    #[inline]
    fn commit(&mut self, _: usize) {
        if self.health.is_serving() {
            if self.receive.publish(&self.io) {
                mac::enable_receiver(&self.io);
            }
            self.transmit.publish(&self.io);
        }
    }

    #[inline]
    fn reap_tx(&mut self, _: usize, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.transmit
            .reap(&self.io, &mut self.path, each)
            .inspect_err(|fault| self.fail(*fault))
    }

    #[inline]
    fn reap_rx(&mut self, _: usize, most: usize, each: &mut dyn FnMut(RxBuffer)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.receive
            .reap(&self.io, &mut self.path, &mut self.counters, most, each)
            .inspect_err(|fault| self.fail(*fault))
    }

    fn arm(&mut self, _: usize, sent: bool) -> bool {
        if !self.health.is_serving() {
            return false;
        }
        let wanted = intrl2::RXDMA_DONE | if sent { intrl2::TXDMA_DONE } else { 0 };
        if self.armed != wanted {
            if self.has_work(sent) {
                return true;
            }
            self.disarm();
            // What happened before the next look is seen there; what happens after it interrupts.
            self.io.write_u32(intrl2::CLEAR, wanted);
            self.io.write_u32(intrl2::MASK_CLEAR, wanted);
            self.armed = wanted;
        }
        self.has_work(sent)
    }
}

impl<R: RegisterIo, P: DmaPool + DmaView> Device for Genet<'_, R, P>
where
    P::Memory: SharedPages,
{
    fn acknowledge(&mut self) -> Interrupt {
        if !self.health.is_serving() {
            mac::silence(&self.io);
            return Interrupt::default();
        }
        let link = intrl2::LINK_UP | intrl2::LINK_DOWN;
        let cause = self.io.read_u32(intrl2::STAT) & (self.armed | link);
        self.io.write_u32(intrl2::CLEAR, cause);
        let completions = cause & self.armed != 0;
        if completions {
            self.disarm();
            self.watch.missed = 0;
            if core::mem::take(&mut self.watch.deaf) {
                log::info!("genet: its interrupts come again");
            }
        }
        if cause & link != 0 {
            self.link.look(self.clock.now());
        }
        Interrupt {
            completions,
            // The PHY is asked first, in `tick`.
            config: false,
        }
    }

    fn tick(&mut self, now: Instant) -> Tick {
        if !self.health.is_serving() {
            return Tick::default();
        }
        if now >= self.watch.next {
            self.look_after(now);
        }
        let config = self.follow_link(now);
        let next = self.watch.next.min(self.link.next());
        Tick {
            config,
            again: Some(if self.watch.deaf {
                next.min(now.after(WITHOUT_INTERRUPTS))
            } else {
                next
            }),
        }
    }

    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        self.faults().each(each);
    }

    fn quiesce(&mut self) {
        self.put_out_of_service(Health::Quiesced);
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        self.begin_again().map_err(|error| {
            log::error!("genet: after a reset: {error}");
            DeviceFault("it does not come back from a reset")
        })
    }
}

impl<R: RegisterIo, P: DmaPool + DmaView> Genet<'_, R, P>
where
    P::Memory: SharedPages,
{
    #[inline]
    fn has_work(&self, sent: bool) -> bool {
        self.receive.has_filled(&self.io) || sent && self.transmit.has_done(&self.io)
    }
}
