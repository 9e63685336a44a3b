//! Frames get where they belong, and nowhere else.

use outrigger_devices::{GsoKind, RxChecksum};
use outrigger_net::Drop;
use outrigger_netif::{Checksum, Gso};

use crate::frames::{BROADCAST, PEER, blank, mac, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::World;

fn bytes(got: Vec<crate::guest::Got>) -> Vec<Vec<u8>> {
    got.into_iter().map(|frame| frame.bytes).collect()
}

fn statuses(guest: &mut Guest) -> Vec<i16> {
    guest.collect();
    guest.take_statuses()
}

#[test]
fn a_frame_from_guest_to_guest_to_wire_and_back() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    for len in [0, 1, 100, 149, 150, 151, 1000, 1458] {
        let frame = udp(mac(1), mac(2), len, 1);
        a.send(&frame);
        world.settle();
        assert_eq!(bytes(b.collect()), [frame], "guest to guest, {len}");
        let frame = udp(mac(1), PEER, len, 2);
        a.send(&frame);
        world.settle();
        let sent = world.card.borrow_mut().take_sent();
        assert_eq!(
            sent.into_iter().map(|sent| sent.bytes).collect::<Vec<_>>(),
            [frame],
            "guest to wire, {len}"
        );
        let frame = udp(PEER, mac(2), len, 3);
        world.card.borrow_mut().arrive(&frame);
        world.settle();
        assert_eq!(bytes(b.collect()), [frame], "wire to guest, {len}");
    }
    assert_eq!(statuses(&mut a), [0; 16]);
    assert!(a.collect().is_empty());
    let counters = world.counters(1);
    assert_eq!(
        (
            counters.tx_frames,
            counters.rx_frames,
            counters.tx_dropped.iter().sum::<u64>()
        ),
        (16, 0, 0)
    );
    assert_eq!(world.counters(2).rx_frames, 16);
}

#[test]
fn headers_may_go_on_behind_the_first_slot() {
    let gso = |v6| Gso {
        kind: if v6 { GsoKind::TcpV6 } else { GsoKind::TcpV4 },
        size: 1400,
    };
    for (v6, cut) in [
        (true, 54),
        (true, 73),
        (true, 85),
        (true, 86),
        (false, 54),
        (false, 65),
        (false, 66),
    ] {
        let world = World::new();
        let mut a = world.guest(1, Options::default());
        let mut b = world.guest(2, Options::default());
        for round in 0..2 {
            let large = blank(&tcp(mac(1), mac(2), !v6, 3000, round));
            let small = tcp(mac(1), mac(2), !v6, 1000, round);
            a.put(0, &large, 3, Some(gso(v6)), &[cut, cut + 300]);
            a.put(0, &small, 0, None, &[cut]);
            a.kick(0);
            world.settle();
            assert!(bytes(b.collect()) == [large, small], "v6 {v6}, cut at {cut}");
            a.collect();
        }
        assert!(a.take_statuses().iter().all(|status| *status == 0));
    }
}

#[test]
fn fragments_may_end_anywhere() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let frame = udp(mac(1), mac(2), 1000, 1);
    let out = udp(mac(1), PEER, 1000, 1);
    // The header split at each byte (XSA-423), and other places.
    for cut in (1..220).chain([500, 1000]) {
        a.put(0, &frame, 0, None, &[cut, cut + 1, cut + 200]);
        a.put(0, &out, 0, None, &[cut, cut + 3]);
        a.kick(0);
        world.settle();
        assert_eq!(bytes(b.collect()), std::slice::from_ref(&frame), "cut at {cut}");
        assert_eq!(world.card.borrow_mut().take_sent()[0].bytes, out, "cut at {cut}");
        a.collect();
    }
    assert!(a.take_statuses().iter().all(|status| *status == 0));
}

#[test]
fn a_first_fragment_may_fill_its_page() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let gso = Gso {
        kind: GsoKind::TcpV4,
        size: 1400,
    };
    for first in [3996, 3997, 4031, 4032, 4033, 4095, 4096] {
        for more in [&[][..], &[4], &[4096], &[3000, 1200], &[4096, 4096, 4096]] {
            let mut cuts = vec![first];
            for len in more {
                cuts.push(cuts[cuts.len() - 1] + len);
            }
            let len = cuts[cuts.len() - 1] + 50;
            // The second one when it is known that the guest sends to the wire.
            for to in [mac(2), PEER, PEER] {
                let frame = blank(&tcp(mac(1), to, true, len, 7));
                a.put(0, &frame, 3, Some(gso), &cuts);
                a.kick(0);
                world.settle();
                if to == PEER {
                    assert_eq!(world.card.borrow_mut().take_sent()[0].bytes, frame, "{cuts:?}");
                } else {
                    assert_eq!(bytes(b.collect()), [frame], "{cuts:?}");
                }
                assert!(statuses(&mut a).iter().all(|status| *status == 0));
            }
        }
    }
}

#[test]
fn broadcasts_reach_everybody_once_and_unicast_nobody_else() {
    let world = World::new();
    let mut guests: Vec<Guest> = (1..=4)
        .map(|number| world.guest(number, Options::default()))
        .collect();
    let frame = udp(mac(1), BROADCAST, 300, 1);
    guests[0].send(&frame);
    world.settle();
    assert!(guests[0].collect().is_empty(), "not back to its sender");
    for guest in &mut guests[1..] {
        assert_eq!(bytes(guest.collect()), std::slice::from_ref(&frame));
    }
    assert_eq!(world.card.borrow_mut().take_sent().len(), 1);
    guests[0].send(&udp(mac(1), mac(3), 300, 1));
    world.card.borrow_mut().arrive(&udp(PEER, mac(4), 300, 1));
    world.card.borrow_mut().arrive(&udp(PEER, mac(77), 300, 1));
    world.settle();
    let counts: Vec<usize> = guests.iter_mut().map(|guest| guest.collect().len()).collect();
    assert_eq!(counts, [0, 0, 1, 1]);
    assert!(world.card.borrow_mut().take_sent().is_empty());
}

#[test]
fn segments_and_vlans_are_apart() {
    let world = World::new();
    let mut a = world.guest_with(1, &[("vlan", "5")], Options::default());
    let mut b = world.guest_with(2, &[("vlan", "5")], Options::default());
    let mut c = world.guest_with(3, &[], Options::default());
    let mut d = world.guest_with(4, &[("bridge", "private")], Options::default());
    let frame = udp(mac(1), BROADCAST, 700, 1);
    a.send(&frame);
    world.settle();
    assert_eq!(
        bytes(b.collect()),
        std::slice::from_ref(&frame),
        "untagged within the VLAN"
    );
    assert!(c.collect().is_empty() && d.collect().is_empty());
    let sent = world.card.borrow_mut().take_sent();
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0, 0, 5]);
    tagged.extend(&frame[12..]);
    assert_eq!(sent[0].bytes, tagged, "tagged on the wire");
    let mut back = udp(PEER, mac(2), 60, 1);
    let plain = back.clone();
    back.splice(12..12, [0x81, 0, 0x60, 5]);
    world.card.borrow_mut().arrive(&back);
    back[15] = 6;
    world.card.borrow_mut().arrive(&back);
    world.card.borrow_mut().arrive(&plain);
    world.settle();
    assert_eq!(bytes(b.collect()), [plain], "only what is tagged for its VLAN");
    // A guest cannot tag its way out.
    let mut escape = udp(mac(3), BROADCAST, 60, 1);
    escape.splice(12..12, [0x81, 0, 0, 5]);
    c.send(&escape);
    d.send(&udp(mac(4), BROADCAST, 60, 1));
    d.send(&udp(mac(4), mac(1), 60, 1));
    world.settle();
    assert!(
        [&mut a, &mut b, &mut c]
            .into_iter()
            .all(|guest| guest.collect().is_empty())
    );
    assert!(world.card.borrow_mut().take_sent().is_empty());
    assert_eq!(world.counters(3).tx_dropped[Drop::Vlan as usize], 1);
    assert_eq!(world.counters(4).tx_dropped[Drop::NoDestination as usize], 1);
}

#[test]
fn nobody_sends_as_somebody_else() {
    let world = World::new();
    let mut a = world.guest_with(1, &[("ip", "10.0.0.1 fd00::1")], Options::default());
    let mut b = world.guest(2, Options::default());
    a.send(&udp(mac(9), mac(2), 60, 1));
    let mut stolen = udp(mac(1), mac(2), 60, 1);
    stolen[29] = 9;
    a.send(&stolen);
    let good = udp(mac(1), mac(2), 60, 1);
    a.send(&good);
    world.settle();
    assert_eq!(bytes(b.collect()), [good]);
    assert_eq!(statuses(&mut a), [-2, -2, 0]);
    let dropped = world.counters(1).tx_dropped;
    assert_eq!(
        (
            dropped[Drop::SourceMac as usize],
            dropped[Drop::SourceIp as usize]
        ),
        (1, 1)
    );
}

#[test]
fn a_guest_that_posts_no_pages_loses_its_own_frames() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(
        2,
        Options {
            posted: 3,
            ..Options::default()
        },
    );
    let mut c = world.guest(3, Options::default());
    for seed in 0..10 {
        a.put(0, &udp(mac(1), mac(2), 200, seed), 0, None, &[]);
        a.put(0, &udp(mac(1), mac(3), 200, seed), 0, None, &[]);
    }
    a.kick(0);
    world.settle();
    assert_eq!(statuses(&mut a), [0; 20], "the sender is not to blame");
    assert_eq!(c.collect().len(), 10);
    assert_eq!(world.counters(2).rx_frames, 3);
    // The rest waits a moment, but not for ever.
    world.advance(2_100);
    assert_eq!(world.counters(2).rx_dropped[Drop::NoBuffer as usize], 7);
    assert_eq!(b.collect().len(), 3);
    a.send(&udp(mac(1), mac(2), 200, 1));
    world.settle();
    assert_eq!(b.collect().len(), 1, "it has posted again");
}

#[test]
fn a_burst_longer_than_the_ring_waits_in_order() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(
        2,
        Options {
            posted: 20,
            ..Options::default()
        },
    );
    let gso = Gso {
        kind: GsoKind::TcpV4,
        size: 1448,
    };
    let mut wanted = Vec::new();
    for seed in 0..7 {
        let large = blank(&tcp(mac(1), mac(2), true, 40_000, seed));
        a.put(0, &large, 1, Some(gso), &[]);
        let small = udp(mac(1), mac(2), 700, seed);
        a.put(0, &small, 0, None, &[]);
        wanted.extend([large, small]);
    }
    a.kick(0);
    world.card.borrow_mut().arrive(&udp(PEER, mac(2), 900, 1));
    let mut got = Vec::new();
    for _ in 0..40 {
        world.settle();
        got.extend(b.collect());
        world.card.borrow().interrupt();
    }
    assert_eq!(got.len(), 15);
    assert_eq!(got.iter().filter(|got| got.gso == Some(gso)).count(), 7);
    let ours: Vec<Vec<u8>> = got
        .into_iter()
        .map(|got| got.bytes)
        .filter(|frame| frame[6..12] == mac(1))
        .collect();
    assert!(ours == wanted, "all of them, in order");
    assert_eq!(world.counters(2).rx_dropped, [0; Drop::COUNT]);
    a.collect();
    // A guest that goes while frames wait for it leaves nothing.
    for seed in 0..40 {
        a.put(0, &udp(mac(1), mac(2), 700, seed), 0, None, &[]);
    }
    a.kick(0);
    world.settle();
    world.ts.begin_destroy(crate::world::vif(2));
    world.advance(1500);
    assert!(world.ts.finish_detach(crate::world::vif(2)));
}

#[test]
fn a_guest_gets_a_burst_and_the_next_one_when_it_has_posted_pages() {
    let world = World::new();
    let mut b = world.guest(2, Options::default());
    let frames: Vec<Vec<u8>> = (0..100).map(|seed| udp(PEER, mac(2), 18, seed)).collect();
    frames
        .iter()
        .for_each(|frame| world.card.borrow_mut().arrive(frame));
    world.settle();
    assert_eq!(world.counters(2).rx_frames, 36, "of 200 pages");
    let notified = world.counters(2).notifications;
    let mut got = bytes(b.collect());
    world.settle();
    assert_eq!(
        world.counters(2).rx_frames,
        72,
        "its pages were seen, without a card that says anything"
    );
    assert_eq!(world.counters(2).notifications, notified + 1);
    // One that posts nothing, though it has pages, is given the rest all the same.
    world.advance(2);
    assert_eq!(world.counters(2).rx_frames, 100);
    got.extend(bytes(b.collect()));
    assert!(got == frames, "in order");
    assert_eq!(world.counters(2).rx_dropped, [0; Drop::COUNT]);
}

#[test]
fn ring_indices_wrap_and_ports_may_be_shared() {
    let world = World::new();
    let options = Options {
        first: u32::MAX - 20,
        split: false,
        ..Options::default()
    };
    let mut a = world.guest(1, options);
    let mut b = world.guest(2, options);
    for round in 0..60 {
        let frame = udp(mac(1), mac(2), 10 * round, round as u8);
        a.send(&frame);
        world.settle();
        assert_eq!(bytes(b.collect()), [frame]);
        a.collect();
    }
}

#[test]
fn the_wire_says_what_it_knows_of_checksums() {
    let world = World::new();
    let mut a = world.guest(
        1,
        Options {
            headroom: 256,
            ..Options::default()
        },
    );
    let frame = udp(PEER, mac(1), 1400, 1);
    for (checksum, told) in [
        (RxChecksum::Unknown, Checksum::Unknown),
        (RxChecksum::Validated, Checksum::Validated),
    ] {
        world.card.borrow_mut().arriving.push_back(crate::card::Arriving {
            bytes: frame.clone(),
            checksum,
            gso: None,
        });
        world.card.borrow().interrupt();
        world.settle();
        let got = a.collect();
        assert_eq!((got[0].checksum, &got[0].bytes), (told, &frame));
    }
}

#[test]
fn multicast_is_filtered_as_the_guest_says() {
    let world = World::new();
    let group = [1, 0, 0x5e, 1, 2, 3];
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(
        2,
        Options {
            multicast: true,
            ..Options::default()
        },
    );
    let frame = udp(mac(1), group, 60, 1);
    let ask = |world: &World, guest: &mut Guest, add: bool, address: [u8; 6]| {
        use outrigger_netif::Extra;
        let extra = if add {
            Extra::MulticastAdd(address)
        } else {
            Extra::MulticastDel(address)
        };
        guest.raw(0, [0, u32::from(crate::guest::EXTRA) << 16, 0x1ff]);
        let [x, y] = extra.encode(false);
        guest.raw(0, [x, y, 0]);
        guest.kick(0);
        world.settle();
        guest.collect();
        guest.take_statuses()
    };
    a.send(&frame);
    world.settle();
    assert!(b.collect().is_empty());
    assert_eq!(ask(&world, &mut b, true, group), [0]);
    assert_eq!(ask(&world, &mut b, true, mac(1)), [-1], "no group");
    a.send(&frame);
    world.settle();
    assert_eq!(b.collect().len(), 1);
    assert_eq!(ask(&world, &mut b, false, group), [0]);
    a.send(&frame);
    a.send(&udp(mac(1), BROADCAST, 60, 1));
    world.settle();
    assert_eq!(b.collect().len(), 1, "only the broadcast");
    // While it is connected the guest lets everything through, and filters again: its list is kept.
    assert_eq!(ask(&world, &mut b, true, group), [0]);
    let other = [1, 0, 0x5e, 4, 5, 6];
    for (flag, heard) in [("0", 2), ("1", 1), ("0", 2)] {
        b.write(&world, "request-multicast-control", flag);
        world.settle();
        a.send(&frame);
        a.send(&udp(mac(1), other, 60, 1));
        world.settle();
        assert_eq!(b.collect().len(), heard, "request-multicast-control = {flag}");
    }
}

#[test]
fn queues_are_chosen_by_the_guests_own_hash() {
    use outrigger_netif::ControlRequest;
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(
        2,
        Options {
            queues: 2,
            control: true,
            ..Options::default()
        },
    );
    let key: Vec<u8> = (1..=40).collect();
    let page = b.dom.pages(1);
    page.write(0, &key);
    page.write(2048, &[1, 0, 0, 0]);
    let gref = b
        .dom
        .grant(&page, 0, crate::world::DD, outrigger_xen::Access::ReadOnly);
    let control = |world: &World, b: &mut Guest, kind: u16, data: [u32; 3]| {
        let (ring, port) = b.control.as_mut().unwrap();
        ring.request(&ControlRequest { id: 9, kind, data }.encode());
        if ring.push() {
            outrigger_xen::EventChannels::notify(&b.dom, *port);
        }
        world.settle();
        let mut words = [0; 3];
        assert_eq!(ring.pending(), Ok(1));
        ring.consume(&mut words);
        assert_eq!(words[0], 9 | u32::from(kind) << 16);
        (words[1], words[2])
    };
    assert_eq!(control(&world, &mut b, 1, [0; 3]), (0, 15));
    assert_eq!(control(&world, &mut b, 7, [1, 0, 0]), (0, 0));
    assert_eq!(control(&world, &mut b, 2, [15, 0, 0]), (0, 0));
    assert_eq!(control(&world, &mut b, 3, [gref.0, 40, 0]), (0, 0));
    assert_eq!(control(&world, &mut b, 5, [1, 0, 0]), (0, 0));
    // A mapping that sends all to queue 1; the page begins with it now.
    page.write(0, &[1, 0, 0, 0]);
    assert_eq!(control(&world, &mut b, 6, [gref.0, 1, 0]), (0, 0));
    assert_eq!(
        control(&world, &mut b, 6, [gref.0 + 999, 1, 0]),
        (2, 0),
        "a bad reference"
    );
    assert_eq!(control(&world, &mut b, 9, [0; 3]), (1, 0), "not supported");
    let frame = tcp(mac(1), mac(2), true, 300, 3);
    a.send(&frame);
    world.settle();
    let got = b.collect();
    let key: [u8; 40] = key.try_into().unwrap();
    let mut input = frame[26..34].to_vec();
    input.extend(&frame[34..38]);
    let hash = got[0].hash.unwrap();
    assert_eq!(
        (hash.value, hash.kind, hash.algorithm),
        (outrigger_netif::toeplitz(&key, &input), 1, 1)
    );
    assert_eq!((got[0].queue, &got[0].bytes), (1, &frame));
}
