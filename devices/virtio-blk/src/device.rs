//! The disk.

use alloc::boxed::Box;

use outrigger_devices::{
    BlockDevice, BlockLimits, BlockRequest, Completion, Device, DeviceFault, DmaPool, Health, Interrupt,
    QueueFull, RegisterIo,
};
use outrigger_ring::SharedPages;
use outrigger_virtio::{DeviceId, OwnPages, SplitQueue, Transport, feature as ring_feature};

use crate::ProbeError;
use crate::config::{Config, capacity, feature};
use crate::request::{RequestQueue, Shape};
use crate::slot::{FIXED_DESCRIPTORS, SEGMENTS_MAX};

/// Without indirect descriptors a request may have this many segments: a 256-descriptor queue then holds 16 requests.
const CHAINED_SEGMENTS: usize = 14;

/// How much to use of what the device offers. Each is an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Queues.
    pub queues: u16,
    /// Descriptors a queue, which is the number of requests in flight: a power of two, at most 256.
    pub queue_size: u16,
    /// Segments a request, at most 250. With up to 58 of them a request takes 1 KiB of DMA memory.
    pub max_segments: usize,
}

impl Default for Options {
    /// 4 queues of 128 requests of 58 segments: 544 KiB at most.
    fn default() -> Self {
        Self {
            queues: 4,
            queue_size: 128,
            max_segments: 58,
        }
    }
}

/// A virtio block device behind virtio-mmio registers `R`, with queues in memory `M`.
#[derive(Debug)]
pub struct VirtioBlk<R, M> {
    transport: Transport<R>,
    queues: Box<[RequestQueue<M>]>,
    /// Their memory.
    own: OwnPages<M>,
    limits: BlockLimits,
    health: Health,
    options: Options,
}

impl<R: RegisterIo, M: SharedPages + Clone> VirtioBlk<R, M> {
    /// Resets the device behind `io` and brings it up, with pages from `pool`.
    ///
    /// # Errors
    /// It is no disk, or none that can be used; it has been reset, and pages taken from the pool are free to go.
    pub fn probe(io: R, pool: &impl DmaPool<Memory = M>, options: Options) -> Result<Self, ProbeError> {
        let transport = Transport::probe(io, DeviceId::BLOCK)?;
        transport.reset()?;
        let own = OwnPages::default();
        match bring_up(&transport, &own.growing(pool), options) {
            Ok((limits, queues)) => Ok(Self {
                transport,
                queues,
                own,
                limits,
                health: Health::Serving,
                options,
            }),
            Err(error) => {
                transport.reset()?;
                Err(error)
            }
        }
    }

    /// The device is not to be believed any more: resets it, so that it leaves memory alone, and forgets all requests.
    #[cold]
    fn fail(&mut self, fault: DeviceFault) {
        log::error!("virtio-blk: {}", fault.0);
        self.stop(Health::Faulty(fault));
    }

    /// Resets it, and forgets all requests. False if it cannot be reset.
    fn stop(&mut self, health: Health) -> bool {
        self.health = health;
        let reset = self.transport.reset();
        if let Err(error) = &reset {
            log::error!("virtio-blk: {error}");
        }
        for queue in &mut self.queues {
            queue.retire();
        }
        reset.is_ok()
    }

    #[cold]
    fn configuration_changed(&mut self) -> Result<bool, DeviceFault> {
        if self.transport.needs_reset() {
            return Err(DeviceFault("the device asks for a reset"));
        }
        let Ok(sectors) = self.transport.config(capacity) else {
            return Err(DeviceFault("the device's configuration never settles"));
        };
        let changed = self.limits.sectors != sectors;
        self.limits.sectors = sectors;
        Ok(changed)
    }
}

type Ready<M> = (BlockLimits, Box<[RequestQueue<M>]>);

/// Everything between reset and `DRIVER_OK`.
fn bring_up<R: RegisterIo, M: SharedPages + Clone>(
    transport: &Transport<R>,
    pool: &impl DmaPool<Memory = M>,
    options: Options,
) -> Result<Ready<M>, ProbeError> {
    let ring_features = ring_feature::INDIRECT_DESC | ring_feature::EVENT_IDX;
    let features = transport.negotiate(feature::WANTED | ring_features)?;
    let config = Config::read(transport, features)?;
    let count = config.queues.min(options.queues).max(1);
    // Every queue gets the shape of the smallest, so that one limit holds for all.
    let mut size_max = u32::from(SplitQueue::<M, ()>::MAX_SIZE);
    for queue in 0..count {
        size_max = size_max.min(transport.queue_size_max(queue)?);
    }
    let shape = shape(features, &config, &options, size_max)?;
    let queues = (0..count)
        .map(|index| {
            let queue = RequestQueue::new(pool, shape)?;
            transport.install_queue(index, &queue.addresses())?;
            Ok(queue)
        })
        .collect::<Result<Box<[_]>, ProbeError>>()?;
    transport.driver_ok()?;
    let limits = BlockLimits {
        sectors: config.sectors,
        read_only: config.read_only,
        logical_block_size: config.logical_block_size,
        physical_block_size: config.physical_block_size,
        flush: config.flush,
        max_segments: shape.segments,
        max_discard_sectors: config.max_discard_sectors,
        discard_alignment: config.discard_alignment,
        max_write_zeroes_sectors: config.max_write_zeroes_sectors,
        queues: queues.len(),
    };
    Ok((limits, queues))
}

/// `size_max` is what the device allows, at most [`SplitQueue::MAX_SIZE`].
fn shape(features: u64, config: &Config, options: &Options, size_max: u32) -> Result<Shape, ProbeError> {
    let indirect = features & ring_feature::INDIRECT_DESC != 0;
    let (size, segments) = if indirect {
        (
            u32::from(options.queue_size),
            options.max_segments.min(SEGMENTS_MAX),
        )
    } else {
        (size_max, options.max_segments.min(CHAINED_SEGMENTS))
    };
    let size = size.min(size_max);
    // Even an indirect chain must not be longer than the queue (§2.7.5.3.1).
    let Some(room) = size
        .checked_sub(u32::from(FIXED_DESCRIPTORS))
        .filter(|room| *room > 0)
    else {
        return Err(ProbeError::QueueSize(size));
    };
    let size = 1 << size.ilog2();
    let room = room.min(size - u32::from(FIXED_DESCRIPTORS)).min(config.seg_max);
    Ok(Shape {
        size: size as u16,
        segments: segments.clamp(1, room as usize),
        size_max: config.size_max,
        indirect,
        event_idx: features & ring_feature::EVENT_IDX != 0,
    })
}

impl<R: RegisterIo, M: SharedPages + Clone> BlockDevice for VirtioBlk<R, M> {
    fn limits(&self) -> BlockLimits {
        self.limits
    }

    #[inline]
    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        self.queues[queue].submit(request, &self.limits)
    }

    #[inline]
    fn commit(&mut self, queue: usize) {
        if self.queues[queue].publish() {
            self.transport.notify(queue as u16);
        }
    }

    #[inline]
    fn reap(&mut self, queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.queues[queue]
            .reap(each)
            .inspect_err(|fault| self.fail(*fault))
    }

    #[inline]
    fn arm(&mut self, queue: usize) -> bool {
        self.health.is_serving() && self.queues[queue].arm()
    }
}

impl<R: RegisterIo, M: SharedPages + Clone> Device for VirtioBlk<R, M> {
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        let cause = self.transport.acknowledge();
        let mut interrupt = Interrupt {
            completions: cause.used(),
            config: false,
        };
        // A device that is off, or beyond belief, has no configuration.
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
            Ok((limits, queues)) => {
                self.limits = limits;
                self.queues = queues;
                self.health = Health::Serving;
                Ok(())
            }
            Err(error) => {
                log::error!("virtio-blk: after a reset: {error}");
                self.stop(Health::Quiesced);
                Err(DeviceFault("it does not come back from a reset"))
            }
        }
    }
}
