//! The controller.

use core::time::Duration;

use outrigger_devices::{
    Clock, DeviceFault, DmaMemory, DmaPath, DmaPool, DmaView, Health, Instant, NetLimits, RegisterIo,
};
use outrigger_ring::SharedPages;

use crate::counters::{Counters, MacCounters};
use crate::engine::Engine;
use crate::link::Link;
use crate::receive::ReceiveQueue;
use crate::registers::{block, intrl2, sys};
use crate::transmit::{SEGMENTS_MAX, TransmitQueue};
use crate::{Options, ProbeError, mac, phy, transmit};

/// How long frames may wait for the engine while there is a link.
const TRANSMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a second may end with work that no interrupt told of, before interrupts are given up.
const MISSED_MAX: u32 = 3;
/// How long the PHY may take to tell of its link while the controller is brought up.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// What to look after beside the rings.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When the second ends.
    pub next: Instant,
    /// How far the transmitter was, and since when it has not got any further.
    sent: (u16, Instant),
    /// Seconds in a row that ended with work that no interrupt told of.
    pub missed: u32,
    /// Interrupts do not come.
    pub deaf: bool,
}

/// A GENET v5 behind registers `R`, on a way `P` to memory.
pub struct Genet<'c, R, P: DmaPool> {
    pub(crate) io: R,
    pub(crate) clock: &'c dyn Clock,
    pub(crate) path: DmaPath<P>,
    pub(crate) transmit: TransmitQueue<P::Memory>,
    pub(crate) receive: ReceiveQueue,
    /// Where descriptors lead to while the engines will not stop.
    sink: (DmaMemory<P::Memory>, u64),
    pub(crate) link: Link,
    pub(crate) limits: NetLimits,
    /// The interrupts of the rings that are not masked.
    pub(crate) armed: u32,
    pub(crate) watch: Watch,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    options: Options,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self {
            next: now,
            sent: (0, now),
            missed: 0,
            deaf: false,
        }
    }
}

impl<'c, R: RegisterIo, P: DmaPool + DmaView> Genet<'c, R, P>
where
    P::Memory: SharedPages,
{
    /// Resets the controller behind `io` and brings it up, with 17 pages of the pool behind `path`. It receives once it has
    /// buffers.
    ///
    /// # Errors
    /// It is none, or none that can be used. It has been stopped, unless it is another device or does not stop.
    pub fn probe(
        io: R,
        clock: &'c dyn Clock,
        path: DmaPath<P>,
        options: Options,
    ) -> Result<Self, ProbeError> {
        options.check()?;
        let revision = io.read_u32(sys::REV_CTRL);
        if revision >> 24 & 0xf != sys::MAJOR_V5 {
            return Err(ProbeError::Revision(revision));
        }
        // First of all: a boot loader, or an earlier life of this domain, may have left it running.
        halt(&io, clock);
        let slots = transmit::pages(&path)?;
        let sink = path.page().ok_or(ProbeError::NoMemory)?;
        let (mac, phy) = configure(&io, clock, sink.1, &options)?;
        let now = clock.now();
        let mut genet = Self {
            transmit: TransmitQueue::new(&io, slots, &options),
            receive: ReceiveQueue::new(&io, &options),
            io,
            clock,
            path,
            sink,
            link: Link::new(phy, now),
            limits: NetLimits {
                mac,
                mtu: options.mtu,
                tx_checksum: true,
                tso4: false,
                tso6: false,
                rx_gso: false,
                mergeable: false,
                rx_headroom: block::BYTES as u32,
                max_segments: SEGMENTS_MAX,
                queues: 1,
                link: false,
            },
            armed: 0,
            watch: Watch::new(now),
            counters: Counters::default(),
            health: Health::Serving,
            options,
        };
        genet.begin();
        Ok(genet)
    }

    /// Brings it up from the start, in the memory it has. It stays quiesced if it does not come up.
    pub(crate) fn begin_again(&mut self) -> Result<(), ProbeError> {
        self.put_out_of_service(Health::Quiesced);
        let (_, phy) = configure(&self.io, self.clock, self.sink.1, &self.options)?;
        self.counters = self.faults();
        let now = self.clock.now();
        self.transmit = TransmitQueue::new(&self.io, self.transmit.take_slots(), &self.options);
        self.receive = ReceiveQueue::new(&self.io, &self.options);
        self.link = Link::new(phy, now);
        self.limits.link = false;
        self.watch = Watch::new(now);
        self.health = Health::Serving;
        self.begin();
        Ok(())
    }

    /// From a controller that is configured to one that works.
    fn begin(&mut self) {
        Engine::Transmit.start(&self.io);
        mac::enable_transmitter(&self.io);
        self.io.write_u32(intrl2::CLEAR, u32::MAX);
        self.io
            .write_u32(intrl2::MASK_CLEAR, intrl2::LINK_UP | intrl2::LINK_DOWN);
        // A link that is up already, because only the domain starts over, is seen at once; another one when it is there.
        let end = self.clock.now().after(FIRST_LOOK);
        loop {
            let now = self.clock.now();
            let changed = self.follow_link(now);
            if changed || now >= end || self.link.is_idle() && self.link.next() > now {
                return;
            }
        }
    }

    /// Which frames are received: those to these addresses and broadcasts, or all of them. It has room for 16 addresses, and
    /// receives everything if there are more.
    ///
    /// A bridge wants everything, as [`NetDevice`] says: so it begins. This is for a domain that is alone on its card.
    pub fn set_filter(&mut self, addresses: Option<&[[u8; 6]]>) {
        if self.health.is_serving() {
            mac::set_filter(&self.io, addresses);
        }
    }

    /// What went wrong since it was probed.
    pub fn faults(&self) -> Counters {
        Counters {
            refused: self.counters.refused + self.transmit.refusals,
            link_changes: self.counters.link_changes + self.link.changes,
            lost_phy_reads: self.counters.lost_phy_reads + self.link.lost_reads,
            ..self.counters
        }
    }

    /// What the MAC counted since it was brought up.
    pub fn mac_counters(&self) -> MacCounters {
        MacCounters::read(&self.io)
    }

    /// It is not to be believed any more: stops it, so that it leaves memory alone, and forgets all frames.
    #[cold]
    pub(crate) fn fail(&mut self, fault: DeviceFault) {
        log::error!("genet: {}", fault.0);
        self.put_out_of_service(Health::Faulty(fault));
    }

    pub(crate) fn put_out_of_service(&mut self, health: Health) {
        self.health = health;
        self.armed = 0;
        if !stop_or_park(&self.io, self.clock, self.sink.1) {
            log::error!("genet: its DMA does not stop; all descriptors lead to a page that is nobody else's");
        }
        self.transmit.retire(&mut self.path);
        self.receive.retire(&mut self.path);
    }

    /// True if the link changed; the MAC follows.
    pub(crate) fn follow_link(&mut self, now: Instant) -> bool {
        let changed = self.link.poll(&self.io, now);
        if changed {
            let mode = self.link.mode();
            mac::set_link(&self.io, mode);
            self.limits.link = mode.is_some();
            if let Some(mode) = mode {
                log::info!("genet: {mode}");
            }
        }
        changed
    }

    /// Once a second: what does not move although it should.
    #[cold]
    pub(crate) fn look_after(&mut self, now: Instant) {
        self.watch.next = now.after(Duration::from_secs(1));
        let sent = self.transmit.progress();
        if self.watch.sent.0 != sent || !self.transmit.is_busy() || !self.limits.link {
            self.watch.sent = (sent, now);
        } else if now.since(self.watch.sent.1) >= TRANSMIT_TIMEOUT && !self.transmit.has_done(&self.io) {
            return self.fail(DeviceFault("its transmitter is stuck"));
        }
        let missed = self.armed & intrl2::RXDMA_DONE != 0 && self.receive.has_filled(&self.io)
            || self.armed & intrl2::TXDMA_DONE != 0 && self.transmit.has_done(&self.io);
        if !missed {
            return;
        }
        self.watch.missed += 1;
        self.counters.lost_interrupts += 1;
        if self.watch.missed >= MISSED_MAX && !self.watch.deaf {
            self.watch.deaf = true;
            log::warn!("genet: its interrupts do not come; it is looked at every millisecond instead");
        }
    }

    /// Masks the rings' interrupts after there was one, or when there is no need for one.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if self.armed != 0 {
            self.io.write_u32(intrl2::MASK_SET, self.armed);
            self.armed = 0;
        }
    }
}

/// Stops the controller behind `io`, if there is one, as far as it lets itself be stopped: before memory is used again that
/// an earlier life of this domain may have given to it. It says no more until it is probed.
pub fn stop(io: &impl RegisterIo, clock: &dyn Clock) {
    if io.read_u32(sys::REV_CTRL) >> 24 & 0xf == sys::MAJOR_V5 {
        halt(io, clock);
    }
}

/// Stops the controller and configures it, with its PHY found and set up: its address, and the PHY's.
fn configure(
    io: &impl RegisterIo,
    clock: &dyn Clock,
    sink: u64,
    options: &Options,
) -> Result<([u8; 6], u8), ProbeError> {
    let found = mac::address(io);
    let mac = options.mac.unwrap_or(found);
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(ProbeError::Mac(mac));
    }
    if !stop_or_park(io, clock, sink) {
        return Err(ProbeError::DmaStuck);
    }
    mac::configure(io, options, mac);
    mac::set_filter(io, None);
    let phy = phy::find(io, clock, options.phy)?;
    log::info!("genet: PHY {:08x} at address {}", phy.1, phy.0);
    phy::set_up(io, clock, phy, options.phy_mode)?;
    Ok((mac, phy.0))
}

/// Stops everything. Which of the engines did.
fn halt(io: &impl RegisterIo, clock: &dyn Clock) -> [(Engine, bool); 2] {
    mac::silence(io);
    let address = mac::address(io);
    mac::disable_receiver(io);
    // The transmitter still runs, so that the engine gets rid of what it has.
    let stopped = [Engine::Transmit, Engine::Receive].map(|engine| (engine, engine.stop(io, clock)));
    mac::reset(io, clock);
    mac::flush(io, clock);
    // It may be known nowhere else.
    mac::set_address(io, address);
    stopped
}

/// Stops both engines and empties the buffers. False if one goes on; then no descriptor leads to memory that is anybody
/// else's any more.
fn stop_or_park(io: &impl RegisterIo, clock: &dyn Clock, sink: u64) -> bool {
    let mut running = halt(io, clock);
    for (engine, stopped) in &mut running {
        if !*stopped {
            engine.park(io, sink);
            *stopped = engine.stop(io, clock);
        }
    }
    running.iter().all(|(_, stopped)| *stopped)
}
