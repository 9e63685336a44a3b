//! vifs come and go.

use std::time::Duration;

use outrigger_netif::nodes as key;

use crate::frames::{PEER, mac, udp};
use crate::guest::{Guest, Options};
use crate::world::{DD, World, vif};

#[test]
fn what_is_offered() {
    let world = World::new();
    world.attach(1, &[]);
    assert_eq!(world.state(vif(1)), "2");
    for (node, value) in [
        (key::FEATURE_RX_COPY, "1"),
        (key::FEATURE_RX_FLIP, "0"),
        (key::FEATURE_SG, "1"),
        (key::FEATURE_GSO_TCPV4, "1"),
        (key::FEATURE_GSO_TCPV6, "1"),
        (key::FEATURE_IPV6_CSUM_OFFLOAD, "1"),
        (key::FEATURE_SPLIT_EVENT_CHANNELS, "1"),
        (key::MULTI_QUEUE_MAX_QUEUES, "4"),
        (key::FEATURE_MULTICAST_CONTROL, "1"),
        (key::FEATURE_DYNAMIC_MULTICAST_CONTROL, "1"),
        (key::FEATURE_CTRL_RING, "1"),
        (key::FEATURE_XDP_HEADROOM, "1"),
        (key::HOTPLUG_STATUS, "connected"),
    ] {
        assert_eq!(world.node(vif(1), node).as_deref(), Some(value), "{node}");
    }
}

/// As netfront does it: 7, then the number; and it goes on as soon as it sees 8.
#[test]
fn xdp_comes_and_goes_under_traffic() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let frame = udp(mac(1), mac(2), 1200, 1);
    for headroom in [256, 0, 256] {
        b.write(&world, "state", "7");
        b.write(&world, "xdp-headroom", &headroom.to_string());
        world.settle();
        assert_eq!(world.state(vif(2)), "8");
        b.options.headroom = headroom;
        a.send(&frame);
        world.settle();
        assert_eq!(b.collect()[0].bytes, frame);
        b.set_state(&world, "4");
        world.settle();
        assert_eq!(world.state(vif(2)), "4");
    }
    b.write(&world, "xdp-headroom", "4000");
    b.write(&world, "state", "7");
    world.settle();
    assert_eq!(world.state(vif(2)), "6");
    assert!(world.error(vif(2)).contains("xdp-headroom: more than 384"));
    a.send(&udp(mac(1), PEER, 60, 2));
    world.settle();
    assert_eq!(world.card.borrow_mut().take_sent().len(), 1, "the other goes on");
}

#[test]
fn what_vifs_and_cards_have_done_is_in_xenstore() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    a.send(&udp(mac(1), mac(2), 100, 1));
    a.send(&udp(mac(1), PEER, 200, 2));
    a.send(&udp(mac(3), PEER, 200, 3));
    world.settle();
    world.card.borrow_mut().arrive(&udp(PEER, mac(9), 60, 4));
    world.card.borrow().interrupt();
    world.settle();
    assert_eq!(b.collect().len(), 1);
    world.advance(5000);
    let words = |line: Option<String>| -> Vec<(String, String)> {
        let line = line.expect("it is there");
        let word = |word: &str| {
            word.split_once('=')
                .map(|(key, value)| (key.into(), value.into()))
        };
        line.split(' ').map(|w| word(w).expect("key=value")).collect()
    };
    let has = |words: &[(String, String)], wanted: &[(&str, &str)]| {
        for (key, value) in wanted {
            let found = words.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
            assert_eq!(found, Some(*value), "{key} in {words:?}");
        }
    };
    let sender = words(world.node(vif(1), "statistics"));
    has(
        &sender,
        &[
            ("tx-frames", "2"),
            ("tx-dropped-source-mac", "1"),
            ("rx-frames", "0"),
        ],
    );
    assert!(
        !sender.iter().any(|(key, _)| key == "tx-dropped-flood"),
        "what never was is left out"
    );
    has(
        &words(world.node(vif(2), "statistics")),
        &[("rx-frames", "1"), ("tx-frames", "0")],
    );
    let card = words(
        world
            .dom0
            .read(&format!("/local/domain/{}/data/virtio0", DD.0))
            .ok(),
    );
    has(
        &card,
        &[
            ("link", "up"),
            ("tx-frames", "1"),
            ("rx-frames", "1"),
            ("rx-dropped-no-destination", "1"),
        ],
    );
}

#[test]
fn attach_and_detach_twenty_times_under_traffic() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    for round in 0..20u8 {
        let mut b = world.guest(
            2,
            Options {
                queues: 1 + u32::from(round) % 4,
                control: true,
                ..Options::default()
            },
        );
        let frame = udp(mac(1), mac(2), 700, round);
        a.send(&frame);
        world.settle();
        assert_eq!(b.collect()[0].bytes, frame);
        a.send(&frame);
        b.send(&udp(mac(2), PEER, 700, round));
        world.ts.begin_detach(vif(2));
        world.settle();
        a.send(&frame);
        b.set_state(&world, "5");
        world.settle();
        b.set_state(&world, "6");
        world.settle();
        a.send(&frame);
        world.advance(2500);
        assert!(world.ts.finish_detach(vif(2)), "round {round}");
        a.collect();
        assert!(a.take_statuses().iter().all(|status| *status == 0));
    }
    world.ts.begin_destroy(vif(1));
    world.advance(1500);
    assert!(world.ts.finish_detach(vif(1)));
    world.xen.assert_nothing_left(DD);
}

#[test]
fn a_guest_killed_under_traffic_leaves_nothing() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    for _ in 0..10 {
        let mut b = world.guest(2, Options::default());
        for seed in 0..50 {
            a.put(0, &udp(mac(1), mac(2), 700, seed), 0, None, &[]);
            b.put(0, &udp(mac(2), mac(1), 700, seed), 0, None, &[]);
        }
        a.kick(0);
        b.kick(0);
        world.net.turn(outrigger_xen::Wake {
            events: true,
            ..Default::default()
        });
        world.xen.destroy(vif(2).frontend);
        for seed in 0..50 {
            a.put(0, &udp(mac(1), mac(2), 700, seed), 0, None, &[]);
        }
        a.kick(0);
        world.settle();
        world.ts.begin_destroy(vif(2));
        world.advance(1500);
        assert!(world.ts.finish_detach(vif(2)));
        world.ts.remove_domain(vif(2).frontend);
        a.collect();
    }
    world.ts.begin_destroy(vif(1));
    world.advance(1500);
    world.xen.assert_nothing_left(DD);
}

/// Windows' frontend closes once before it connects, and wants 5, then 6.
#[test]
fn the_close_cycle_before_connecting() {
    let world = World::new();
    world.attach(1, &[]);
    let fe = world.xs.by(vif(1).frontend);
    let show = |state: &str| {
        fe.write(&format!("{}/state", vif(1).frontend_path()), state)
            .unwrap();
        world.settle();
        world.state(vif(1))
    };
    assert_eq!(show("5"), "5");
    assert_eq!(show("6"), "6");
    assert_eq!(show("1"), "2");
    let mut guest = Guest::publish(&world, vif(1), Options::default());
    world.advance(600);
    assert_eq!(world.state(vif(1)), "4", "{}", world.error(vif(1)));
    guest.collect();
    world.card.borrow_mut().arrive(&udp(PEER, mac(1), 99, 1));
    world.settle();
    assert_eq!(guest.collect().len(), 1);
}

#[test]
fn what_cannot_be_served_is_said_so() {
    for (keys, part) in [
        (&[("bridge", "xenbr7")][..], "no segment"),
        (&[("vlan", "4095")], "vlan"),
        (&[("ip", "10.0.0.300")], "no IP address"),
        (&[("rate", "fast")], "rate"),
        (&[("mtu", "20")], "mtu"),
        (&[("mac", "01:00:5e:00:00:01")], "mac"),
        (&[("mac", "00:16:3e:00:00:01")], "already"),
    ] {
        let world = World::new();
        world.guest(1, Options::default());
        world.attach(2, keys);
        assert_eq!(world.state(vif(2)), "6");
        assert!(world.error(vif(2)).contains(part), "{}", world.error(vif(2)));
    }
}

#[test]
fn frontends_that_publish_nonsense_hold_nothing() {
    let lies = [
        ("tx-ring-ref", "99999"),
        ("rx-ring-ref", "99999"),
        ("rx-ring-ref", "x"),
        ("event-channel-tx", "999"),
        ("event-channel-rx", "999"),
        ("multi-queue-num-queues", "0"),
        ("multi-queue-num-queues", "5"),
        ("multi-queue-num-queues", "2"),
        ("request-rx-copy", "0"),
        ("xdp-headroom", "4096"),
        ("ctrl-ring-ref", "99999"),
        ("event-channel-ctrl", "999"),
    ];
    for (node, value) in lies {
        let world = World::new();
        world.attach(1, &[]);
        let _guest = Guest::publish(
            &world,
            vif(1),
            Options {
                control: true,
                ..Options::default()
            },
        );
        let fe = world.xs.by(vif(1).frontend);
        fe.write(&format!("{}/{node}", vif(1).frontend_path()), value)
            .unwrap();
        world.advance(600);
        assert_eq!(world.state(vif(1)), "6", "{node}={value}");
        world.xen.assert_nothing_held(DD);
    }
}

/// A card that no interrupt tells of its link is asked when it wants to be, and not more often; what went wrong in it is in
/// XenStore.
#[test]
fn a_card_is_looked_after_when_it_wants_to_be() {
    let world = World::new();
    assert_eq!(world.card.borrow().ticks, 1, "once before the loop begins");
    world.advance(3000);
    assert_eq!(world.card.borrow().ticks, 1, "it wanted nothing");
    world.card.borrow_mut().every = Some(Duration::from_secs(1));
    world.card.borrow().interrupt();
    world.settle();
    assert_eq!(world.card.borrow().ticks, 2, "and after each interrupt");
    world.advance(10_000);
    assert_eq!(world.card.borrow().ticks, 12);

    // The link goes without an interrupt, and so does what would leave by it.
    let mut a = world.guest(1, Options::default());
    world.card.borrow_mut().limits.link = false;
    a.send(&udp(mac(1), PEER, 200, 1));
    world.settle();
    assert_eq!(world.card.borrow_mut().take_sent().len(), 1, "nobody knows yet");
    world.card.borrow_mut().news = true;
    world.advance(2000);
    a.send(&udp(mac(1), PEER, 200, 2));
    world.settle();
    assert_eq!(world.card.borrow_mut().take_sent().len(), 0);
    world.advance(5000);
    let told = world
        .dom0
        .read(&format!("/local/domain/{}/data/virtio0", DD.0))
        .unwrap();
    assert!(
        told.starts_with("link=down ") && told.contains(" card-rx-crc="),
        "{told}"
    );
    assert!(!told.contains("rx-overrun"), "{told}");
}
