//! The domain's own address on a segment: it answers, and is a station like any other.

use etherparse::{ArpOperation, ArpPacketSlice, PacketBuilder, SlicedPacket};

use crate::frames::{BROADCAST, PEER, blank, is_right, mac, udp};
use crate::guest::{Guest, Options};
use crate::world::{World, vif};

/// The card's MAC, which is our own on its segment.
pub const OURS: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

/// An ARP request.
pub fn arp(from: [u8; 6], ip: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [&BROADCAST[..], &from[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    frame.extend([&from[..], &ip[..], &[0; 6], &target[..]].concat());
    frame
}

/// Who answers an ARP request: MAC and address.
pub fn answer(frame: &[u8]) -> Option<([u8; 6], [u8; 4])> {
    let arp = (frame[12..14] == [8, 6]).then(|| ArpPacketSlice::from_slice(&frame[14..]).unwrap())?;
    let reply = arp.operation() == ArpOperation::REPLY;
    reply.then(|| {
        (
            arp.sender_hw_addr().try_into().unwrap(),
            arp.sender_protocol_addr().try_into().unwrap(),
        )
    })
}

pub fn ping(from: ([u8; 6], [u8; 4]), to: ([u8; 6], [u8; 4]), ident: u16, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = PacketBuilder::ethernet2(from.0, to.0).ipv4(from.1, to.1, 64);
    builder
        .icmpv4_echo_request(ident, 1)
        .write(&mut out, &vec![6; len])
        .unwrap();
    out
}

/// The identifier, if it is an echo reply.
pub fn pong(frame: &[u8]) -> Option<u16> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(etherparse::TransportSlice::Icmpv4(icmp)) = sliced.transport else {
        return None;
    };
    match icmp.icmp_type() {
        etherparse::Icmpv4Type::EchoReply(header) => Some(header.id),
        _ => None,
    }
}

/// What a guest got, bytes only.
pub fn taken(guest: &mut Guest) -> Vec<Vec<u8>> {
    guest.collect().into_iter().map(|got| got.bytes).collect()
}

/// What the wire got.
pub fn sent(world: &World) -> Vec<Vec<u8>> {
    world
        .card
        .borrow_mut()
        .take_sent()
        .into_iter()
        .map(|sent| sent.bytes)
        .collect()
}

/// What comes from the wire, and what goes out because of it.
pub fn arrive(world: &World, frame: &[u8]) -> Vec<Vec<u8>> {
    sent(world);
    world.card.borrow_mut().arrive(frame);
    world.settle();
    sent(world)
}

const IP: [u8; 4] = [10, 0, 0, 99];

#[test]
fn arp_and_ping_from_the_wire_and_from_a_guest() {
    let world = World::segments("lan0:virtio0:address=10.0.0.99/24");
    let frames = arrive(&world, &arp(PEER, [10, 0, 0, 1], IP));
    assert_eq!(
        frames
            .iter()
            .filter_map(|frame| answer(frame))
            .collect::<Vec<_>>(),
        [(OURS, IP)]
    );
    let frames = arrive(&world, &ping((PEER, [10, 0, 0, 1]), (OURS, IP), 7, 1400));
    assert_eq!(
        frames.iter().filter_map(|frame| pong(frame)).collect::<Vec<_>>(),
        [7]
    );
    assert_eq!(frames[0].len(), 14 + 20 + 8 + 1400);
    // A guest of the segment gets an answer, and the wire hears nothing of it.
    let mut guest = world.guest(1, Options::default());
    sent(&world);
    guest.send(&arp(mac(1), [10, 0, 0, 1], IP));
    world.settle();
    assert_eq!(
        taken(&mut guest).iter().filter_map(|frame| answer(frame)).count(),
        1
    );
    sent(&world);
    guest.send(&ping((mac(1), [10, 0, 0, 1]), (OURS, IP), 8, 56));
    world.settle();
    assert_eq!(
        taken(&mut guest)
            .iter()
            .filter_map(|frame| pong(frame))
            .collect::<Vec<_>>(),
        [8]
    );
    assert_eq!(sent(&world).len(), 0);
}

#[test]
fn nothing_else_is_answered() {
    let world = World::segments("lan0:virtio0:address=10.0.0.99/24");
    let mut strange = vec![
        arp(PEER, [10, 0, 0, 1], [10, 0, 0, 98]),
        ping((PEER, [10, 0, 0, 1]), (OURS, [10, 0, 0, 98]), 7, 0),
        ping((PEER, [10, 0, 0, 1]), (BROADCAST, [10, 0, 0, 255]), 7, 0),
        crate::frames::tcp(PEER, OURS, true, 0, 1),
        crate::frames::tcp(PEER, OURS, false, 0, 1),
        udp(PEER, OURS, 20, 1),
        ping((PEER, [10, 0, 0, 1]), (OURS, IP), 7, 4000),
    ];
    let mut cut = ping((PEER, [10, 0, 0, 1]), (OURS, IP), 7, 100);
    cut.truncate(60);
    strange.push(cut);
    for frame in strange {
        assert_eq!(arrive(&world, &frame), [[0u8; 0]; 0], "{frame:02x?}");
    }
}

#[test]
fn a_flood_for_us_is_bounded_and_hurts_nobody() {
    let world = World::segments("lan0:virtio0:address=10.0.0.99/24");
    let (mut a, mut b) = (
        world.guest(1, Options::default()),
        world.guest(2, Options::default()),
    );
    a.send(&arp(mac(1), [10, 0, 0, 1], IP));
    world.settle();
    b.collect();
    for round in 0..4 {
        for ident in 0..60 {
            a.put(
                0,
                &ping((mac(1), [10, 0, 0, 1]), (OURS, IP), ident, 1000),
                0,
                None,
                &[],
            );
        }
        a.put(0, &udp(mac(1), mac(2), 100, round), 0, None, &[]);
        a.kick(0);
        world.settle();
        let pongs = taken(&mut a).iter().filter_map(|frame| pong(frame)).count();
        assert!((16..60).contains(&pongs), "{pongs}");
        assert_eq!(b.collect().len(), 1);
    }
    assert!(world.counters(1).tx_dropped[outrigger_net::Drop::NoBuffer as usize] > 0);
}

#[test]
fn a_broadcast_that_is_nothing_to_us_is_the_others() {
    const HERE: &[(&str, &str)] = &[("bridge", "private")];
    let world = World::segments("private:address=10.0.0.99/24");
    let mut a = world.guest_with(1, HERE, Options::default());
    let none = Options {
        posted: 0,
        ..Options::default()
    };
    let mut late = world.guest_with(2, HERE, none);
    let mut cut = world.guest_with(
        3,
        HERE,
        Options {
            csum: false,
            ..Options::default()
        },
    );
    a.put(0, &blank(&udp(mac(1), BROADCAST, 300, 1)), 1, None, &[]);
    a.kick(0);
    world.settle();
    a.collect();
    assert_eq!(a.take_statuses(), [0]);
    assert_eq!(world.counters(1).tx_frames, 1);
    assert_eq!(cut.collect().len(), 1);
    // And who has no pages yet gets it when it has.
    late.post(0, 4);
    world.settle();
    assert_eq!(late.collect().len(), 1);
}

#[test]
fn nobody_takes_our_mac() {
    let world = World::segments("lan0:virtio0:address=10.0.0.99/24,private");
    let ours = "52:54:00:00:00:01";
    world.attach(1, &[("mac", ours)]);
    world.advance(500);
    assert_eq!(world.state(vif(1)), "6");
    assert!(
        world.error(vif(1)).contains("this domain's own"),
        "{}",
        world.error(vif(1))
    );
    // On another segment it is nobody's.
    world.attach(2, &[("mac", ours), ("bridge", "private")]);
    world.advance(500);
    assert_eq!(world.state(vif(2)), "2");
}

/// A DHCP message.
pub fn dhcp(
    op: u8,
    xid: u32,
    chaddr: [u8; 6],
    ciaddr: [u8; 4],
    yiaddr: [u8; 4],
    options: &[&[u8]],
) -> Vec<u8> {
    let mut message = vec![op, 1, 6, 0];
    message.extend(xid.to_be_bytes());
    message.extend([0; 4]);
    message.extend([ciaddr, yiaddr, [0; 4], [0; 4]].concat());
    message.extend(chaddr);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    options.iter().for_each(|option| message.extend(*option));
    message.push(255);
    message
}

/// The options of a DHCP message, by number.
pub fn options(message: &[u8]) -> std::collections::BTreeMap<u8, Vec<u8>> {
    let mut options = std::collections::BTreeMap::new();
    let mut rest = &message[240..];
    while let [kind, len, more @ ..] = rest {
        if *kind == 255 {
            break;
        }
        let (data, later) = more.split_at((*len).into());
        options.insert(*kind, data.to_vec());
        rest = later;
    }
    options
}

/// The payload of a UDP frame between these ports, whose checksums are right.
pub fn datagram(frame: &[u8], ports: (u16, u16)) -> Option<Vec<u8>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(etherparse::TransportSlice::Udp(udp)) = sliced.transport else {
        return None;
    };
    assert!(is_right(frame));
    ((udp.source_port(), udp.destination_port()) == ports).then(|| udp.payload().to_vec())
}

/// A UDP frame.
pub fn udp_to(from: ([u8; 6], [u8; 4], u16), to: ([u8; 6], [u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = PacketBuilder::ethernet2(from.0, to.0).ipv4(from.1, to.1, 64);
    builder.udp(from.2, to.2).write(&mut out, payload).unwrap();
    out
}

/// A DHCP server on the wire gives our client an address.
pub fn lease(world: &World, address: [u8; 4], router: [u8; 4], dns: [u8; 4]) {
    for (asked, given) in [(1, 2), (3, 5)] {
        let mut questions = Vec::new();
        for _ in 0..40 {
            questions.extend(sent(world).iter().filter_map(|frame| datagram(frame, (68, 67))));
            if !questions.is_empty() {
                break;
            }
            world.advance(500);
        }
        let question = &questions[0];
        assert_eq!(options(question)[&53], [asked]);
        let xid = u32::from_be_bytes(question[4..8].try_into().unwrap());
        let server: &[u8] = &[54, 4, 10, 0, 0, 1];
        let router = [&[3, 4][..], &router[..]].concat();
        let dns = [&[6, 4][..], &dns[..]].concat();
        let rest: &[u8] = &[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 2, 0];
        let answer = dhcp(
            2,
            xid,
            OURS,
            [0; 4],
            address,
            &[&[53, 1, given], server, &router, &dns, rest],
        );
        let frame = udp_to((PEER, [10, 0, 0, 1], 67), (OURS, address, 68), &answer);
        world.card.borrow_mut().arrive(&frame);
        world.settle();
    }
}

#[test]
fn an_address_by_dhcp() {
    let world = World::segments("lan0:virtio0:address=dhcp");
    assert_eq!(
        arrive(&world, &ping((PEER, [10, 0, 0, 1]), (OURS, IP), 7, 0)).len(),
        0
    );
    lease(&world, IP, [10, 0, 0, 1], [10, 0, 0, 53]);
    let frames = arrive(&world, &arp(PEER, [10, 0, 0, 1], IP));
    assert_eq!(frames.iter().filter_map(|frame| answer(frame)).count(), 1);
    // Half of the lease later it is renewed with the server that gave it, which is asked for its MAC.
    sent(&world);
    world.advance(257_000);
    let asked = sent(&world)
        .iter()
        .any(|frame| frame[..14] == arp(OURS, IP, [10, 0, 0, 1])[..14]);
    assert!(asked);
    let reply = [
        &OURS[..],
        &PEER[..],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        &PEER[..],
        &[10, 0, 0, 1],
        &OURS[..],
        &IP[..],
    ];
    let frames = arrive(&world, &reply.concat());
    let renewals = frames.iter().filter(|frame| datagram(frame, (68, 67)).is_some());
    assert_eq!(renewals.count(), 1);
    // Nobody answers: it ends, and so does the address.
    world.advance(300_000);
    assert_eq!(
        arrive(&world, &ping((PEER, [10, 0, 0, 1]), (OURS, IP), 7, 0)).len(),
        0
    );
}

#[test]
fn a_blank_checksum_is_filled_in_before_we_look() {
    let world = World::segments("lan0:virtio0:address=10.0.0.99/24,guests:mode=nat:address=10.0.3.1/24");
    let mut guest = world.guest_with(1, &[("bridge", "guests")], Options::default());
    let discover = dhcp(1, 9, mac(1), [0; 4], [0; 4], &[&[53, 1, 1]]);
    let frame = udp_to((mac(1), [0; 4], 68), (BROADCAST, [255; 4], 67), &discover);
    guest.put(0, &blank(&frame), 1, None, &[]);
    guest.kick(0);
    world.settle();
    assert_eq!(
        taken(&mut guest)
            .iter()
            .filter_map(|frame| datagram(frame, (67, 68)))
            .count(),
        1
    );
}
