//! The network driver domain's image: which chips it drives, which segments it bridges, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use log::{error, info};
use outrigger_core::{Device, Dom0Page, Machine, SURVIVORS_VERSION, Shared, Xen};
use outrigger_devices::{DmaMemory, DmaPool, IrqSet, NetDevice};
use outrigger_net::{Buffer, Net};
use outrigger_xen::Clock;
use outrigger_xenbus::{Update, serve};

const CLASS: &str = "net";
outrigger_core::image!(CLASS, run);

/// Pages for frames, of all cards and guests together.
const BUFFERS: usize = 1024;

/// Of these, pages that a card receives into.
const RX_BUFFERS: u32 = 256;

fn run(mut machine: Machine) -> ! {
    stop_cards(&machine);
    let net: Net<'_, Xen, Card, Shared> = Net::new(machine.xen);
    let mut nics = 0;
    let mut pages: Vec<DmaMemory<Shared>> = Vec::with_capacity(BUFFERS);
    pages.extend(core::iter::from_fn(|| machine.dma.page()).take(BUFFERS));
    net.add_buffers(pages.iter().map(|page| Buffer {
        gfn: page.memory.gfn(),
        memory: page.memory.clone(),
        page: page.page,
    }));
    let devices: Vec<Device> = machine.devices.drain(..).collect();
    for device in devices {
        let name = device.name.clone();
        let card = card(&machine, device, &pages);
        match card {
            Ok((card, interrupts)) => {
                net.add_nic(name, interrupts, card, RX_BUFFERS);
                nics += 1;
            }
            Err(why) => error!("{name}: {why}; it is not served"),
        }
    }
    match machine.option("segments") {
        Some(segments) => net.add_segments(segments),
        // xl's default bridge is xenbr0.
        None if nics == 0 => net.add_segment("xenbr0".to_string(), None),
        None => (0..nics).for_each(|card| net.add_segment(format!("xenbr{card}"), Some(card))),
    }
    info!(
        "net: domain {}, {nics} cards, ready after {} us",
        machine.xen.domid().0,
        machine.xen.now().0 / 1000
    );
    let wait = machine.shutdown_wait();
    let update = machine.for_dom0.map(|Dom0Page { page, gref, port }| {
        let update = Update::new(page, port, CLASS, SURVIVORS_VERSION as u32);
        (update, gref)
    });
    let end = serve(
        &net,
        machine.store,
        machine.xen,
        &mut machine.processor,
        wait,
        update,
    );
    net.quiesce();
    outrigger_core::obey(end)
}

/// Stops what an earlier life has left at work, all of it, before memory is given to any.
fn stop_cards(machine: &Machine) {
    for device in &machine.devices {
        #[cfg(feature = "virtio-net")]
        if device.is("virtio,mmio") {
            device.registers.iter().for_each(outrigger_virtio_net::stop);
        }
        #[cfg(feature = "genet")]
        if device.is("brcm,bcm2711-genet-v5") {
            let stop = |io| outrigger_genet::stop(io, machine.xen);
            device.registers.first().into_iter().for_each(stop);
        }
        let _ = device;
    }
}

/// A card of any kind.
type Card = Box<dyn NetDevice>;

/// The card behind a device, and its interrupts.
fn card(machine: &Machine, device: Device, pages: &[DmaMemory<Shared>]) -> Result<(Card, IrqSet), String> {
    #[cfg(feature = "genet")]
    if device.is("brcm,bcm2711-genet-v5") {
        return genet(machine, device);
    }
    #[cfg(feature = "virtio-net")]
    if device.is("virtio,mmio") {
        use outrigger_virtio_net::{Options, VirtioNet};
        let (registers, interrupts) = device.claim("virtio,mmio")?;
        let card = VirtioNet::probe(registers, &machine.dma, pages.to_vec(), Options::default());
        return Ok((Box::new(card.map_err(|why| why.to_string())?), interrupts));
    }
    let _ = (machine, pages);
    Err(format!("no driver for {}", device.compatible.join(", ")))
}

/// The Raspberry Pi 4's. Of its two interrupts the second belongs to queues that are not used.
#[cfg(feature = "genet")]
fn genet(machine: &Machine, device: Device) -> Result<(Card, IrqSet), String> {
    use outrigger_devices::DmaPath;
    use outrigger_genet::{Genet, Options, PhyMode};
    let mut options = Options::default();
    let address = |name| {
        let address: [u8; 6] = device.property(name)?.try_into().ok()?;
        (address != [0; 6]).then_some(address)
    };
    options.mac = match machine.option("mac") {
        Some(mac) => {
            let mac =
                outrigger_net::packet::Mac::parse(mac).ok_or_else(|| format!("mac={mac} is no address"))?;
            Some(mac.0)
        }
        None => address("mac-address").or_else(|| address("local-mac-address")),
    };
    if let Some(mode) = device.property("phy-mode") {
        options.phy_mode = PhyMode::parse(mode).ok_or("its phy-mode is none of RGMII's")?;
    }
    if let Some(mtu) = machine.option("mtu") {
        options.mtu = mtu
            .parse()
            .map_err(|_| format!("mtu={mtu} is no number of bytes"))?;
    }
    // Its descriptors have 40 bits, which is all the memory of the board.
    let path = DmaPath::new(machine.dma, device.reach.limited(40), 0);
    let (registers, interrupts) = device.claim("brcm,bcm2711-genet-v5")?;
    let card = Genet::probe(registers, machine.xen, path, options).map_err(|why| why.to_string())?;
    Ok((Box::new(card), interrupts))
}
