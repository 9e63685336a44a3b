//! The PHY and the link.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::time::Duration;

use outrigger_devices::{Clock, Device, NetDevice};
use outrigger_genet::{Options, PhyMode};
use outrigger_genet_model::{Fault, Offer, Partner, udp4};
use rig::{INCOHERENT, Rig, STATION};

const COMMAND: usize = 0x808;
const SPEED: u32 = 3 << 2;
const RX_PAUSE_IGNORE: u32 = 1 << 8;
const HALF: u32 = 1 << 10;
const TX_PAUSE_IGNORE: u32 = 1 << 28;

#[test]
fn the_mac_follows_what_was_negotiated() {
    let no_pause = RX_PAUSE_IGNORE | TX_PAUSE_IGNORE;
    let only_sends = Partner {
        lpa: 0xc9e1,
        ..Partner::GIGABIT
    };
    for (partner, command) in [
        (Partner::GIGABIT, 2 << 2),
        (only_sends, 2 << 2 | TX_PAUSE_IGNORE),
        (Partner::FAST, 1 << 2 | no_pause),
        (Partner::SLOW, HALF | no_pause),
    ] {
        let mut rig = Rig::new();
        rig.connect(partner);
        rig.post(256);
        let bits = rig.model.register(COMMAND) & (SPEED | HALF | no_pause);
        assert_eq!(bits, command, "{partner:?}");
        rig.assert_works();
    }
}

#[test]
fn without_a_cable_there_is_no_link_and_no_harm() {
    let mut rig = Rig::new();
    rig.post(256);
    assert_eq!(rig.live(Duration::from_secs(10)), 0);
    assert!(!rig.net.limits().link);
    rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
    rig.net.commit(0);
    rig.reap_tx().unwrap();
    assert_eq!(rig.returned.len(), 1);
    rig.connect(Partner::GIGABIT);
    rig.assert_works();
}

#[test]
fn flaps_are_seen_with_and_without_interrupts() {
    for no_link_interrupts in [false, true] {
        let offer = Offer {
            no_link_interrupts,
            ..Offer::default()
        };
        let mut rig = Rig::with(INCOHERENT, offer, Options::default());
        rig.connect(Partner::GIGABIT);
        rig.post(256);
        for round in 0..20u64 {
            rig.model.connect(None);
            let changes = rig.live(Duration::from_millis(1100 + 37 * round));
            assert!(changes == 1 && !rig.net.limits().link, "down, round {round}");
            let partner = if round % 2 == 0 {
                Partner::FAST
            } else {
                Partner::GIGABIT
            };
            rig.model.connect(Some(partner));
            let changes = rig.live(Duration::from_millis(2300));
            assert!(changes == 1 && rig.net.limits().link, "up, round {round}");
            let speed = rig.model.register(COMMAND) >> 2 & 3;
            assert_eq!(speed, if round % 2 == 0 { 1 } else { 2 });
            let frame = udp4(STATION, 100, true);
            assert_eq!(rig.send(&frame, &[(64, 142)], None), frame);
        }
        assert_eq!(rig.net.faults().link_changes, 41);
        rig.model.assert_clean();
    }
}

/// The PHY remembers that the link was gone, even if it is back before anybody looks.
#[test]
fn a_flap_between_two_looks_is_seen() {
    let offer = Offer {
        no_link_interrupts: true,
        ..Offer::default()
    };
    let mut rig = Rig::with(INCOHERENT, offer, Options::default());
    rig.connect(Partner::GIGABIT);
    // Nobody is there to look for a while.
    rig.model.connect(None);
    rig.model.pass(Duration::from_millis(10));
    rig.model.connect(Some(Partner::FAST));
    rig.model.pass(Duration::from_secs(3));
    assert_eq!(rig.live(Duration::from_millis(500)), 2, "gone and back");
    assert_eq!(rig.model.register(COMMAND) >> 2 & 3, 1, "at the new speed");
}

#[test]
fn a_bus_that_hangs_or_is_silent_leaves_the_link_as_it_was() {
    for fault in [Fault::MdioHangs, Fault::MdioSilent] {
        let mut rig = Rig::up();
        rig.model.inject(fault);
        assert_eq!(rig.live(Duration::from_secs(10)), 0);
        assert!(rig.net.limits().link);
        rig.assert_works();
        let lost = rig.net.faults().lost_phy_reads;
        assert!((8..=12).contains(&lost), "asked once a second: {lost}");
        // What happens meanwhile is found out afterwards.
        rig.model.connect(None);
        rig.model.inject(Fault::MdioWell);
        assert_eq!(rig.live(Duration::from_secs(2)), 1);
        assert!(!rig.net.limits().link);
    }
}

#[test]
fn no_call_waits_for_the_phy() {
    let mut rig = Rig::up();
    for fault in [None, Some(Fault::MdioHangs)] {
        if let Some(fault) = fault {
            rig.model.inject(fault);
        }
        for _ in 0..3000 {
            rig.model.pass(Duration::from_millis(1));
            let before = rig.model.now();
            rig.net.tick(before);
            let took = rig.model.now().since(before);
            assert!(took < Duration::from_micros(10), "{took:?}");
        }
    }
}

#[test]
fn it_asks_to_be_called_no_more_often_than_needed() {
    let mut rig = Rig::up();
    rig.live(Duration::from_secs(2));
    let mut calls = 0;
    let end = rig.model.now().after(Duration::from_secs(100));
    while rig.model.now() < end {
        let now = rig.model.now();
        let again = rig.net.tick(now).again.unwrap();
        rig.model.pass(again.since(now));
        calls += 1;
    }
    // Once a second, and once more to fetch what the PHY said.
    assert!(calls <= 320, "{calls}");
}

#[test]
fn clocks_are_delayed_as_the_device_tree_says() {
    const NO_MAC_DELAY: u32 = 1 << 16;
    for (name, receive, transmit, mac) in [
        ("rgmii", false, false, NO_MAC_DELAY),
        ("rgmii-id", true, true, 0),
        ("rgmii-rxid", true, false, 0),
        ("rgmii-txid", false, true, 0),
    ] {
        let phy_mode = PhyMode::parse(name.as_bytes()).unwrap();
        assert_eq!(PhyMode::parse(format!("{name}\0").as_bytes()), Some(phy_mode));
        let options = Options {
            phy_mode,
            ..Options::default()
        };
        let rig = Rig::with(INCOHERENT, Offer::default(), options);
        let (_, rx, tx) = rig.model.phy();
        assert_eq!((rx, tx), (receive, transmit), "{name}");
        assert_eq!(rig.model.register(0x8c) & NO_MAC_DELAY, mac, "{name}");
    }
    assert_eq!(PhyMode::parse(b"sgmii"), None);
}

#[test]
fn a_strange_phy_keeps_its_clocks() {
    let offer = Offer {
        phy: 17,
        phy_id: 0x0022_1622,
        ..Offer::default()
    };
    let mut rig = Rig::with(INCOHERENT, offer, Options::default());
    assert_eq!(rig.model.phy(), (1, false, true));
    rig.connect(Partner::GIGABIT);
    rig.post(256);
    rig.assert_works();
}

#[test]
fn starting_over_leaves_the_link_alone() {
    let mut rig = Rig::up();
    for _ in 0..3 {
        rig.restart();
        assert!(rig.net.limits().link, "known at once");
        assert_eq!(rig.model.phy().0, 1, "negotiated once, long ago");
        rig.post(200);
        rig.assert_works();
    }
}

#[test]
fn the_filter_takes_sixteen_addresses_or_all() {
    let mut rig = Rig::up();
    let station = |n: u8| [2, 0, 0, 0, 1, n];
    let receives = |rig: &mut Rig, to: [u8; 6]| {
        rig.model.arrive(udp4(to, 20, true));
        let got = rig.reap_rx(16).unwrap().len();
        rig.post(got);
        got == 1
    };
    assert!(receives(&mut rig, station(99)), "at first all");
    let all: Vec<[u8; 6]> = (0..17).map(station).collect();
    for count in [0, 1, 15, 16] {
        rig.net.set_filter(Some(&all[..count]));
        assert!(receives(&mut rig, [0xff; 6]), "broadcasts");
        for n in 0..17 {
            assert_eq!(
                receives(&mut rig, station(n)),
                usize::from(n) < count,
                "{n} of {count}"
            );
        }
    }
    rig.net.set_filter(Some(&all));
    assert!(receives(&mut rig, station(99)), "too many for it");
    rig.net.set_filter(Some(&all[..1]));
    assert!(!receives(&mut rig, station(99)));
    rig.net.set_filter(None);
    assert!(receives(&mut rig, station(99)));
    rig.model.assert_clean();
}
