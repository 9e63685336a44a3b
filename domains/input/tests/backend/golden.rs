//! What an event costs, from the device to the guest's ring: a table to read differences in.

use outrigger_backend::Split;
use outrigger_backend::fake::World;
use outrigger_devices::{IrqSet, Watched};
use outrigger_input::{Chord, Input};
use outrigger_virtio_input::VirtioInput;
use outrigger_virtio_model::{Bus, InputOffer, VirtioModel};
use outrigger_xenbus::fake::{Meter, Table, opt_out};

use crate::guest::Guest;
use crate::world::{Served, host, vkb};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/input-costs.txt");

const ABOUT: &str = "\
# What an event costs the input domain: one virtio device, a stock frontend on FakeXen that reads what it is given.
# `cargo xtask check --update costs` writes this anew; a reviewer reads the difference.
#
";

/// Things that are counted.
const COUNT: u64 = 64;

fn rows(table: &mut Table, what: [&str; 2], offer: InputOffer, act: impl Fn(u64) -> [(u16, u16, i32); 2]) {
    let host = host();
    let bus = Bus::default();
    let (reads, writes) = (host.dd.clone(), host.dd.clone());
    bus.set_beyond(
        move |addr, bytes| reads.dma_read_at(addr, bytes),
        move |addr, bytes| writes.dma_write_at(addr, bytes),
    );
    let model = VirtioModel::input(offer, &bus);
    let line = host.dd.clone();
    model.on_interrupt(move || line.raise_irq(0));
    let watched = Watched::new(model.clone(), opt_out);
    let device = VirtioInput::probe(watched.clone(), &host.dd).expect("a device");
    let mut class = Input::new(Chord::default());
    class.add(
        "virtio0".into(),
        IrqSet::of(0),
        Box::new(device) as Box<dyn outrigger_devices::InputDevice>,
    );
    let world: World<Served<'static>> = World::on(host, |quiet| Split::new(quiet, class));
    let mut guest = Guest::boot(&world, vkb(1), &[], &[]);
    let meter = Meter::new(&world.life, || {
        let ([reads, writes], seen) = (watched.accesses(), model.counters());
        [reads, writes, seen.doorbells, seen.interrupts]
    });
    let [alone, together] = what;
    table.row(alone, COUNT, &meter, || {
        for at in 0..COUNT {
            model.act(&act(at));
            meter.run();
            guest.hear();
            // It has notified us of having read.
            meter.run();
            world.xen.advance(core::time::Duration::from_millis(10));
        }
    });
    table.row(together, COUNT, &meter, || {
        for batch in 0..COUNT / 8 {
            model.hold();
            (0..8).for_each(|at| model.act(&act(8 * batch + at)));
            model.run();
            model.release();
            meter.run();
            guest.hear();
            meter.run();
            world.xen.advance(core::time::Duration::from_millis(10));
        }
    });
    model.assert_clean();
}

#[test]
fn an_event_costs_what_it_did() {
    let mut table = Table::new(ABOUT);
    rows(
        &mut table,
        [
            "a key pressed or released, one at a time",
            "a key pressed or released, 8 at once",
        ],
        InputOffer::keyboard(),
        |at| [(1, 30, i32::from(at % 2 == 0)), (0, 1, 0)],
    );
    rows(
        &mut table,
        ["a motion, one at a time", "a motion, 8 at once"],
        InputOffer::mouse(),
        |_| [(2, 0, 1), (2, 1, -1)],
    );
    table.is_golden(GOLDEN);
}
