//! Every combination of what a sender leaves undone and what a receiver takes, against frames made by etherparse.

use outrigger_devices::{BlankChecksum, GsoKind, NetLimits};
use outrigger_netif::{Checksum, Gso};

use crate::card;
use crate::frames::{PEER, blank, field, is_right, mac, payload, segment, segment_of, tcp, udp};
use crate::guest::Options;
use crate::world::World;

const CSUM_BLANK: u16 = 1;
const VALIDATED: u16 = 2;

fn kind(v4: bool) -> GsoKind {
    if v4 { GsoKind::TcpV4 } else { GsoKind::TcpV6 }
}

/// Payload bytes of segments put together, each checked to be right.
fn joined(segments: &[Vec<u8>], v4: bool) -> Vec<u8> {
    let headers = if v4 { 14 + 20 + 32 } else { 14 + 40 + 32 };
    let mut all = Vec::new();
    for segment in segments {
        assert!(is_right(segment), "a segment's checksum");
        let at = headers - 32 + 4;
        let sequence = u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
        assert_eq!(sequence, 1_000_000 + all.len() as u32);
        all.extend(&segment[headers..]);
    }
    all
}

#[test]
fn blank_checksums_between_guests() {
    for csum in [true, false] {
        let world = World::new();
        let mut a = world.guest(1, Options::default());
        let mut b = world.guest(
            2,
            Options {
                csum,
                ..Options::default()
            },
        );
        let frames = [
            tcp(mac(1), mac(2), true, 1300, 1),
            tcp(mac(1), mac(2), false, 1300, 2),
            udp(mac(1), mac(2), 99, 3),
        ];
        for frame in frames {
            a.put(0, &blank(&frame), CSUM_BLANK | VALIDATED, None, &[60]);
            a.put(0, &frame, VALIDATED, None, &[]);
            a.put(0, &frame, 0, None, &[]);
            a.kick(0);
            world.settle();
            let got = b.collect();
            let told: Vec<Checksum> = got.iter().map(|got| got.checksum).collect();
            if csum {
                assert_eq!(told, [Checksum::Blank, Checksum::Validated, Checksum::Unknown]);
                assert_eq!(got[0].bytes, blank(&frame));
            } else {
                // What needed work comes after the rest of its batch.
                assert_eq!(
                    told,
                    [Checksum::Validated, Checksum::Unknown, Checksum::Validated]
                );
                assert_eq!(got[2].bytes, frame);
                assert_eq!(got[0].bytes, frame);
            }
            a.collect();
        }
        assert!(a.take_statuses().iter().all(|status| *status == 0));
    }
}

#[test]
fn large_frames_go_whole_between_guests_and_cut_to_those_who_cannot() {
    for v4 in [true, false] {
        for (gso, sg, csum) in [
            (true, true, true),
            (false, true, true),
            (false, false, false),
            (true, true, false),
        ] {
            for len in [3000usize, 20_000, 65_000] {
                let world = World::new();
                let mut a = world.guest(1, Options::default());
                let mut b = world.guest(
                    2,
                    Options {
                        gso,
                        sg,
                        csum,
                        ..Options::default()
                    },
                );
                let frame = blank(&tcp(mac(1), mac(2), v4, len, 7));
                let offload = Gso {
                    kind: kind(v4),
                    size: 1400,
                };
                a.put(0, &frame, CSUM_BLANK | VALIDATED, Some(offload), &[]);
                a.kick(0);
                world.settle();
                let got = b.collect();
                if gso && csum {
                    assert_eq!(got.len(), 1);
                    assert_eq!((got[0].gso, got[0].checksum), (Some(offload), Checksum::Blank));
                    assert_eq!(got[0].bytes, frame);
                } else if gso {
                    assert!(got.is_empty(), "nobody takes segments but no blank checksums");
                    assert_eq!(
                        world.counters(2).rx_dropped[outrigger_net::Drop::Malformed as usize],
                        1
                    );
                } else {
                    assert_eq!(got.len(), len.div_ceil(1400));
                    assert!(
                        got.iter()
                            .all(|got| got.gso.is_none() && got.checksum == Checksum::Validated)
                    );
                    let segments: Vec<Vec<u8>> = got.into_iter().map(|got| got.bytes).collect();
                    assert_eq!(joined(&segments, v4), payload(len, 7));
                }
                a.collect();
                assert!(a.take_statuses().iter().all(|status| *status == 0));
            }
        }
    }
}

#[test]
fn the_wire_gets_what_the_card_can_do() {
    for v4 in [true, false] {
        for (tx_checksum, tso) in [(true, true), (true, false), (false, false)] {
            for vlan in [None, Some("7")] {
                let limits = NetLimits {
                    tx_checksum,
                    tso4: tso,
                    tso6: tso,
                    ..card::limits()
                };
                let world = World::with(limits, 600);
                let keys: Vec<(&str, &str)> = vlan.iter().map(|vlan| ("vlan", *vlan)).collect();
                let mut a = world.guest_with(1, &keys, Options::default());
                let frame = blank(&tcp(mac(1), PEER, v4, 9000, 5));
                let offload = Gso {
                    kind: kind(v4),
                    size: 1420,
                };
                a.put(0, &frame, CSUM_BLANK, Some(offload), &[]);
                let small = tcp(mac(1), PEER, v4, 500, 6);
                a.put(0, &blank(&small), CSUM_BLANK, None, &[]);
                a.kick(0);
                world.settle();
                let tag = if vlan.is_some() { 4 } else { 0 };
                let transport = if v4 { 34 } else { 54 };
                let sent = world.card.borrow_mut().take_sent();
                let untagged: Vec<Vec<u8>> = sent
                    .iter()
                    .map(|sent| {
                        let mut bytes = sent.bytes.clone();
                        if tag > 0 {
                            assert_eq!(bytes[12..16], [0x81, 0, 0, 7]);
                            bytes.drain(12..16);
                        }
                        // The card's work.
                        if let Some(BlankChecksum { start, offset }) = sent.checksum {
                            assert_eq!((start, offset), (transport + tag, 16));
                            if sent.gso.is_none() {
                                let at = field(&bytes);
                                let right = if bytes.len() == small.len() {
                                    small[at..at + 2].to_vec()
                                } else {
                                    vec![]
                                };
                                if right.is_empty() {
                                    assert!(!is_right(&bytes));
                                    fix(&mut bytes);
                                } else {
                                    bytes[at..at + 2].copy_from_slice(&right);
                                }
                            }
                        }
                        bytes
                    })
                    .collect();
                assert_eq!(untagged.last(), Some(&small));
                if tso {
                    assert_eq!(sent.len(), 2);
                    let gso = sent[0].gso.unwrap();
                    assert_eq!(
                        (gso.kind, gso.size, gso.header_len),
                        (kind(v4), 1420, transport + 32 + tag)
                    );
                    assert_eq!(untagged[0], frame);
                } else {
                    assert_eq!(sent.len(), 1 + 7);
                    assert_eq!(sent[0].checksum.is_some(), tx_checksum);
                    assert_eq!(joined(&untagged[..7], v4), payload(9000, 5));
                }
                world.card.borrow().interrupt();
                world.settle();
                assert_eq!(
                    world.card.borrow().in_flight(),
                    0,
                    "read frames are taken back in the next turn"
                );
            }
        }
    }
}

/// Fills a blank checksum in, as a card does.
fn fix(bytes: &mut [u8]) {
    let transport = if bytes[12] == 8 { 34 } else { 54 };
    let at = field(bytes);
    let mut sum: u32 = 0;
    for pair in bytes[transport..].chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[test]
fn large_frames_from_the_wire() {
    // One whose XDP program sees single pages gets single pages, whatever it takes without.
    for (gso, headroom) in [(true, 0), (true, 256), (false, 256)] {
        let world = World::new();
        let mut a = world.guest(
            1,
            Options {
                gso,
                headroom,
                ..Options::default()
            },
        );
        let frame = blank(&tcp(PEER, mac(1), true, 30_000, 4));
        world.card.borrow_mut().arrive_large(&frame);
        world.settle();
        let got = a.collect();
        if gso && headroom == 0 {
            assert_eq!((got.len(), &got[0].bytes), (1, &frame));
            assert_eq!(
                got[0].gso,
                Some(Gso {
                    kind: GsoKind::TcpV4,
                    size: 1448
                })
            );
        } else {
            let segments: Vec<Vec<u8>> = got.into_iter().map(|got| got.bytes).collect();
            assert_eq!(joined(&segments, true), payload(30_000, 4));
        }
        assert_eq!(
            world.card.borrow().posted(),
            64,
            "all pages are back with the card"
        );
    }
}

#[test]
fn segments_from_the_wire_are_merged_for_those_who_take_them() {
    for gso in [true, false] {
        let world = World::new();
        let mut a = world.guest(
            1,
            Options {
                gso,
                ..Options::default()
            },
        );
        let mut frames: Vec<Vec<u8>> = (0..8).map(|index| segment(mac(1), index)).collect();
        frames[6][1000] ^= 1;
        for frame in &frames {
            world.card.borrow_mut().arrive(frame);
        }
        world.settle();
        let got = a.collect();
        let bytes: Vec<&[u8]> = got.iter().map(|got| got.bytes.as_slice()).collect();
        if gso {
            let told: Vec<Checksum> = got.iter().map(|got| got.checksum).collect();
            assert_eq!(told, [Checksum::Blank, Checksum::Unknown, Checksum::Validated]);
            let size = Gso {
                kind: GsoKind::TcpV4,
                size: 1448,
            };
            assert_eq!(got[0].gso, Some(size));
            let mut whole = frames[0].clone();
            (1..6).for_each(|index| whole.extend(&frames[index][66..]));
            let ip_len = (whole.len() - 14) as u16;
            whole[16..18].copy_from_slice(&ip_len.to_be_bytes());
            assert_eq!(bytes[0][26..50], whole[26..50]);
            assert_eq!(bytes[0][52..], whole[52..]);
            assert_eq!(bytes[1..], [&frames[6], &frames[7]]);
        } else {
            assert_eq!(bytes, frames);
            assert!(got.iter().all(|got| got.checksum == Checksum::Unknown));
        }
        assert_eq!(
            world.card.borrow().posted(),
            64,
            "all pages are back with the card"
        );
    }
}

#[test]
fn many_streams_from_the_wire_are_merged_at_once() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let streams = 2000..2020;
    for index in 0..3 {
        for port in streams.clone() {
            world.card.borrow_mut().arrive(&segment_of(port, mac(1), index));
        }
    }
    let got = world.drain(&mut a);
    let ports: Vec<u16> = got
        .iter()
        .map(|got| u16::from_be_bytes([got.bytes[34], got.bytes[35]]))
        .collect();
    assert_eq!(ports, streams.collect::<Vec<_>>());
    for got in &got {
        let whole = [0, 1, 2].map(|seed| payload(1448, seed)).concat();
        assert!(got.bytes[66..] == whole && got.gso.is_some());
    }
}

#[test]
fn a_frame_to_be_cut_whose_checksum_is_filled_in_gets_a_blank_one() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let frame = tcp(mac(1), mac(2), true, 5000, 1);
    a.put(
        0,
        &frame,
        VALIDATED,
        Some(Gso {
            kind: GsoKind::TcpV4,
            size: 1400,
        }),
        &[],
    );
    a.kick(0);
    world.settle();
    let got = b.collect();
    assert_eq!(
        (got[0].checksum, &got[0].bytes),
        (Checksum::Blank, &blank(&frame))
    );
    // What is not more than one segment is a frame like any other.
    let frame = blank(&tcp(mac(1), mac(2), true, 900, 1));
    a.put(
        0,
        &frame,
        CSUM_BLANK,
        Some(Gso {
            kind: GsoKind::TcpV4,
            size: 1400,
        }),
        &[],
    );
    a.kick(0);
    world.settle();
    let got = b.collect();
    assert_eq!((got[0].gso, &got[0].bytes), (None, &frame));
}
