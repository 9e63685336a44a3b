//! The device.

use outrigger_devices::{
    Device, DeviceFault, DmaMemory, DmaPool, Health, InputDevice, InputEvent, InputLimits, Interrupt,
    RegisterIo,
};
use outrigger_ring::SharedPages;
use outrigger_virtio::{
    DESCRIPTOR_BYTES, DeviceId, Flags, NoMemory, OwnPages, SplitQueue, Transport, feature, write_descriptor,
};

use crate::ProbeError;
use crate::config::limits;

/// The queue of events.
const EVENTS: u16 = 0;

/// Bytes of an event: `le16 type, le16 code, le32 value` (§5.8.6).
const EVENT_BYTES: u32 = 8;

/// A virtio input device behind virtio-mmio registers `R`, with its queue in memory `M`.
#[derive(Debug)]
pub struct VirtioInput<R, M> {
    transport: Transport<R>,
    queue: EventQueue<M>,
    limits: InputLimits,
    health: Health,
    /// The memory of its queue.
    own: OwnPages<M>,
}

/// The queue, and the page of its buffers: that of head *n* is at 8 *n*.
#[derive(Debug)]
struct EventQueue<M> {
    ring: SplitQueue<M, ()>,
    buffers: DmaMemory<M>,
}

impl<R: RegisterIo, M: SharedPages + Clone> VirtioInput<R, M> {
    /// Resets the device behind `io` and brings it up, with three pages from `pool`.
    ///
    /// # Errors
    /// It is no input device, or none that can be used; it has been reset, and pages taken from the pool are free to go.
    pub fn probe(io: R, pool: &impl DmaPool<Memory = M>) -> Result<Self, ProbeError> {
        let transport = Transport::probe(io, DeviceId::INPUT)?;
        transport.reset()?;
        let own = OwnPages::default();
        match bring_up(&transport, &own.growing(pool)) {
            Ok((queue, limits)) => Ok(Self {
                transport,
                queue,
                limits,
                health: Health::Serving,
                own,
            }),
            Err(error) => {
                transport.reset()?;
                Err(error)
            }
        }
    }

    /// The device is not to be believed any more: resets it, so that it leaves memory alone.
    #[cold]
    fn fail(&mut self, fault: DeviceFault) {
        log::error!("virtio-input: {}", fault.0);
        self.stop(Health::Faulty(fault));
    }

    /// Resets it. False if it cannot be reset.
    fn stop(&mut self, health: Health) -> bool {
        self.health = health;
        let reset = self.transport.reset();
        if let Err(error) = &reset {
            log::error!("virtio-input: {error}");
        }
        self.queue.ring.retire();
        reset.is_ok()
    }
}

/// Everything from the handshake to a device that tells events.
fn bring_up<R: RegisterIo, M: SharedPages + Clone>(
    transport: &Transport<R>,
    pool: &impl DmaPool<Memory = M>,
) -> Result<(EventQueue<M>, InputLimits), ProbeError> {
    let features = transport.negotiate(feature::EVENT_IDX)?;
    let limits = limits(transport)?;
    let size = transport
        .queue_size_max(EVENTS)?
        .min(SplitQueue::<M, ()>::MAX_SIZE.into());
    if size < 2 {
        return Err(ProbeError::QueueSize(size));
    }
    let size = 1 << size.ilog2();
    let ring = SplitQueue::new(pool, size, 1, features & feature::EVENT_IDX != 0)?;
    let buffers = pool.page().ok_or(NoMemory)?;
    let mut queue = EventQueue { ring, buffers };
    for head in queue.ring.heads() {
        let at = usize::from(head);
        write_descriptor(
            queue.ring.table(),
            at * DESCRIPTOR_BYTES,
            queue.buffers.page.at(at * EVENT_BYTES as usize),
            EVENT_BYTES,
            Flags::WRITE,
            0,
        );
    }
    transport.install_queue(EVENTS, &queue.ring.addresses())?;
    transport.driver_ok()?;
    if queue.fill() {
        transport.notify(EVENTS);
    }
    Ok((queue, limits))
}

impl<M: SharedPages> EventQueue<M> {
    /// Gives the device all buffers that it does not have; true if it is to be notified.
    #[inline]
    fn fill(&mut self) -> bool {
        while self.ring.next_head().is_some() {
            self.ring.expose(());
        }
        self.ring.publish()
    }

    #[inline]
    fn reap(&mut self, each: &mut dyn FnMut(InputEvent)) -> Result<bool, DeviceFault> {
        self.ring.disarm();
        let pending = self.ring.pending()?;
        for _ in 0..pending {
            let used = self.ring.take()?;
            if used.len != EVENT_BYTES {
                return Err(DeviceFault("an event that is not 8 bytes long"));
            }
            // `take` has checked the head.
            let word = self
                .buffers
                .memory
                .load_u64(usize::from(used.head) * EVENT_BYTES as usize);
            each(InputEvent {
                kind: word as u16,
                code: (word >> 16) as u16,
                value: (word >> 32) as i32,
            });
        }
        Ok(pending > 0 && self.fill())
    }
}

impl<R: RegisterIo, M: SharedPages + Clone> InputDevice for VirtioInput<R, M> {
    fn limits(&self) -> InputLimits {
        self.limits
    }

    #[inline]
    fn reap(&mut self, each: &mut dyn FnMut(InputEvent)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        match self.queue.reap(each) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.transport.notify(EVENTS);
                Ok(())
            }
            Err(fault) => {
                self.fail(fault);
                Err(fault)
            }
        }
    }

    #[inline]
    fn arm(&mut self) -> bool {
        self.health.is_serving() && self.queue.ring.arm()
    }
}

impl<R: RegisterIo, M: SharedPages + Clone> Device for VirtioInput<R, M> {
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        let cause = self.transport.acknowledge();
        let mut completions = cause.used();
        if cause.config() && self.health.is_serving() && self.transport.needs_reset() {
            self.fail(DeviceFault("the device asks for a reset"));
            // So that the caller reaps, and learns of it.
            completions = true;
        }
        Interrupt {
            completions,
            config: false,
        }
    }

    fn quiesce(&mut self) {
        self.stop(Health::Quiesced);
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        // Before it has been reset it may write to its pages.
        if !self.stop(Health::Quiesced) {
            return Err(DeviceFault("it does not finish a reset"));
        }
        self.own.begin_again();
        match bring_up(&self.transport, &self.own) {
            Ok((queue, limits)) => {
                (self.queue, self.limits, self.health) = (queue, limits, Health::Serving);
                Ok(())
            }
            Err(error) => {
                log::error!("virtio-input: {error}");
                self.stop(Health::Quiesced);
                Err(DeviceFault("it does not come back from a reset"))
            }
        }
    }
}
