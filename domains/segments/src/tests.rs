use super::*;

const CARDS: [&str; 2] = ["net0", "net1"];

fn good(text: &str) -> Vec<Segment> {
    let parsed = parse(text, &CARDS);
    assert_eq!(parsed.faults, [""; 0]);
    parsed.segments
}

/// The one fault of `text`, of which nothing else is served.
fn fault(text: &str) -> String {
    let Parsed { faults, segments } = parse(text, &CARDS);
    assert_eq!((faults.len(), segments.len()), (1, 0), "{faults:?}");
    faults.into_iter().next().unwrap_or_default()
}

#[test]
fn what_was_said_before_addresses_means_the_same() {
    let segments = good("xenbr0:net0,private");
    assert_eq!(segments.len(), 2);
    assert_eq!(segments[0].card.as_deref(), Some("net0"));
    assert_eq!(
        segments[1],
        Segment {
            name: "private".into(),
            card: None,
            own: None,
            uplink: None,
            trusted: Vec::new(),
        }
    );
}

#[test]
fn addresses_and_translation() {
    let segments = good(
        "lan:net0:address=dhcp,dmz:net1:address=192.0.2.5/24:router=192.0.2.1:dns=192.0.2.2:dns=192.0.2.3:vlan=7,\
         guests:mode=nat:uplink=lan:address=10.0.3.1/24:dns=10.9.9.9",
    );
    assert_eq!(segments[0].own.as_ref().map(|own| own.address), Some(None));
    let dmz = segments[1].own.as_ref().unwrap();
    assert_eq!((dmz.vlan, dmz.dns.len()), (7, 2));
    assert_eq!(dmz.router, Some(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(dmz.address.unwrap().to_string(), "192.0.2.5/24");
    assert_eq!(segments[2].uplink.as_deref(), Some("lan"));
    // Who may be the network for a segment's guests, and for us.
    let segments = good("in:address=dhcp:trusted=00-16-3e-00-00-01:trusted=00-16-3E-00-00-FF,lan:net0");
    let trusted = [[0, 0x16, 0x3e, 0, 0, 1], [0, 0x16, 0x3e, 0, 0, 0xff]];
    assert_eq!(
        (&segments[0].trusted[..], segments[1].trusted.len()),
        (&trusted[..], 0)
    );
    // The only address there is is the way out, wherever it stands.
    let segments = good("guests:mode=nat:address=10.0.3.1/24,lan:net0:address=dhcp");
    assert_eq!(segments[0].uplink.as_deref(), Some("lan"));
}

#[test]
fn faults_say_what_to_mend() {
    for (text, says) in [
        ("", "a name has"),
        ("a b", "not printable ASCII"),
        ("lan:net7", "there is no such card"),
        (
            "lan:net0:net1",
            "net1 is no word of a segment; after the name and the card there are address=",
        ),
        (
            "lan:vlan=3:adress=dhcp",
            "adress=dhcp is no word of a segment; after the name and the card there are address=",
        ),
        ("lan:address=dhcp:address=dhcp", "a key stands twice"),
        ("lan:address=10.0.0.5", "such as 192.0.2.5/24"),
        ("lan:address=10.0.0.0/24", "such as 192.0.2.5/24"),
        ("lan:address=10.0.0.255/24", "such as 192.0.2.5/24"),
        ("lan:address=224.0.0.5/24", "such as 192.0.2.5/24"),
        ("lan:address=10.0.0.5/31", "such as 192.0.2.5/24"),
        ("lan:address=10.0.0.5/24:router=10.0.1.1", "not in the subnet"),
        ("lan:net0:address=dhcp:router=10.0.1.1", "not in the subnet"),
        ("lan:address=dhcp:vlan=4095", "is not 1 to 4094"),
        ("lan:dns=10.0.0.1", "need address="),
        ("lan:address=dhcp:dns=ns.example", "take a station's IPv4"),
        (
            "lan:address=dhcp:dns=10.0.0.1:dns=10.0.0.2:dns=10.0.0.3:dns=10.0.0.4",
            "three times at most",
        ),
        ("lan:address=dhcp:mode=route", "neither bridge nor nat"),
        ("lan:uplink=wan", "needs mode=nat"),
        (
            "lan:net0:trusted=00:16:3e:00:00:01",
            "with hyphens, such as 00-16-3e-00-00-01",
        ),
        ("lan:net0:trusted=10.0.0.1", "with hyphens"),
        ("lan:net0:trusted=01-16-3e-00-00-01", "with hyphens"),
        ("lan:net0:trusted=00-16-3e-00-00-1", "with hyphens"),
        ("lan:net0:trusted=00-16-3e-00-00-+1", "with hyphens"),
        (
            "g:mode=nat:address=10.0.3.1/24:trusted=00-16-3e-00-00-01",
            "trusted= are for bridged segments",
        ),
        ("lan:address=dhcp", "nobody could answer address=dhcp"),
        ("g:mode=nat", "mode=nat needs address="),
        ("g:mode=nat:address=dhcp", "mode=nat needs address="),
        ("g:net0:mode=nat:address=10.0.3.1/24", "take the card out"),
        ("g:mode=nat:address=10.0.3.1/24:vlan=3", "for bridged segments"),
        (
            "g:mode=nat:address=10.0.3.1/24",
            "needs a bridged segment with an address=",
        ),
    ] {
        let fault = fault(text);
        assert!(fault.contains(says), "{text}: {fault}");
    }
}

#[test]
fn a_fault_takes_nothing_else_along() {
    let parsed = parse(
        "lan:net0:address=dhcp,lan,x:net0,g:mode=nat:uplink=q:address=10.0.3.1/24,h:mode=nat:address=10.0.4.1/24,i:mode=nat:address=10.0.4.9/20",
        &CARDS,
    );
    let names: Vec<&str> = parsed
        .segments
        .iter()
        .map(|segment| segment.name.as_str())
        .collect();
    assert_eq!(names, ["lan", "h"]);
    let says = [
        "has this name",
        "another segment's way out already",
        "its subnet is another",
        "mode=nat needs a bridged",
    ];
    assert_eq!(parsed.faults.len(), says.len(), "{:?}", parsed.faults);
    for says in says {
        assert!(
            parsed.faults.iter().any(|fault| fault.contains(says)),
            "{says}: {:?}",
            parsed.faults
        );
    }
}

#[test]
fn what_a_subnet_is() {
    let subnet = Subnet::parse("10.1.2.3/20").unwrap();
    assert_eq!(subnet.network(), Ipv4Addr::new(10, 1, 0, 0));
    assert_eq!(subnet.broadcast(), Ipv4Addr::new(10, 1, 15, 255));
    assert_eq!(subnet.mask(), Ipv4Addr::new(255, 255, 240, 0));
    assert_eq!(subnet.stations(), 4094);
    assert!(!subnet.has_station(subnet.address()) && subnet.has_station(Ipv4Addr::new(10, 1, 15, 254)));
    assert!(subnet.overlaps(Subnet::parse("10.1.2.1/30").unwrap()));
    assert!(!subnet.overlaps(Subnet::parse("10.1.16.1/20").unwrap()));
}

proptest::proptest! {
    /// Whatever it is, it is a segment or a line.
    #[test]
    fn any_text(text in "[a-z0-9:=,./ \\n-]{0,80}") {
        let Parsed { segments, faults } = parse(&text, &CARDS);
        proptest::prop_assert_eq!(segments.len() + faults.len(), text.split(',').count());
        for fault in faults {
            proptest::prop_assert!(!fault.contains('\n'), "{}", fault);
        }
    }
}
