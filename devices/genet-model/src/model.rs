//! The controller and its wire.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use outrigger_bus_model::Bus;

use crate::engine::{Engine, Side};
use crate::phy::{Partner, Phy};
use crate::{Fault, map};

/// What the controller is, and how a boot loader left it.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// `SYS_REV_CTRL`.
    pub revision: u32,
    /// The PHY's address, and what it is.
    pub phy: u32,
    /// The PHY's identification.
    pub phy_id: u32,
    /// The address in its registers.
    pub mac: [u8; 6],
    /// The engines' indices cannot be written, and are these: receiver, transmitter.
    pub fixed_indices: Option<(u16, u16)>,
    /// A boot loader left both engines and the MAC running.
    pub left_running: bool,
    /// Works after every write of a register; otherwise when told to.
    pub eager: bool,
    /// The MAC does not tell of the link.
    pub no_link_interrupts: bool,
}

impl Default for Offer {
    /// A Pi 4's.
    fn default() -> Self {
        Self {
            revision: 0x0600_0000,
            phy: 1,
            phy_id: 0x600d_84a2,
            mac: [0xdc, 0xa6, 0x32, 1, 2, 3],
            fixed_indices: None,
            left_running: false,
            eager: true,
            no_link_interrupts: false,
        }
    }
}

/// The wire, as the test holds it.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Frames on their way in.
    pub arriving: VecDeque<Vec<u8>>,
    /// Frames that went out, padded, without frame check sequence.
    pub sent: Vec<Vec<u8>>,
    /// Frames that went nowhere: no link, receiver off, filtered.
    pub dropped: u64,
}

pub(crate) struct State {
    pub offer: Offer,
    pub bus: Bus,
    pub now: u64,
    pub plain: Vec<u32>,
    pub interrupts: [(u32, u32); 2],
    pub receive: Engine,
    pub transmit: Engine,
    pub phy: Phy,
    pub mdio: u32,
    pub mdio_end: u64,
    pub mdio_hangs: bool,
    pub mdio_silent: bool,
    pub deaf: bool,
    pub stuck: bool,
    pub next_frame: Option<Fault>,
    pub wire: Wire,
    pub violations: Vec<String>,
    pub reads: u64,
    pub writes: u64,
}

/// A GENET v5. A clone is the same one.
#[derive(Clone)]
pub struct GenetModel(Rc<RefCell<State>>);

impl GenetModel {
    /// A controller on a bus, without a cable.
    pub fn new(bus: &Bus, offer: Offer) -> Self {
        let (rx, tx) = offer.fixed_indices.unwrap_or((77, 78));
        let fixed = offer.fixed_indices.is_some();
        let mut state = State {
            offer,
            bus: bus.clone(),
            now: 1_000_000_000,
            plain: vec![0; map::END / 4],
            interrupts: [(0, 0); 2],
            receive: Engine::new(Side::Receive, rx, fixed),
            transmit: Engine::new(Side::Transmit, tx, fixed),
            phy: Phy::new(offer.phy_id),
            mdio: 0,
            mdio_end: 0,
            mdio_hangs: false,
            mdio_silent: false,
            deaf: false,
            stuck: false,
            next_frame: None,
            wire: Wire::default(),
            violations: Vec::new(),
            reads: 0,
            writes: 0,
        };
        let [a, b, c, d, e, f] = offer.mac;
        state.plain[map::ADDRESS[0] / 4] = u32::from_be_bytes([a, b, c, d]);
        state.plain[map::ADDRESS[1] / 4] = u32::from_be_bytes([0, 0, e, f]);
        state.plain[map::RBUF_READY / 4] = 0x80;
        state.plain[map::TBUF_READY / 4] = 0x80;
        if offer.left_running {
            state.plain[map::COMMAND / 4] = 3;
            for side in [Side::Receive, Side::Transmit] {
                let engine = state.engine(side);
                engine.zombie = true;
                engine.goes_on = Some(false);
            }
        }
        Self(Rc::new(RefCell::new(state)))
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Plugs a cable in, or pulls it.
    pub fn connect(&self, partner: Option<Partner>) {
        let state = &mut *self.state();
        let now = state.now;
        state.phy.connect(partner, now);
        state.pass(0);
    }

    /// Time goes on, and the controller works.
    pub fn pass(&self, time: Duration) {
        let state = &mut *self.state();
        state.pass(time.as_nanos() as u64);
        state.run();
    }

    /// Works as long as there is something to do.
    pub fn run(&self) {
        self.state().run();
    }

    /// A frame comes in.
    pub fn arrive(&self, frame: Vec<u8>) {
        let state = &mut *self.state();
        state.wire.arriving.push_back(frame);
        state.run();
    }

    /// What went out since it was last asked.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state().wire.sent)
    }

    /// The wire.
    pub fn wire(&self) -> Wire {
        self.state().wire.clone()
    }

    /// Breaks something.
    pub fn inject(&self, fault: Fault) {
        self.state().inject(fault);
    }

    /// Its first interrupt line.
    pub fn interrupts(&self) -> bool {
        let state = self.state();
        let line = |block: usize| state.interrupts[block].0 & !state.interrupts[block].1 != 0;
        !state.deaf && line(0)
    }

    /// Its second one, which the other queues have.
    pub fn second_line(&self) -> bool {
        let state = self.state();
        state.interrupts[1].0 & !state.interrupts[1].1 != 0
    }

    /// A register as it is, without an access.
    pub fn register(&self, at: usize) -> u32 {
        self.state().plain(at)
    }

    /// Reads and writes of registers so far.
    pub fn accesses(&self) -> (u64, u64) {
        let state = self.state();
        (state.reads, state.writes)
    }

    /// Whether either engine may touch memory.
    pub fn has_dma(&self) -> bool {
        let state = self.state();
        state.receive.runs() || state.transmit.runs()
    }

    /// How often the PHY began to negotiate; and its two clocks' delays, receive and transmit.
    pub fn phy(&self) -> (u32, bool, bool) {
        let phy = &self.state().phy;
        (phy.negotiations, phy.misc & 1 << 8 != 0, phy.clocks & 1 << 9 != 0)
    }

    /// Descriptors that the receiver has.
    pub fn buffers(&self) -> u16 {
        let state = self.state();
        if state.receive.runs() {
            state.receive.owned()
        } else {
            0
        }
    }

    /// What the driver must not do, and did.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// # Panics
    /// The driver did what it must not.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the driver did this: {violations:#?}");
    }
}

impl State {
    pub(crate) fn note(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(crate) fn count(&mut self, counter: usize, by: usize) {
        let place = &mut self.plain[(map::COUNTERS + counter) / 4];
        *place = place.wrapping_add(by as u32);
    }
}
