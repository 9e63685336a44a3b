//! The block driver domain's image: which chips it drives, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use log::{error, info};
use outrigger_block::{Block, Budget};
use outrigger_core::{Device, Dom0Page, Machine, SURVIVORS_VERSION};
use outrigger_devices::{BlockDevice, DmaPool, IrqSet};
use outrigger_xen::Clock;
use outrigger_xenbus::{Update, serve};

const CLASS: &str = "block";
outrigger_core::image!(CLASS, run);

fn run(mut machine: Machine) -> ! {
    stop_all(&machine);
    let (cpu_pages, dma_pages) = machine.xen.mappable();
    let block = Block::new(machine.xen, Budget { dma_pages, cpu_pages });
    let mut disks = 0;
    let devices: Vec<Device> = machine.devices.drain(..).collect();
    let mut controllers = 0;
    for device in devices {
        let name = device.name.clone();
        let found = found(&machine, device, &mut controllers).unwrap_or_else(|why| {
            error!("{name}: {why}; it is not served");
            Vec::new()
        });
        for (name, disk, interrupts) in found {
            // For the backend's own reads.
            let Some(page) = machine.dma.page() else {
                error!("{name}: there is no memory left for it; it is not served");
                continue;
            };
            #[cfg(feature = "raw-read")]
            let disk = measured(&name, disk, &page, machine.xen);
            block.add_disk(name, interrupts, disk, page);
            disks += 1;
        }
    }
    info!(
        "block: domain {}, {disks} disks, ready after {} us",
        machine.xen.domid().0,
        machine.xen.now().0 / 1000
    );
    let wait = machine.shutdown_wait();
    let update = machine.for_dom0.map(|Dom0Page { page, gref, port }| {
        let update = Update::new(page, port, CLASS, SURVIVORS_VERSION as u32);
        (update, gref)
    });
    let end = serve(
        &block,
        machine.store,
        machine.xen,
        &mut machine.processor,
        wait,
        update,
    );
    block.quiesce();
    outrigger_core::obey(end)
}

/// Says how fast the disk is read if nobody else has anything to do with it.
#[cfg(feature = "raw-read")]
fn measured<M>(
    name: &str,
    mut disk: Disk,
    page: &outrigger_devices::DmaMemory<M>,
    clock: &impl Clock,
) -> Disk {
    for (pages, depth) in [(32, 16), (1, 32)] {
        let time = core::time::Duration::from_secs(2);
        match outrigger_block::raw_read(&mut *disk, page.page, clock, (pages, depth), time) {
            Ok(raw) => info!(
                "{name}: raw: {pages} pages {depth} deep: {} requests {} failures {} us",
                raw.requests, raw.failed, raw.us
            ),
            Err(why) => error!("{name}: raw: {why}"),
        }
    }
    disk
}

/// Stops what an earlier life has left at work, all of it, before memory is given to any.
fn stop_all(machine: &Machine) {
    for device in &machine.devices {
        #[cfg(feature = "virtio-blk")]
        if device.is("virtio,mmio") {
            device.registers.iter().for_each(outrigger_virtio_blk::stop);
        }
        #[cfg(feature = "nvme")]
        if device.is(outrigger_pci::COMPATIBLE)
            && let [config, window, ..] = &device.registers[..]
        {
            outrigger_pci::stop(config, window);
        }
        #[cfg(feature = "sdhci")]
        if sdhci(device).is_some() {
            device.registers.iter().for_each(outrigger_sdhci::stop);
        }
        let _ = device;
    }
}

/// A disk of any kind.
type Disk = Box<dyn BlockDevice>;

/// The disks behind a device, by their names: that of the device, or of the namespaces of the next of so many NVMe
/// `controllers` (`nvme0n1`).
fn found(
    machine: &Machine,
    device: Device,
    controllers: &mut u32,
) -> Result<Vec<(String, Disk, IrqSet)>, String> {
    #[cfg(feature = "nvme")]
    if device.is(outrigger_pci::COMPATIBLE) {
        let namespaces = nvme(machine, device)?;
        let name = |(nsid, disk, interrupts)| (format!("nvme{controllers}n{nsid}"), disk, interrupts);
        let named = namespaces.into_iter().map(name).collect();
        *controllers += 1;
        return Ok(named);
    }
    let _ = controllers;
    let name = device.name.clone();
    let (disk, interrupts) = disk(machine, device)?;
    Ok(alloc::vec![(name, disk, interrupts)])
}

/// The namespaces of the NVMe controller behind a PCI function, by their numbers.
#[cfg(feature = "nvme")]
fn nvme(machine: &Machine, device: Device) -> Result<Vec<(u32, Disk, IrqSet)>, String> {
    use outrigger_nvme::{Options, Signal, probe};
    use outrigger_pci::{Ecam, Function, Wiring};
    let wiring = Wiring::read(|name| device.property(name))?;
    let interrupts = device.interrupts.iter().copied().collect::<IrqSet>();
    let signal = match wiring.message {
        _ if interrupts.is_empty() => Signal::None,
        Some(message) => Signal::Message(message),
        None => Signal::Line,
    };
    let reach = device.reach;
    let mut registers = device.registers.into_iter();
    let (Some(config), Some(window)) = (registers.next(), registers.next()) else {
        return Err("it has no configuration space or no window".into());
    };
    let function = Function::find(Ecam(config), window, wiring.window).map_err(|why| why.to_string())?;
    let found = probe(
        function,
        &machine.dma,
        machine.xen,
        reach,
        signal,
        Options::default(),
    );
    let found = found.map_err(|why| why.to_string())?;
    let disk = |namespace: outrigger_nvme::Namespace<_, _, _, _>| {
        let nsid = namespace.nsid();
        (nsid, Box::new(namespace) as Disk, interrupts)
    };
    Ok(found.into_iter().map(disk).collect())
}

/// The disk behind a device, and its interrupts.
fn disk(machine: &Machine, device: Device) -> Result<(Disk, IrqSet), String> {
    #[cfg(feature = "sdhci")]
    if let Some((compatible, chip)) = sdhci(&device) {
        use outrigger_sdhci::{Options, Sdhci};
        let reach = device.reach;
        let (registers, interrupts) = device.claim(&compatible)?;
        let card = Sdhci::probe(
            registers,
            machine.dma,
            machine.xen,
            chip,
            reach,
            Options::default(),
        );
        return Ok((Box::new(card.map_err(|why| why.to_string())?), interrupts));
    }
    #[cfg(feature = "virtio-blk")]
    if device.is("virtio,mmio") {
        use outrigger_virtio_blk::{Options, VirtioBlk};
        let (registers, interrupts) = device.claim("virtio,mmio")?;
        let disk = VirtioBlk::probe(registers, &machine.dma, Options::default());
        return Ok((Box::new(disk.map_err(|why| why.to_string())?), interrupts));
    }
    let _ = machine;
    Err(format!("no driver for {}", device.compatible.join(", ")))
}

/// Which SD host controller the device is, if it is one.
#[cfg(feature = "sdhci")]
fn sdhci(device: &Device) -> Option<(String, outrigger_sdhci::Chip)> {
    let mut names = device.compatible.iter();
    names.find_map(|name| Some((name.clone(), outrigger_sdhci::Chip::find(name)?)))
}
