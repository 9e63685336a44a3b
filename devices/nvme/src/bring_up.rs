//! From a controller that somebody left as it was to one that serves.

use alloc::vec::Vec;

use outrigger_devices::{Clock, DmaPool, Health, RegisterIo};
use outrigger_pci::{ConfigSpace, Function};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::controller::{Controller, Options, Part, Signal};
use crate::identify::{Format, Identity, LIST, cns};
use crate::queue::{ENTRIES_MAX, QueuePair};
use crate::register::{
    ACQ, AQA, ASQ, CAP, CC, Cap, DOORBELLS, Doorbells, INTMS, VS, cc, csts, read_u64, write_u64,
};
use crate::requests::RequestQueue;

/// Mass storage, non-volatile memory, NVM Express I/O controller.
const CLASS: u32 = 0x01_0802;
/// The BAR of the registers.
const BAR: u8 = 0;
/// Most segments a request: one command names so many pages.
const SEGMENTS_MAX: usize = 64;
/// NVMe 1.1, which has a list of the active namespaces.
const VERSION_1_1: u32 = 0x0001_0100;

impl<C, W, M, T> Controller<C, W, M, T>
where
    C: ConfigSpace,
    W: RegisterIo,
    M: SharedPages + Clone,
    T: Clock,
{
    /// Places the function's BARs, stops the controller behind them, and brings it up.
    pub fn probe(
        mut function: Function<C, W>,
        pool: &impl DmaPool<Memory = M>,
        clock: T,
        signal: Signal,
        options: Options,
    ) -> Result<Self, ProbeError> {
        let class = function.id().class;
        if class != CLASS {
            return Err(ProbeError::Class(class));
        }
        function.wake(&clock);
        function.place()?;
        let registers = function.region(BAR, DOORBELLS)?;
        let cap = Cap(read_u64(&registers, CAP));
        if cap.0 == u64::MAX {
            return Err(ProbeError::Gone);
        }
        if !cap.has_nvm() {
            return Err(ProbeError::CommandSet(cap.0));
        }
        if cap.page_min() > 4096 {
            return Err(ProbeError::PageSize(cap.page_min()));
        }
        let wanted = options.queue_size.clamp(2, ENTRIES_MAX);
        let size = cap.entries().min(wanted.into()) as u16;
        if size < 2 {
            return Err(ProbeError::QueueSize(size.into()));
        }
        // Every doorbell that will be rung must be there.
        let reach = |queue: u16| Doorbells::of(cap, queue).head + 4 <= registers.len();
        let queues = (1..=options.queues.max(1))
            .take_while(|queue| reach(*queue))
            .count() as u16;
        if queues == 0 {
            return Err(ProbeError::Pci(outrigger_pci::PciError::NoBar(BAR)));
        }
        let options = Options {
            queues,
            queue_size: size,
            namespaces: options.namespaces.clamp(1, LIST),
        };
        let mut controller = Self {
            doorbells: (0..=queues).map(|queue| Doorbells::of(cap, queue)).collect(),
            function,
            registers,
            clock,
            signal,
            masks: false,
            options,
            cap,
            identity: None,
            admin: QueuePair::new(pool, size)?,
            page: pool.page().ok_or(ProbeError::NoMemory)?,
            queues: (0..queues)
                .map(|_| RequestQueue::new(pool, size))
                .collect::<Result<_, _>>()?,
            parts: Vec::new(),
            health: Health::Quiesced,
        };
        // Whoever had it before.
        controller.disable()?;
        match controller.bring_up() {
            Ok(parts) => {
                controller.parts = parts;
                controller.health = Health::Serving;
                Ok(controller)
            }
            Err(error) => {
                // What is wrong is said already.
                let _ = controller.disable();
                Err(error)
            }
        }
    }

    /// Brings it up again, in the memory that it has.
    pub fn begin_again(&mut self) -> Result<(), ProbeError> {
        self.stop(Health::Quiesced)?;
        let parts = self.bring_up().inspect_err(|_| {
            // What is wrong is said already.
            let _ = self.disable();
        })?;
        let is_same = parts.len() == self.parts.len()
            && self
                .parts
                .iter()
                .zip(&parts)
                .all(|(old, new)| old.queues == new.queues && old.format.is_same(&new.format));
        if !is_same {
            self.disable()?;
            return Err(ProbeError::Another);
        }
        for (old, new) in self.parts.iter_mut().zip(parts) {
            (old.format, old.limits) = (new.format, new.limits);
        }
        self.health = Health::Serving;
        Ok(())
    }

    /// From disabled to serving.
    fn bring_up(&mut self) -> Result<Vec<Part>, ProbeError> {
        self.admin.begin_again();
        for queue in &mut self.queues {
            queue.begin_again();
        }
        self.signal()?;
        self.function.set_bus_master(true);
        let last = u32::from(self.options.queue_size) - 1;
        let (sq, cq) = self.admin.addresses();
        self.registers.write_u32(AQA, last << 16 | last);
        write_u64(&self.registers, ASQ, sq);
        write_u64(&self.registers, ACQ, cq);
        self.registers.write_u32(CC, cc::SHAPE | cc::EN);
        self.wait(self.timeout(), |status| status & (csts::RDY | csts::CFS) != 0)?;
        self.wait(self.timeout(), |status| status & csts::CFS == 0)
            .map_err(|_| ProbeError::Fatal)?;
        self.identify(cns::CONTROLLER, 0)?;
        let identity = Identity::read(&self.page.memory)?;
        if *self.identity.get_or_insert(identity) != identity {
            return Err(ProbeError::Another);
        }
        let formats = self.namespaces(&identity)?;
        let queues = self.number_of_queues(self.options.queues)?;
        for index in 0..usize::from(queues) {
            self.create_queue(index, self.signal != Signal::None)?;
        }
        Ok(share(formats, queues.into(), self.options.queue_size))
    }

    /// Sets up how it interrupts.
    fn signal(&mut self) -> Result<(), ProbeError> {
        self.masks = false;
        match self.signal {
            Signal::Message(message) if self.function.has_msix() => self.function.enable_msix(message)?,
            Signal::Message(message) if self.function.has_msi() => {
                self.function.enable_msi(message)?;
                self.masks = true;
            }
            // It has no way to tell us: it is looked at.
            Signal::Message(_) | Signal::None => {}
            Signal::Line => {
                self.function.set_intx(true);
                self.masks = true;
            }
        }
        if self.masks {
            // Until somebody asks for an interrupt.
            self.registers.write_u32(INTMS, u32::MAX);
        }
        Ok(())
    }

    /// The namespaces that can be used.
    fn namespaces(&mut self, identity: &Identity) -> Result<Vec<Format>, ProbeError> {
        let mut ids = Vec::new();
        if self.registers.read_u32(VS) >= VERSION_1_1 {
            self.identify(cns::ACTIVE_NAMESPACES, 0)?;
            let list = (0..LIST).map(|index| self.page.memory.load_u32(4 * index));
            // In ascending order, and zeros behind the last.
            let mut before = 0;
            ids.extend(list.take_while(|nsid| {
                let is_next = *nsid > before;
                before = *nsid;
                is_next
            }));
        } else {
            ids.extend((1..=identity.nn).take(LIST));
        }
        let mut formats = Vec::new();
        for nsid in ids {
            if formats.len() == self.options.namespaces {
                log::warn!("nvme: namespaces from {nsid} on are not served: there are too many");
                break;
            }
            self.identify(cns::NAMESPACE, nsid)?;
            match Format::read(&self.page.memory, nsid, identity) {
                Ok(format) => formats.push(format),
                Err(why) => log::warn!("nvme: namespace {nsid} is not served: {why}"),
            }
        }
        if formats.is_empty() {
            return Err(ProbeError::NoNamespace);
        }
        Ok(formats)
    }
}

/// Each namespace gets as many queues; those that none is left for are not served.
fn share(formats: Vec<Format>, queues: usize, size: u16) -> Vec<Part> {
    let each = (queues / formats.len()).max(1);
    if formats.len() > queues {
        log::warn!("nvme: only {queues} namespaces are served: there are no more queues");
    }
    // In the worst case each segment is a command.
    let max_segments = SEGMENTS_MAX.min(usize::from(size) - 1);
    let part = |(index, format): (usize, Format)| Part {
        limits: format.limits(each, max_segments),
        format,
        queues: index * each..(index + 1) * each,
        lost: false,
        gone: false,
    };
    formats.into_iter().take(queues).enumerate().map(part).collect()
}
