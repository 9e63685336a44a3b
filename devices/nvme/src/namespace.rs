//! A namespace, which is a disk.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use outrigger_devices::{
    BlockDevice, BlockLimits, BlockRequest, Clock, Completion, Device, DeviceFault, DmaPool, DmaReach,
    Health, Instant, Interrupt, QueueFull, RegisterIo,
};
use outrigger_pci::{ConfigSpace, Function};
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::controller::{Controller, Options, Signal};

/// An active namespace of a controller with configuration space `C` and registers in `W`, queues in memory `M` and
/// clock `T`. Its queues are its own; the controller is shared with the others.
pub struct Namespace<C, W, M, T> {
    controller: Rc<RefCell<Controller<C, W, M, T>>>,
    part: usize,
    /// The first of its queues.
    first: usize,
    nsid: u32,
}

/// A namespace whose queues lie in pages of pool `P`.
type Found<C, W, P, T> = Namespace<C, W, <P as DmaPool>::Memory, T>;

/// Brings the controller behind a function up, with pages from `pool`: its namespaces that can be used, in the order of
/// their numbers. `reach` is what the controller reaches of memory. Takes up to some `CAP.TO`, at most a minute.
///
/// # Errors
/// There is no controller, or none that can be used; it has been disabled, and pages taken from the pool are free to go.
pub fn probe<C, W, P, T>(
    function: Function<C, W>,
    pool: &P,
    clock: T,
    reach: DmaReach,
    signal: Signal,
    options: Options,
) -> Result<Vec<Found<C, W, P, T>>, ProbeError>
where
    C: ConfigSpace,
    W: RegisterIo,
    P: DmaPool,
    T: Clock,
{
    if reach != DmaReach::ALL {
        return Err(ProbeError::Reach);
    }
    let controller = Controller::probe(function, pool, clock, signal, options)?;
    let parts = controller.parts.iter().enumerate();
    let places: Vec<_> = parts
        .map(|(part, found)| (part, found.queues.start, found.format.nsid))
        .collect();
    let controller = Rc::new(RefCell::new(controller));
    let namespace = |(part, first, nsid)| Namespace {
        controller: Rc::clone(&controller),
        part,
        first,
        nsid,
    };
    Ok(places.into_iter().map(namespace).collect())
}

/// What a namespace ends with that was not asked when the controller was reset.
const LOST: DeviceFault = DeviceFault("its controller was reset for the sake of another namespace");

const NO_RETURN: DeviceFault = DeviceFault("it does not come back from a reset");

impl<C, W, M, T> Namespace<C, W, M, T> {
    /// Its number, as in `nvme0n1`.
    pub fn nsid(&self) -> u32 {
        self.nsid
    }
}

impl<C, W, M, T> Device for Namespace<C, W, M, T>
where
    C: ConfigSpace,
    W: RegisterIo,
    M: SharedPages + Clone,
    T: Clock,
{
    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        self.controller.borrow().mask();
        Interrupt {
            completions: true,
            config: false,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let controller = self.controller.borrow();
        controller.deadline(controller.parts[self.part].queues.clone())
    }

    fn counters(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let controller = self.controller.borrow();
        let queues = &controller.queues[controller.parts[self.part].queues.clone()];
        let failed: u64 = queues.iter().map(|queue| queue.failed).sum();
        if failed > 0 {
            each("failed-commands", failed);
        }
    }

    fn quiesce(&mut self) {
        let controller = &mut *self.controller.borrow_mut();
        let part = &mut controller.parts[self.part];
        part.gone = true;
        let is_idle = controller.queues[part.queues.clone()]
            .iter()
            .all(|queue| queue.in_flight() == 0);
        if is_idle && controller.parts.iter().any(|part| !part.gone) {
            // It has nothing to do with memory of this one any more, and others need it.
            return;
        }
        controller.shut_down();
        controller.parts[self.part].lost = false;
        if controller.parts.iter().any(|part| !part.gone)
            && let Err(error) = controller.begin_again()
        {
            log::error!("nvme: after a reset: {error}");
            controller.health = Health::Faulty(NO_RETURN);
        }
    }

    fn restart(&mut self) -> Result<(), DeviceFault> {
        let controller = &mut *self.controller.borrow_mut();
        controller.parts[self.part].gone = false;
        if controller.health.is_serving() && controller.parts[self.part].lost {
            // The reset that it lost its requests by was another's, and is over.
            let part = &mut controller.parts[self.part];
            part.lost = false;
            for queue in &mut controller.queues[part.queues.clone()] {
                queue.forget_answers();
            }
            return Ok(());
        }
        let up = controller.begin_again();
        controller.parts[self.part].lost = false;
        up.map_err(|error| {
            log::error!("nvme: after a reset: {error}");
            NO_RETURN
        })
    }
}

impl<C, W, M, T> BlockDevice for Namespace<C, W, M, T>
where
    C: ConfigSpace,
    W: RegisterIo,
    M: SharedPages + Clone,
    T: Clock,
{
    fn limits(&self) -> BlockLimits {
        let part = &self.controller.borrow().parts[self.part];
        part.limits
    }

    #[inline]
    fn submit(&mut self, queue: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
        let controller = &mut *self.controller.borrow_mut();
        let part = &mut controller.parts[self.part];
        assert!(queue < part.queues.len(), "a queue of this namespace");
        let requests = &mut controller.queues[self.first + queue];
        if controller.health.is_serving() && !part.lost && !part.gone {
            return requests.submit(request, part);
        }
        if part.gone {
            return Err(QueueFull);
        }
        // Something is in flight then, and so the next reap tells why nothing is.
        part.lost = true;
        requests.answer(request.tag, outrigger_devices::Status::IoError)
    }

    #[inline]
    fn commit(&mut self, queue: usize) {
        self.controller.borrow_mut().commit(self.first + queue);
    }

    #[inline]
    fn reap(&mut self, queue: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
        let controller = &mut *self.controller.borrow_mut();
        let part = &mut controller.parts[self.part];
        if part.gone {
            return Ok(());
        }
        match controller.health {
            Health::Serving if !part.lost => {}
            Health::Faulty(fault) => {
                part.lost = true;
                return Err(fault);
            }
            _ => return Err(LOST),
        }
        let reaped = controller.reap(self.first + queue, each);
        if let Err(fault) = reaped {
            controller.fail(fault);
            controller.parts[self.part].lost = true;
        }
        reaped
    }

    #[inline]
    fn arm(&mut self, queue: usize) -> bool {
        let controller = self.controller.borrow();
        if !controller.health.is_serving() {
            return false;
        }
        controller.unmask();
        controller.queues[self.first + queue].has_news()
    }
}
