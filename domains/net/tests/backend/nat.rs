//! Guests behind an address of ours, on a segment of their own.

use etherparse::PacketBuilder;
use outrigger_devices::{BlankChecksum, GsoKind};
use outrigger_net::Drop;
use outrigger_netif::Gso;
use outrigger_xen::Wake;
use proptest::prelude::*;

use crate::frames::{BROADCAST, PEER, blank, is_right, mac, tcp};
use crate::guest::{Guest, Options};
use crate::own::{
    OURS, answer, arp, arrive, datagram, dhcp, lease, options, ping, pong, sent, taken, udp_to,
};
use crate::world::{World, vif};

pub const SEGMENTS: &str =
    "lan0:virtio0:address=10.0.0.99/24:router=10.0.0.1,guests:mode=nat:address=10.0.3.1/24:dns=10.9.9.9";
pub const OUTSIDE: [u8; 4] = [10, 0, 0, 99];
pub const ROUTER: [u8; 4] = [10, 0, 0, 1];
pub const GATEWAY: [u8; 4] = [10, 0, 3, 1];
pub const FAR: [u8; 4] = [192, 0, 2, 7];

/// A guest of the NAT segment, its address, and its router's MAC.
pub struct Behind {
    pub guest: Guest,
    number: u8,
    pub ip: [u8; 4],
    pub router: [u8; 6],
}

impl Behind {
    pub fn new(world: &World, number: u8, more: &[(&str, &str)]) -> Self {
        Self::with(world, number, more, Options::default())
    }

    pub fn with(world: &World, number: u8, more: &[(&str, &str)], connection: Options) -> Self {
        let keys = [&[("bridge", "guests")], more].concat();
        let mut guest = world.guest_with(number, &keys, connection);
        let offer = ask(world, &mut guest, number, &[&[53, 1, 1]]).expect("an offer");
        let ip: [u8; 4] = offer[16..20].try_into().unwrap();
        guest.send(&arp(mac(number), ip, GATEWAY));
        world.settle();
        let router = taken(&mut guest).iter().find_map(|frame| answer(frame));
        let (router, GATEWAY) = router.expect("the gateway answers") else {
            panic!("another address");
        };
        Self {
            guest,
            number,
            ip,
            router,
        }
    }

    pub fn mac(&self) -> [u8; 6] {
        mac(self.number)
    }

    /// Sends a UDP datagram through the router.
    pub fn send(&mut self, world: &World, port: u16, to: ([u8; 4], u16), payload: &[u8]) {
        let frame = udp_to((self.mac(), self.ip, port), (self.router, to.0, to.1), payload);
        self.guest.send(&frame);
        world.settle();
    }
}

/// The answer to a DHCP question.
fn ask(world: &World, guest: &mut Guest, number: u8, with: &[&[u8]]) -> Option<Vec<u8>> {
    let question = dhcp(1, 77, mac(number), [0; 4], [0; 4], with);
    guest.send(&udp_to(
        (mac(number), [0; 4], 68),
        (BROADCAST, [255; 4], 67),
        &question,
    ));
    world.settle();
    let frames = taken(guest);
    assert!(frames.iter().all(|frame| frame[..6] == mac(number)));
    frames.iter().find_map(|frame| datagram(frame, (67, 68)))
}

/// The wire's router answers the question for its MAC; the frames that waited for that.
fn route(world: &World) -> Vec<Vec<u8>> {
    let frames = sent(world);
    let asked = frames
        .iter()
        .find(|frame| frame[12..14] == [8, 6])
        .expect("a question");
    assert_eq!(asked[..6], BROADCAST);
    assert_eq!(
        (&asked[6..12], &asked[28..32], &asked[38..42]),
        (&OURS[..], &OUTSIDE[..], &ROUTER[..])
    );
    let reply = [
        &OURS[..],
        &PEER[..],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        &PEER[..],
        &ROUTER[..],
        &OURS[..],
        &OUTSIDE[..],
    ];
    arrive(world, &reply.concat())
}

/// A world with one guest that has found the way out.
fn world() -> (World, Behind) {
    let world = World::segments(SEGMENTS);
    let mut guest = Behind::new(&world, 1, &[]);
    sent(&world);
    guest.send(&world, 4000, (FAR, 9), b"first");
    let frames = route(&world);
    assert_eq!(frames.len(), 1, "what waited for the router's MAC goes on");
    assert_eq!(datagram(&frames[0], (4000, 9)).unwrap(), b"first");
    (world, guest)
}

fn source(frame: &[u8]) -> ([u8; 6], [u8; 4]) {
    (
        frame[6..12].try_into().unwrap(),
        frame[26..30].try_into().unwrap(),
    )
}

#[test]
fn dhcp_gives_each_its_own_address() {
    let world = World::segments(SEGMENTS);
    let mut guest = world.guest_with(1, &[("bridge", "guests"), ("mtu", "1400")], Options::default());
    let offer = ask(&world, &mut guest, 1, &[&[53, 1, 1]]).unwrap();
    let ip: [u8; 4] = offer[16..20].try_into().unwrap();
    assert_eq!((offer[0], &offer[4..8]), (2, &77u32.to_be_bytes()[..]));
    let told = options(&offer);
    for (option, data) in [
        (53, &[2][..]),
        (54, &GATEWAY),
        (1, &[255, 255, 255, 0]),
        (3, &GATEWAY),
        (6, &[10, 9, 9, 9]),
        (26, &1400u16.to_be_bytes()),
        (51, &3600u32.to_be_bytes()),
    ] {
        assert_eq!(
            told.get(&option).map(Vec::as_slice),
            Some(data),
            "option {option}"
        );
    }
    let request = |ip: [u8; 4]| [&[50, 4][..], &ip[..]].concat();
    let ack = ask(
        &world,
        &mut guest,
        1,
        &[&[53, 1, 3], &request(ip), &[54, 4, 10, 0, 3, 1]],
    )
    .unwrap();
    assert_eq!((options(&ack)[&53][0], &ack[16..20]), (5, &ip[..]));
    // Another one's address, and another server's offer.
    let nak = ask(&world, &mut guest, 1, &[&[53, 1, 3], &request([10, 0, 3, 254])]).unwrap();
    assert_eq!((options(&nak)[&53][0], &nak[16..20]), (6, &[0; 4][..]));
    assert_eq!(
        ask(
            &world,
            &mut guest,
            1,
            &[&[53, 1, 3], &request(ip), &[54, 4, 10, 0, 3, 2]]
        ),
        None
    );
    // In somebody else's name.
    let strange = dhcp(1, 77, mac(9), [0; 4], [0; 4], &[&[53, 1, 1]]);
    guest.send(&udp_to((mac(1), [0; 4], 68), (BROADCAST, [255; 4], 67), &strange));
    world.settle();
    assert_eq!(guest.collect().len(), 0);
    // The same again after it was away, and `ip=` if it has one.
    world.ts.begin_destroy(vif(1));
    world.advance(1500);
    let again = Behind::new(&world, 1, &[]);
    assert_eq!(again.ip, ip);
    assert_eq!(
        Behind::new(&world, 2, &[("ip", "10.0.3.200")]).ip,
        [10, 0, 3, 200]
    );
    assert_ne!(Behind::new(&world, 3, &[]).ip, ip);
    for (number, address, why) in [
        (4, "10.0.4.4", "no address in the subnet"),
        (5, "10.0.3.200", "another guest"),
    ] {
        world.attach(number, &[("bridge", "guests"), ("ip", address)]);
        world.advance(500);
        assert_eq!(world.state(vif(number)), "6");
        assert!(
            world.error(vif(number)).contains(why),
            "{}",
            world.error(vif(number))
        );
    }
}

#[test]
fn name_servers_of_the_outside_are_passed_on() {
    let world = World::segments("lan0:virtio0:address=dhcp,guests:mode=nat:address=10.0.3.1/24");
    let mut guest = world.guest_with(1, &[("bridge", "guests")], Options::default());
    let early = options(&ask(&world, &mut guest, 1, &[&[53, 1, 1]]).unwrap());
    assert_eq!(
        (early.get(&6), early[&51].as_slice()),
        (None, &120u32.to_be_bytes()[..]),
        "it asks again soon"
    );
    lease(&world, OUTSIDE, ROUTER, [10, 0, 0, 53]);
    let later = options(&ask(&world, &mut guest, 1, &[&[53, 1, 1]]).unwrap());
    assert_eq!(
        (later[&6].as_slice(), later[&51].as_slice()),
        (&[10, 0, 0, 53][..], &3600u32.to_be_bytes()[..])
    );
}

#[test]
fn out_and_back() {
    let (world, mut one) = world();
    let mut two = Behind::new(&world, 2, &[]);
    sent(&world);
    taken(&mut one.guest);
    for (guest, text) in [(&mut one, b"one"), (&mut two, b"two")] {
        guest.send(&world, 5000, (FAR, 53), text);
        let frames = sent(&world);
        assert_eq!(frames.len(), 1);
        assert_eq!(
            (&frames[0][..6], source(&frames[0])),
            (&PEER[..], (OURS, OUTSIDE))
        );
        assert!(is_right(&frames[0]));
        assert_eq!(frames[0][22], 63, "one more router");
        let port = u16::from_be_bytes([frames[0][34], frames[0][35]]);
        assert_eq!(datagram(&frames[0], (port, 53)).unwrap(), text);
        let back = udp_to((PEER, FAR, 53), (OURS, OUTSIDE, port), text);
        assert_eq!(arrive(&world, &back).len(), 0);
        let got = taken(&mut guest.guest);
        assert_eq!(got.len(), 1);
        assert_eq!(
            (&got[0][..6], source(&got[0])),
            (&guest.mac()[..], (guest.router, FAR))
        );
        assert_eq!(got[0][30..34], guest.ip);
        assert_eq!(datagram(&got[0], (53, 5000)).unwrap(), text);
        // From another port of the same host nothing comes in, and nobody says so.
        let strange = udp_to((PEER, FAR, 54), (OURS, OUTSIDE, port), text);
        assert_eq!(arrive(&world, &strange).len(), 0);
    }
    assert!(taken(&mut one.guest).is_empty() && taken(&mut two.guest).is_empty());
}

#[test]
fn large_frames_pass_whole() {
    let (world, mut one) = world();
    let gso = Gso {
        kind: GsoKind::TcpV4,
        size: 1400,
    };
    for filled in [false, true] {
        let mut frame = tcp(one.mac(), one.router, true, 20_000, 3);
        frame[26..30].copy_from_slice(&one.ip);
        frame[30..34].copy_from_slice(&FAR);
        frame[24..26].fill(0);
        let sum = outrigger_net::checksum::ipv4_header(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        let frame = blank(&frame);
        one.guest
            .put(0, &frame, if filled { 0 } else { 1 }, Some(gso), &[1000]);
        one.guest.kick(0);
        world.settle();
        let out = world.card.borrow_mut().take_sent();
        assert_eq!(out.len(), 1);
        assert_eq!(
            out[0].checksum,
            Some(BlankChecksum {
                start: 34,
                offset: 16
            })
        );
        assert!(out[0].gso.is_some());
        let bytes = &out[0].bytes;
        assert_eq!(source(bytes), (OURS, OUTSIDE));
        assert_eq!(blank(bytes), *bytes, "blank still, over the new addresses");
        assert_eq!(bytes[54..], frame[54..], "and nothing else is touched");
        one.guest.collect();
    }
    // And back.
    let mut frame = tcp(PEER, OURS, true, 9000, 4);
    frame[26..30].copy_from_slice(&FAR);
    frame[30..34].copy_from_slice(&OUTSIDE);
    frame[34..38].copy_from_slice(&[0, 80, 2000u16.to_be_bytes()[0], 2000u16.to_be_bytes()[1]]);
    world.card.borrow_mut().arrive_large(&blank(&frame));
    world.settle();
    let got = one.guest.collect();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].gso.map(|gso| gso.size), Some(1448));
    assert_eq!(
        (got[0].bytes[30..34].to_vec(), got[0].bytes[36..38].to_vec()),
        (one.ip.to_vec(), 2000u16.to_be_bytes().to_vec())
    );
    assert_eq!(blank(&got[0].bytes), got[0].bytes);
}

#[test]
fn ping_and_traceroute() {
    let (world, mut one) = world();
    let echo = |one: &Behind, to: [u8; 4], ident: u16| ping((one.mac(), one.ip), (one.router, to), ident, 56);
    one.guest.send(&echo(&one, GATEWAY, 3));
    world.settle();
    assert_eq!(
        taken(&mut one.guest)
            .iter()
            .filter_map(|frame| pong(frame))
            .collect::<Vec<_>>(),
        [3]
    );
    one.guest.send(&echo(&one, FAR, 4000));
    world.settle();
    let out = sent(&world);
    assert_eq!((out.len(), source(&out[0])), (1, (OURS, OUTSIDE)));
    let ident = u16::from_be_bytes([out[0][38], out[0][39]]);
    let mut reply = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, OURS).ipv4(FAR, OUTSIDE, 60);
    builder
        .icmpv4_echo_reply(ident, 1)
        .write(&mut reply, &[6; 56])
        .unwrap();
    arrive(&world, &reply);
    assert_eq!(
        taken(&mut one.guest)
            .iter()
            .filter_map(|frame| pong(frame))
            .collect::<Vec<_>>(),
        [4000]
    );
    // The first hop is us.
    let mut probe = echo(&one, FAR, 5);
    probe[22] = 1;
    let sum = outrigger_net::checksum::ipv4_header(&probe[14..34]);
    probe[24..26].copy_from_slice(&sum);
    one.guest.send(&probe);
    world.settle();
    let told = taken(&mut one.guest);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (source(&told[0]), &told[0][30..34], told[0][34]),
        ((one.router, GATEWAY), &one.ip[..], 11)
    );
    assert_eq!(told[0][42..], probe[14..42], "it quotes the probe");
    assert!(etherparse::SlicedPacket::from_ethernet(&told[0]).is_ok());
    assert!(sent(&world).is_empty());
}

#[test]
fn what_is_too_long_is_told() {
    let mut limits = crate::card::limits();
    limits.mtu = 1400;
    let world = World::of(limits, 600, SEGMENTS);
    let mut one = Behind::new(&world, 1, &[]);
    let mut long = udp_to((one.mac(), one.ip, 4000), (one.router, FAR, 9), &[0; 1440]);
    one.guest.send(&long);
    world.settle();
    let told = taken(&mut one.guest);
    // Etherparse's packets may not be cut.
    assert_eq!(
        (told.len(), &told[0][34..36], &told[0][40..42]),
        (1, &[3, 4][..], &1400u16.to_be_bytes()[..])
    );
    long.truncate(14 + 1400);
    long[16..18].copy_from_slice(&1400u16.to_be_bytes());
    let sum = outrigger_net::checksum::ipv4_header(&long[14..34]);
    long[24..26].copy_from_slice(&sum);
    one.guest.send(&long);
    world.settle();
    assert_eq!(route(&world).len(), 1);
}

#[test]
fn what_may_not_pass_does_not() {
    let (world, mut one) = world();
    let mut two = Behind::new(&world, 2, &[]);
    sent(&world);
    taken(&mut one.guest);
    let (from, to) = ((one.mac(), one.ip, 4000), one.router);
    let spoofed = |ip: [u8; 4]| udp_to((one.mac(), ip, 4000), (to, FAR, 9), b"");
    let mut strange = vec![
        (spoofed(two.ip), Drop::SourceIp),
        (spoofed([10, 0, 3, 99]), Drop::SourceIp),
        (spoofed(GATEWAY), Drop::SourceIp),
        (arp(one.mac(), two.ip, GATEWAY), Drop::SourceIp),
    ];
    for target in [
        two.ip,
        OUTSIDE,
        [10, 0, 3, 255],
        [10, 0, 0, 255],
        [10, 0, 0, 0],
        [127, 0, 0, 1],
        [169, 254, 1, 1],
        [224, 0, 0, 9],
        [255; 4],
        GATEWAY,
    ] {
        strange.push((udp_to(from, (to, target, 9), b""), Drop::NoDestination));
    }
    // Nothing but DHCP of the domain's own, not even by another way.
    strange.push((udp_to(from, (BROADCAST, [255; 4], 9), b""), Drop::NoDestination));
    let mut igmp = udp_to(from, (to, FAR, 9), b"");
    igmp[23] = 2;
    strange.push((igmp, Drop::Untranslated));
    for (frame, why) in strange {
        let before = world.counters(1).tx_dropped[why as usize];
        one.guest.send(&frame);
        world.settle();
        // A broadcast is one to its neighbours, and to nobody else.
        let near = taken(&mut two.guest);
        assert!(near.is_empty() || frame[..6] == BROADCAST, "{frame:02x?}");
        assert_eq!(taken(&mut one.guest), [[0u8; 0]; 0], "{frame:02x?}");
        assert_eq!(sent(&world), [[0u8; 0]; 0], "{frame:02x?}");
        if frame[..6] != BROADCAST {
            assert_eq!(
                world.counters(1).tx_dropped[why as usize],
                before + 1,
                "{why:?}: {frame:02x?}"
            );
        }
    }
}

#[test]
fn a_guest_of_the_outer_segment_is_reached_too() {
    let (world, mut one) = world();
    let mut near = world.guest(3, Options::default());
    sent(&world);
    one.send(&world, 6000, ([10, 0, 0, 3], 9), b"hello");
    // It is asked for like anybody, and what waited is delivered.
    let asked = taken(&mut near);
    assert!(
        asked
            .iter()
            .any(|frame| frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 3])
    );
    let reply = [
        &OURS[..],
        &mac(3)[..],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        &mac(3)[..],
        &[10, 0, 0, 3],
        &OURS[..],
        &OUTSIDE[..],
    ];
    near.send(&reply.concat());
    world.settle();
    let got = taken(&mut near);
    assert_eq!(got.len(), 1);
    assert_eq!(datagram(&got[0], (6000, 9)).unwrap(), b"hello");
    near.send(&udp_to(
        (mac(3), [10, 0, 0, 3], 9),
        (OURS, OUTSIDE, 6000),
        b"world",
    ));
    world.settle();
    assert_eq!(datagram(&taken(&mut one.guest)[0], (9, 6000)).unwrap(), b"world");
}

#[test]
fn a_guest_that_is_gone_is_forgotten() {
    let (world, mut one) = world();
    one.send(&world, 5000, (FAR, 53), b"x");
    assert_eq!(sent(&world).len(), 1);
    world.ts.begin_destroy(vif(1));
    world.advance(1500);
    let mut two = Behind::new(&world, 2, &[]);
    sent(&world);
    arrive(&world, &udp_to((PEER, FAR, 53), (OURS, OUTSIDE, 5000), b"x"));
    assert!(taken(&mut two.guest).is_empty());
    world.ts.begin_destroy(vif(2));
    world.advance(1500);
    world.xen.assert_nothing_held(crate::world::DD);
}

#[test]
fn conversations_are_bounded_and_others_have_room() {
    let (world, mut one) = world();
    let mut two = Behind::new(&world, 2, &[]);
    let mut passed = 0;
    for round in 0..150u16 {
        sent(&world);
        for index in 0..60 {
            let frame = udp_to(
                (one.mac(), one.ip, 2000 + round * 60 + index),
                (one.router, FAR, 9),
                b"",
            );
            one.guest.put(0, &frame, 0, None, &[]);
        }
        one.guest.kick(0);
        world.settle();
        one.guest.collect();
        passed += sent(&world)
            .iter()
            .filter(|frame| frame[12..14] == [8, 0])
            .count();
    }
    // Its own 32 and half of what all share; one was there before.
    assert_eq!(passed, 32 + 4096);
    assert_eq!(
        world.counters(1).tx_dropped[Drop::NatFull as usize],
        9000 - passed as u64
    );
    sent(&world);
    two.send(&world, 7, (FAR, 9), b"me");
    assert_eq!(
        sent(&world)
            .iter()
            .filter(|frame| frame[12..14] == [8, 0])
            .count(),
        1
    );
}

#[test]
fn a_translated_frame_costs_what_a_bridged_one_does() {
    let (world, mut one) = world();
    // Whoever sends to the wire once will do so again.
    one.send(&world, 9000, (FAR, 9), b"");
    for _ in 0..3 {
        one.guest.collect();
        sent(&world);
        let before = world.dd.counts();
        for seed in 0..32u16 {
            let frame = udp_to((one.mac(), one.ip, 9000 + seed), (one.router, FAR, 9), &[1; 1000]);
            one.guest.put(0, &frame, 0, None, &[]);
        }
        one.guest.kick(0);
        world.settle();
        let cost = world.dd.counts() - before;
        assert_eq!((cost.hypercalls, cost.copies, cost.notifications), (2, 32, 1));
        assert_eq!(sent(&world).len(), 32);
    }
}

#[test]
fn a_turn_allocates_nothing() {
    let (world, mut one) = world();
    let mut two = Behind::with(
        &world,
        2,
        &[],
        Options {
            gso: false,
            csum: false,
            ..Options::default()
        },
    );
    for round in 0..5u16 {
        sent(&world);
        for port in 0..10 {
            let port = 20_000 + 100 * round + port;
            let frame = udp_to((one.mac(), one.ip, port), (one.router, FAR, 9), &[1; 900]);
            one.guest.put(0, &blank(&frame), 1, None, &[]);
            one.guest.put(
                0,
                &ping((one.mac(), one.ip), (one.router, GATEWAY), port, 100),
                0,
                None,
                &[],
            );
            two.guest.put(
                0,
                &udp_to(
                    (two.mac(), two.ip, 4000),
                    (two.router, [10, 0, 0, 200], port),
                    b"",
                ),
                0,
                None,
                &[],
            );
            let discover = dhcp(1, 9, mac(2), [0; 4], [0; 4], &[&[53, 1, 1]]);
            two.guest.put(
                0,
                &udp_to((mac(2), [0; 4], 68), (BROADCAST, [255; 4], 67), &discover),
                0,
                None,
                &[],
            );
            let back = udp_to((PEER, FAR, 9), (OURS, OUTSIDE, port), b"back");
            world.card.borrow_mut().arrive(&back);
            world.card.borrow_mut().arrive(&arp(PEER, ROUTER, OUTSIDE));
        }
        one.guest.kick(0);
        two.guest.kick(0);
        let awake = Wake {
            events: true,
            devices: outrigger_xen::IrqSet::of(0),
            timer: false,
        };
        for _ in 0..5 {
            let allocated = allocation_counter::measure(|| {
                world.net.turn(awake);
            });
            assert_eq!(allocated.count_total, 0, "in round {round}");
        }
        let frames = sent(&world);
        assert!(frames.iter().filter(|frame| frame[12..14] == [8, 0]).count() >= 10);
        assert!(frames.iter().any(|frame| answer(frame).is_some()));
        assert!(
            taken(&mut one.guest)
                .iter()
                .filter_map(|frame| pong(frame))
                .count()
                >= 5
        );
        assert!(
            taken(&mut two.guest)
                .iter()
                .any(|frame| datagram(frame, (67, 68)).is_some())
        );
        world.settle();
    }
}

/// Frames of any content, mostly nearly right ones, from a guest and from the wire.
fn any_frame() -> impl Strategy<Value = (bool, u8, Vec<u8>, Vec<(usize, u8)>)> {
    let bytes = prop::collection::vec(any::<u8>(), 14..400);
    let changes = prop::collection::vec((12usize..90, any::<u8>()), 0..4);
    (any::<bool>(), 0u8..6, bytes, changes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever comes from either side: nothing falls over, no other guest hears of it, and the next one is served.
    #[test]
    fn any_frames(frames in prop::collection::vec(any_frame(), 1..40)) {
        let (world, mut one) = world();
        let mut two = Behind::new(&world, 2, &[]);
        taken(&mut two.guest);
        for (inwards, kind, bytes, changes) in frames {
            let mut frame = if inwards {
                let (from, to) = ((PEER, FAR, 9), (OURS, OUTSIDE, 4000));
                match kind {
                    0 => udp_to(from, to, &bytes),
                    1 => ping((PEER, FAR), (OURS, OUTSIDE), 4, bytes.len()),
                    2 => arp(PEER, ROUTER, OUTSIDE),
                    3 => [&OURS[..], &PEER[..], &[8, 0], &bytes[..]].concat(),
                    4 => udp_to((PEER, ROUTER, 67), (OURS, OUTSIDE, 68), &bytes),
                    _ => [&OURS[..], &bytes[6..]].concat(),
                }
            } else {
                let (from, to) = ((one.mac(), one.ip, 4000), (one.router, FAR, 9));
                match kind {
                    0 => udp_to(from, to, &bytes),
                    1 => ping((one.mac(), one.ip), (one.router, GATEWAY), 4, bytes.len()),
                    2 => arp(one.mac(), one.ip, GATEWAY),
                    3 => [&one.router[..], &one.mac()[..], &[8, 0], &bytes[..]].concat(),
                    4 => udp_to((one.mac(), [0; 4], 68), (BROADCAST, [255; 4], 67), &bytes),
                    _ => [&one.router[..], &one.mac()[..], &bytes[12..]].concat(),
                }
            };
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            if inwards {
                world.card.borrow_mut().arrive(&frame);
            } else {
                one.guest.put(0, &frame, u16::from(kind & 1), None, &[20]);
                one.guest.kick(0);
            }
            world.settle();
            taken(&mut one.guest);
            // Another guest may hear broadcasts of its neighbour; of the wire it hears nothing.
            let heard = taken(&mut two.guest);
            prop_assert!(heard.iter().all(|frame| frame[6..12] == one.mac()), "{:02x?}", heard);
        }
        sent(&world);
        two.send(&world, 5000, (FAR, 53), b"still here");
        let frames = sent(&world);
        let out = frames.iter().find_map(|frame| datagram(frame, (5000, 53)));
        prop_assert_eq!(out.as_deref(), Some(&b"still here"[..]));
    }
}
