//! From the architecture's description to what an image gets.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Poll;
use core::time::Duration;

use log::{LevelFilter, error, info, warn};
use outrigger_hal::{DmaReach, IrqSet};
use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Clock, Cpu, DomId, Ended, EventChannels, GrantRef, Instant, PAGE_SIZE, Port};
use xen_unikernel_abi::memory::{XENMAPSPACE_grant_table, XENMAPSPACE_shared_info};
use xen_unikernel_abi::vcpu::VcpuRunstateInfo;

use crate::event::{self, Events};
use crate::grant::Grants;
use crate::survivors::addresses::Addresses;
use crate::survivors::facts::Facts;
use crate::survivors::records::Records;
use crate::{Pool, Processor, Registers, Shared, Xen, arch, console, hypercalls, restart, survivors};

const DOM0: DomId = DomId(0);

/// Where Xen's account of our time lies in the page of `vcpu_info`, which is shorter.
const RUNSTATE: usize = 1024;

/// A passed-through device, found in the image's own device tree.
#[derive(Debug)]
pub struct Device {
    /// Its alias, which the image builder chose (`virtio0`).
    pub name: String,
    /// `compatible`, most specific first.
    pub compatible: Vec<String>,
    /// One a `reg` entry.
    pub registers: Vec<Registers>,
    /// One an `interrupts` entry: the number in [`outrigger_xen::Wake::devices`].
    pub interrupts: Vec<u32>,
    /// What it reaches of memory (`dma-ranges`, `dma-coherent`).
    pub reach: DmaReach,
    /// All that the device tree says of it besides, as it stands there.
    pub properties: Vec<(String, Vec<u8>)>,
}

impl Device {
    /// Whether it says that a driver for `compatible` can drive it.
    pub fn is(&self, compatible: &str) -> bool {
        self.compatible.iter().any(|name| name == compatible)
    }

    /// A property's value.
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.properties.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The device's first register block, and its first interrupt, if it is what a driver is for.
    ///
    /// # Errors
    /// It is something else, or lacks one of them: a line that says so.
    pub fn claim(self, compatible: &str) -> Result<(Registers, IrqSet), String> {
        if !self.is(compatible) {
            return Err(format!("no driver for {}", self.compatible.join(", ")));
        }
        let interrupt = *self.interrupts.first().ok_or("it has no interrupt")?;
        let registers = self.registers.into_iter().next().ok_or("it has no registers")?;
        Ok((registers, IrqSet::of(interrupt)))
    }
}

/// A page that Dom0 may map, and a port that it may bind to: for who hands over a new image.
#[derive(Debug)]
pub struct Dom0Page {
    /// The page.
    pub page: Shared,
    /// How Dom0 maps it.
    pub gref: GrantRef,
    /// The port.
    pub port: Port,
}

/// All that an image has.
pub struct Machine {
    /// The command line (`extra=` in the xl configuration).
    pub command_line: &'static str,
    /// The hypervisor.
    pub xen: &'static Xen,
    /// XenStore, connected.
    pub store: &'static XenStore<Shared>,
    /// Clock and interrupts.
    pub processor: Processor,
    /// Memory for devices.
    pub dma: &'static Pool,
    /// Devices, in the order of their names.
    pub devices: Vec<Device>,
    /// What Dom0 may map; `None` if Xen has no port left.
    pub for_dom0: Option<Dom0Page>,
}

impl Machine {
    /// The value of `key=value` on the command line.
    pub fn option(&self, key: &str) -> Option<&'static str> {
        option(self.command_line, key)
    }

    /// How long guests are waited for when the toolstack asks the domain to power off:
    /// `shutdown-wait=SECONDS`.
    pub fn shutdown_wait(&self) -> Duration {
        let seconds = self.option("shutdown-wait").map(|word| {
            let seconds = word.parse().ok().filter(|seconds| *seconds <= SHUTDOWN_WAIT_MAX);
            seconds.unwrap_or_else(|| {
                warn!("shutdown-wait={word}: a number of seconds up to {SHUTDOWN_WAIT_MAX} is meant; it is {SHUTDOWN_WAIT}");
                SHUTDOWN_WAIT
            })
        });
        Duration::from_secs(seconds.unwrap_or(SHUTDOWN_WAIT))
    }
}

/// How long guests are waited for unless the command line says otherwise, in seconds: longer than systemd
/// gives a service to stop (90), shorter than Debian's `xendomains` gives all domains (300).
const SHUTDOWN_WAIT: u64 = 120;
/// The longest that the command line can say. The image builder knows it, too.
const SHUTDOWN_WAIT_MAX: u64 = 3600;

fn option(command_line: &'static str, key: &str) -> Option<&'static str> {
    command_line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

unsafe extern "Rust" {
    /// The image's one function, named by [`crate::image!`].
    fn outrigger_main(machine: Machine) -> !;
}

/// From the architecture's entry to the image's function, in each life.
pub(crate) fn start(device_tree: usize, is_first_life: bool) -> ! {
    // SAFETY: called once a life, by the entry, with what the boot protocol gave it.
    let description = match unsafe { arch::current::describe(device_tree, is_first_life) } {
        Ok(description) => description,
        Err(unusable) => restart::stop(format_args!("this machine cannot be run on: {unusable}")),
    };
    let region = description.survivors;
    let facts = Facts::<Shared>::at(arch::current::facts());
    let clock: &'static (dyn Clock + Sync) = Box::leak(Box::new(description.processor.clock()));
    let (page, port) = description.console;
    console::init(page, port, clock, !is_first_life);
    set_log_level(description.command_line);
    restart::make_ready();
    let ended = (!is_first_life).then(|| note_end(&facts));
    let one_too_many = restart::is_one_too_many(&facts, clock.now().0);

    // The window's first two pages show what Xen shares with every domain; grants are mapped behind them.
    let window = description.window;
    let page = |n: u64| window.start + n * PAGE_SIZE as u64;
    let vcpu_info = region.part(survivors::VCPU_INFO, PAGE_SIZE);
    if is_first_life {
        for (n, space) in [(0, XENMAPSPACE_shared_info), (1, XENMAPSPACE_grant_table)] {
            // SAFETY: nothing of Rust's is in the grant window.
            if let Err(errno) = unsafe { hypercalls::add_to_physmap(space, 0, page(n) / PAGE_SIZE as u64) } {
                restart::stop(format_args!("Xen does not show its page {n}: {errno:?}"));
            }
        }
        (0..PAGE_SIZE)
            .step_by(8)
            .for_each(|at| vcpu_info.store_u64(at, 0));
        if let Err(errno) = hypercalls::register_vcpu_info(vcpu_info.gfn(), 0) {
            restart::stop(format_args!("Xen does not take our vcpu_info: {errno:?}"));
        }
    }
    // Behind `vcpu_info`, in the page that is Xen's for good. In each life: an earlier image may not have
    // done it.
    let runstate = vcpu_info.part(RUNSTATE, size_of::<VcpuRunstateInfo>()).address();
    match hypercalls::register_runstate(runstate as u64) {
        Ok(()) => arch::current::account(runstate),
        Err(errno) => {
            warn!("Xen does not say how much time others have had: {errno:?}; the watchdog counts it as ours")
        }
    }
    // SAFETY: shown there in the first life, for good, and mapped in stage 1 with the whole window.
    let [shared_info, own_grants] =
        [page(0), page(1)].map(|at| unsafe { Shared::new(at as usize, PAGE_SIZE) });
    // SAFETY: once a life; the facts' page is the facts'.
    let events = unsafe { Events::new(shared_info, vcpu_info, &arch::current::facts()) };
    let (page_store, port_store) = description.store;
    if !is_first_life {
        events.close_old();
    }
    events.unmask(port_store);
    let mut processor = description.processor;
    if description.store_is_late {
        await_event(port_store, &mut processor, &events);
    }
    let place = arch::current::facts().part(Facts::<Shared>::XENSTORE, 16);
    let notify = move || event::send(port_store);
    let store = XenStore::in_life(page_store, notify, place, facts.life());
    let store: &'static XenStore<Shared> = Box::leak(Box::new(store));

    let domid = match facts.domid() {
        0 => {
            let domid = own_domid(store, &mut processor, &events);
            facts.set_domid(domid.0);
            domid
        }
        known => DomId(known),
    };
    if one_too_many {
        give_up(store, &facts, &mut processor, &events);
    }
    let (cpu, dma) = (page(2)..window.end, description.dma_window);
    // SAFETY: once a life.
    let grants = unsafe { Grants::new(own_grants, cpu, dma, &region, is_first_life) };
    if !is_first_life {
        // What was being looked up when the last life ended.
        grants.forget_own(domid);
    }
    if grants.damaged() > 0 {
        error!(
            "{} mappings of the earlier life make no sense and stay",
            grants.damaged()
        );
    }
    let xen: &'static Xen = Box::leak(Box::new(Xen {
        domid,
        grants,
        events,
        clock,
        records: records(&region, is_first_life),
        memory: region.part(survivors::RECORDS, survivors::LEN - survivors::RECORDS),
        life: facts.life(),
        ended,
    }));
    let for_dom0 = xen.events.alloc_unbound(DOM0).ok().map(|port| {
        let page = region.part(survivors::FOR_DOM0, PAGE_SIZE);
        let gref = xen.grants.offer(DOM0, &page);
        Dom0Page { page, gref, port }
    });
    let pages = description.pages;
    if is_first_life {
        facts.set_own_pages(pages.next_gfn());
    }
    let table = region.part(survivors::ADDRESSES, 8 * survivors::OWN_PAGES);
    let addresses = Addresses::new(table, facts.own_pages());
    if is_first_life {
        addresses.clear();
    }
    let dma = Box::leak(Box::new(Pool::new(xen, Box::leak(Box::new(pages)), addresses)));
    #[cfg(feature = "crash-points")]
    if let Some(wanted) = option(description.command_line, "crash") {
        processor.crash_points = crate::crash::CrashPoints::new(facts, wanted, clock.now());
        if !xen.records.keys().is_empty() {
            crate::crash::begin();
        }
    }
    let machine = Machine {
        command_line: description.command_line,
        xen,
        store,
        processor,
        dma,
        devices: description.devices,
        for_dom0,
    };
    // SAFETY: `image!` defines it with this signature; without it the image does not link.
    unsafe { outrigger_main(machine) }
}

/// Says how the last life ended.
fn note_end(facts: &Facts<Shared>) -> Ended {
    let ended = Ended {
        at: Instant(facts.ended_at()),
        reason: facts.reason().collect(),
        trace: facts.trace().collect(),
    };
    let life = facts.life();
    if facts.was_blameless() {
        info!("restart {life}: {}", ended.reason);
    } else {
        error!("restart {life}: {}", ended.reason);
        if !ended.trace.is_empty() {
            error!("restart {life}: called from {:x?}", ended.trace);
        }
    }
    ended
}

/// What the classes have recorded.
fn records(region: &Shared, is_first_life: bool) -> Records<Shared> {
    let memory = region.part(survivors::RECORDS, survivors::LEN - survivors::RECORDS);
    if is_first_life {
        return Records::new(memory);
    }
    Records::take_over(memory).unwrap_or_else(|(empty, _)| {
        error!("what the earlier life has recorded makes no sense; its devices are given up");
        empty
    })
}

/// One life after another fails: says so, and ends the domain.
fn give_up(store: &XenStore<Shared>, facts: &Facts<Shared>, processor: &mut Processor, events: &Events) -> ! {
    const PATIENCE: Duration = Duration::from_secs(1);
    let reason: String = facts.reason().take(400).collect();
    let text = format!(
        "stopped after {} restarts, 5 of them within 10 s; the last: {reason}",
        facts.life()
    );
    let deadline = processor.now().after(PATIENCE);
    let mut write = core::pin::pin!(store.write(outrigger_xen::RESTART_STATE, &text));
    while processor.now() < deadline {
        store.poll();
        if poll_once(write.as_mut()).is_ready() {
            break;
        }
        processor.wait(Some(deadline));
        events.take_pending(&mut |_| {});
    }
    restart::stop(format_args!("{text}"))
}

/// Waits until `port` has an event. xenstored empties the rings when it takes a domain on, and says so with the first.
fn await_event(port: Port, processor: &mut Processor, events: &Events) {
    let mut came = false;
    while !came {
        events.take_pending(&mut |pending| came |= pending == port);
        if !came {
            processor.wait(None);
        }
    }
}

/// The domain's real number, which only XenStore tells.
fn own_domid(store: &XenStore<Shared>, processor: &mut Processor, events: &Events) -> DomId {
    let mut read = core::pin::pin!(store.read_text("domid"));
    let text = loop {
        store.poll();
        if let Poll::Ready(read) = poll_once(read.as_mut()) {
            break read;
        }
        processor.wait(None);
        events.take_pending(&mut |_| {});
    };
    match text.ok().and_then(|text| text.parse().ok()) {
        Some(domid) => DomId(domid),
        None => restart::stop(format_args!("XenStore does not tell our domid")),
    }
}

fn set_log_level(command_line: &'static str) {
    let Some(level) = option(command_line, "log") else {
        return;
    };
    match level.parse::<LevelFilter>() {
        Ok(level) => log::set_max_level(level),
        Err(_) => warn!("log={level}: no such level; choose off, error, warn, info, debug or trace"),
    }
}
