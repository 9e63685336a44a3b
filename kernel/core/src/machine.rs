//! From the architecture's description to what an image gets.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Poll;

use log::{LevelFilter, warn};
use outrigger_devices::DmaReach;
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Clock, Cpu, DomId, PAGE_SIZE, Port};
use xen_unikernel_abi::memory::{XENMAPSPACE_grant_table, XENMAPSPACE_shared_info};

use crate::event::{self, Events};
use crate::grant::Grants;
use crate::{Pool, Processor, Registers, Shared, Xen, arch, console, fatal, hypercalls};

/// A passed-through device, found in the image's own device tree.
#[derive(Debug)]
pub struct Device {
    /// Its alias, which the image builder chose (`virtio0`).
    pub name: String,
    /// `compatible`, most specific first.
    pub compatible: Vec<String>,
    /// One a `reg` entry.
    pub registers: Vec<Registers>,
    /// One an `interrupts` entry: the bit in [`outrigger_xen::Wake::devices`].
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

    /// The device's first register block, and the mask of its first interrupt in [`outrigger_xen::Wake::devices`], if it is
    /// what a driver is for.
    ///
    /// # Errors
    /// It is something else, or lacks one of them: a line that says so.
    pub fn claim(self, compatible: &str) -> Result<(Registers, u32), String> {
        if !self.is(compatible) {
            return Err(format!("no driver for {}", self.compatible.join(", ")));
        }
        let interrupt = *self.interrupts.first().ok_or("it has no interrupt")?;
        let registers = self.registers.into_iter().next().ok_or("it has no registers")?;
        Ok((registers, 1 << interrupt))
    }
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
}

impl Machine {
    /// The value of `key=value` on the command line.
    pub fn option(&self, key: &str) -> Option<&'static str> {
        option(self.command_line, key)
    }
}

fn option(command_line: &'static str, key: &str) -> Option<&'static str> {
    command_line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

unsafe extern "Rust" {
    /// The image's one function, named by [`crate::image!`].
    fn outrigger_main(machine: Machine) -> !;
}

/// From the architecture's entry to the image's function.
pub(crate) fn start(device_tree: usize) -> ! {
    // SAFETY: called once, by the entry, with what the boot protocol gave it.
    let description = match unsafe { arch::current::describe(device_tree) } {
        Ok(description) => description,
        Err(unusable) => fatal(format_args!("this machine cannot be run on: {unusable}")),
    };
    let clock: &'static (dyn Clock + Sync) = Box::leak(Box::new(description.processor.clock()));
    let (page, port) = description.console;
    console::init(page, port, clock);
    set_log_level(description.command_line);

    // The window's first two pages show what Xen shares with every domain; grants are mapped behind them.
    let window = description.window;
    let page = |n: u64| window.start + n * PAGE_SIZE as u64;
    for (n, space) in [(0, XENMAPSPACE_shared_info), (1, XENMAPSPACE_grant_table)] {
        // SAFETY: nothing of Rust's is in the grant window.
        if let Err(errno) = unsafe { hypercalls::add_to_physmap(space, 0, page(n) / PAGE_SIZE as u64) } {
            fatal(format_args!("Xen does not show its page {n}: {errno:?}"));
        }
    }
    // SAFETY: shown there a moment ago, for good, and mapped in stage 1 with the whole window.
    let [shared_info, own_grants] =
        [page(0), page(1)].map(|at| unsafe { Shared::new(at as usize, PAGE_SIZE) });
    let vcpu_info = description.pages.take().expect("memory for vcpu_info");
    if let Err(errno) = hypercalls::register_vcpu_info(vcpu_info.gfn(), 0) {
        fatal(format_args!("Xen does not take our vcpu_info: {errno:?}"));
    }
    let events = Events::new(shared_info, vcpu_info);
    let (page_store, port_store) = description.store;
    events.unmask(port_store);
    let mut processor = description.processor;
    if description.store_is_late {
        await_event(port_store, &mut processor, &events);
    }
    let store: &'static XenStore<Shared> = Box::leak(Box::new(XenStore::new(page_store, move || {
        event::send(port_store)
    })));

    let domid = own_domid(store, &mut processor, &events);
    let xen: &'static Xen = Box::leak(Box::new(Xen {
        domid,
        grants: Grants::new(own_grants, page(2)..window.end, description.dma_window),
        events,
        clock,
    }));
    let dma = Box::leak(Box::new(Pool::new(xen, Box::leak(Box::new(description.pages)))));
    let machine = Machine {
        command_line: description.command_line,
        xen,
        store,
        processor,
        dma,
        devices: description.devices,
    };
    // SAFETY: `image!` defines it with this signature; without it the image does not link.
    unsafe { outrigger_main(machine) }
}

/// Waits until `port` has an event. xenstored empties the rings when it takes a domain on, and says so with the first.
fn await_event(port: Port, processor: &mut Processor, events: &Events) {
    use outrigger_xen::EventChannels;
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
    use outrigger_xen::EventChannels;
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
        None => fatal(format_args!("XenStore does not tell our domid")),
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
