//! A guest that plays the network: it is not heard, by us or by others.

use outrigger_net::Drop;

use crate::frames::{BROADCAST, PEER, mac};
use crate::guest::{Guest, Options};
use crate::nat::{Behind, FAR, OUTSIDE, ROUTER, SEGMENTS};
use crate::own::{OURS, arp, arrive, datagram, dhcp, options, ping, pong, sent, taken, udp_to};
use crate::world::World;

const EVIL: [u8; 4] = [10, 0, 0, 66];

/// An ARP answer of guest 1, to `to`: this address is at its MAC.
fn claim(ip: [u8; 4], to: [u8; 6]) -> Vec<u8> {
    let head = [&to[..], &mac(1)[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    [&head[..], &mac(1), &ip, &OURS, &OUTSIDE].concat()
}

/// What a DHCP server says in answer to our client's question, for the address and the router that it likes.
fn server(question: &[u8], kind: u8, from: [u8; 4]) -> Vec<u8> {
    let xid = u32::from_be_bytes(question[4..8].try_into().unwrap());
    let router = [&[3, 4][..], &from[..]].concat();
    let id = [&[54, 4][..], &from[..]].concat();
    let rest: &[u8] = &[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 2, 0];
    dhcp(
        2,
        xid,
        OURS,
        [0; 4],
        OUTSIDE,
        &[&[53, 1, kind], &id, &router, rest],
    )
}

/// Our client's question, as a guest of the segment hears it.
fn question(world: &World, guest: &mut Guest) -> Vec<u8> {
    for _ in 0..60 {
        let heard = taken(guest);
        if let Some(question) = heard.iter().find_map(|frame| datagram(frame, (68, 67))) {
            return question;
        }
        world.advance(500);
    }
    panic!("it asks nobody");
}

/// Who the domain is on the wire, if anybody.
fn is_there(world: &World, ip: [u8; 4]) -> bool {
    let frames = arrive(world, &arp(PEER, [10, 0, 0, 1], ip));
    frames.iter().any(|frame| crate::own::answer(frame).is_some())
}

#[test]
fn no_guest_gives_us_an_address() {
    let world = World::segments("lan0:virtio0:address=dhcp,guests:mode=nat:address=10.0.3.1/24");
    let mut evil = world.guest(1, Options::default());
    let mut dropped = 0;
    for (kind, from, to) in [(2, 67, 68), (5, 67, 68), (2, 1067, 68), (5, 67, 1068)] {
        let asked = question(&world, &mut evil);
        for target in [OURS, BROADCAST] {
            let answer = udp_to(
                (mac(1), EVIL, from),
                (target, OUTSIDE, to),
                &server(&asked, kind, EVIL),
            );
            evil.send(&answer);
            dropped += 1;
        }
        world.settle();
        let counted = world.counters(1).tx_dropped[Drop::DhcpServer as usize];
        assert_eq!(counted, dropped, "{kind} from {from} to {to}");
        assert!(!is_there(&world, OUTSIDE));
    }
    // From the wire it is what we asked for.
    crate::own::lease(&world, OUTSIDE, ROUTER, [10, 0, 0, 53]);
    assert!(is_there(&world, OUTSIDE));
}

#[test]
fn a_trusted_guest_may_be_the_network() {
    let world =
        World::segments("in:address=dhcp:trusted=00-16-3e-00-00-01,guests:mode=nat:address=10.0.3.1/24");
    let here = &[("bridge", "in")];
    let mut server_guest = world.guest_with(1, here, Options::default());
    let mut client = world.guest_with(2, here, Options::default());
    for (asked, given) in [(1, 2), (3, 5)] {
        let question = question(&world, &mut server_guest);
        assert_eq!(options(&question)[&53], [asked]);
        // Our MAC there is made up; the client's question has it.
        let ours: [u8; 6] = question[28..34].try_into().unwrap();
        let mut answer = server(&question, given, ROUTER);
        answer[28..34].copy_from_slice(&ours);
        server_guest.send(&udp_to((mac(1), ROUTER, 67), (ours, OUTSIDE, 68), &answer));
        world.settle();
    }
    client.send(&arp(mac(2), [10, 0, 0, 2], OUTSIDE));
    world.settle();
    let heard = taken(&mut client);
    assert!(heard.iter().any(|frame| crate::own::answer(frame).is_some()));
    // And it is the router, whose address is nobody else's.
    server_guest.send(&arp(mac(1), ROUTER, [10, 0, 0, 2]));
    client.send(&arp(mac(2), ROUTER, [10, 0, 0, 9]));
    world.settle();
    assert_eq!(taken(&mut client).len(), 1);
    assert_eq!(world.counters(1).tx_dropped, [0; Drop::COUNT]);
    assert_eq!(world.counters(2).tx_dropped[Drop::RouterAddress as usize], 1);
}

#[test]
fn no_guest_answers_the_dhcp_of_another() {
    for bridge in ["lan0", "private", "guests"] {
        let world =
            World::segments("lan0:virtio0:address=10.0.0.99/24,private,guests:mode=nat:address=10.0.3.1/24");
        let here = &[("bridge", bridge)];
        let mut evil = world.guest_with(1, here, Options::default());
        let mut other = world.guest_with(2, here, Options::default());
        let ip = if bridge == "guests" {
            let behind = Behind::new(&world, 3, &[]);
            [behind.ip[0], behind.ip[1], behind.ip[2], 0]
        } else {
            EVIL
        };
        taken(&mut other);
        let answer = dhcp(2, 77, mac(2), [0; 4], EVIL, &[&[53, 1, 2]]);
        let whole = udp_to((mac(1), ip, 67), (mac(2), EVIL, 68), &answer);
        // Its first fragment has the ports.
        let mut first = whole.clone();
        first[20..22].copy_from_slice(&[0x20, 0]);
        let mut frames = vec![whole, first];
        // By a relay.
        frames.push(udp_to((mac(1), ip, 67), (mac(2), EVIL, 67), &answer));
        sent(&world);
        for frame in frames {
            evil.send(&frame);
            world.settle();
            assert_eq!(taken(&mut other), [[0u8; 0]; 0], "{bridge}");
        }
        assert_eq!(sent(&world), [[0u8; 0]; 0], "{bridge}");
        let counters = world.counters(1).tx_dropped;
        let (server, source) = (
            counters[Drop::DhcpServer as usize],
            counters[Drop::SourceIp as usize],
        );
        assert_eq!(server + source, 3, "{bridge}");
    }
}

#[test]
fn nobody_is_heard_from_the_routers_address_or_from_ours() {
    let world = World::segments(SEGMENTS);
    let mut evil = world.guest(1, Options::default());
    let mut other = world.guest(2, Options::default());
    let mut behind = Behind::new(&world, 3, &[]);
    evil.collect();
    other.collect();
    sent(&world);
    let mut ieee802 = claim(ROUTER, BROADCAST);
    ieee802[15] = 6;
    let mut unknown = claim(ROUTER, BROADCAST);
    unknown[15] = 7;
    let snap = [
        &BROADCAST[..],
        &mac(1),
        &[0, 36, 0xaa, 0xaa, 3, 0, 0, 0, 8, 6],
        &claim(ROUTER, BROADCAST)[14..],
    ];
    let mut redirect = ping((mac(1), ROUTER), (mac(2), [10, 0, 0, 2]), 1, 40);
    redirect[34..36].copy_from_slice(&[5, 1]);
    let frames = [
        (claim(ROUTER, BROADCAST), Drop::RouterAddress),
        (claim(ROUTER, OURS), Drop::RouterAddress),
        (claim(OUTSIDE, BROADCAST), Drop::RouterAddress),
        (arp(mac(1), ROUTER, ROUTER), Drop::RouterAddress),
        (ieee802, Drop::RouterAddress),
        (unknown, Drop::Malformed),
        (snap.concat(), Drop::Malformed),
        (redirect, Drop::RouterAddress),
        (
            ping((mac(1), OUTSIDE), (mac(2), [10, 0, 0, 2]), 1, 4),
            Drop::RouterAddress,
        ),
        (
            udp_to((mac(1), ROUTER, 53), (OURS, OUTSIDE, 4000), b"x"),
            Drop::RouterAddress,
        ),
        // From farther than its subnet, as if it were the way out.
        (
            udp_to((mac(1), FAR, 53), (OURS, OUTSIDE, 4000), b"x"),
            Drop::SourceIp,
        ),
    ];
    // Guest 3 has a conversation that these would be answers in, and its router is asked for.
    behind.send(&world, 4000, (FAR, 53), b"x");
    sent(&world);
    taken(&mut other);
    for (frame, why) in frames {
        let before = world.counters(1).tx_dropped[why as usize];
        evil.send(&frame);
        world.settle();
        assert_eq!(
            world.counters(1).tx_dropped[why as usize],
            before + 1,
            "{why:?}: {frame:02x?}"
        );
        assert_eq!(taken(&mut other), [[0u8; 0]; 0], "{frame:02x?}");
        assert_eq!(sent(&world), [[0u8; 0]; 0], "{frame:02x?}");
        assert_eq!(taken(&mut behind.guest), [[0u8; 0]; 0], "{frame:02x?}");
    }
    // What it says of itself is heard.
    evil.send(&arp(mac(1), EVIL, OUTSIDE));
    evil.send(&ping((mac(1), EVIL), (OURS, OUTSIDE), 9, 4));
    world.settle();
    assert_eq!(taken(&mut evil).iter().filter_map(|frame| pong(frame)).count(), 1);
}

/// Whatever our stations learn to believe of the network: they do not believe it of a guest.
#[test]
fn a_station_takes_nothing_from_a_guest_but_questions() {
    let world = World::segments("lan0:virtio0:address=dhcp");
    let mut evil = world.guest(1, Options::default());
    let asked = question(&world, &mut evil);
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let all = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let ipv6 = || etherparse::PacketBuilder::ethernet2(mac(1), [0x33, 0x33, 0, 0, 0, 1]);
    let mut advertisement = Vec::new();
    let icmp = ipv6()
        .ipv6(link_local, all, 255)
        .icmpv6_raw(134, 0, [64, 0, 7, 8]);
    icmp.write(&mut advertisement, &[0; 8]).unwrap();
    let mut dhcpv6 = Vec::new();
    let udp = ipv6().ipv6(link_local, all, 255).udp(547, 546);
    udp.write(&mut dhcpv6, &asked).unwrap();
    sent(&world);
    for frame in [advertisement, dhcpv6] {
        evil.send(&frame);
        world.settle();
        // Others of the LAN may hear it; we say nothing of it.
        let ours = sent(&world)
            .iter()
            .any(|frame| frame[6..12] == OURS && frame[12..14] != [8, 0]);
        assert!(!ours);
    }
    assert!(!is_there(&world, OUTSIDE));
}
