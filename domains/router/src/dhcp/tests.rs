use proptest::prelude::*;

use super::super::leases::Leases;
use super::*;

const GUEST: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 1);

fn lease() -> Lease {
    let mut leases = Leases::new(Subnet::new(GATEWAY, 24).unwrap());
    let wanted = Some(Ipv4Addr::new(10, 0, 3, 9));
    leases.assign(1, (GUEST, 1500), wanted).unwrap();
    leases.of(1).unwrap()
}

fn ask(payload: &[u8]) -> Option<Vec<u8>> {
    let offer = Offer {
        mac: Mac([2; 6]),
        subnet: Subnet::new(GATEWAY, 24).unwrap(),
        dns: &[GATEWAY],
        ready: true,
        mtu: 9000,
    };
    let mut out = Frames::new(2);
    answer(payload, GUEST, lease(), &offer, &mut out);
    let frame = out.front().map(|frame| frame.bytes().to_vec());
    out.pop();
    assert!(out.is_empty(), "one answer at most");
    frame
}

/// A question of the guest's.
fn question(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[28..34].copy_from_slice(&GUEST.0);
    message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, kind]);
    message.extend(options);
    message.push(255);
    message
}

#[test]
fn what_is_asked_decides_what_is_answered() {
    // A client identifier that is no MAC, and one that is cut off, do not matter.
    let discover = question(1, &[61, 7, 255, 1, 2, 3, 4, 5, 6]);
    let offer = ask(&discover).unwrap();
    assert_eq!(
        (offer[..6].to_vec(), offer[30..34].to_vec()),
        (GUEST.0.to_vec(), vec![10, 0, 3, 9])
    );
    assert_eq!(offer[42 + 16..42 + 20], [10, 0, 3, 9]);
    // Whoever wants a broadcast gets one, at its own MAC.
    let mut broadcast = discover.clone();
    broadcast[10] = 0x80;
    let offer = ask(&broadcast).unwrap();
    assert_eq!(
        (offer[..6].to_vec(), offer[30..34].to_vec()),
        (GUEST.0.to_vec(), vec![255; 4])
    );
    let mut renew = question(3, &[]);
    renew[12..16].copy_from_slice(&[10, 0, 3, 9]);
    let ack = ask(&renew).unwrap();
    assert_eq!((ack[42 + 242], ack[30..34].to_vec()), (5, vec![10, 0, 3, 9]));
    renew[15] = 8;
    assert_eq!(ask(&renew).unwrap()[42 + 242], 6, "another one's");
    let mut inform = question(8, &[]);
    inform[12..16].copy_from_slice(&[10, 0, 3, 9]);
    let told = ask(&inform).unwrap();
    assert_eq!((told[42 + 242], told[42 + 16..42 + 20].to_vec()), (5, vec![0; 4]));
    assert!(
        !told[42 + 240..].windows(2).any(|option| option == [51, 4]),
        "no lease"
    );
    for (kind, options) in [
        (4, &[][..]),
        (7, &[]),
        (2, &[]),
        (5, &[]),
        (3, &[54, 4, 10, 0, 3, 2]),
    ] {
        assert_eq!(ask(&question(kind, options)), None, "{kind}");
    }
    // In another's name, by a relay, or cut short.
    for (at, byte) in [(28, 9), (24, 1), (2, 5), (236, 0)] {
        let mut strange = discover.clone();
        strange[at] = byte;
        assert_eq!(ask(&strange), None, "byte {at}");
    }
    for len in 0..243 {
        assert_eq!(ask(&discover[..len]), None, "{len} bytes");
    }
}

proptest! {
    #[test]
    fn any_question(kind in any::<u8>(), options in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..240, byte in any::<u8>()) {
        let mut message = question(kind, &options);
        message[at] = byte;
        if let Some(frame) = ask(&message) {
            prop_assert_eq!(&frame[..6], &GUEST.0);
            prop_assert!(etherparse::SlicedPacket::from_ethernet(&frame).is_ok());
            // Its own address, or none.
            let given = &frame[42 + 16..42 + 20];
            prop_assert!(given == [10, 0, 3, 9] || given == [0; 4]);
        }
    }
}
