//! The disk.

use alloc::vec::Vec;

use outrigger_devices::{
    BlockDevice, BlockLimits, BlockRequest, Clock, Completion, Device, DeviceFault, DmaPath, DmaPool,
    DmaReach, DmaView, Health, Instant, Interrupt, PAGE_SIZE, QueueFull, RegisterIo,
};
use outrigger_ring::SharedPages;

use crate::adma::Table;
use crate::card::{Card, Kind};
use crate::engine::{Engine, Progress};
use crate::host::{Adma, Host};
use crate::identify::identify;
use crate::queue::Queue;
use crate::{Chip, ProbeError};

/// How much to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Requests that may wait for the card.
    pub queue_size: usize,
    /// Segments a request: at most 256, which is what one page of descriptors holds in any case.
    pub max_segments: usize,
    /// All data through the data port, even if the controller has ADMA2.
    pub by_hand: bool,
}

impl Default for Options {
    /// 64 requests of 64 segments: 64 KiB, and as many pages to bounce through if not all memory is within reach.
    fn default() -> Self {
        Self {
            queue_size: 64,
            max_segments: 64,
            by_hand: false,
        }
    }
}

/// Most segments a table of the longest descriptors holds.
const SEGMENTS_MAX: usize = PAGE_SIZE / 16;

/// Most sectors a discard, which nothing else goes on beside: 16 MiB.
const DISCARD_MAX: u32 = 1 << 15;

/// An SD card or an eMMC behind an SD host controller with registers `R`, memory from pool `P` and clock `C`.
pub struct Sdhci<R, P: DmaPool, C> {
    engine: Engine<R, P, C>,
    queue: Queue,
    limits: BlockLimits,
    health: Health,
    options: Options,
}

impl<R, P, C> Sdhci<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    /// Resets the controller behind `io` and brings it and its card up. `reach` is what it reaches of memory by the device
    /// tree; what of that its addresses are too short for, the driver takes away itself. Takes up to some two seconds.
    ///
    /// # Errors
    /// There is no controller, no card, or none that can be used; the controller has been reset.
    pub fn probe(
        io: R,
        pool: P,
        clock: C,
        chip: Chip,
        reach: DmaReach,
        options: Options,
    ) -> Result<Self, ProbeError> {
        let mut host = Host::find(io, clock, chip)?;
        let card = bring_up(&mut host, &options)?;
        let bits = match host.adma {
            Adma::None | Adma::Bits32 => 32,
            Adma::Bits64 | Adma::Version4 => 64,
        };
        let adma = host.adma != Adma::None;
        let max_segments = options.max_segments.clamp(1, SEGMENTS_MAX);
        let path = DmaPath::new(pool, reach.limited(bits), if adma { max_segments } else { 0 });
        let table = adma.then(|| Table::new(&path, host.adma).ok_or(ProbeError::NoMemory));
        let table = table.transpose()?;
        let limits = limits(&host, &card, max_segments);
        let kind = match card.kind {
            Kind::Sd => "SD card",
            Kind::Emmc => "eMMC",
        };
        let dma = match host.adma {
            Adma::None => "no DMA",
            Adma::Bits32 => "ADMA2 of 32 bits",
            Adma::Bits64 | Adma::Version4 => "ADMA2 of 64 bits",
        };
        let coherent = if path.reach().coherent {
            ""
        } else {
            ", not coherent"
        };
        let protected = if limits.read_only { ", write-protected" } else { "" };
        log::info!(
            "sdhci: {kind} of {} MiB, {dma}{coherent}{protected}",
            card.sectors / 2048
        );
        Ok(Self {
            queue: queue(&options, &limits),
            engine: Engine {
                host,
                card,
                path,
                table,
                active: None,
                loans: Vec::with_capacity(max_segments),
                moved: 0,
            },
            limits,
            health: Health::Serving,
            options,
        })
    }

    /// Brings controller and card up from the start, in the memory they have.
    fn begin_again(&mut self) -> Result<(), DeviceFault> {
        self.stop(Health::Quiesced);
        let Engine { host, card, .. } = &mut self.engine;
        let adma = host.adma;
        let found = host.look().and_then(|()| bring_up(host, &self.options));
        let is_same = |found: &Card| (found.kind, found.cid) == (card.kind, card.cid);
        match found {
            Ok(found) if host.adma == adma && is_same(&found) => *card = found,
            Ok(_) => {
                self.stop(Health::Quiesced);
                return Err(DeviceFault("another card is in the slot"));
            }
            Err(error) => {
                log::error!("sdhci: after a reset: {error}");
                return Err(DeviceFault("it does not come back from a reset"));
            }
        }
        self.limits = limits(host, card, self.limits.max_segments);
        self.queue = queue(&self.options, &self.limits);
        self.health = Health::Serving;
        Ok(())
    }

    /// Neither controller nor card are to be believed any more.
    #[cold]
    fn fail(&mut self, fault: DeviceFault) {
        log::error!("sdhci: {}", fault.0);
        self.stop(Health::Faulty(fault));
    }

    fn stop(&mut self, health: Health) {
        self.health = health;
        if self.engine.host.reset().is_err() {
            log::error!("sdhci: the controller does not even reset");
        }
        self.engine.active = None;
        self.engine.take_back(false);
        self.queue.retire();
    }

    /// Begins the request whose turn it is, if nothing is under way.
    fn start_next(&mut self) {
        if self.engine.active.is_none()
            && let Some(request) = self.queue.first()
        {
            self.engine.start(&request, 0, false);
        }
    }

    /// Hands over what has ended. Bounded: nothing is submitted meanwhile, and data that is moved by hand is left for
    /// another time after a while.
    fn pump(&mut self, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        self.engine.moved = 0;
        while let Some(request) = self.queue.first() {
            match self.engine.advance(&request)? {
                Progress::Pending => break,
                Progress::More => {}
                Progress::Ended(status) => {
                    let tag = request.tag;
                    self.queue.pop();
                    each(Completion { tag, status });
                    self.start_next();
                }
            }
            if self.engine.moved >= MOVED_AT_ONCE {
                break;
            }
        }
        Ok(())
    }
}

/// Blocks moved by hand in one turn of the loop, or somewhat more: 4 KiB. Others have their turn, too, and the watchdog wants a
/// sign of life; an emulated controller takes microseconds a word.
const MOVED_AT_ONCE: u32 = 8;

/// From a controller that was reset to a card that takes requests.
fn bring_up<R: RegisterIo, C: Clock>(host: &mut Host<R, C>, options: &Options) -> Result<Card, ProbeError> {
    if options.by_hand {
        host.adma = Adma::None;
    }
    let card = host.power_up().and_then(|()| identify(host));
    if card.is_err() {
        // One that does not reset keeps its lines to itself; there is nothing more to be done about it.
        let _ = host.reset();
    } else {
        host.use_adma();
    }
    card
}

/// An empty queue of a card with these limits.
fn queue(options: &Options, limits: &BlockLimits) -> Queue {
    Queue::new(options.queue_size, limits.max_segments, limits.discard_alignment)
}

fn limits<R: RegisterIo, C: Clock>(host: &Host<R, C>, card: &Card, max_segments: usize) -> BlockLimits {
    let read_only = card.protected || host.is_protected();
    let discards = card.discard.is_some() && !read_only;
    BlockLimits {
        sectors: card.sectors,
        read_only,
        logical_block_size: 512,
        physical_block_size: 512,
        flush: false,
        max_segments,
        max_discard_sectors: if discards { DISCARD_MAX } else { 0 },
        discard_alignment: card.discard.map_or(1, |discard| discard.granularity),
        max_write_zeroes_sectors: 0,
        queues: 1,
    }
}

impl<R, P, C> BlockDevice for Sdhci<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    fn limits(&self) -> BlockLimits {
        self.limits
    }

    fn submit(&mut self, _queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        self.queue.submit(request, &self.limits)
    }

    fn commit(&mut self, _queue: usize) {
        if self.health.is_serving() {
            self.start_next();
        }
    }

    fn reap(&mut self, _queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        if let Some(end) = self.health.out_of_service() {
            return end;
        }
        self.queue.take_answers(each);
        self.engine.host.disarm();
        self.pump(each).inspect_err(|fault| self.fail(*fault))
    }

    fn arm(&mut self, _queue: usize) -> bool {
        if !self.health.is_serving() {
            return false;
        }
        self.engine.arm();
        self.queue.has_answers() || self.engine.has_news()
    }
}

impl<R, P, C> Device for Sdhci<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    fn acknowledge(&mut self) -> Interrupt {
        if self.health.is_serving() {
            // The line falls; what it was about stays in the status, for `reap`.
            self.engine.host.disarm();
        }
        Interrupt {
            completions: true,
            config: false,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.engine.deadline()
    }

    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        self.engine.path.counters().each(each);
    }

    fn quiesce(&mut self) {
        self.stop(Health::Quiesced);
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        self.begin_again()
    }
}
