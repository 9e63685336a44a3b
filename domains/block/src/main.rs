//! The block driver domain's image: which chips it drives, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use core::pin::pin;

use log::{error, info};
use outrigger_block::{Block, Budget};
use outrigger_core::{Device, Machine, Pool, Registers, Shared, Stop};
use outrigger_devices::{DmaMemory, DmaPool};
use outrigger_virtio_blk::{Options, VirtioBlk};
use outrigger_xen::xenstore::poll_once;
use outrigger_xen::{Clock, Cpu, Wake};
use outrigger_xenbus::{Backend, Shutdown};

outrigger_core::image!(run);

/// The driver of this image.
type Disk = VirtioBlk<Registers, Shared>;

fn run(mut machine: Machine) -> ! {
    let (cpu_pages, dma_pages) = machine.xen.mappable();
    let block = Block::new(machine.xen, Budget { dma_pages, cpu_pages });
    let mut disks = 0;
    for device in machine.devices.drain(..) {
        let name = device.name.clone();
        match probe(device, machine.dma) {
            Ok((disk, interrupt, page)) => {
                block.add_disk(name, 1 << interrupt, disk, page);
                disks += 1;
            }
            Err(why) => error!("{name}: {why}; it is not served"),
        }
    }
    info!(
        "block: domain {}, {disks} disks, ready after {} us",
        machine.xen.domid().0,
        machine.xen.now().0 / 1000
    );

    let control = Backend::new(machine.store, machine.xen, &block);
    let mut control_plane = pin!(control.run());
    let mut wake = Wake {
        events: true,
        ..Wake::default()
    };
    let mut look = true;
    loop {
        let turn = block.turn(wake);
        if turn.poke {
            control.poke();
        }
        look |= turn.other_events && machine.store.poll();
        look |= control.is_poked() || control.next_deadline().is_some_and(|at| at <= machine.xen.now());
        if look {
            let _ = poll_once(control_plane.as_mut());
            look = machine.store.poll();
        }
        if let Some(shutdown) = control.take_shutdown() {
            block.quiesce();
            outrigger_core::stop(match shutdown {
                Shutdown::Reboot => Stop::Reboot,
                Shutdown::Crash => Stop::Crash,
                Shutdown::PowerOff | Shutdown::Halt => Stop::PowerOff,
            });
        }
        wake = if turn.more_work || look || block.has_work() {
            machine.processor.poll()
        } else {
            machine
                .processor
                .wait(turn.deadline.into_iter().chain(control.next_deadline()).min())
        };
        // The bitmap is cheaper to look at than the interrupt that announces it.
        wake.events = true;
    }
}

/// Brings a device up: with the bit of its interrupt, and a page for the backend's own reads.
fn probe(device: Device, pool: &'static Pool) -> Result<(Disk, u32, DmaMemory<Shared>), String> {
    let Device {
        compatible,
        registers,
        interrupts,
        ..
    } = device;
    if !compatible.iter().any(|name| name == "virtio,mmio") {
        return Err(format!("no driver for {}", compatible.join(", ")));
    }
    let interrupt = *interrupts.first().ok_or("it has no interrupt")?;
    let registers = registers.into_iter().next().ok_or("it has no registers")?;
    let disk = VirtioBlk::probe(registers, &pool, Options::default()).map_err(|why| why.to_string())?;
    let page = pool.page().ok_or("there is no memory left for it")?;
    Ok((disk, interrupt, page))
}
