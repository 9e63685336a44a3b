//! The function.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use outrigger_hal::Instant;

use crate::config::{at, reset_values};
use crate::{EcamPage, Fault, Offer, TestClock, WindowModel};

/// Bytes of its configuration space.
pub(crate) const SPACE: usize = 4096;
/// How long it may not be spoken to after it was woken.
pub(crate) const POWER: Duration = Duration::from_millis(10);
/// How long it may not be spoken to after a reset has begun.
const SILENCE: Duration = Duration::from_millis(100);

/// What is behind the BARs.
pub trait Endpoint {
    /// Reads `len` bytes.
    fn read(&self, bar: u8, at: u64, len: usize) -> u64;
    /// Writes `len` bytes.
    fn write(&self, bar: u8, at: u64, len: usize, value: u64);
    /// A reset of the function.
    fn reset(&self);
    /// Whether it asks for an interrupt by its line.
    fn is_line_up(&self) -> bool;
}

/// An entry of the MSI-X table.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub words: [u32; 4],
    pending: bool,
}

pub(crate) struct State {
    pub config: Vec<u8>,
    pub mask: Vec<u8>,
    pub table: Vec<Entry>,
    faults: Vec<Fault>,
    /// It may not be spoken to before.
    pub busy_until: Instant,
    /// It does not answer before.
    ready_at: Instant,
    endpoint: Option<Rc<dyn Endpoint>>,
    messages: Vec<(u64, u32)>,
    violations: Vec<&'static str>,
    resets: u32,
}

/// A function; a clone is the same one.
#[derive(Clone)]
pub struct FunctionModel {
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) offer: Rc<Offer>,
    pub(crate) clock: TestClock,
}

fn table(offer: &Offer) -> Vec<Entry> {
    let masked = Entry {
        words: [0, 0, 0, 1],
        pending: false,
    };
    vec![masked; offer.msix.map_or(0, |(_, _, vectors)| vectors.into())]
}

impl FunctionModel {
    /// A function as it is after power-on.
    pub fn new(offer: Offer, clock: &TestClock) -> Self {
        let (config, mask) = reset_values(&offer);
        Self {
            state: Rc::new(RefCell::new(State {
                config,
                mask,
                table: table(&offer),
                faults: Vec::new(),
                busy_until: Instant(0),
                ready_at: Instant(0),
                endpoint: None,
                messages: Vec::new(),
                violations: Vec::new(),
                resets: 0,
            })),
            offer: Rc::new(offer),
            clock: clock.clone(),
        }
    }

    /// Puts something behind the BARs.
    pub fn connect(&self, endpoint: Rc<dyn Endpoint>) {
        self.state.borrow_mut().endpoint = Some(endpoint);
    }

    /// Its page of ECAM.
    pub fn ecam(&self) -> EcamPage {
        EcamPage(self.clone())
    }

    /// The window that its BARs lie in.
    pub fn window(&self) -> WindowModel {
        WindowModel(self.clone())
    }

    /// Time, as the function sees it.
    pub fn clock(&self) -> TestClock {
        self.clock.clone()
    }

    /// Breaks it.
    pub fn inject(&self, fault: Fault) {
        self.state.borrow_mut().faults.push(fault);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.state.borrow_mut().faults.clear();
    }

    pub(crate) fn has_fault(&self, fault: Fault) -> bool {
        self.state.borrow().faults.contains(&fault)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.has_fault(Fault::Gone)
    }

    pub(crate) fn first_capability(&self) -> Option<u8> {
        self.state.borrow().faults.iter().find_map(|fault| match fault {
            Fault::CapabilityAt(at) => Some(*at),
            _ => None,
        })
    }

    /// The bits of a byte that writes change, after what is wrong with its BAR.
    pub(crate) fn writable(&self, byte: usize, value: u8) -> u8 {
        let state = self.state.borrow();
        let mut mask = state.mask[byte];
        for fault in &state.faults {
            match *fault {
                // It can be sized.
                Fault::BarStuck(bar)
                    if (0x10 + 4 * bar..0x18 + 4 * bar).contains(&byte) && value != u8::MAX =>
                {
                    mask = 0;
                }
                Fault::BarMask(bar, bits) if (0x10 + 4 * bar..0x14 + 4 * bar).contains(&byte) => {
                    mask = bits.to_le_bytes()[(byte - 0x10) % 4];
                }
                _ => {}
            }
        }
        mask
    }

    /// Whether it does not answer now; it is `what` that it is asked.
    pub(crate) fn is_silent(&self, what: &'static str) -> bool {
        if self.is_gone() {
            return true;
        }
        let now = self.clock.peek();
        let (busy_until, ready_at) = {
            let state = self.state.borrow();
            (state.busy_until, state.ready_at)
        };
        if now < busy_until {
            self.blame(what);
        }
        now < busy_until || now < ready_at
    }

    /// The driver did what is forbidden.
    pub fn blame(&self, what: &'static str) {
        self.state.borrow_mut().violations.push(what);
    }

    /// # Panics
    /// The driver did what is forbidden.
    pub fn assert_clean(&self) {
        let state = self.state.borrow();
        assert!(state.violations.is_empty(), "forbidden: {:?}", state.violations);
    }

    pub(crate) fn config_u16(&self, at: usize) -> u16 {
        let state = self.state.borrow();
        u16::from_le_bytes([state.config[at], state.config[at + 1]])
    }

    fn config_u32(&self, at: usize) -> u32 {
        u32::from(self.config_u16(at)) | u32::from(self.config_u16(at + 2)) << 16
    }

    /// COMMAND.
    pub fn command(&self) -> u16 {
        self.config_u16(4)
    }

    pub(crate) fn is_decoding(&self) -> bool {
        self.command() & 2 != 0
    }

    pub(crate) fn has_flr(&self) -> bool {
        self.offer.flr
    }

    /// Whether it may read and write memory.
    pub fn is_bus_master(&self) -> bool {
        self.command() & 4 != 0 && !self.is_gone()
    }

    /// Its memory BARs: index, address, bytes.
    pub fn bars(&self) -> Vec<(u8, u64, u64)> {
        let bar = |(index, size, wide): &(usize, u64, bool)| {
            let low = u64::from(self.config_u32(0x10 + 4 * index) & !0xf);
            let high = if *wide {
                self.config_u32(0x14 + 4 * index)
            } else {
                0
            };
            (*index as u8, low | u64::from(high) << 32, *size)
        };
        self.offer.bars.iter().map(bar).collect()
    }

    /// How often it was reset.
    pub fn resets(&self) -> u32 {
        self.state.borrow().resets
    }

    /// The messages it has sent since the last call: address, data.
    pub fn take_messages(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.state.borrow_mut().messages)
    }

    /// Whether MSI or MSI-X is on.
    pub fn sends_messages(&self) -> bool {
        let msix = self.offer.msix.is_some() && self.config_u16(at::MSIX + 2) & 0x8000 != 0;
        let msi = self.offer.msi.is_some() && self.config_u16(at::MSI + 2) & 1 != 0;
        msix || msi
    }

    /// Whether MSI-X is on: then registers of the chip that mask interrupts may not be used.
    pub fn has_msix_on(&self) -> bool {
        self.offer.msix.is_some() && self.config_u16(at::MSIX + 2) & 0x8000 != 0
    }

    /// The endpoint has something to say by a message: vector.
    pub fn raise(&self, vector: usize) {
        if self.has_msix_on() {
            if let Some(entry) = self.state.borrow_mut().table.get_mut(vector) {
                entry.pending = true;
            }
            return self.deliver_pending();
        }
        if self.offer.msi.is_some() && self.config_u16(at::MSI + 2) & 1 != 0 && self.is_bus_master() {
            let wide = self.config_u16(at::MSI + 2) & 0x80 != 0;
            let high = if wide { self.config_u32(at::MSI + 8) } else { 0 };
            let data = self.config_u16(at::MSI + if wide { 12 } else { 8 });
            let address = u64::from(self.config_u32(at::MSI + 4)) | u64::from(high) << 32;
            self.state.borrow_mut().messages.push((address, data.into()));
        }
    }

    /// Sends what was waiting for its mask.
    pub(crate) fn deliver_pending(&self) {
        if self.offer.msix.is_none() || self.is_function_masked() || !self.is_bus_master() {
            return;
        }
        let State { table, messages, .. } = &mut *self.state.borrow_mut();
        for entry in table {
            if entry.pending && entry.words[3] & 1 == 0 {
                entry.pending = false;
                let address = u64::from(entry.words[0]) | u64::from(entry.words[1]) << 32;
                messages.push((address, entry.words[2]));
            }
        }
    }

    pub(crate) fn is_line_up_inside(&self) -> bool {
        self.endpoint().is_some_and(|endpoint| endpoint.is_line_up())
    }

    /// Whether its line is up, as the interrupt controller sees it.
    pub fn is_line_up(&self) -> bool {
        !self.is_gone() && !self.sends_messages() && self.command() & 0x400 == 0 && self.is_line_up_inside()
    }

    pub(crate) fn endpoint(&self) -> Option<Rc<dyn Endpoint>> {
        self.state.borrow().endpoint.clone()
    }

    pub(crate) fn function_level_reset(&self) {
        let now = self.clock.peek();
        let (config, mask) = reset_values(&Offer {
            asleep: false,
            ..(*self.offer).clone()
        });
        {
            let mut state = self.state.borrow_mut();
            (state.config, state.mask) = (config, mask);
            state.table = table(&self.offer);
            state.busy_until = now.after(SILENCE);
            state.ready_at = now.after(self.offer.flr_time);
            if state.faults.contains(&Fault::NoResetEnd) {
                state.ready_at = Instant(u64::MAX);
            }
            state.resets += 1;
        }
        if let Some(endpoint) = self.endpoint() {
            endpoint.reset();
        }
    }
}
