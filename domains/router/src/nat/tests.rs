//! Packets by etherparse, and a remote side that sees only what goes out.

use etherparse::{IpNumber, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::headers::{Headers, UDP};
use super::*;

const GUEST: [u8; 4] = [10, 0, 3, 7];
const OUTSIDE: [u8; 4] = [198, 51, 100, 9];
const REMOTE: [u8; 4] = [192, 0, 2, 1];
const ROOM: Room = Room {
    guests: 8,
    each: 8,
    shared: 64,
};

fn nat() -> Nat {
    Nat::new(ROOM, 77)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Udp,
    Tcp(u8),
    Echo,
    Reply,
}

/// A packet with an Ethernet header.
fn packet(kind: Kind, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64);
    match kind {
        Kind::Udp => builder.udp(from.1, to.1).write(&mut out, payload).unwrap(),
        Kind::Echo => builder
            .icmpv4_echo_request(from.1, 1)
            .write(&mut out, payload)
            .unwrap(),
        Kind::Reply => builder
            .icmpv4_echo_reply(to.1, 1)
            .write(&mut out, payload)
            .unwrap(),
        Kind::Tcp(flags) => {
            let mut tcp = builder.tcp(from.1, to.1, 1000, 500);
            for (bit, set) in [(ACK, 0), (SYN, 1), (FIN, 2), (RST, 3)] {
                if flags & bit == 0 {
                    continue;
                }
                tcp = match set {
                    0 => tcp.ack(7),
                    1 => tcp.syn(),
                    2 => tcp.fin(),
                    _ => tcp.rst(),
                };
            }
            tcp.write(&mut out, payload).unwrap();
        }
    }
    out
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Whether the IPv4 packet at `ip` has checksums that are right.
fn is_right(frame: &[u8], ip: usize) -> bool {
    let header = 4 * usize::from(frame[ip] & 15);
    let total = usize::from(u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]));
    let (transport, protocol) = (&frame[ip + header..ip + total], frame[ip + 9]);
    let pseudo = if protocol == ICMP {
        0
    } else {
        sum(&frame[ip + 12..ip + 20]) + u32::from(protocol) + transport.len() as u32
    };
    let none = protocol == UDP && transport[6..8] == [0, 0];
    let whole = none || {
        let both = pseudo + sum(transport);
        (both & 0xffff) + (both >> 16) == 0xffff
    };
    whole && sum(&frame[ip..ip + header]) == 0xffff
}

fn edit(frame: &mut [u8], blank: bool) -> Edit<'_> {
    let headers = Headers::look(frame, 14, frame.len()).unwrap();
    Edit {
        head: frame,
        headers,
        blank,
    }
}

fn out(nat: &mut Nat, frame: &mut [u8], guest: u8, now: u32) -> Result<(), Refused> {
    nat.outbound(&mut edit(frame, false), guest, OUTSIDE.into(), now)
}

fn inward(nat: &mut Nat, frame: &mut [u8], now: u32) -> Option<Inside> {
    nat.inbound(&mut edit(frame, false), now)
}

/// Addresses and ports; of an echo, its identifier as the port of who has asked.
fn ends(frame: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    let headers = Headers::look(frame, 14, frame.len()).unwrap();
    let (from, to) = match headers.carried(frame).unwrap() {
        Carried::Tcp {
            ports: [from, to], ..
        }
        | Carried::Udp { ports: [from, to] } => (from, to),
        Carried::Echo { ident, reply: false } => (ident, 0),
        Carried::Echo { ident, reply: true } => (0, ident),
        Carried::Error(_) => panic!("an error"),
    };
    (
        (headers.source.octets(), from),
        (headers.destination.octets(), to),
    )
}

#[test]
fn an_answer_finds_its_way_back_and_nothing_else_does() {
    for (kind, answer, port) in [
        (Kind::Udp, Kind::Udp, 53),
        (Kind::Tcp(SYN), Kind::Tcp(SYN | ACK), 80),
        (Kind::Echo, Kind::Reply, 0),
    ] {
        let mut nat = nat();
        let mut frame = packet(kind, (GUEST, 5000), (REMOTE, port), b"abc");
        out(&mut nat, &mut frame, 3, 0).unwrap();
        assert!(is_right(&frame, 14), "{kind:?}");
        let (from, to) = ends(&frame);
        assert_eq!((from.0, to), (OUTSIDE, (REMOTE, port)));
        let mut back = packet(answer, to, from, b"four");
        let inside = inward(&mut nat, &mut back, 1);
        assert_eq!(
            inside,
            Some(Inside {
                guest: 3,
                ip: GUEST.into()
            }),
            "{kind:?}"
        );
        assert!(is_right(&back, 14));
        assert_eq!(ends(&back), ((REMOTE, port), (GUEST, 5000)));
        for strange in [
            packet(answer, ([192, 0, 2, 2], to.1), from, b""),
            packet(answer, to, (OUTSIDE, from.1 ^ 1), b""),
            packet(Kind::Echo, to, from, b""),
        ] {
            let mut same = strange.clone();
            assert_eq!(inward(&mut nat, &mut same, 1), None, "{kind:?}");
            assert_eq!(same, strange, "and was not changed");
        }
    }
}

#[test]
fn a_blank_checksum_stays_blank() {
    let mut nat = nat();
    for kind in [Kind::Udp, Kind::Tcp(ACK)] {
        let frame = packet(kind, (GUEST, 5000), (REMOTE, 80), &[9; 100]);
        let field = 34 + if kind == Kind::Udp { 6 } else { 16 };
        let pseudo = |frame: &[u8]| {
            let both = sum(&frame[26..34]) + u32::from(frame[23]) + (frame.len() - 34) as u32;
            ((both & 0xffff) + (both >> 16)) as u16
        };
        let mut blank = frame.clone();
        blank[field..field + 2].copy_from_slice(&pseudo(&frame).to_be_bytes());
        nat.outbound(&mut edit(&mut blank, true), 1, OUTSIDE.into(), 0)
            .unwrap();
        assert_eq!(blank[field..field + 2], pseudo(&blank).to_be_bytes(), "{kind:?}");
    }
    // And a UDP checksum that is none stays none.
    let mut none = packet(Kind::Udp, (GUEST, 5000), (REMOTE, 80), b"x");
    none[40..42].fill(0);
    out(&mut nat, &mut none, 1, 0).unwrap();
    assert_eq!(none[40..42], [0, 0]);
    assert!(is_right(&none, 14));
}

#[test]
fn tcp_lives_as_long_as_its_state_says() {
    let class = |nat: &mut Nat, now: u32| {
        let inside = Endpoint {
            ip: GUEST.into(),
            port: 5000,
        };
        let remote = Endpoint {
            ip: REMOTE.into(),
            port: 80,
        };
        let number = nat.table.outbound(Protocol::Tcp, inside, remote, now)?;
        Some(nat.table.session(number).class)
    };
    let go = |nat: &mut Nat, flags: u8| {
        out(
            nat,
            &mut packet(Kind::Tcp(flags), (GUEST, 5000), (REMOTE, 80), b""),
            1,
            0,
        )
        .unwrap();
        class(nat, 0).unwrap()
    };
    let come = |nat: &mut Nat, flags: u8| {
        inward(
            nat,
            &mut packet(Kind::Tcp(flags), (REMOTE, 80), (OUTSIDE, 5000), b""),
            0,
        )
        .unwrap();
        class(nat, 0).unwrap()
    };
    let mut nat = nat();
    assert_eq!(go(&mut nat, SYN), Class::Opening);
    assert_eq!(go(&mut nat, ACK), Class::Opening, "nobody has answered");
    assert_eq!(come(&mut nat, SYN | ACK), Class::Opening);
    assert_eq!(go(&mut nat, ACK), Class::Open);
    assert_eq!(
        class(&mut nat, 7439),
        Some(Class::Open),
        "two hours and four minutes"
    );
    assert_eq!(come(&mut nat, FIN | ACK), Class::Closing);
    assert_eq!(class(&mut nat, 239), Some(Class::Closing));
    assert_eq!(class(&mut nat, 240), None);
    assert_eq!(go(&mut nat, SYN), Class::Opening, "the same ends once more");
    assert_eq!(come(&mut nat, RST | ACK), Class::Closing);
    // What is in the middle of a conversation is taken up, but its end is not.
    let mut fresh = self::nat();
    let mut rst = packet(Kind::Tcp(RST), (GUEST, 5000), (REMOTE, 80), b"");
    assert_eq!(out(&mut fresh, &mut rst, 1, 0), Err(Refused::Unsupported));
    assert_eq!(go(&mut fresh, ACK), Class::Opening);
}

/// An ICMP error of `by`, about a packet.
fn error(by: [u8; 4], to: [u8; 4], kind: u8, about: &[u8], quote: usize) -> Vec<u8> {
    let quote = &about[14..about.len().min(14 + quote)];
    let mut body = vec![kind, 4, 0, 0, 0, 0, 0x05, 0x14];
    body.extend(quote);
    let right = !sum(&body) as u16;
    body[2..4].copy_from_slice(&right.to_be_bytes());
    let mut out = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(by, to, 64);
    builder.write(&mut out, IpNumber::ICMP, &body).unwrap();
    out
}

#[test]
fn errors_from_outside_reach_who_caused_them() {
    for (kind, port) in [(Kind::Udp, 33434), (Kind::Tcp(ACK), 80), (Kind::Echo, 0)] {
        for quote in [28, 60, 576] {
            let mut nat = nat();
            let original = packet(kind, (GUEST, 6000), (REMOTE, port), &[5; 90]);
            let rival = packet(kind, ([10, 0, 3, 8], 6000), (REMOTE, port), b"");
            out(&mut nat, &mut rival.clone(), 2, 0).unwrap();
            let mut sent = original.clone();
            out(&mut nat, &mut sent, 1, 0).unwrap();
            // A router on the way, which nobody has spoken to.
            let mut told = error([203, 0, 113, 5], OUTSIDE, 11, &sent, quote);
            let inside = inward(&mut nat, &mut told, 0);
            assert_eq!(
                inside,
                Some(Inside {
                    guest: 1,
                    ip: GUEST.into()
                }),
                "{kind:?}"
            );
            assert!(is_right(&told, 14), "{kind:?}, {quote}");
            // It quotes what the guest has sent, checksums and all.
            let end = told.len().min(42 + original.len() - 14);
            assert_eq!(told[42..end], original[14..14 + end - 42], "{kind:?}, {quote}");
            // About what was never sent it says nothing.
            let mut strange = packet(kind, (OUTSIDE, 9), (REMOTE, port), b"");
            assert_eq!(
                inward(&mut nat, &mut error(REMOTE, OUTSIDE, 3, &strange, 28), 0),
                None
            );
            strange = packet(kind, (GUEST, 6000), (REMOTE, port), b"");
            assert_eq!(
                inward(&mut nat, &mut error(REMOTE, OUTSIDE, 3, &strange, 28), 0),
                None
            );
        }
    }
}

#[test]
fn errors_of_a_guest_quote_what_was_sent_to_us() {
    let mut nat = nat();
    out(
        &mut nat,
        &mut packet(Kind::Udp, ([10, 0, 3, 8], 6000), (REMOTE, 99), b""),
        2,
        0,
    )
    .unwrap();
    let mut sent = packet(Kind::Udp, (GUEST, 6000), (REMOTE, 99), b"");
    out(&mut nat, &mut sent, 1, 0).unwrap();
    let (from, to) = ends(&sent);
    let original = packet(Kind::Udp, to, from, &[1; 40]);
    let mut came = original.clone();
    inward(&mut nat, &mut came, 0).unwrap();
    let mut told = error(GUEST, REMOTE, 3, &came, 28 + 40);
    out(&mut nat, &mut told, 1, 0).unwrap();
    assert!(is_right(&told, 14));
    assert_eq!(told[26..30], OUTSIDE);
    assert_eq!(told[42..], original[14..]);
    // Not about what it never got, nor in another's name.
    let strange = packet(Kind::Udp, (REMOTE, 98), (GUEST, 6000), b"");
    assert!(out(&mut nat, &mut error(GUEST, REMOTE, 3, &strange, 28), 1, 0).is_err());
    let others = packet(Kind::Udp, (REMOTE, 99), ([10, 0, 3, 8], 6000), b"");
    assert!(out(&mut nat, &mut error(GUEST, REMOTE, 3, &others, 28), 1, 0).is_err());
}

/// A datagram's fragments, of 512 bytes each.
fn fragments(whole: &[u8], id: u16) -> Vec<Vec<u8>> {
    let payload = &whole[34..];
    let count = payload.len().div_ceil(512);
    (0..count)
        .map(|index| {
            let part = &payload[512 * index..payload.len().min(512 * (index + 1))];
            let mut frame = whole[..34].to_vec();
            frame.extend(part);
            let more = u16::from(index + 1 < count) << 13;
            frame[16..18].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
            frame[18..20].copy_from_slice(&id.to_be_bytes());
            frame[20..22].copy_from_slice(&(more | (64 * index as u16)).to_be_bytes());
            frame[24..26].fill(0);
            let right = !sum(&frame[14..34]) as u16;
            frame[24..26].copy_from_slice(&right.to_be_bytes());
            frame
        })
        .collect()
}

fn joined(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = fragments[0].clone();
    for later in &fragments[1..] {
        whole.extend(&later[34..]);
    }
    let total = (whole.len() - 14) as u16;
    whole[16..18].copy_from_slice(&total.to_be_bytes());
    whole[20..22].fill(0);
    whole[24..26].fill(0);
    let right = !sum(&whole[14..34]) as u16;
    whole[24..26].copy_from_slice(&right.to_be_bytes());
    whole
}

#[test]
fn fragments_follow_their_first() {
    for (kind, answer, port) in [(Kind::Udp, Kind::Udp, 2049), (Kind::Echo, Kind::Reply, 0)] {
        let mut nat = nat();
        let whole = packet(kind, (GUEST, 5000), (REMOTE, port), &[7; 3000]);
        let mut parts = fragments(&whole, 42);
        assert_eq!(
            out(&mut nat, &mut parts[1].clone(), 1, 0),
            Err(Refused::Unsupported),
            "the first comes first"
        );
        for part in &mut parts {
            out(&mut nat, part, 1, 0).unwrap();
        }
        let sent = joined(&parts);
        assert!(is_right(&sent, 14), "{kind:?}");
        let (from, to) = ends(&sent);
        let mut parts = fragments(&packet(answer, to, from, &[8; 2000]), 43);
        for part in &mut parts {
            assert_eq!(inward(&mut nat, part, 0).map(|inside| inside.guest), Some(1));
        }
        let came = joined(&parts);
        assert!(is_right(&came, 14), "{kind:?}");
        assert_eq!(ends(&came), ((REMOTE, port), (GUEST, 5000)));
        // After the last one there is none.
        let last = parts.last_mut().unwrap();
        assert_eq!(inward(&mut nat, last, 0), None);
        // A guest has all places for datagrams that it never ends, but not when another one wants some.
        let first = &fragments(&whole, 0)[0];
        let mut begun = 0;
        for id in 100..200u16 {
            let mut first = first.clone();
            first[18..20].copy_from_slice(&id.to_be_bytes());
            begun += usize::from(out(&mut nat, &mut first, 1, 0).is_ok());
        }
        assert_eq!(begun, 64);
        for id in 100..150u16 {
            let mut first = first.clone();
            first[18..20].copy_from_slice(&id.to_be_bytes());
            first[29] = 5;
            let fits = out(&mut nat, &mut first, 2, 0).is_ok();
            assert_eq!(fits, id < 132, "half of them");
        }
        assert!(
            out(&mut nat, &mut first.clone(), 1, 6).is_ok(),
            "and time frees them"
        );
    }
}

#[derive(Clone, Debug)]
struct Step {
    guest: u8,
    kind: u8,
    port: u16,
    to: u8,
    to_port: u16,
    len: usize,
    seconds: u32,
}

fn step() -> impl Strategy<Value = Step> {
    (
        0u8..4,
        0u8..4,
        prop_oneof![0u16..4, 5000u16..5004],
        0u8..3,
        50u16..54,
        0usize..40,
        0u32..40,
    )
        .prop_map(|(guest, kind, port, to, to_port, len, seconds)| Step {
            guest,
            kind,
            port,
            to,
            to_port,
            len,
            seconds,
        })
}

proptest! {
    /// Whatever guests say to whom: what goes out is right, an answer to it comes back to who said it, unchanged but for the
    /// address, and no two guests share a port.
    #[test]
    fn everything_that_goes_out_maps_back(steps in prop::collection::vec(step(), 1..80)) {
        let mut nat = nat();
        let mut now = 0;
        for Step { guest, kind, port, to, to_port, len, seconds } in steps {
            now += seconds / 8;
            let (kind, answer, to_port) = match kind {
                0 => (Kind::Udp, Kind::Udp, to_port),
                1 => (Kind::Tcp(SYN), Kind::Tcp(SYN | ACK), to_port),
                2 => (Kind::Tcp(ACK), Kind::Tcp(ACK), to_port),
                _ => (Kind::Echo, Kind::Reply, 0),
            };
            let (own, remote) = ([10, 0, 3, 10 + guest], [192, 0, 2, to]);
            let original = packet(kind, (own, port), (remote, to_port), &vec![guest; len]);
            let mut frame = original.clone();
            if let Err(why) = out(&mut nat, &mut frame, guest, now) {
                prop_assert_eq!(why, Refused::Full);
                prop_assert_eq!(frame, original);
                continue;
            }
            prop_assert!(is_right(&frame, 14));
            prop_assert_eq!(frame.len(), original.len());
            let (from, there) = ends(&frame);
            prop_assert_eq!((from.0, there), (OUTSIDE, (remote, to_port)));
            prop_assert!(from.1 >= 1024);
            let mut back = packet(answer, there, from, &vec![3; len]);
            let inside = inward(&mut nat, &mut back, now);
            prop_assert_eq!(inside, Some(Inside { guest, ip: own.into() }));
            prop_assert!(is_right(&back, 14));
            prop_assert_eq!(ends(&back), (there, (own, port)));
            prop_assert_eq!(&back[42..], &packet(answer, there, (own, port), &vec![3; len])[42..]);
        }
    }

    /// Whatever it is: no panic, nothing is written outside the packet, and what is refused is as it was.
    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..192), kind in 0u8..6, more in 0usize..2000, inwards in any::<bool>(), blank in any::<bool>()) {
        if bytes.len() > 34 {
            bytes[14] = 0x45 | (bytes[14] & 1);
            let protocols = [1, 1, 6, 17, bytes[23], 1];
            bytes[23] = protocols[usize::from(kind)];
            if kind < 2 {
                bytes[34] = [3, 11, 0, 8][usize::from(bytes[34] % 4)];
            }
            if bytes[17] % 2 == 0 {
                let total = (bytes.len() - 14) as u16;
                bytes[16..18].copy_from_slice(&total.to_be_bytes());
                bytes[20..22].fill(0);
            }
        }
        let mut nat = nat();
        out(&mut nat, &mut packet(Kind::Udp, (GUEST, 5000), (REMOTE, 80), b""), 1, 0).unwrap();
        let len = bytes.len() + more;
        let before = bytes.clone();
        let Some(headers) = Headers::look(&bytes, 14, len) else { return Ok(()) };
        prop_assert!(headers.end <= bytes.len() && headers.transport <= headers.end);
        let mut edit = Edit { head: &mut bytes, headers, blank };
        let changed = if inwards {
            nat.inbound(&mut edit, 0).is_some()
        } else {
            nat.outbound(&mut edit, 1, OUTSIDE.into(), 0).is_ok()
        };
        if !changed {
            prop_assert_eq!(&bytes, &before);
        }
        prop_assert_eq!(&bytes[..14], &before[..14]);
        prop_assert_eq!(&bytes[headers.end..], &before[headers.end..]);
    }
}

/// Etherparse understands what goes out.
#[test]
fn somebody_else_understands_it() {
    let mut nat = nat();
    let mut frame = packet(Kind::Tcp(SYN), (GUEST, 5000), (REMOTE, 80), b"hello");
    out(&mut nat, &mut frame, 1, 0).unwrap();
    let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        panic!("no TCP");
    };
    assert_eq!(
        tcp.to_header().calc_checksum_ipv4_raw(OUTSIDE, REMOTE, b"hello"),
        Ok(tcp.checksum())
    );
}
