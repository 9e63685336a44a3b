//! The card.

use alloc::boxed::Box;

use outrigger_devices::{
    Device, DeviceFault, DmaMemory, DmaPool, DmaSegment, Health, Interrupt, NetDevice, NetLimits, QueueFull,
    RegisterIo, RxBuffer, Tag, TxFrame,
};
use outrigger_ring::SharedPages;
use outrigger_virtio::{DeviceId, OwnPages, QueueAddresses, SplitQueue, Transport, feature as ring_feature};

use crate::ProbeError;
use crate::config::{Config, feature, link, wanted};
use crate::control::{Command, ControlQueue};
use crate::header::HEADER_BYTES;
use crate::receive::ReceiveQueue;
use crate::transmit::{SEGMENTS_MAX, Shape, TransmitQueue};

/// Without indirect descriptors a frame may have this many segments: a 256-descriptor queue then holds 32 frames.
const CHAINED_SEGMENTS: usize = 7;

/// How much to use of what the card offers. All but `mac` are upper bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Pairs of queues.
    pub queues: u16,
    /// Descriptors a queue, which is the number of frames and of buffers in flight: a power of two, at most 256.
    pub queue_size: u16,
    /// Segments a frame, at most 254. With up to 30 of them a frame to send takes 512 bytes of DMA memory.
    pub max_segments: usize,
    /// The address to use if the card has none of its own.
    pub mac: [u8; 6],
}

impl Default for Options {
    /// One pair of queues of 256 frames of 30 segments: 148 KiB. More pairs gain a domain of one vCPU nothing, and each
    /// costs it a look every turn.
    fn default() -> Self {
        Self {
            queues: 1,
            queue_size: 256,
            max_segments: 30,
            mac: [0x02, 0, 0, 0, 0, 1],
        }
    }
}

/// Two queues that belong together: number 2 *n* and 2 *n* + 1 of the card.
#[derive(Debug)]
pub(crate) struct Pair<M> {
    pub receive: ReceiveQueue<M>,
    pub transmit: TransmitQueue<M>,
}

/// A virtio network card behind virtio-mmio registers `R`, with queues in memory `M`.
#[derive(Debug)]
pub struct VirtioNet<R, M> {
    transport: Transport<R>,
    ready: Ready<M>,
    /// The memory of its queues.
    own: OwnPages<M>,
    /// The backend's pages to receive into, by tag.
    buffers: Box<[DmaMemory<M>]>,
    health: Health,
    options: Options,
}

impl<R: RegisterIo, M: SharedPages + Clone> VirtioNet<R, M> {
    /// Resets the card behind `io` and brings it up, with pages from `pool` for its queues. `buffers` are the pages that
    /// the backend will [post](NetDevice::post) pieces of: a buffer with tag *n* lies in the *n*-th, where the driver reads
    /// what the card says of a frame.
    ///
    /// # Errors
    /// It is no network card, or none that can be used; it has been reset, and pages taken from the pool are free to go.
    pub fn probe(
        io: R,
        pool: &impl DmaPool<Memory = M>,
        buffers: impl Into<Box<[DmaMemory<M>]>>,
        options: Options,
    ) -> Result<Self, ProbeError> {
        let transport = Transport::probe(io, DeviceId::NETWORK)?;
        transport.reset()?;
        let own = OwnPages::default();
        match bring_up(&transport, &own.growing(pool), options) {
            Ok(ready) => Ok(Self {
                transport,
                ready,
                own,
                buffers: buffers.into(),
                health: Health::Serving,
                options,
            }),
            Err(error) => {
                transport.reset()?;
                Err(error)
            }
        }
    }

    /// The card is not to be believed any more: resets it, so that it leaves memory alone, and forgets all frames.
    #[cold]
    fn fail(&mut self, fault: DeviceFault) {
        log::error!("virtio-net: {}", fault.0);
        self.stop(Health::Faulty(fault));
    }

    /// Resets it, and forgets all frames and buffers. False if it cannot be reset.
    fn stop(&mut self, health: Health) -> bool {
        self.health = health;
        let reset = self.transport.reset();
        if let Err(error) = &reset {
            log::error!("virtio-net: {error}");
        }
        for pair in &mut self.ready.pairs {
            pair.receive.retire();
            pair.transmit.retire();
        }
        reset.is_ok()
    }

    #[cold]
    fn configuration_changed(&mut self) -> Result<bool, DeviceFault> {
        if self.transport.needs_reset() {
            return Err(DeviceFault("the card asks for a reset"));
        }
        let Ok(link) = self.transport.config(|t| link(t, self.ready.features)) else {
            return Err(DeviceFault("the card's configuration never settles"));
        };
        let changed = self.ready.limits.link != link;
        self.ready.limits.link = link;
        Ok(changed)
    }
}

/// A card that was brought up.
#[derive(Debug)]
struct Ready<M> {
    limits: NetLimits,
    /// Those in force.
    features: u64,
    pairs: Box<[Pair<M>]>,
}

/// Everything from the handshake to a card that receives.
fn bring_up<R: RegisterIo, M: SharedPages + Clone>(
    transport: &Transport<R>,
    pool: &impl DmaPool<Memory = M>,
    options: Options,
) -> Result<Ready<M>, ProbeError> {
    let features = transport.negotiate_with(wanted)?;
    let has = |bit: u64| features & bit != 0;
    let event_idx = has(ring_feature::EVENT_IDX);
    let config = Config::read(transport, features)?;
    let count = config.pairs.min(options.queues).max(1);
    // Every queue gets the size of the smallest.
    let mut size_max = u32::from(SplitQueue::<M, ()>::MAX_SIZE);
    for queue in 0..2 * count {
        size_max = size_max.min(transport.queue_size_max(queue)?);
    }
    let shape = shape(features, &options, size_max)?;
    let install = |queue: u16, at: QueueAddresses| transport.install_queue(queue, &at);
    let pairs = (0..count)
        .map(|pair| {
            let receive = ReceiveQueue::new(pool, shape.size, event_idx, features)?;
            let transmit = TransmitQueue::new(pool, shape)?;
            install(2 * pair, receive.addresses())?;
            install(2 * pair + 1, transmit.addresses())?;
            Ok(Pair { receive, transmit })
        })
        .collect::<Result<Box<[_]>, ProbeError>>()?;
    // Given up once the card has obeyed: nothing is asked of it later.
    let mut control = None;
    if has(feature::CTRL_VQ) {
        // Behind all the pairs that there are, in use or not.
        let index = 2 * config.pairs;
        let size = transport.queue_size_max(index)?;
        if size < 2 {
            return Err(ProbeError::QueueSize(size));
        }
        let queue = ControlQueue::new(pool, index, event_idx)?;
        install(queue.index(), queue.addresses())?;
        control = Some(queue);
    }
    transport.driver_ok()?;
    if let Some(queue) = &mut control {
        // A card that cannot be told hands over everything anyway.
        if has(feature::CTRL_RX) {
            queue.obey(transport, Command::Promiscuous)?;
        }
        if count > 1 {
            queue.obey(transport, Command::Pairs(count))?;
        }
    }
    let limits = NetLimits {
        mac: config.mac.unwrap_or(options.mac),
        mtu: config.mtu,
        tx_checksum: shape.checksum,
        tso4: shape.tso4,
        tso6: shape.tso6,
        rx_gso: has(feature::GUEST_TSO4 | feature::GUEST_TSO6),
        mergeable: has(feature::MRG_RXBUF),
        rx_headroom: HEADER_BYTES,
        max_segments: shape.segments,
        queues: count.into(),
        link: config.link,
    };
    Ok(Ready {
        limits,
        features,
        pairs,
    })
}

/// `size_max` is what the card allows, at most [`SplitQueue::MAX_SIZE`].
fn shape(features: u64, options: &Options, size_max: u32) -> Result<Shape, ProbeError> {
    let has = |bit: u64| features & bit != 0;
    let indirect = has(ring_feature::INDIRECT_DESC);
    let size = size_max.min(options.queue_size.into());
    if size < 2 {
        return Err(ProbeError::QueueSize(size));
    }
    let size = 1u16 << size.ilog2();
    let segments = if indirect {
        options.max_segments.min(SEGMENTS_MAX)
    } else {
        options.max_segments.min(CHAINED_SEGMENTS)
    };
    Ok(Shape {
        size,
        // Even an indirect chain must not be longer than the queue (§2.7.5.3.1), and one descriptor is the header's.
        segments: segments.clamp(1, usize::from(size) - 1),
        indirect,
        event_idx: has(ring_feature::EVENT_IDX),
        checksum: has(feature::CSUM),
        tso4: has(feature::HOST_TSO4),
        tso6: has(feature::HOST_TSO6),
    })
}

impl<R: RegisterIo, M: SharedPages + Clone> NetDevice for VirtioNet<R, M> {
    fn limits(&self) -> NetLimits {
        self.ready.limits
    }

    #[inline]
    fn submit(&mut self, queue: usize, frame: &TxFrame<'_>) -> Result<(), QueueFull> {
        self.ready.pairs[queue].transmit.submit(frame)
    }

    /// # Panics
    /// The buffer is not in the page that its tag names (see [`VirtioNet::probe`]), not aligned to 8 bytes, or has no room
    /// for a header.
    #[inline]
    fn post(&mut self, queue: usize, tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull> {
        self.ready.pairs[queue].receive.post(&self.buffers, tag, buffer)
    }

    #[inline]
    fn commit(&mut self, queue: usize) {
        let pair = &mut self.ready.pairs[queue];
        if pair.receive.publish() {
            self.transport.notify(2 * queue as u16);
        }
        if pair.transmit.publish() {
            self.transport.notify(2 * queue as u16 + 1);
        }
    }

    #[inline]
    fn reap_tx(&mut self, queue: usize, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.ready.pairs[queue]
            .transmit
            .reap(each)
            .inspect_err(|fault| self.fail(*fault))
    }

    #[inline]
    fn reap_rx(
        &mut self,
        queue: usize,
        most: usize,
        each: &mut dyn FnMut(RxBuffer),
    ) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.ready.pairs[queue]
            .receive
            .reap(&self.buffers, most, each)
            .inspect_err(|fault| self.fail(*fault))
    }

    #[inline]
    fn arm(&mut self, queue: usize, sent: bool) -> bool {
        if !self.health.is_serving() {
            return false;
        }
        let pair = &mut self.ready.pairs[queue];
        // Whoever has received something takes another turn anyway.
        pair.receive.arm() || (sent && pair.transmit.arm())
    }
}

impl<R: RegisterIo, M: SharedPages + Clone> Device for VirtioNet<R, M> {
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        let cause = self.transport.acknowledge();
        let mut interrupt = Interrupt {
            completions: cause.used(),
            config: false,
        };
        // A card that is off, or beyond belief, has no configuration.
        if cause.config() && self.health.is_serving() {
            match self.configuration_changed() {
                Ok(changed) => interrupt.config = changed,
                Err(fault) => {
                    self.fail(fault);
                    // So that the caller reaps, and learns of it.
                    interrupt.completions = true;
                }
            }
        }
        interrupt
    }

    fn quiesce(&mut self) {
        self.stop(Health::Quiesced);
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        if !self.stop(Health::Quiesced) {
            return Err(DeviceFault("it cannot be reset"));
        }
        self.own.begin_again();
        match bring_up(&self.transport, &self.own, self.options) {
            Ok(ready) => {
                self.ready = ready;
                self.health = Health::Serving;
                Ok(())
            }
            Err(error) => {
                log::error!("virtio-net: after a reset: {error}");
                self.stop(Health::Quiesced);
                Err(DeviceFault("it does not come back from a reset"))
            }
        }
    }
}
