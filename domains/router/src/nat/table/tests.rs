use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SEED: u64 = 0x1234_5678_9abc_def1;
const SMALL: Room = Room {
    guests: 6,
    each: 4,
    shared: 24,
};

fn inside(guest: u8, port: u16) -> Endpoint {
    Endpoint {
        ip: Ipv4Addr::new(10, 0, 3, guest),
        port,
    }
}

fn remote(number: u8, port: u16) -> Endpoint {
    Endpoint {
        ip: Ipv4Addr::new(192, 0, 2, number),
        port,
    }
}

fn udp(table: &mut Table, guest: u8, port: u16, to: Endpoint, now: u32) -> Result<u16, Full> {
    let from = inside(guest, port);
    if let Some(number) = table.outbound(Protocol::Udp, from, to, now) {
        table.heard(number, Class::Udp, now);
        return Ok(number);
    }
    table.begin(guest, Protocol::Udp, (from, to), Class::Udp, now)
}

#[test]
fn one_endpoint_has_one_port_whomever_it_speaks_to() {
    let mut table = Table::new(SMALL, SEED);
    let one = udp(&mut table, 1, 5000, remote(1, 53), 0).unwrap();
    let other = udp(&mut table, 1, 5000, remote(2, 99), 0).unwrap();
    assert_eq!(table.session(one).outside, 5000, "its own, which is free");
    assert_eq!(table.session(other).outside, 5000);
    // Another guest's same port is another one of ours, as odd or even.
    let rival = udp(&mut table, 2, 5000, remote(1, 53), 0).unwrap();
    let outside = table.session(rival).outside;
    assert!(outside != 5000 && outside.is_multiple_of(2) && outside >= PORT_MIN);
    // In comes what answers, and nothing else.
    assert_eq!(table.inbound(Protocol::Udp, 5000, remote(1, 53), 1), Some(one));
    assert_eq!(table.inbound(Protocol::Udp, 5000, remote(1, 54), 1), None);
    assert_eq!(table.inbound(Protocol::Udp, 5000, remote(3, 53), 1), None);
    assert_eq!(table.inbound(Protocol::Tcp, 5000, remote(1, 53), 1), None);
    // Ports of services stay ours.
    let low = udp(&mut table, 1, 68, remote(1, 67), 0).unwrap();
    assert!(table.session(low).outside >= PORT_MIN);
}

#[test]
fn a_guest_that_wants_all_leaves_the_others_theirs() {
    let mut table = Table::new(
        Room {
            guests: 41,
            each: 8,
            shared: 1024,
        },
        SEED,
    );
    let greedy = |table: &mut Table, guest: u8| {
        let all = 0..5000;
        all.filter(|port| udp(table, guest, 1024 + port, remote(1, 9), 0).is_ok())
            .count()
    };
    // Half of what is shared and its own; the next one has as many in the end, and so on.
    assert_eq!(greedy(&mut table, 1), 8 + 512);
    let second = greedy(&mut table, 2);
    assert_eq!(second, table.of_guest(2));
    assert!(table.of_guest(1).abs_diff(second) <= 1, "{second}");
    for guest in 3..40 {
        let its = greedy(&mut table, guest);
        let fair = table.len() / usize::from(guest);
        assert!(10 * its >= 8 * fair, "guest {guest} has {its}, of {fair}");
    }
    assert_eq!(udp(&mut table, 40, 5000, remote(1, 9), 0).map(drop), Ok(()));
    assert!(table.len() <= 41 * 8 + 1024);
    // Those of a guest that has gone are free at once; the others in their time.
    table.forget(1);
    assert_eq!(table.of_guest(1), 0);
    assert!(udp(&mut table, 2, 6999, remote(1, 9), 0).is_ok());
    let later = Class::Udp.timeout();
    for port in 0..500 {
        assert!(
            udp(&mut table, 1, 2000 + port, remote(2, 9), later).is_ok(),
            "{port}"
        );
    }
    assert_eq!(table.len(), 500);
}

#[test]
fn ports_run_out_before_they_are_given_twice() {
    let room = Room {
        guests: 256,
        each: 128,
        shared: 0,
    };
    let mut table = Table::new(room, SEED);
    let mut ports = BTreeSet::new();
    // Different guests' same odd port: half of all ports fit.
    let mut begin = |guest: u8, ip: u8| {
        let from = Endpoint {
            ip: Ipv4Addr::new(10, 0, ip, guest),
            port: 5001,
        };
        let begun = table.begin(guest, Protocol::Echo, (from, remote(1, 0)), Class::Echo, 0);
        begun.map(|number| table.session(number).outside)
    };
    let fit = (65_536 - 1024) / 2;
    for number in 0..fit {
        let port = begin((number % 256) as u8, (number / 256) as u8).unwrap();
        assert!(ports.insert(port), "twice");
    }
    assert_eq!(begin(255, 255), Err(Full));
}

#[test]
fn silence_ends_it() {
    for (protocol, class) in [
        (Protocol::Tcp, Class::Opening),
        (Protocol::Tcp, Class::Open),
        (Protocol::Tcp, Class::Closing),
        (Protocol::Udp, Class::Udp),
        (Protocol::Udp, Class::Dns),
        (Protocol::Echo, Class::Echo),
    ] {
        let mut table = Table::new(SMALL, SEED);
        let (from, to) = (inside(1, 4000), remote(1, 1));
        let number = table.begin(1, protocol, (from, to), class, 10).unwrap();
        table.heard(number, class, 20);
        let end = 20 + class.timeout();
        assert_eq!(table.outbound(protocol, from, to, end - 1), Some(number));
        assert_eq!(table.outbound(protocol, from, to, end), None);
        assert_eq!(table.inbound(protocol, 4000, to, end), None);
        // The same ends begin anew.
        table.begin(1, protocol, (from, to), class, end).unwrap();
        assert_eq!(table.len(), 1);
    }
}

/// What the table is to be like: a list.
#[derive(Default)]
struct Model(BTreeMap<(u8, u16, u8), (u16, u32)>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn as_a_list_would_have_it(steps in prop::collection::vec((0u8..6, 0u16..12, 0u8..6, 0u32..90, 0u8..40), 0..400)) {
        let mut table = Table::new(SMALL, SEED);
        let mut model = Model::default();
        let mut now = 0;
        for (guest, port, to, seconds, act) in steps {
            now += seconds / 3;
            if act == 0 {
                table.forget(guest);
                model.0.retain(|key, _| key.0 != guest);
                continue;
            }
            let live = |seen: u32| now < seen + Class::Udp.timeout();
            let key = (guest, port, to);
            let known = model.0.get(&key).filter(|(_, seen)| live(*seen)).map(|(outside, _)| *outside);
            let found = table.outbound(Protocol::Udp, inside(guest, 2000 + port), remote(to, 7), now);
            prop_assert_eq!(found.is_some(), known.is_some());
            match udp(&mut table, guest, 2000 + port, remote(to, 7), now) {
                Ok(number) => {
                    let outside = table.session(number).outside;
                    prop_assert!(known.is_none_or(|known| known == outside));
                    // No other guest's endpoint has that port while it lives.
                    for ((other, theirs, _), (used, seen)) in &model.0 {
                        if live(*seen) {
                            prop_assert_eq!(*used == outside, (*other, *theirs) == (guest, port));
                        }
                    }
                    prop_assert_eq!(table.inbound(Protocol::Udp, outside, remote(to, 7), now), Some(number));
                    model.0.insert(key, (outside, now));
                }
                Err(Full) => {
                    let of = |guest: u8| model.0.iter().filter(|(key, (_, seen))| key.0 == guest && live(*seen)).count();
                    let shared: usize = (0..6).map(|guest| of(guest).saturating_sub(4)).sum();
                    prop_assert!(of(guest) >= 4 + 24 - shared, "refused with {} of its own", of(guest));
                }
            }
            prop_assert!(table.len() <= 48);
            let counted: usize = (0..6).map(|guest| table.of_guest(guest)).sum();
            prop_assert_eq!(counted, table.len());
        }
    }
}
