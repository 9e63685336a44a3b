//! Who hears whom.

use super::*;
use crate::packet::Network;

const NOW: Instant = Instant(0);

fn mac(number: u8) -> Mac {
    Mac([0, 0x16, 0x3e, 0, 0, number])
}

fn frame(source: Mac, destination: Mac, vlan: Option<u16>) -> Packet {
    Packet {
        destination,
        source,
        vlan,
        ethertype: 0x1234,
        payload: 14,
        network: Network::Other,
    }
}

/// Vifs 1 and 2 on `lan0`, 3 in VLAN 5 of it, 4 on `private`, which has no wire.
fn switch() -> Switch {
    let mut switch = Switch::new();
    switch.add_segment("lan0".into(), Some(0), Vec::new(), NOW);
    switch.add_segment("private".into(), None, Vec::new(), NOW);
    for (vif, bridge, vlan) in [
        (1, "lan0", None),
        (2, "", None),
        (3, "lan0", Some("5")),
        (4, "private", None),
    ] {
        let lan = switch.lan(Some(bridge), vlan).unwrap();
        let filter = SourceFilter {
            mac: Some(mac(vif)),
            addresses: Vec::new(),
        };
        switch.plug(vif.into(), lan, mac(vif), filter, NOW);
    }
    switch
}

fn go(switch: &mut Switch, vif: u8, destination: Mac) -> Result<(Vec<usize>, Option<usize>), Drop> {
    let targets = switch.route_guest(vif.into(), &frame(mac(vif), destination, None), &[], NOW)?;
    Ok((targets.vifs.iter().collect(), targets.wire))
}

#[test]
fn unicast_is_seen_by_its_receiver_alone() {
    let mut switch = switch();
    assert_eq!(go(&mut switch, 1, mac(2)), Ok((vec![2], None)));
    assert_eq!(
        go(&mut switch, 1, mac(9)),
        Ok((vec![], Some(0))),
        "what is nobody's is on the wire"
    );
    assert_eq!(
        go(&mut switch, 1, mac(3)),
        Ok((vec![], Some(0))),
        "in another VLAN"
    );
    assert_eq!(go(&mut switch, 3, mac(1)), Ok((vec![], Some(0))));
    assert_eq!(
        go(&mut switch, 4, mac(1)),
        Err(Drop::NoDestination),
        "on another segment"
    );
    assert_eq!(go(&mut switch, 1, mac(1)), Err(Drop::NoDestination));
    let wire = |switch: &mut Switch, destination, vlan| {
        let targets = switch.route_wire(0, &frame(mac(99), destination, vlan), NOW)?;
        Ok(targets.vifs.iter().collect::<Vec<_>>())
    };
    assert_eq!(wire(&mut switch, mac(2), None), Ok(vec![2]));
    assert_eq!(wire(&mut switch, mac(3), None), Err(Drop::NoDestination));
    assert_eq!(wire(&mut switch, mac(3), Some(5)), Ok(vec![3]));
    assert_eq!(wire(&mut switch, mac(2), Some(5)), Err(Drop::NoDestination));
    assert_eq!(wire(&mut switch, Mac::BROADCAST, None), Ok(vec![1, 2]));
    assert_eq!(
        wire(&mut switch, Mac([1, 0x80, 0xc2, 0, 0, 0]), None),
        Err(Drop::NoDestination)
    );
}

#[test]
fn nobody_sends_as_somebody_else_or_into_another_vlan() {
    let mut switch = switch();
    let send = |switch: &mut Switch, packet: Packet| switch.route_guest(1, &packet, &[], NOW);
    assert_eq!(
        send(&mut switch, frame(mac(2), mac(3), None)),
        Err(Drop::SourceMac)
    );
    assert_eq!(send(&mut switch, frame(mac(1), mac(3), Some(5))), Err(Drop::Vlan));
    let arp = |sender_mac| Packet {
        network: Network::Arp {
            sender_mac,
            sender_ip: [10, 0, 0, 1].into(),
        },
        ..frame(mac(1), Mac::BROADCAST, None)
    };
    assert!(send(&mut switch, arp(mac(1))).is_ok());
    assert_eq!(send(&mut switch, arp(mac(2))), Err(Drop::SourceMac));
    switch.port_mut(1).unwrap().filter.addresses =
        SourceFilter::parse_addresses("10.0.0.9 fe80::1/64").unwrap();
    assert_eq!(send(&mut switch, arp(mac(1))), Err(Drop::SourceIp));
    assert_eq!(
        send(&mut switch, frame(mac(1), mac(2), None)),
        Err(Drop::SourceIp)
    );
    assert!(SourceFilter::parse_addresses("10.0.0.256").is_err());
}

#[test]
fn floods_are_bounded() {
    let mut switch = switch();
    let passed = (0..10_000)
        .filter(|_| go(&mut switch, 1, Mac::BROADCAST).is_ok())
        .count();
    assert_eq!(passed, VIF_FLOOD.0 as usize);
    assert!(
        go(&mut switch, 2, Mac::BROADCAST).is_ok(),
        "another guest's floods are its own"
    );
    assert!(go(&mut switch, 1, mac(2)).is_ok(), "unicast goes on");
    let later = Instant(1_000_000_000);
    let packet = frame(mac(1), Mac::BROADCAST, None);
    let passed = (0..10_000)
        .filter(|_| switch.route_guest(1, &packet, &[], later).is_ok())
        .count();
    assert_eq!(passed, VIF_FLOOD.0 as usize, "never more at once than a burst");
}

#[test]
fn multicast_goes_to_those_who_listen() {
    let mut switch = switch();
    let group = Mac([1, 0, 0x5e, 0, 0, 7]);
    assert_eq!(go(&mut switch, 1, group), Ok((vec![2], Some(0))));
    let filter = &mut switch.port_mut(2).unwrap().multicast;
    filter.apply(true);
    assert_eq!(go(&mut switch, 1, group), Ok((vec![], Some(0))));
    assert_eq!(go(&mut switch, 1, Mac::BROADCAST), Ok((vec![2], Some(0))));
    let filter = &mut switch.port_mut(2).unwrap().multicast;
    assert!(filter.change(group, true) && filter.change(group, true));
    assert!(!filter.change(mac(2), true), "no group");
    assert_eq!(
        (0..100)
            .filter(|n| filter.change(Mac([1, 0, 0, 0, 0, *n]), true))
            .count(),
        63
    );
    assert_eq!(go(&mut switch, 1, group), Ok((vec![2], Some(0))));
    assert!(switch.port_mut(2).unwrap().multicast.change(group, false));
    assert_eq!(go(&mut switch, 1, group), Ok((vec![], Some(0))));
    switch.port_mut(2).unwrap().multicast.apply(false);
    assert_eq!(go(&mut switch, 1, group), Ok((vec![2], Some(0))));
}

#[test]
fn an_open_port_learns_but_takes_over_nobody() {
    let mut switch = switch();
    let lan = switch.lan(Some("lan0"), None).unwrap();
    switch.plug(7, lan, mac(7), SourceFilter::default(), NOW);
    assert_eq!(
        go(&mut switch, 1, mac(70)),
        Ok((vec![7], Some(0))),
        "unknown: it may be behind it"
    );
    assert!(
        switch
            .route_guest(7, &frame(mac(70), mac(1), None), &[], NOW)
            .is_ok()
    );
    assert_eq!(go(&mut switch, 1, mac(70)), Ok((vec![7], None)));
    assert_eq!(
        switch.route_guest(7, &frame(mac(2), mac(1), None), &[], NOW),
        Err(Drop::SourceMac)
    );
    assert_eq!(go(&mut switch, 1, mac(2)), Ok((vec![2], None)));
    switch.unplug(7);
    assert_eq!(go(&mut switch, 1, mac(70)), Ok((vec![], Some(0))));
    switch.age(Instant(1));
}

#[test]
fn names_are_checked() {
    let switch = switch();
    assert!(
        switch
            .lan(Some("xenbr1"), None)
            .unwrap_err()
            .contains("lan0, private")
    );
    for vlan in ["0", "4095", "x", "5p", "-1"] {
        assert!(switch.lan(None, Some(vlan)).is_err(), "{vlan}");
    }
    assert_eq!(switch.owner(switch.lan(None, None).unwrap(), mac(2)), Some(2));
    assert_eq!(switch.owner(switch.lan(None, None).unwrap(), mac(3)), None);
}
