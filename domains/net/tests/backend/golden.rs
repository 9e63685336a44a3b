//! What a frame costs, from a guest's ring to the registers of a card and back: a table to read differences in.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use outrigger_devices::{DmaPath, DmaReach, GsoKind, Watched};
use outrigger_genet::{Genet, Options as GenetOptions};
use outrigger_genet_model::{GenetModel, Offer as GenetOffer, Partner};
use outrigger_netif::Gso;
use outrigger_virtio_model::{Bus, NetHeader, NetOffer, VirtioModel};
use outrigger_virtio_net::{Options as Queues, VirtioNet};
use outrigger_xen::Clock;
use outrigger_xen::fake::Domain;
use outrigger_xenbus::fake::{Meter, Registers, Table, opt_out, quiet_domain};

use crate::card;
use crate::frames::{PEER, blank, mac, segment, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::{Host, Served, World};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/net-costs.txt");

const ABOUT: &str = "\
# What a frame costs the network domain, in its steady state: two stock frontends on FakeXen, with a\n# virtio card, and with the Raspberry Pi 4's (GENET).
# `cargo xtask check --update costs` writes this anew; a reviewer reads the difference.
#
";

/// Frames before the state is steady: all descriptors of a ring have been used.
const FIRST: usize = 320;
/// Batches that are counted.
const BATCHES: usize = 8;
/// Segments of 1,448 bytes in 64 KiB, headers included.
const SEGMENTS: u32 = 44;

/// Two guests, and a card that works when it is told to.
struct Scene {
    card: Card,
    guests: [Guest; 2],
    /// Segments of a connection from the wire so far.
    segments: u32,
}

type Arrive = dyn Fn(&[u8]);

/// The card's side.
struct Card {
    /// Hundredths of a second until its link is up.
    starts: usize,
    /// A frame is on the wire.
    arrive: Box<Arrive>,
    /// It works until there is nothing to do but to be heard; how many frames went out.
    work: Box<dyn Fn() -> usize>,
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

/// As QEMU's card.
fn virtio(host: &Host, net: &Served) -> Card {
    let model = VirtioModel::network(NetOffer::default(), &bus(&host.dd));
    let line = host.dd.clone();
    model.on_interrupt(move || line.raise_irq(0));
    let watched = Watched::new(model.clone(), opt_out);
    let pages = host.add_buffers(net, 1024);
    let card = VirtioNet::probe(watched.clone(), &host.dd, pages, Queues::default()).expect("a card");
    net.add_nic(
        "virtio0".into(),
        outrigger_xen::IrqSet::of(0),
        Box::new(card),
        256,
    );
    model.hold();
    let (wire, work, seen) = (model.clone(), model.clone(), model.clone());
    Card {
        starts: 0,
        arrive: Box::new(move |frame| wire.receive(0, NetHeader::default(), frame)),
        work: Box::new(move || {
            work.run();
            work.sent().len()
        }),
        seen: Rc::new(move || {
            let ([reads, writes], seen) = (watched.accesses(), seen.counters());
            [reads, writes, seen.doorbells, seen.interrupts]
        }),
        is_clean: Box::new(move || model.assert_clean()),
    }
}

/// The Raspberry Pi 4's, which has no segmentation, and whose doorbells are among its indices.
fn genet(host: &Host, net: &Served) -> Card {
    let offer = GenetOffer {
        eager: false,
        ..GenetOffer::default()
    };
    let model = GenetModel::new(&bus(&host.dd), offer);
    model.connect(Some(Partner::GIGABIT));
    model.pass(Duration::from_secs(5));
    let watched = Watched::new(model.clone(), opt_out);
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let path = DmaPath::new(quiet_domain(&host.dd), DmaReach::ALL.limited(40), 0);
    host.add_buffers(net, 1024);
    let card = Genet::probe(watched.clone(), clock, path, GenetOptions::default()).expect("a card");
    // Both clocks tell the same time.
    host.xen.advance(model.now().since(host.dd.now()));
    net.add_nic(
        "virtio0".into(),
        outrigger_xen::IrqSet::of(0),
        Box::new(card),
        256,
    );
    let (wire, work, line) = (model.clone(), model.clone(), host.dd.clone());
    let interrupts = Rc::new(Cell::new(0));
    let raised = interrupts.clone();
    Card {
        starts: 500,
        arrive: Box::new(move |frame| wire.arrive(frame.to_vec())),
        work: Box::new(move || {
            work.pass(Duration::from_millis(10));
            if work.interrupts() {
                raised.set(raised.get() + 1);
                line.raise_irq(0);
            }
            work.take_sent().len()
        }),
        seen: Rc::new(move || {
            let [reads, writes] = watched.accesses();
            [reads, writes, 0, interrupts.get()]
        }),
        is_clean: Box::new(move || model.assert_clean()),
    }
}

/// Adds a card to a backend.
type Add = fn(&Host, &Served) -> Card;

impl Scene {
    fn new(add: Add) -> (World, Self) {
        let mut card = None;
        let world = World::on(Host::new(card::limits()), |host: &Host, net: &Served| {
            card = Some(add(host, net));
            net.add_segments("lan0:virtio0");
        });
        let card = card.expect("it was added");
        for _ in 0..card.starts {
            (card.work)();
            world.advance(10);
        }
        let scene = Self {
            card,
            guests: [1, 2].map(|number| world.guest(number, Options::default())),
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
                sent += (self.card.work)();
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
        (self.card.is_clean)();
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
        (self.card.arrive)(&frame);
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
            (scene.card.arrive)(&frame);
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

/// Which of them a card shows that has rings of registers and cuts no frames.
const GENET_ROWS: [usize; 7] = [0, 1, 3, 6, 7, 9, 10];

#[test]
fn what_frames_cost_is_golden() {
    let mut table = Table::new(ABOUT);
    let mut row = |add: Add, (what, depth, begin): (&str, usize, Begin)| {
        let (world, mut scene) = Scene::new(add);
        let seen = scene.card.seen.clone();
        let meter = Meter::new(&world.life, move || seen());
        scene.batches(&meter, FIRST.div_ceil(depth), depth, begin);
        table.row(what, (BATCHES * depth) as u64, &meter, || {
            scene.batches(&meter, BATCHES, depth, begin);
        });
    };
    for this in ROWS {
        row(virtio, this);
    }
    for (what, depth, begin) in GENET_ROWS.map(|number| ROWS[number]) {
        row(genet, (&format!("{what}, GENET"), depth, begin));
    }
    table.is_golden(GOLDEN);
}
