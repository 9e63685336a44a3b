//! The block driver domain's image: which chips it drives, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;

use log::{error, info};
use outrigger_block::{Block, Budget};
use outrigger_core::Machine;
use outrigger_devices::DmaPool;
use outrigger_virtio_blk::{Options, VirtioBlk};
use outrigger_xen::Clock;
use outrigger_xenbus::serve;

outrigger_core::image!(run);

fn run(mut machine: Machine) -> ! {
    let (cpu_pages, dma_pages) = machine.xen.mappable();
    let block = Block::new(machine.xen, Budget { dma_pages, cpu_pages });
    let mut disks = 0;
    for device in machine.devices.drain(..) {
        let name = device.name.clone();
        let disk = device.claim("virtio,mmio").and_then(|(registers, interrupt)| {
            let disk = VirtioBlk::probe(registers, &machine.dma, Options::default());
            let disk = disk.map_err(|why| why.to_string())?;
            // For the backend's own reads.
            let page = machine.dma.page().ok_or("there is no memory left for it")?;
            Ok((disk, interrupt, page))
        });
        match disk {
            Ok((disk, interrupt, page)) => {
                block.add_disk(name, interrupt, disk, page);
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
    let shutdown = serve(&block, machine.store, machine.xen, &mut machine.processor);
    block.quiesce();
    outrigger_core::stop(shutdown)
}
