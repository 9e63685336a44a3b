//! The network driver domain's image: which chips it drives, which segments it bridges, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use log::{error, info};
use outrigger_core::{Machine, Shared, Xen};
use outrigger_devices::{DmaMemory, DmaPool, NetDevice};
use outrigger_net::{Buffer, Net};
use outrigger_virtio_net::{Options, VirtioNet};
use outrigger_xen::Clock;
use outrigger_xenbus::serve;

outrigger_core::image!(run);

/// Pages for frames, of all cards and guests together.
const BUFFERS: usize = 1024;

/// Of these, pages that a card receives into.
const RX_BUFFERS: u32 = 256;

fn run(mut machine: Machine) -> ! {
    let net = Net::new(machine.xen);
    let mut nics: Vec<String> = Vec::new();
    let pages: Vec<DmaMemory<Shared>> = core::iter::from_fn(|| machine.dma.page()).take(BUFFERS).collect();
    net.add_buffers(pages.iter().map(|page| Buffer {
        gfn: page.memory.gfn(),
        memory: page.memory.clone(),
        page: page.page,
    }));
    for device in machine.devices.drain(..) {
        let name = device.name.clone();
        let card = device.claim("virtio,mmio").and_then(|(registers, interrupt)| {
            let card = VirtioNet::probe(registers, &machine.dma, pages.clone(), Options::default());
            card.map(|card| (card, interrupt)).map_err(|why| why.to_string())
        });
        match card {
            Ok((card, interrupt)) => {
                net.add_nic(name.clone(), interrupt, card, RX_BUFFERS);
                nics.push(name);
            }
            Err(why) => error!("{name}: {why}; it is not served"),
        }
    }
    match machine.option("segments") {
        Some(segments) => {
            for segment in segments.split(',') {
                add_segment(&net, segment, &nics);
            }
        }
        // xl's default bridge is xenbr0.
        None if nics.is_empty() => net.add_segment("xenbr0".to_string(), None),
        None => (0..nics.len()).for_each(|card| net.add_segment(format!("xenbr{card}"), Some(card))),
    }
    info!(
        "net: domain {}, {} cards, ready after {} us",
        machine.xen.domid().0,
        nics.len(),
        machine.xen.now().0 / 1000
    );
    let shutdown = serve(&net, machine.store, machine.xen, &mut machine.processor);
    net.quiesce();
    outrigger_core::stop(shutdown)
}

/// `NAME:CARD`, a segment with an uplink, or `NAME`, one between guests only.
fn add_segment<D: NetDevice>(net: &Net<'_, Xen, D, Shared>, segment: &str, nics: &[String]) {
    let (name, uplink) = match segment.split_once(':') {
        None => (segment, None),
        Some((name, card)) => match nics.iter().position(|nic| nic == card) {
            Some(card) => (name, Some(card)),
            None => return error!("segments={segment}: there is no card {card}; the segment is not served"),
        },
    };
    net.add_segment(name.to_string(), uplink);
}
