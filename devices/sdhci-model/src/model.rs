//! The controller's registers (SD Host Controller Simplified Specification, §2.2).

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use outrigger_bus_model::Bus;

use crate::card::Card;
use crate::offer::{CardOffer, Slot};
use crate::transfer::{Event, Transfer};
use crate::{Fault, TestClock};

/// Status bits (§2.2.17, §2.2.18).
pub(crate) mod status {
    pub const COMMAND_COMPLETE: u32 = 1 << 0;
    pub const TRANSFER_COMPLETE: u32 = 1 << 1;
    pub const WRITE_READY: u32 = 1 << 4;
    pub const READ_READY: u32 = 1 << 5;
    pub const INSERTION: u32 = 1 << 6;
    pub const REMOVAL: u32 = 1 << 7;
    pub const ERROR: u32 = 1 << 15;
    pub const COMMAND_TIMEOUT: u32 = 1 << 16;
    pub const DATA_TIMEOUT: u32 = 1 << 20;
    pub const DATA_CRC: u32 = 1 << 21;
    pub const ADMA: u32 = 1 << 25;
}

pub(crate) struct Controller {
    pub slot: Slot,
    pub bus: Bus,
    pub card: Option<Card>,
    /// Cards put in later.
    inserted: u32,
    pub argument2: u32,
    pub block: u32,
    pub argument: u32,
    pub mode: u32,
    pub response: [u32; 4],
    pub control: u32,
    pub clock: u32,
    pub status: u32,
    pub status_enable: u32,
    pub signal_enable: u32,
    pub control2: u32,
    pub adma_address: u64,
    pub events: VecDeque<Event>,
    pub transfer: Option<Transfer>,
    /// Looks at the status until the next event.
    looks: u32,
    pub faults: VecDeque<(Option<u8>, Fault)>,
    /// No interrupt until the next command.
    pub mute: bool,
    pub deaf: bool,
    pub ones: bool,
    pub no_reset: bool,
    pub busy: bool,
    pub time: TestClock,
    /// The register written last, and when.
    pub last_write: (usize, u64),
    pub violations: Vec<String>,
    /// Commands seen, without `SEND_STATUS` of a driver that waits.
    pub commands: Vec<u8>,
}

/// The model; a clone is the same controller.
#[derive(Clone)]
pub struct SdhciModel(pub(crate) Rc<RefCell<Controller>>);

pub(crate) const INHIBIT_COMMAND: u32 = 1 << 0;
pub(crate) const INHIBIT_DATA: u32 = 1 << 1;

impl SdhciModel {
    /// A controller on `bus` with a card in its slot.
    pub fn new(slot: Slot, card: Option<CardOffer>, bus: &Bus) -> Self {
        Self(Rc::new(RefCell::new(Controller {
            slot,
            bus: bus.clone(),
            card: card.map(|card| Card::new(card, 0)),
            inserted: 0,
            argument2: 0,
            block: 0,
            argument: 0,
            mode: 0,
            response: [0; 4],
            control: 0,
            clock: 0,
            status: 0,
            status_enable: 0,
            signal_enable: 0,
            control2: 0,
            adma_address: 0,
            events: VecDeque::new(),
            transfer: None,
            looks: 0,
            faults: VecDeque::new(),
            mute: false,
            deaf: false,
            ones: false,
            no_reset: false,
            busy: false,
            time: TestClock::default(),
            last_write: (usize::MAX, 0),
            violations: Vec::new(),
            commands: Vec::new(),
        })))
    }

    /// The clock that its driver should have.
    pub fn clock(&self) -> TestClock {
        self.0.borrow().time.clone()
    }

    /// So many looks at the status before each event from now on; `u32::MAX`: only [`run`](Self::run).
    pub fn set_latency(&self, looks: u32) {
        self.0.borrow_mut().slot.latency = looks;
    }

    /// The next event happens. False if there is none to come.
    pub fn run(&self) -> bool {
        self.0.borrow_mut().next_event()
    }

    /// Whether its interrupt line is up.
    pub fn interrupt(&self) -> bool {
        let controller = self.0.borrow();
        !controller.mute && controller.status & controller.signal_enable != 0
    }

    /// The next command `index`, or just the next, meets this.
    pub fn inject(&self, index: Option<u8>, fault: Fault) {
        self.0.borrow_mut().faults.push_back((index, fault));
    }

    /// Faults that no command has met yet.
    pub fn faults_left(&self) -> usize {
        self.0.borrow().faults.len()
    }

    /// The card is pulled.
    pub fn pull(&self) {
        self.0.borrow_mut().pull();
    }

    /// Another card is put in.
    pub fn insert(&self, card: CardOffer) {
        let mut controller = self.0.borrow_mut();
        controller.inserted += 1;
        controller.card = Some(Card::new(card, controller.inserted));
    }

    /// The broken parts are mended: what [`Fault`]s have begun for good ends.
    pub fn mend(&self) {
        let mut controller = self.0.borrow_mut();
        (controller.deaf, controller.ones, controller.no_reset) = (false, false, false);
        controller.busy = false;
        controller.faults.clear();
    }

    /// What the card holds.
    pub fn contents(&self) -> Ref<'_, [u8]> {
        Ref::map(self.0.borrow(), |controller| {
            controller.card.as_ref().map_or(&[][..], |card| &card.contents)
        })
    }

    /// What of it would survive a power cut.
    pub fn durable(&self) -> Ref<'_, [u8]> {
        Ref::map(self.0.borrow(), |controller| {
            controller.card.as_ref().map_or(&[][..], |card| &card.durable)
        })
    }

    /// Changes what the card holds, as if it had been there before.
    pub fn fill(&self, contents: &[u8]) {
        if let Some(card) = &mut self.0.borrow_mut().card {
            card.contents[..contents.len()].copy_from_slice(contents);
            card.durable[..contents.len()].copy_from_slice(contents);
        }
    }

    /// The commands that came so far, and forgets them.
    pub fn take_commands(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().commands)
    }

    /// Whether a transfer is under way, or could begin.
    pub fn is_quiet(&self) -> bool {
        let controller = self.0.borrow();
        controller.transfer.is_none() && controller.events.is_empty() && controller.signal_enable == 0
    }

    /// Card clock in Hz, data lines and high speed, as the controller is set.
    pub fn bus_speed(&self) -> (u32, u32, bool) {
        let controller = self.0.borrow();
        (controller.hz(), controller.lines(), controller.control & 4 != 0)
    }

    /// What the driver did that it must not.
    pub fn violations(&self) -> Vec<String> {
        let controller = self.0.borrow();
        let card = controller.card.iter().flat_map(|card| card.violations.iter());
        controller.violations.iter().chain(card).cloned().collect()
    }

    /// # Panics
    /// The driver did something that the specifications forbid.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the driver must not: {violations:#?}");
    }
}

impl Controller {
    pub fn note(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    pub fn raise(&mut self, bits: u32) {
        self.status |= bits & self.status_enable;
    }

    pub fn hz(&self) -> u32 {
        let base = (self.slot.capabilities[0] >> 8 & 0xff) * 1_000_000;
        let n = if self.slot.version >= 2 {
            self.clock >> 8 & 0xff | (self.clock >> 6 & 3) << 8
        } else {
            self.clock >> 8 & 0xff
        };
        if n == 0 { base } else { base / (2 * n) }
    }

    pub fn lines(&self) -> u32 {
        match self.control {
            c if c & 0x20 != 0 => 8,
            c if c & 2 != 0 => 4,
            _ => 1,
        }
    }

    /// Power, and a stable clock that reaches the card.
    pub fn is_driven(&self) -> bool {
        self.control & 0x100 != 0 && self.clock & 5 == 5
    }

    pub fn pull(&mut self) {
        self.card = None;
        self.transfer = None;
        self.events.clear();
        if self.slot.card_detect {
            self.raise(status::REMOVAL);
        }
    }

    pub fn next_event(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else {
            return false;
        };
        self.happen(event);
        true
    }

    pub fn look(&mut self) {
        if self.looks < self.slot.latency {
            self.looks += 1;
        } else {
            self.looks = 0;
            self.next_event();
        }
    }

    pub fn present(&self) -> u32 {
        let card = u32::from(self.slot.card_detect && self.card.is_some()) * (7 << 16);
        let writable = u32::from(!self.slot.protected) << 19;
        let command = u32::from(self.events.iter().any(Event::is_response)) * INHIBIT_COMMAND;
        let data = self.transfer.is_some() || self.events.iter().any(Event::is_data);
        card | writable | command | (u32::from(data) * INHIBIT_DATA)
    }

    pub fn reset(&mut self, which: u32) {
        if which & 4 != 0 || which & 1 != 0 {
            self.transfer = None;
            self.events.retain(|event| which & 1 == 0 && !event.is_data());
            self.status &= !(status::WRITE_READY | status::READ_READY | status::TRANSFER_COMPLETE);
        }
        if which & 2 != 0 {
            self.events.retain(|event| !event.is_response());
            self.status &= !status::COMMAND_COMPLETE;
        }
        if which & 1 != 0 {
            (self.control, self.clock, self.control2) = (0, 0, 0);
            (self.status, self.status_enable, self.signal_enable) = (0, 0, 0);
            self.events.clear();
            if let Some(card) = &mut self.card {
                card.reset(true);
            }
        }
    }
}
