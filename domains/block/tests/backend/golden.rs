//! What a request costs, from the guest's ring to the registers of a virtio disk and back: a table to read differences in.

use outrigger_virtio_blk::{Options as Queues, VirtioBlk};
use outrigger_virtio_model::{Bus, Offer, VirtioModel};
use outrigger_xenbus::fake::{Meter, Table};

use crate::guest::{Buffer, FLUSH, Guest, OKAY, Options, READ, WRITE};
use crate::quiet;
use crate::world::{FE, Host, Served, World, vbd};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/block-costs.txt");

const ABOUT: &str = "\
# What a request costs the block domain, in its steady state: a stock frontend's requests on FakeXen, with a virtio disk.
# `OUTRIGGER_BLESS=1 cargo test -p outrigger-block golden` writes this anew; a reviewer reads the difference.
#
";

/// Before the state is steady: what is kept is mapped by then.
const FIRST: usize = 8;
/// Batches that are counted.
const BATCHES: usize = 8;

/// A guest with a disk that ends requests when it is told to.
struct Scene {
    model: VirtioModel,
    guest: Guest,
    buffers: Vec<Buffer>,
    pages: Vec<Buffer>,
}

impl Scene {
    fn new(persistent: bool) -> (World, Self) {
        let host = Host::new(&[]);
        let bus = Bus::default();
        let (reads, writes, line) = (host.dd.clone(), host.dd.clone(), host.dd.clone());
        bus.set_beyond(
            move |addr, bytes| reads.dma_read_at(addr, bytes),
            move |addr, bytes| writes.dma_write_at(addr, bytes),
        );
        let offer = Offer {
            sectors: 1 << 14,
            ..Offer::default()
        };
        let model = VirtioModel::new(offer, &bus);
        model.on_interrupt(move || line.raise_irq(0));
        let registers = quiet::registers(model.clone());
        let world = World::on(host, |host: &Host, block: &Served| {
            let disk = VirtioBlk::probe(registers, &host.dd, Queues::default()).expect("a disk");
            host.add_disk(block, 0, disk);
        });
        let options = Options {
            persistent,
            ..Options::default()
        };
        let guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        model.hold();
        let scene = Self {
            buffers: guest.buffers(16 * 32),
            pages: guest.buffers(16),
            model,
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
            // More than the queue has room for goes in several goes.
            for _ in 0..depth {
                if self.guest.unanswered() == 0 {
                    break;
                }
                self.model.run();
                meter.run();
                self.guest.collect();
            }
            for id in ids {
                assert_eq!(self.guest.answer(id), Some(OKAY));
            }
        }
        self.model.assert_clean();
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

#[test]
fn what_requests_cost_is_golden() {
    let mut table = Table::new(ABOUT);
    for (persistent, how) in [(true, "persistent"), (false, "mapped")] {
        for (what, depth, ask) in ROWS {
            let (world, mut scene) = Scene::new(persistent);
            let model = scene.model.clone();
            let registers = move || {
                let seen = model.counters();
                [
                    seen.register_reads,
                    seen.register_writes,
                    seen.doorbells,
                    seen.interrupts,
                ]
            };
            let meter = Meter::new(&world.life, registers, quiet::allocations);
            scene.batches(&meter, FIRST, depth, ask);
            table.row(
                &format!("{what}, {how}"),
                (BATCHES * depth) as u64,
                &meter,
                || {
                    scene.batches(&meter, BATCHES, depth, ask);
                },
            );
        }
    }
    table.is_golden(GOLDEN);
}
