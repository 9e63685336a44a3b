//! What a frame costs, from a guest's ring to the registers of a virtio card and back: a table to read differences in.

use outrigger_devices::{GsoKind, Watched};
use outrigger_netif::Gso;
use outrigger_virtio_model::{Bus, NetHeader, NetOffer, Nic, VirtioModel};
use outrigger_virtio_net::{Options as Queues, VirtioNet};
use outrigger_xenbus::fake::{Meter, Table, opt_out};

use crate::card;
use crate::frames::{PEER, blank, mac, segment, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::{Host, Served, World};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/net-costs.txt");

const ABOUT: &str = "\
# What a frame costs the network domain, in its steady state: two stock frontends on FakeXen, with a virtio card.
# `cargo xtask check --update costs` writes this anew; a reviewer reads the difference.
#
";

/// Before the state is steady.
const FIRST: usize = 4;
/// Batches that are counted.
const BATCHES: usize = 8;
/// Segments of 1,448 bytes in 64 KiB, headers included.
const SEGMENTS: u32 = 44;

/// Two guests, and a card that works when it is told to.
struct Scene {
    model: VirtioModel<Nic>,
    registers: Watched<VirtioModel<Nic>>,
    guests: [Guest; 2],
    /// Segments of a connection from the wire so far.
    segments: u32,
}

impl Scene {
    fn new() -> (World, Self) {
        let host = Host::new(card::limits());
        let bus = Bus::default();
        let (reads, writes, line) = (host.dd.clone(), host.dd.clone(), host.dd.clone());
        bus.set_beyond(
            move |addr, bytes| reads.dma_read_at(addr, bytes),
            move |addr, bytes| writes.dma_write_at(addr, bytes),
        );
        let model = VirtioModel::network(NetOffer::default(), &bus);
        model.on_interrupt(move || line.raise_irq(0));
        let registers = Watched::new(model.clone(), opt_out);
        let world = World::on(host, |host: &Host, net: &Served| {
            let pages = host.add_buffers(net, 1024);
            let card =
                VirtioNet::probe(registers.clone(), &host.dd, pages, Queues::default()).expect("a card");
            net.add_nic("virtio0".into(), 1, Box::new(card), 256);
            net.add_segments("lan0:virtio0");
        });
        let guests = [1, 2].map(|number| world.guest(number, Options::default()));
        model.hold();
        let scene = Self {
            model,
            registers,
            guests,
            segments: 0,
        };
        (world, scene)
    }

    /// Batches of `depth` frames: all there when the domain wakes; what they lead to comes to its end.
    fn batches(&mut self, meter: &Meter<'_, Served<'static>>, batches: usize, depth: usize, begin: Begin) {
        for _ in 0..batches {
            for n in 0..depth {
                begin(self, n as u8);
            }
            self.guests[0].kick(0);
            let (mut sent, mut got) = (0, 0);
            for _ in 0..3 {
                meter.run();
                self.model.run();
                sent += self.model.sent().len();
                for guest in &mut self.guests {
                    let frames = guest.collect();
                    got += frames
                        .iter()
                        .map(|frame| segments(frame.bytes.len()))
                        .sum::<usize>();
                }
            }
            assert!(
                sent + got >= depth,
                "{sent} frames sent and {got} received of {depth}"
            );
            assert!(self.guests[0].take_statuses().iter().all(|status| *status == 0));
        }
        self.model.assert_clean();
    }

    fn put(&mut self, to: [u8; 6], payload: usize, seed: u8) {
        self.guests[0].put(0, &udp(mac(1), to, payload, seed), 0, None, &[]);
    }

    fn put_large(&mut self, to: [u8; 6], seed: u8) {
        let frame = blank(&tcp(mac(1), to, true, 1448 * SEGMENTS as usize, seed));
        let gso = Gso {
            kind: GsoKind::TcpV4,
            size: 1448,
        };
        self.guests[0].put(0, &frame, 3, Some(gso), &[]);
    }

    fn arrive(&mut self, payload: usize, seed: u8) {
        let frame = udp(PEER, mac(1), payload, seed);
        self.model.receive(0, NetHeader::default(), &frame);
    }
}

/// As how many a received frame counts, of this length.
fn segments(len: usize) -> usize {
    len.saturating_sub(66).div_ceil(1448).max(1)
}

/// Begins with one of a batch's frames.
type Begin = fn(&mut Scene, u8);

/// Of a frame of 64 bytes.
const SMALL: usize = 64 - 42;
/// Of a frame of 1,514 bytes.
const FULL: usize = 1514 - 42;

const ROWS: [(&str, usize, Begin); 16] = [
    ("to the wire, 64 bytes, one at a time", 1, |scene, n| {
        scene.put(PEER, SMALL, n)
    }),
    ("to the wire, 64 bytes, 32 at once", 32, |scene, n| {
        scene.put(PEER, SMALL, n)
    }),
    ("to the wire, 1,514 bytes, one at a time", 1, |scene, n| {
        scene.put(PEER, FULL, n)
    }),
    ("to the wire, 1,514 bytes, 32 at once", 32, |scene, n| {
        scene.put(PEER, FULL, n)
    }),
    ("to the wire, 44 segments in one, one at a time", 1, |scene, n| {
        scene.put_large(PEER, n)
    }),
    ("to the wire, 44 segments in one, 4 at once", 4, |scene, n| {
        scene.put_large(PEER, n)
    }),
    ("from the wire, 64 bytes, one at a time", 1, |scene, n| {
        scene.arrive(SMALL, n)
    }),
    ("from the wire, 64 bytes, 32 at once", 32, |scene, n| {
        scene.arrive(SMALL, n)
    }),
    ("from the wire, 1,514 bytes, one at a time", 1, |scene, n| {
        scene.arrive(FULL, n)
    }),
    ("from the wire, 1,514 bytes, 32 at once", 32, |scene, n| {
        scene.arrive(FULL, n)
    }),
    (
        "from the wire, a segment, 44 at once, merged",
        SEGMENTS as usize,
        |scene, _| {
            let frame = segment(mac(1), scene.segments);
            scene.segments += 1;
            scene.model.receive(0, NetHeader::default(), &frame);
        },
    ),
    ("to the wire and one back, 98 bytes", 1, |scene, n| {
        scene.put(PEER, 56, n);
        scene.arrive(56, n);
    }),
    ("guest to guest, 64 bytes, one at a time", 1, |scene, n| {
        scene.put(mac(2), SMALL, n)
    }),
    ("guest to guest, 64 bytes, 32 at once", 32, |scene, n| {
        scene.put(mac(2), SMALL, n)
    }),
    ("guest to guest, 1,514 bytes, 32 at once", 32, |scene, n| {
        scene.put(mac(2), FULL, n)
    }),
    ("guest to guest, 44 segments in one", 1, |scene, n| {
        scene.put_large(mac(2), n)
    }),
];

#[test]
fn what_frames_cost_is_golden() {
    let mut table = Table::new(ABOUT);
    for (what, depth, begin) in ROWS {
        let (world, mut scene) = Scene::new();
        let (model, watched) = (scene.model.clone(), scene.registers.clone());
        let registers = move || {
            let ([reads, writes], seen) = (watched.accesses(), model.counters());
            [reads, writes, seen.doorbells, seen.interrupts]
        };
        let meter = Meter::new(&world.life, registers);
        scene.batches(&meter, FIRST, depth, begin);
        table.row(what, (BATCHES * depth) as u64, &meter, || {
            scene.batches(&meter, BATCHES, depth, begin);
        });
    }
    table.is_golden(GOLDEN);
}
