//! The controller, which its namespaces share.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use outrigger_devices::{BlockLimits, Clock, DeviceFault, DmaMemory, Health, Instant, RegisterIo};
use outrigger_pci::{ConfigSpace, Function, Message, View};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::identify::{Format, Identity};
use crate::queue::QueuePair;
use crate::register::{CC, CSTS, Cap, Doorbells, INTMC, INTMS, cc, csts};
use crate::requests::RequestQueue;

/// How much to use. Each is an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// I/O queue pairs, for all namespaces together: each takes ten pages of DMA memory.
    pub queues: u16,
    /// Entries a queue, at least 2 and at most 64; one less is the number of commands in flight.
    pub queue_size: u16,
    /// Namespaces.
    pub namespaces: usize,
}

impl Default for Options {
    /// 8 queue pairs of 63 commands, 16 namespaces: 332 KiB at most.
    fn default() -> Self {
        Self {
            queues: 8,
            queue_size: 64,
            namespaces: 16,
        }
    }
}

/// How the controller may interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// By this message: MSI-X if it has that, else MSI.
    Message(Message),
    /// By its line.
    Line,
    /// Not at all: it is looked at when the deadline says so.
    None,
}

/// Asks whether it is well after so long without a completion.
const LOOK: Duration = Duration::from_millis(100);
/// A unit of `CAP.TO`.
const TIMEOUT_UNIT: Duration = Duration::from_millis(500);
/// The longest that is waited for a controller, whatever it says.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// A namespace's part of the controller.
pub(crate) struct Part {
    pub format: Format,
    pub limits: BlockLimits,
    /// Its queues, counted from 0.
    pub queues: Range<usize>,
    /// It had requests in flight when the controller was stopped, or was told so: it is to be restarted.
    pub lost: bool,
    /// Its owner has done with it.
    pub gone: bool,
}

/// A controller with configuration space `C` and registers in `W`, memory `M` and clock `T`.
pub(crate) struct Controller<C, W, M, T> {
    pub function: Function<C, W>,
    pub registers: View<W>,
    pub clock: T,
    pub signal: Signal,
    /// Interrupts are held back by INTMS between an interrupt and the next time that one is asked for. Not with MSI-X.
    pub masks: bool,
    pub options: Options,
    pub cap: Cap,
    pub identity: Option<Identity>,
    pub admin: QueuePair<M>,
    pub page: DmaMemory<M>,
    pub queues: Box<[RequestQueue<M>]>,
    pub doorbells: Vec<Doorbells>,
    pub parts: Vec<Part>,
    pub health: Health,
}

impl<C, W, M, T> Controller<C, W, M, T>
where
    C: ConfigSpace,
    W: RegisterIo,
    M: SharedPages + Clone,
    T: Clock,
{
    /// Tells the controller of what was submitted to a queue.
    #[inline]
    pub fn commit(&mut self, queue: usize) {
        let requests = &mut self.queues[queue];
        if let Some(tail) = requests.pair.publish() {
            self.registers
                .write_u32(self.doorbells[queue + 1].tail, tail.into());
            if requests.look.is_none() {
                requests.look = Some(self.clock.now().after(LOOK));
            }
        }
    }

    /// Takes what a queue has completed.
    #[inline]
    pub fn reap(
        &mut self,
        queue: usize,
        each: &mut dyn FnMut(outrigger_devices::Completion),
    ) -> Result<(), DeviceFault> {
        let requests = &mut self.queues[queue];
        if requests.reap(queue as u16 + 1, each)? {
            requests.progress = true;
            if requests.pair.in_flight() == 0 {
                requests.look = None;
            }
            let head = requests.pair.head();
            self.registers
                .write_u32(self.doorbells[queue + 1].head, head.into());
            return Ok(());
        }
        if requests.look.is_some() {
            self.look(queue)
        } else {
            Ok(())
        }
    }

    /// Nothing has completed although something is in flight: when that was so for a while, the controller is asked.
    fn look(&mut self, queue: usize) -> Result<(), DeviceFault> {
        let now = self.clock.now();
        let requests = &mut self.queues[queue];
        if requests.look.is_none_or(|at| now < at) {
            return Ok(());
        }
        requests.look = Some(now.after(LOOK));
        if core::mem::take(&mut requests.progress) {
            return Ok(());
        }
        match self.status() {
            u32::MAX => Err(DeviceFault("its registers read as ones")),
            status if status & csts::CFS != 0 => Err(DeviceFault("it has stopped (CSTS.CFS)")),
            status if status & csts::RDY == 0 => Err(DeviceFault("it is not ready any more (CSTS.RDY)")),
            _ => Ok(()),
        }
    }

    /// When some queue is to be looked at.
    pub fn deadline(&self, queues: Range<usize>) -> Option<Instant> {
        self.queues
            .get(queues)?
            .iter()
            .filter_map(|queue| queue.look)
            .min()
    }

    /// Interrupts are held back.
    #[inline]
    pub fn mask(&self) {
        if self.masks && self.health.is_serving() {
            self.registers.write_u32(INTMS, 1);
        }
    }

    /// Interrupts are not held back.
    #[inline]
    pub fn unmask(&self) {
        if self.masks {
            self.registers.write_u32(INTMC, 1);
        }
    }

    fn status(&self) -> u32 {
        self.registers.read_u32(CSTS)
    }

    /// Waits until `done` holds of CSTS.
    pub fn wait(&self, time: Duration, done: impl Fn(u32) -> bool) -> Result<(), ProbeError> {
        let end = self.clock.now().after(time);
        loop {
            let status = self.status();
            if status == u32::MAX {
                return Err(ProbeError::Gone);
            }
            if done(status) {
                return Ok(());
            }
            if self.clock.now() > end {
                return Err(ProbeError::NotReady);
            }
            self.clock.still_alive();
        }
    }

    /// How long it may take to get ready, or to stop.
    pub fn timeout(&self) -> Duration {
        (TIMEOUT_UNIT * self.cap.timeout().max(1)).min(TIMEOUT_MAX)
    }

    /// Disables it, so that no command given so far is carried out any more. Resets the function if that does not help.
    /// Either way it touches no memory any more and does not interrupt.
    pub fn disable(&mut self) -> Result<(), ProbeError> {
        // After it is disabled, so that it can end in peace; but before, nothing of ours is at stake: memory stays ours.
        self.registers
            .write_u32(CC, self.registers.read_u32(CC) & !(cc::EN | cc::SHN));
        let stopped = self.wait(self.timeout(), |status| status & csts::RDY == 0);
        self.function.quiet();
        if stopped.is_ok() {
            return Ok(());
        }
        log::warn!("nvme: the controller does not stop; its PCI function is reset");
        if !self.function.reset(&self.clock)? {
            return stopped;
        }
        self.wait(self.timeout(), |status| status & csts::RDY == 0)
    }

    /// Stops it, and forgets all requests. Namespaces that had some are to be restarted.
    pub fn stop(&mut self, health: Health) -> Result<(), ProbeError> {
        self.health = health;
        let disabled = self.disable();
        if let Err(error) = &disabled {
            log::error!("nvme: {error}");
        }
        let Self { parts, queues, .. } = self;
        for part in parts {
            part.lost |= queues[part.queues.clone()]
                .iter()
                .any(|queue| queue.in_flight() > 0);
        }
        for queue in &mut self.queues {
            queue.begin_again();
        }
        disabled
    }

    /// It is not to be believed any more.
    #[cold]
    pub fn fail(&mut self, fault: DeviceFault) {
        log::error!("nvme: {}", fault.0);
        // What is wrong has been said.
        let _ = self.stop(Health::Faulty(fault));
    }

    /// Tells it that the end is near (`CC.SHN`), so that it saves what it holds; then stops it.
    pub fn shut_down(&mut self) {
        if self.health.is_serving() {
            let value = self.registers.read_u32(CC) & !cc::SHN | cc::SHN_NORMAL;
            self.registers.write_u32(CC, value);
            let is_over = |status| status & csts::SHST == csts::SHST_COMPLETE;
            if let Err(error) = self.wait(SHUTDOWN, is_over) {
                log::warn!("nvme: it does not shut down: {error}");
            }
        }
        // What is wrong has been said.
        let _ = self.stop(Health::Quiesced);
    }
}
