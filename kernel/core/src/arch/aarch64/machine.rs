//! What Xen's device tree tells a guest on Arm, and the memory map that follows from it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use outrigger_devices::DmaReach;
use outrigger_xen::{PAGE_SIZE, Port};
use xen_unikernel_abi::hvm::{
    HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN,
};

use super::SPI_BASE;
use super::gic::{Gic, Trigger};
use super::mmu::{CannotMap, Mmu, Use};
use super::processor::Processor;
use super::timer::Timer;
use crate::hypercalls::{Errno, hvm_param, yield_processor};
use crate::pages::Pages;
use crate::{Device, Registers, Shared, heap};

/// Everything above `arch` needs to know of the machine it runs on.
pub(crate) struct Description {
    pub(crate) command_line: &'static str,
    pub(crate) processor: Processor,
    /// Pages of our own RAM beside the heap.
    pub(crate) pages: Pages,
    /// Address space, mapped in stage 1, where Xen's own pages and granted pages may appear.
    pub(crate) window: Range<u64>,
    /// Address space for granted pages that only devices touch. Not mapped in stage 1, unless some device may need the
    /// processor's help with them: then its first [`WINDOW_MAX`] are.
    pub(crate) dma_window: Range<u64>,
    pub(crate) console: (Shared, Port),
    pub(crate) store: (Shared, Port),
    /// Whether the XenStore page came while we ran: then it is good only after xenstored's first event.
    pub(crate) store_is_late: bool,
    pub(crate) devices: Vec<Device>,
}

/// Why this machine cannot be run on.
pub(crate) enum Unusable {
    DeviceTree(&'static str),
    PageTables,
    Hypercall(Errno),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceTree(what) => write!(f, "its device tree: {what}"),
            Self::PageTables => write!(
                f,
                "its memory map needs more page tables, or more address bits, than there are"
            ),
            Self::Hypercall(Errno(errno)) => {
                write!(f, "Xen refuses its console's or XenStore's place: error {errno}")
            }
        }
    }
}

impl From<CannotMap> for Unusable {
    fn from(_: CannotMap) -> Self {
        Self::PageTables
    }
}

impl From<Errno> for Unusable {
    fn from(errno: Errno) -> Self {
        Self::Hypercall(errno)
    }
}

unsafe extern "C" {
    static __image_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __stack_guard: u8;
    static __fault_stack_guard: u8;
    static __image_end: u8;
}

/// The address of a linker script's symbol.
macro_rules! symbol {
    ($name:ident) => {
        (&raw const $name) as u64
    };
}

/// Bytes a page.
const PAGE: u64 = PAGE_SIZE as u64;

/// Largest device tree believed.
const DEVICE_TREE_MAX: usize = 2 << 20;

/// As much of the window for devices' pages is used (`grant.rs`).
const WINDOW_MAX: u64 = 64 << 20;

/// Learns what there is, maps it, and gives the heap its memory.
///
/// # Safety
/// Called once, first of all, with the address that the boot protocol gave us, which the early map covers.
pub(crate) unsafe fn describe(device_tree: usize) -> Result<Description, Unusable> {
    let timer = Timer::new();
    // SAFETY: the header's totalsize word; the whole blob lies in RAM that nothing else uses, for ever (below).
    let blob: &'static [u8] = unsafe {
        let size = u32::from_be(*((device_tree + 4) as *const u32)) as usize;
        core::slice::from_raw_parts(device_tree as *const u8, size.min(DEVICE_TREE_MAX))
    };
    let tree = Fdt::new(blob).map_err(|_| Unusable::DeviceTree("it is not one"))?;
    let ram = tree
        .root()
        .children()
        .filter(|node| node.name_without_address() == "memory")
        .find_map(|node| regions(&node).next())
        .ok_or(Unusable::DeviceTree("no memory"))?;
    let hypervisor = tree
        .find_node("/hypervisor")
        .ok_or(Unusable::DeviceTree("no hypervisor"))?;
    let mut spaces = regions(&hypervisor);
    let window = spaces
        .next()
        .ok_or(Unusable::DeviceTree("hypervisor has no grant window"))?;
    // Without extended regions the grant window's upper half serves.
    let half = window.start + (window.end - window.start) / 2;
    let (window, dma_window) = match spaces.next() {
        Some(extended) => (window, extended),
        None => (window.start..half, half..window.end),
    };
    let gic = tree
        .root()
        .children()
        .find(|node| node.property("interrupt-controller").is_some())
        .ok_or(Unusable::DeviceTree("no interrupt controller"))?;
    let mut frames = regions(&gic);
    let (Some(distributor), Some(second)) = (frames.next(), frames.next()) else {
        return Err(Unusable::DeviceTree("the interrupt controller lacks registers"));
    };
    let passthrough = tree.find_node("/passthrough");

    // SAFETY: only here.
    let mut mmu = unsafe { Mmu::new() };
    mmu.guard(symbol!(__stack_guard))?;
    mmu.guard(symbol!(__fault_stack_guard))?;
    mmu.map(symbol!(__image_start)..symbol!(__rodata_start), Use::Code)?;
    mmu.map(symbol!(__rodata_start)..symbol!(__data_start), Use::Constants)?;
    mmu.map(ram.clone(), Use::Data)?;
    mmu.map(window.clone(), Use::Data)?;
    mmu.map(distributor.clone(), Use::Device)?;
    // A redistributor region has room for every processor of the largest guest; ours is the first 128 KiB.
    mmu.map(
        second.start..second.end.min(second.start + (128 << 10)),
        Use::Device,
    )?;
    let console = match hvm_param(HVM_PARAM_CONSOLE_PFN)? {
        0 | NO_PAGE => None,
        frame => Some(frame * PAGE),
    };
    let (store, store_is_late) = store_frame()?;
    let store = store * PAGE;
    for page in console.into_iter().chain([store]) {
        mmu.map(page..page + PAGE, Use::Data)?;
    }
    for node in passthrough.iter().flat_map(|node| node.children()) {
        for registers in regions(&node) {
            mmu.map(registers, Use::Device)?;
        }
    }
    let reach = passthrough.as_ref().map_or(DmaReach::ALL, reach);
    let by_hand = |node: &FdtNode<'_>| {
        let is_virtio = node
            .compatible()
            .is_some_and(|mut names| names.any(|name| name == "virtio,mmio"));
        !is_virtio || !is_coherent(node) || reach != DmaReach::ALL
    };
    if passthrough
        .iter()
        .flat_map(|node| node.children())
        .any(|node| by_hand(&node))
    {
        let end = dma_window.end.min(dma_window.start.saturating_add(WINDOW_MAX));
        mmu.map(dma_window.start..end, Use::Data)?;
    }
    // SAFETY: code, constants, data with BSS and stacks, all RAM, and the device tree within it are mapped.
    unsafe { mmu.activate() };

    // The larger of what lies below and above the device tree, half of it heap, half of it pages.
    let tree_start = device_tree as u64 & !(PAGE - 1);
    let tree_end = (device_tree as u64 + blob.len() as u64).next_multiple_of(PAGE);
    let below = symbol!(__image_end)..tree_start.clamp(symbol!(__image_end), ram.end);
    let above = tree_end.clamp(symbol!(__image_end), ram.end)..ram.end;
    let free = if below.end - below.start >= above.end - above.start {
        below
    } else {
        above
    };
    let middle = (free.start + (free.end - free.start) / 2) & !(PAGE - 1);
    // SAFETY: free RAM, mapped above; the two halves are disjoint.
    let pages = unsafe {
        heap::init(free.start as usize..middle as usize);
        Pages::new(middle as usize..free.end as usize)
    };

    let is_v3 = gic
        .compatible()
        .is_some_and(|mut names| names.any(|name| name == "arm,gic-v3"));
    let (distributor, second) = (distributor.start as usize, second.start as usize);
    // SAFETY: mapped above, from the node that says what they are.
    let gic = unsafe {
        if is_v3 {
            Gic::v3(distributor, second)
        } else {
            Gic::v2(distributor, second)
        }
    };
    let events = interrupts(&hypervisor)
        .first()
        .ok_or(Unusable::DeviceTree("hypervisor has no interrupt"))?
        .0;
    let mut processor = Processor::new(gic, timer, events);

    let mut devices = Vec::new();
    for node in passthrough.iter().flat_map(|node| node.children()) {
        devices.push(device(&tree, &node, &mut processor, reach)?);
    }
    devices
        .sort_by(|a: &Device, b: &Device| a.name.len().cmp(&b.name.len()).then_with(|| a.name.cmp(&b.name)));

    let command_line = tree
        .chosen()
        .and_then(|chosen| chosen.bootargs().ok().flatten().map(String::from))
        .unwrap_or_default();
    // SAFETY: both pages are shared with Xen's daemons for good, are mapped above and lie outside RAM.
    let shared = |at: u64| unsafe { Shared::new(at as usize, PAGE_SIZE) };
    // Without a console, what is written goes to a page that nobody reads; the event for it fails, which is no matter.
    let console = match console {
        Some(page) => (shared(page), Port(hvm_param(HVM_PARAM_CONSOLE_EVTCHN)? as u32)),
        None => (pages.take().ok_or(Unusable::PageTables)?, Port(0)),
    };
    Ok(Description {
        command_line: command_line.leak(),
        processor,
        pages,
        window,
        dma_window,
        console,
        store_is_late,
        store: (shared(store), Port(hvm_param(HVM_PARAM_STORE_EVTCHN)? as u32)),
        devices,
    })
}

/// What Xen says of a page that a domain does not have, or not yet.
const NO_PAGE: u64 = u64::MAX;

/// The frame of the XenStore page, and whether it came late. A domain that Xen itself has started ("dom0less") gets it
/// only when Dom0's `init-dom0less` comes by, and has nothing to do before.
fn store_frame() -> Result<(u64, bool), Errno> {
    let mut late = false;
    loop {
        match hvm_param(HVM_PARAM_STORE_PFN)? {
            NO_PAGE => yield_processor(),
            frame => return Ok((frame, late)),
        }
        late = true;
    }
}

/// The address ranges of a node's `reg`. Impossible ones are left out.
fn regions<'a>(node: &FdtNode<'a>) -> impl Iterator<Item = Range<u64>> + use<'a> {
    node.reg().ok().flatten().into_iter().flatten().filter_map(|reg| {
        let start = reg.address::<u64>().ok()?;
        let size = reg.size::<u64>().ok()?;
        Some(start..start.checked_add(size)?)
    })
}

/// The GIC interrupts of a node's `interrupts`: three cells each, type (0 SPI, 1 PPI), number, flags.
fn interrupts(node: &FdtNode<'_>) -> Vec<(u32, Trigger)> {
    let cells = node
        .property("interrupts")
        .map(|property| property.value().to_vec())
        .unwrap_or_default();
    let decode = |cell: &[u8; 12]| {
        let word = |i: usize| u32::from_be_bytes([cell[i], cell[i + 1], cell[i + 2], cell[i + 3]]);
        let base = if word(0) == 0 { SPI_BASE } else { 16 };
        let trigger = if word(8) & 3 != 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        };
        (base + (word(4) & 0x3ff), trigger)
    };
    cells.as_chunks().0.iter().map(decode).collect()
}

/// A passed-through device. Its name is its alias, which the image builder chose (`virtio0`), or its node's.
fn device(
    tree: &Fdt<'static>,
    node: &FdtNode<'static>,
    processor: &mut Processor,
    reach: DmaReach,
) -> Result<Device, Unusable> {
    let alias = tree.find_node("/aliases").and_then(|aliases| {
        let is_ours = |path: &str| path.strip_prefix("/passthrough/") == Some(node.name());
        aliases
            .properties()
            .find(|alias| {
                core::str::from_utf8(alias.value()).is_ok_and(|path| is_ours(path.trim_end_matches('\0')))
            })
            .map(|alias| alias.name().to_string())
    });
    let mut lines = Vec::new();
    for (interrupt, trigger) in interrupts(node) {
        lines.push(
            processor
                .bind(interrupt, trigger)
                .ok_or(Unusable::DeviceTree("more than 32 device interrupts"))?,
        );
    }
    Ok(Device {
        name: alias.unwrap_or_else(|| node.name().to_string()),
        compatible: node
            .compatible()
            .map(|names| names.map(String::from).collect())
            .unwrap_or_default(),
        registers: regions(node)
            // SAFETY: mapped as device memory by `describe`, from the node that says it is a device of ours.
            .map(|range| unsafe { Registers::new(range.start as usize, (range.end - range.start) as usize) })
            .collect(),
        interrupts: lines,
        properties: node
            .properties()
            .map(|property| (property.name().to_string(), property.value().to_vec()))
            .collect(),
        reach: DmaReach {
            coherent: is_coherent(node),
            ..reach
        },
    })
}

/// Whether the device sees what the caches hold.
fn is_coherent(node: &FdtNode<'_>) -> bool {
    node.property("dma-coherent").is_some()
}

/// What devices on a bus reach of memory: the largest of its `dma-ranges` (the device's address, the processor's, length;
/// two cells each, as the image builder writes them); everything if it has none.
fn reach(bus: &FdtNode<'_>) -> DmaReach {
    let ranges = bus
        .property("dma-ranges")
        .map(|property| property.value().to_vec())
        .unwrap_or_default();
    let decode = |cell: &[u8; 24]| {
        let [device, start, length] = [0, 8, 16].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&cell[at..at + 8]);
            u64::from_be_bytes(word)
        });
        DmaReach {
            start,
            end: start.saturating_add(length),
            offset: device.wrapping_sub(start),
            ..DmaReach::ALL
        }
    };
    let windows = ranges.as_chunks().0.iter().map(decode);
    windows
        .max_by_key(|window| window.end - window.start)
        .unwrap_or(DmaReach::ALL)
}
