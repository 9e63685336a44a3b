//! Frontends and cards that mean harm: they hurt themselves.

use outrigger_devices::GsoKind;
use outrigger_net::Drop;
use outrigger_netif::{Gso, TxRequest};
use outrigger_ring::SharedPages;
use outrigger_xen::EventChannels;

use crate::frames::{PEER, blank, mac, payload, tcp, udp};
use crate::guest::{EXTRA, Guest, MORE, Options};
use crate::world::{DD, World, vif};

/// Two guests that mind their own business.
fn pair(world: &World) -> (Guest, Guest) {
    (
        world.guest(1, Options::default()),
        world.guest(2, Options::default()),
    )
}

/// The pair still talks, both ways and to the wire.
fn still_talk(world: &World, a: &mut Guest, b: &mut Guest) {
    a.collect();
    b.collect();
    world.card.borrow_mut().take_sent();
    let (there, back, out) = (
        udp(mac(1), mac(2), 900, 1),
        udp(mac(2), mac(1), 30, 2),
        udp(mac(1), PEER, 500, 3),
    );
    a.send(&there);
    a.send(&out);
    b.send(&back);
    world.settle();
    assert_eq!(b.collect()[0].bytes, there);
    assert_eq!(a.collect()[0].bytes, back);
    assert_eq!(world.card.borrow_mut().take_sent()[0].bytes, out);
}

#[test]
fn a_ring_that_makes_no_sense_ends_its_vif_alone() {
    type Attack = fn(&mut Guest);
    let attacks: [Attack; 6] = [
        |guest| guest.queues[0].tx_page.store_u32(0, 300),
        |guest| guest.queues[0].tx_page.store_u32(0, 1 << 31),
        |guest| guest.queues[0].tx_page.store_u32(0, u32::MAX),
        // A chain that runs past the producer.
        |guest| {
            let slot = TxRequest {
                gref: 8,
                offset: 0,
                flags: MORE,
                id: 0,
                size: 500,
            };
            guest.raw(0, slot.encode());
            guest.kick(0);
        },
        |guest| {
            let slot = TxRequest {
                gref: 8,
                offset: 0,
                flags: EXTRA,
                id: 0,
                size: 500,
            };
            guest.raw(0, slot.encode());
            guest.kick(0);
        },
        // Without end.
        |guest| {
            for _ in 0..200 {
                let slot = TxRequest {
                    gref: 8,
                    offset: 0,
                    flags: MORE,
                    id: 0,
                    size: 500,
                };
                guest.raw(0, slot.encode());
            }
            guest.kick(0);
        },
    ];
    for attack in attacks {
        let world = World::new();
        let (mut a, mut b) = pair(&world);
        let mut evil = world.guest(6, Options::default());
        attack(&mut evil);
        evil.dom.notify(evil.queues[0].tx_port);
        world.settle();
        assert_eq!(world.state(vif(6)), "6");
        assert!(!world.error(vif(6)).is_empty());
        still_talk(&world, &mut a, &mut b);
        a.send(&udp(mac(1), mac(6), 30, 1));
        world.settle();
        assert_eq!(evil.dom.failed_revokes(), 0);
        world.ts.begin_destroy(vif(6));
        world.advance(1500);
        assert!(world.ts.finish_detach(vif(6)));
    }
}

#[test]
fn a_receiving_ring_that_makes_no_sense_ends_its_vif_alone() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let evil = world.guest(6, Options::default());
    evil.queues[0].rx_page.store_u32(0, 0x8000_0000);
    for seed in 0..5 {
        a.send(&udp(mac(1), mac(6), 300, seed));
    }
    world.settle();
    // What had been posted before is used first; then the ring is looked at.
    for seed in 0..250 {
        a.send(&udp(mac(1), mac(6), 300, seed));
        world.settle();
        a.collect();
    }
    assert_eq!(world.state(vif(6)), "6");
    assert!(a.take_statuses().iter().all(|status| *status == 0));
    still_talk(&world, &mut a, &mut b);
}

#[test]
fn one_bad_reference_at_each_place_of_a_batch() {
    for place in 0..6 {
        let world = World::new();
        let (mut a, mut b) = pair(&world);
        let frame = udp(mac(1), mac(2), 1000, 1);
        let out = udp(mac(1), PEER, 1000, 1);
        for index in 0..6 {
            a.put(0, if index % 2 == 0 { &frame } else { &out }, 0, None, &[50, 600]);
            if index == place {
                // Its second or third fragment: the head may be good.
                let id = *a.queues[0].sending.keys().next_back().unwrap();
                let gref = a.queues[0].sending[&id];
                a.dom.revoke(gref).unwrap();
            }
        }
        a.kick(0);
        world.settle();
        let got = b.collect();
        a.collect();
        let wire = world.card.borrow_mut().take_sent().len();
        assert_eq!((got.len(), wire), if place % 2 == 0 { (2, 3) } else { (3, 2) });
        assert!(got.iter().all(|got| got.bytes == frame));
        let statuses = a.take_statuses();
        assert_eq!(statuses.len(), 18);
        if place % 2 == 0 {
            assert_eq!(b.errors, 1, "its chain says so, and is a chain");
        } else {
            assert_eq!(statuses.iter().filter(|status| **status == -1).count(), 3);
            assert_eq!(world.counters(1).tx_dropped[Drop::Grant as usize], 1);
        }
        still_talk(&world, &mut a, &mut b);
    }
}

#[test]
fn a_receiver_that_revokes_its_pages_hurts_itself() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let evil = world.guest(6, Options::default());
    for gref in 8..230 {
        let _ = evil.dom.revoke(outrigger_xen::GrantRef(gref));
    }
    for seed in 0..20 {
        a.put(0, &udp(mac(1), mac(6), 700, seed), 0, None, &[]);
        a.put(0, &udp(mac(1), mac(2), 700, seed), 0, None, &[]);
    }
    a.kick(0);
    world.settle();
    a.collect();
    assert_eq!(b.collect().len(), 20);
    assert_eq!(a.take_statuses(), [0; 40]);
    assert_eq!(world.counters(6).rx_dropped[Drop::Grant as usize], 20);
    still_talk(&world, &mut a, &mut b);
}

#[test]
fn no_byte_of_ring_or_packet_is_fetched_twice() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    a.queues[0].tx_page.record_fetches();
    b.queues[0].rx_page.record_fetches();
    let mut pages = Vec::new();
    for (index, to) in [mac(2), PEER].into_iter().enumerate() {
        let frame = udp(mac(1), to, 3000 - 2000 * index, 1);
        // By hand, to keep the pages.
        let page = a.dom.pages(1);
        page.write(0, &frame[..1000]);
        page.record_fetches();
        let gref = a.dom.grant(&page, 0, DD, outrigger_xen::Access::ReadOnly);
        let size = frame.len().min(1000) as u16;
        let slot = TxRequest {
            gref: gref.0,
            offset: 0,
            flags: 0,
            id: index as u16,
            size,
        };
        a.raw(0, slot.encode());
        pages.push(page);
    }
    a.kick(0);
    world.settle();
    assert_eq!(b.collect().len() + world.card.borrow_mut().take_sent().len(), 2);
    for page in pages {
        page.assert_fetched_at_most_once(0..4096);
        assert_eq!(page.fetches(0..1000), [1; 1000]);
        assert_eq!(
            page.fetches(1000..4096),
            [0; 3096],
            "nothing outside the fragment"
        );
    }
    a.queues[0].tx_page.assert_fetched_at_most_once(64..4096);
    b.queues[0].rx_page.assert_fetched_at_most_once(64..4096);
}

#[test]
fn lies_about_segments_are_dropped() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let v4 = blank(&tcp(mac(1), mac(2), true, 4000, 1));
    let gso = |kind, size| Some(Gso { kind, size });
    let mut short_header = v4.clone();
    short_header[46] = 0x10;
    let mut long_header = v4.clone();
    long_header[14] = 0x4f;
    let mut fragment = v4.clone();
    fragment[20] = 0x20;
    let datagram = blank(&udp(mac(1), mac(2), 4000, 1));
    for (frame, gso) in [
        (&v4, gso(GsoKind::TcpV6, 1400)),
        (&v4, gso(GsoKind::TcpV4, 1)),
        (&v4, gso(GsoKind::TcpV4, 60_000)),
        (&v4, None),
        (&short_header, gso(GsoKind::TcpV4, 1400)),
        (&fragment, gso(GsoKind::TcpV4, 1400)),
        (&datagram, gso(GsoKind::TcpV4, 1400)),
    ] {
        a.put(0, frame, 1, gso, &[]);
        a.kick(0);
        world.settle();
        // One whose size is larger than itself is a frame like any other, but far too long.
        assert!(b.collect().is_empty(), "{gso:?}");
        a.collect();
        assert!(a.take_statuses().iter().all(|status| *status == -2));
    }
    a.put(0, &long_header, 1, gso(GsoKind::TcpV4, 1400), &[]);
    a.kick(0);
    world.settle();
    b.collect();
    still_talk(&world, &mut a, &mut b);
}

#[test]
fn a_flood_starves_nobody() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let mut evil = world.guest(6, Options::default());
    let mut passed = 0;
    for _ in 0..30 {
        // As much as its ring holds, each turn anew.
        while evil.queues[0].tx.free() > 0 {
            let junk = TxRequest {
                gref: 3,
                offset: 0,
                flags: 0,
                id: 7,
                size: 1,
            };
            evil.raw(0, junk.encode());
        }
        evil.kick(0);
        evil.dom.notify(evil.queues[0].tx_port);
        a.send(&udp(mac(1), mac(2), 400, 1));
        world.net.turn(outrigger_xen::Wake {
            events: true,
            ..Default::default()
        });
        passed += b.collect().len();
        a.collect();
        evil.collect();
    }
    assert!(passed >= 29, "each turn gives every guest its own: {passed}");
    assert_eq!(world.state(vif(6)), "4", "bad packets are refused, no more");
    world.settle();
    still_talk(&world, &mut a, &mut b);
}

#[test]
fn a_card_that_stalls_holds_up_those_who_use_it() {
    let world = World::with(crate::card::limits(), 400);
    let (mut a, mut b) = pair(&world);
    let mut c = world.guest(3, Options::default());
    world.card.borrow_mut().stalled = true;
    world.card.borrow_mut().depth = 32;
    let mut frames = Vec::new();
    for seed in 0..120u8 {
        let frame = udp(mac(3), PEER, 1000, seed);
        c.send(&frame);
        frames.push(frame);
        world.settle();
        c.collect();
    }
    assert!(world.card.borrow_mut().take_sent().is_empty());
    for seed in 0..50 {
        let frame = udp(mac(1), mac(2), 900, seed);
        a.send(&frame);
        world.settle();
        assert_eq!(b.collect()[0].bytes, frame, "guests go on among themselves");
        a.collect();
    }
    world.card.borrow_mut().stalled = false;
    world.card.borrow_mut().run();
    for _ in 0..200 {
        world.card.borrow().interrupt();
        world.settle();
        c.collect();
    }
    let sent: Vec<Vec<u8>> = world
        .card
        .borrow_mut()
        .take_sent()
        .into_iter()
        .map(|sent| sent.bytes)
        .collect();
    assert_eq!(sent.len(), frames.len(), "nothing was lost");
    assert_eq!(sent, frames, "and nothing overtaken");
    still_talk(&world, &mut a, &mut b);
}

#[test]
fn the_rate_is_held() {
    let world = World::new();
    // 1 MB/s.
    let mut a = world.guest_with(1, &[("rate", "50000,50000")], Options::default());
    let mut b = world.guest(2, Options::default());
    let mut bytes = 0;
    for _ in 0..400 {
        while a.queues[0].tx.free() > 2 {
            let frame = udp(mac(1), mac(2), 1400, 1);
            a.put(0, &frame, 0, None, &[]);
        }
        a.kick(0);
        world.advance(10);
        bytes += b.collect().iter().map(|got| got.bytes.len()).sum::<usize>();
        a.collect();
    }
    // Four seconds, and the first burst.
    let ideal = 4_000_000 + 131_072;
    assert!(bytes.abs_diff(ideal) < ideal / 10, "{bytes} of {ideal}");
    assert_eq!(payload(1, 1).len(), 1);
}

#[test]
fn lengths_and_tags_of_a_card_are_not_believed() {
    use outrigger_devices::{RxBuffer, RxChecksum, Tag};
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let buffer = |tag, offset, len, more| RxBuffer {
        tag: Tag(tag),
        offset,
        len,
        more,
        checksum: RxChecksum::Unknown,
        gso: None,
    };
    for round in 0..20 {
        let mut wild = vec![
            buffer(u32::MAX, 0, 100, false),
            buffer(599, 0, 100, false),
            buffer(70_000, 0, 100, true),
        ];
        // Pages that it may hold, with lengths that cannot be; the same page twice; a frame without end.
        for tag in 500..600 {
            wild.push(buffer(tag, 4000, 5000, tag % 2 == 0));
            wild.push(buffer(tag, u32::MAX, u32::MAX, false));
            wild.push(buffer(tag, 0, 0, tag % 3 == 0));
        }
        wild.push(buffer(560 + round, 0, 60, true));
        world.card.borrow_mut().wild = wild;
        world.card.borrow().interrupt();
        world.settle();
    }
    assert!(a.collect().is_empty() && b.collect().is_empty());
    still_talk(&world, &mut a, &mut b);
}
