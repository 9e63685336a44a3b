//! The input driver domain's image: which chips it drives, and the one loop.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use log::{error, info};
use outrigger_backend::Split;
use outrigger_core::{Device, Dom0Page, Machine, SURVIVORS_VERSION, Xen};
use outrigger_devices::{InputDevice, IrqSet};
use outrigger_input::{Chord, Input};
use outrigger_xen::Clock;
use outrigger_xenbus::{Update, serve};

const CLASS: &str = "input";
outrigger_core::image!(CLASS, run);

fn run(mut machine: Machine) -> ! {
    // What an earlier life has left at work, all of it, before memory is given to any.
    #[cfg(feature = "virtio-input")]
    for device in machine.devices.iter().filter(|device| device.is("virtio,mmio")) {
        device.registers.iter().for_each(outrigger_virtio_input::stop);
    }
    let chord = machine.option("chord").map_or(Ok(Chord::default()), Chord::parse);
    let chord = chord.unwrap_or_else(|why| {
        error!("chord: {why}; both control keys are the chord");
        Chord::default()
    });
    let mut input = Input::new(chord);
    let mut count = 0;
    let devices: Vec<Device> = machine.devices.drain(..).collect();
    for device in devices {
        let name = device.name.clone();
        match probe(&machine, device) {
            Ok((device, interrupts)) => {
                input.add(name, interrupts, device);
                count += 1;
            }
            Err(why) => error!("{name}: {why}; it is not served"),
        }
    }
    let backend: Split<'_, Xen, _> = Split::new(machine.xen, input);
    info!(
        "input: domain {}, {count} devices, ready after {} us",
        machine.xen.domid().0,
        machine.xen.now().0 / 1000
    );
    let wait = machine.shutdown_wait();
    let update = machine.for_dom0.map(|Dom0Page { page, gref, port }| {
        let update = Update::new(page, port, CLASS, SURVIVORS_VERSION as u32);
        (update, gref)
    });
    let end = serve(
        &backend,
        machine.store,
        machine.xen,
        &mut machine.processor,
        wait,
        update,
    );
    backend.with_class(Input::quiesce);
    outrigger_core::obey(end)
}

/// The device behind a node of the device tree, and its interrupts.
fn probe(machine: &Machine, device: Device) -> Result<(Box<dyn InputDevice>, IrqSet), String> {
    #[cfg(feature = "virtio-input")]
    if device.is("virtio,mmio") {
        let (registers, interrupts) = device.claim("virtio,mmio")?;
        let device = outrigger_virtio_input::VirtioInput::probe(registers, &machine.dma);
        return Ok((Box::new(device.map_err(|why| why.to_string())?), interrupts));
    }
    let _ = machine;
    Err(format!("no driver for {}", device.compatible.join(", ")))
}
