//! What a request costs, from the guest's ring to the registers of a disk and back: a table to read differences in.

use std::cell::Cell;
use std::rc::Rc;

use outrigger_devices::{DmaReach, Watched};
use outrigger_sdhci::{Chip, Options as Card, Sdhci};
use outrigger_sdhci_model::{CardOffer, SdhciModel, Slot};
use outrigger_virtio_blk::{Options as Queues, VirtioBlk};
use outrigger_virtio_model::{Bus, Offer, VirtioModel};
use outrigger_xen::fake::Domain;
use outrigger_xenbus::fake::{Meter, Registers, Table, opt_out};

use crate::guest::{Buffer, FLUSH, Guest, OKAY, Options, READ, WRITE};
use crate::world::{FE, Host, Served, World, vbd};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/block-costs.txt");

const ABOUT: &str = "\
# What a request costs the block domain, in its steady state: a stock frontend's requests on FakeXen, with a\n# virtio disk, and with an SD card and persistent grants.
# `cargo xtask check --update costs` writes this anew; a reviewer reads the difference.
#
";

/// Before the state is steady: what is kept is mapped by then.
const FIRST: usize = 8;
/// Batches that are counted.
const BATCHES: usize = 8;

/// A guest with a disk that ends requests when it is told to.
struct Scene {
    device: Device,
    guest: Guest,
    buffers: Vec<Buffer>,
    pages: Vec<Buffer>,
}

/// The device's side.
struct Device {
    /// It works until there is nothing to do but to be heard.
    work: Box<dyn Fn()>,
    /// What passed between it and its driver.
    seen: Rc<dyn Fn() -> Registers>,
    is_clean: Box<dyn Fn()>,
}

/// A bus that leads to all the memory of the driver domain that a device may reach.
fn bus(dd: &Domain) -> Bus {
    let bus = Bus::default();
    let (reads, writes) = (dd.clone(), dd.clone());
    bus.set_beyond(
        move |addr, bytes| reads.dma_read_at(addr, bytes),
        move |addr, bytes| writes.dma_write_at(addr, bytes),
    );
    bus
}

/// As QEMU's disk.
fn virtio(host: &Host, block: &Served) -> Device {
    let offer = Offer {
        sectors: 1 << 14,
        ..Offer::default()
    };
    let model = VirtioModel::new(offer, &bus(&host.dd));
    let line = host.dd.clone();
    model.on_interrupt(move || line.raise_irq(0));
    let watched = Watched::new(model.clone(), opt_out);
    let disk = VirtioBlk::probe(watched.clone(), &host.dd, Queues::default()).expect("a disk");
    host.add_disk(block, 0, disk);
    model.hold();
    let (work, seen) = (model.clone(), model.clone());
    Device {
        work: Box::new(move || work.run()),
        seen: Rc::new(move || {
            let ([reads, writes], seen) = (watched.accesses(), seen.counters());
            [reads, writes, seen.doorbells, seen.interrupts]
        }),
        is_clean: Box::new(move || model.assert_clean()),
    }
}

/// An SD card behind a plain controller.
fn sd_card(host: &Host, block: &Served) -> Device {
    let model = SdhciModel::new(Slot::VERSION_3, Some(CardOffer::SD), &bus(&host.dd));
    let watched = Watched::new(model.clone(), opt_out);
    // As the Raspberry Pi's, but for how far it reaches: FakeXen's memory is beyond that.
    let chip = Chip {
        auto_cmd23: false,
        ..Chip::GENERIC
    };
    let disk = Sdhci::probe(
        watched.clone(),
        host.dd.clone(),
        model.clock(),
        chip,
        DmaReach::ALL,
        Card::default(),
    );
    host.add_disk(block, 0, disk.expect("a card"));
    model.set_latency(u32::MAX);
    model.take_commands();
    let (line, work, counted) = (host.dd.clone(), model.clone(), model.clone());
    let (commands, interrupts) = (Cell::new(0), Rc::new(Cell::new(0)));
    let raised = interrupts.clone();
    Device {
        work: Box::new(move || {
            while work.run() {}
            if work.interrupt() {
                raised.set(raised.get() + 1);
                line.raise_irq(0);
            }
        }),
        seen: Rc::new(move || {
            commands.set(commands.get() + counted.take_commands().len() as u64);
            let [reads, writes] = watched.accesses();
            [reads, writes, commands.get(), interrupts.get()]
        }),
        is_clean: Box::new(move || model.assert_clean()),
    }
}

/// Adds a device to a backend.
type Add = fn(&Host, &Served) -> Device;

impl Scene {
    fn new(add: Add, persistent: bool) -> (World, Self) {
        let mut device = None;
        let world = World::on(Host::new(&[]), |host: &Host, block: &Served| {
            device = Some(add(host, block));
        });
        let options = Options {
            persistent,
            ..Options::default()
        };
        let guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let scene = Self {
            device: device.expect("it was added"),
            buffers: guest.buffers(16 * 32),
            pages: guest.buffers(16),
            guest,
        };
        (world, scene)
    }

    /// Batches of `depth` requests: all in the ring when the domain wakes, all ended when it wakes again.
    fn batches(&mut self, meter: &Meter<'_, Served<'static>>, batches: usize, depth: usize, ask: Ask) {
        for _ in 0..batches {
            let ids: Vec<u64> = (0..depth)
                .map(|n| ask(&mut self.guest, n, &self.buffers, &self.pages[n % 16]))
                .collect();
            self.guest.kick(0);
            meter.run();
            // A card is told and heard of one command after the other.
            for _ in 0..4 * depth {
                if self.guest.unanswered() == 0 {
                    break;
                }
                (self.device.work)();
                meter.run();
                self.guest.collect();
            }
            for id in ids {
                assert_eq!(self.guest.answer(id), Some(OKAY));
            }
        }
        (self.device.is_clean)();
    }
}

/// Asks for one of a batch's requests.
type Ask = fn(&mut Guest, usize, &[Buffer], &Buffer) -> u64;

fn read_4k(guest: &mut Guest, n: usize, buffers: &[Buffer], _: &Buffer) -> u64 {
    guest.data(0, READ, 8 * n as u64, &[buffers[n].whole()])
}

fn write_4k(guest: &mut Guest, n: usize, buffers: &[Buffer], _: &Buffer) -> u64 {
    guest.data(0, WRITE, 8 * n as u64, &[buffers[n].whole()])
}

fn large(guest: &mut Guest, operation: u8, n: usize, buffers: &[Buffer], page: &Buffer) -> u64 {
    let buffers = &buffers[32 * n..][..32];
    let segs: Vec<_> = buffers.iter().map(Buffer::whole).collect();
    guest.indirect(0, operation, 256 * n as u64, &segs, page)
}

fn read_128k(guest: &mut Guest, n: usize, buffers: &[Buffer], page: &Buffer) -> u64 {
    large(guest, READ, n, buffers, page)
}

fn write_128k(guest: &mut Guest, n: usize, buffers: &[Buffer], page: &Buffer) -> u64 {
    large(guest, WRITE, n, buffers, page)
}

fn flush(guest: &mut Guest, _: usize, _: &[Buffer], _: &Buffer) -> u64 {
    guest.data(0, FLUSH, 0, &[])
}

const ROWS: [(&str, usize, Ask); 8] = [
    ("read 4 KiB, one at a time", 1, read_4k),
    ("read 4 KiB, 32 at once", 32, read_4k),
    ("write 4 KiB, one at a time", 1, write_4k),
    ("write 4 KiB, 32 at once", 32, write_4k),
    ("read 128 KiB, one at a time", 1, read_128k),
    ("read 128 KiB, 16 at once", 16, read_128k),
    ("write 128 KiB, 16 at once", 16, write_128k),
    ("flush, one at a time", 1, flush),
];

/// What a card does worse than a queue: one thing at a time.
const CARD_ROWS: [(&str, usize, Ask); 4] = [
    ("read 4 KiB, 8 at once", 8, read_4k),
    ("write 4 KiB, 8 at once", 8, write_4k),
    ("read 128 KiB, one at a time", 1, read_128k),
    ("write 128 KiB, one at a time", 1, write_128k),
];

#[test]
fn what_requests_cost_is_golden() {
    let mut table = Table::new(ABOUT);
    let mut rows = |add: Add, persistent, how: &str, rows: &[(&str, usize, Ask)]| {
        for (what, depth, ask) in rows {
            let (world, mut scene) = Scene::new(add, persistent);
            let seen = scene.device.seen.clone();
            let meter = Meter::new(&world.life, move || seen());
            scene.batches(&meter, FIRST, *depth, *ask);
            table.row(
                &format!("{what}, {how}"),
                (BATCHES * depth) as u64,
                &meter,
                || {
                    scene.batches(&meter, BATCHES, *depth, *ask);
                },
            );
        }
    };
    rows(virtio, true, "persistent", &ROWS);
    rows(virtio, false, "mapped", &ROWS);
    rows(sd_card, true, "SD card", &CARD_ROWS);
    table.is_golden(GOLDEN);
}
