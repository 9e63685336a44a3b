//! What Xen's device tree tells a guest on Arm, and the memory map that follows from it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use dtoolkit::Node;
use dtoolkit::fdt::{Fdt, FdtNode};
use outrigger_hal::DmaReach;
use outrigger_xen::{PAGE_SIZE, Port};
use xen_unikernel_abi::hvm::{
    HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN,
};

use super::gic::Gic;
use super::mmu::{CannotMap, Mmu, Use};
use super::passthrough::{device, interrupts, is_coherent, reach, regions};
use super::processor::Processor;
use super::timer::{self, Timer};
use crate::hypercalls::{Errno, hvm_param, yield_processor};
use crate::pages::Pages;
use crate::survivors::facts::Facts;
use crate::{Device, Shared, heap, survivors};

/// Everything above `arch` needs to know of the machine it runs on.
pub(crate) struct Description {
    pub(crate) command_line: &'static str,
    pub(crate) processor: Processor,
    /// What outlives a restart.
    pub(crate) survivors: Shared,
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
    Survivors,
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
            Self::Survivors => f.write_str("what an earlier life has left makes no sense"),
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
    static __survivors: u8;
    static __image_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __stack_guard: u8;
    static __stack_top: u8;
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

/// The program's stack.
pub(super) fn stack() -> Range<u64> {
    symbol!(__stack_guard) + PAGE..symbol!(__stack_top)
}

/// The pages below the program's stack and the exceptions'.
pub(super) fn stack_guards() -> [u64; 2] {
    [symbol!(__stack_guard), symbol!(__fault_stack_guard)]
}

/// The image's code.
pub(super) fn code() -> Range<u64> {
    symbol!(__image_start)..symbol!(__rodata_start)
}

/// What outlives a restart in place.
fn survivors() -> Shared {
    // SAFETY: RAM below the image, which is mapped from the entry on, and which nothing but survivors lies in.
    unsafe { Shared::new(symbol!(__survivors) as usize, survivors::LEN) }
}

/// The page of facts in it.
pub(crate) fn facts() -> Shared {
    survivors().part(survivors::FACTS, PAGE_SIZE)
}

/// Largest device tree believed.
const DEVICE_TREE_MAX: usize = 2 << 20;

/// As much of the window for devices' pages is used.
const WINDOW_MAX: u64 = survivors::DMA_SLOTS as u64 * PAGE;

/// Learns what there is, maps it, and gives the heap its memory.
///
/// # Safety
/// Called once a life, first of all, with the address that the boot protocol gave us, which the early map covers.
pub(crate) unsafe fn describe(device_tree: usize, is_first_life: bool) -> Result<Description, Unusable> {
    let facts = if is_first_life {
        Facts::begin(facts(), device_tree as u64, timer::count())
    } else {
        Facts::take_over(facts()).map_err(|_| Unusable::Survivors)?
    };
    let timer = Timer::new(facts.clock_start());
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
    if ram.start != symbol!(__survivors) {
        return Err(Unusable::DeviceTree(
            "memory does not begin where the image was linked for",
        ));
    }
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
    // The next life reads it again.
    let tree_start = device_tree as u64 & !(PAGE - 1);
    let tree_end = (device_tree as u64 + blob.len() as u64).next_multiple_of(PAGE);
    mmu.map(tree_start..tree_end, Use::Constants)?;
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
    let mut processor = Processor::new(gic, timer, events, facts);

    let mut devices: Vec<Device> = Vec::new();
    for node in passthrough.iter().flat_map(|node| node.children()) {
        let device = device(&tree, &node, &mut processor, reach)?;
        // They are few, and a sort would be kilobytes of code.
        let order = |device: &Device| (device.name.len(), device.name.clone());
        let place = devices.partition_point(|other| order(other) < order(&device));
        devices.insert(place, device);
    }

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
        survivors: survivors(),
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
