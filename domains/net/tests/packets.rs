//! The packet code against `etherparse`, which knows the formats from elsewhere.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::IpAddr;

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use outrigger_devices::{BlankChecksum, GsoKind};
use outrigger_net::checksum::{self, Sum};
use outrigger_net::flow::{Flow, Place, Segment, WORDS};
use outrigger_net::packet::{HEAD_BYTES, Mac, Network, Packet};
use outrigger_net::segment::Segmenter;
use outrigger_ring::{SharedPages, last_word};
use outrigger_xen::DomId;
use outrigger_xen::fake::FakeXen;
use proptest::prelude::*;

const SOURCE: [u8; 6] = [0x00, 0x16, 0x3e, 1, 2, 3];
const DESTINATION: [u8; 6] = [0x00, 0x16, 0x3e, 9, 8, 7];

#[derive(Clone, Debug)]
struct Wanted {
    v4: bool,
    tcp: bool,
    vlan: Option<u16>,
    options: usize,
    payload: Vec<u8>,
}

fn wanted(payload: std::ops::Range<usize>) -> impl Strategy<Value = Wanted> {
    let bytes = prop::collection::vec(any::<u8>(), payload);
    (
        any::<bool>(),
        any::<bool>(),
        prop::option::of(1u16..4095),
        0usize..4,
        bytes,
    )
        .prop_map(|(v4, tcp, vlan, options, payload)| Wanted {
            v4,
            tcp,
            vlan,
            options,
            payload,
        })
}

fn build(wanted: &Wanted) -> Vec<u8> {
    let eth = PacketBuilder::ethernet2(SOURCE, DESTINATION);
    let step = match (wanted.vlan, wanted.v4) {
        (Some(id), true) => eth
            .single_vlan(id.try_into().unwrap())
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        (Some(id), false) => eth
            .single_vlan(id.try_into().unwrap())
            .ipv6([1; 16], [0xfe; 16], 64),
        (None, true) => eth.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        (None, false) => eth.ipv6([1; 16], [0xfe; 16], 64),
    };
    let mut out = Vec::new();
    if wanted.tcp {
        let options = vec![1; wanted.options * 4];
        let tcp = step.tcp(1234, 80, 0xffff_ff00, 2048).psh().fin().ack(7).cwr();
        tcp.options_raw(&options)
            .unwrap()
            .write(&mut out, &wanted.payload)
            .unwrap();
    } else {
        step.udp(53, 5353).write(&mut out, &wanted.payload).unwrap();
    }
    out
}

fn peek(frame: &[u8]) -> Packet {
    Packet::peek(&frame[..frame.len().min(HEAD_BYTES)]).unwrap()
}

/// Blanks the checksum as a guest does that leaves it to the card.
fn blank(frame: &mut [u8], packet: &Packet) -> BlankChecksum {
    let blank = packet.blank_checksum(frame.len()).unwrap();
    let Network::Ip(ip) = packet.network else {
        unreachable!()
    };
    let mut sum = Sum::new();
    let start = usize::from(blank.start);
    sum.pseudo_header(ip.source, ip.destination, ip.protocol, frame.len() - start);
    let at = start + usize::from(blank.offset);
    frame[at..at + 2].copy_from_slice(&sum.partial());
    blank
}

/// Whether IP and transport checksums are right, by etherparse's reckoning.
fn is_right(frame: &[u8]) -> bool {
    let headers = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let payload = headers.payload.slice();
    let ip_right = match &headers.net {
        Some(NetHeaders::Ipv4(ip, _)) => ip.header_checksum == ip.calc_header_checksum(),
        _ => true,
    };
    let (stored, right) = match (&headers.net, &headers.transport) {
        (Some(NetHeaders::Ipv4(ip, _)), Some(TransportHeader::Tcp(tcp))) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (Some(NetHeaders::Ipv6(ip, _)), Some(TransportHeader::Tcp(tcp))) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (Some(NetHeaders::Ipv4(ip, _)), Some(TransportHeader::Udp(udp))) => {
            (udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (Some(NetHeaders::Ipv6(ip, _)), Some(TransportHeader::Udp(udp))) => {
            (udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        _ => return false,
    };
    // 0 and 0xffff are the same number; which one is stored is up to whoever stores it.
    ip_right && stored % 0xffff == right % 0xffff
}

/// A frame's first words.
fn words_of(bytes: &[u8]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
        *word = last_word(bytes);
    }
    words
}

/// The segment in a frame with these first words, if its checksums are right.
fn right_segment<'a>(bytes: &[u8], words: &'a [u32; WORDS]) -> Option<Segment<'a>> {
    let segment = Segment::peek(words, bytes.len())?;
    let mut sum = Sum::new();
    sum.bytes(&bytes[segment.summed()..]);
    segment.is_right(sum).then_some(segment)
}

proptest! {
    #[test]
    fn headers_are_what_the_model_says(wanted in wanted(0..300)) {
        let frame = build(&wanted);
        let packet = peek(&frame);
        prop_assert_eq!((packet.source, packet.destination), (Mac(SOURCE), Mac(DESTINATION)));
        prop_assert_eq!(packet.vlan, wanted.vlan);
        let Network::Ip(ip) = packet.network else { return Err(TestCaseError::fail("it is IP")) };
        prop_assert_eq!(ip.source.is_ipv4(), wanted.v4);
        prop_assert_eq!(ip.protocol, if wanted.tcp { 6 } else { 17 });
        let transport = ip.transport.unwrap();
        prop_assert_eq!(transport, 14 + if wanted.vlan.is_some() { 4 } else { 0 } + if wanted.v4 { 20 } else { 40 });
        let ports = if wanted.tcp { [4, 210, 0, 80] } else { [0, 53, 0x14, 0xe9] };
        prop_assert_eq!(packet.ports(&frame), Some(ports));
    }

    /// Cut anywhere, or garbage: never a panic, never an offset outside of what is there.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..HEAD_BYTES), kind in 0usize..6, cut in 0usize..200) {
        let mut bytes = bytes;
        if let (Some(field), Some(kind)) = (bytes.get_mut(12..14), [0x0800u16, 0x0806, 0x86dd, 0x8100, 0x88a8].get(kind)) {
            field.copy_from_slice(&kind.to_be_bytes());
        }
        bytes.truncate(cut);
        let Some(packet) = Packet::peek(&bytes) else { return Ok(()) };
        if let Some(blank) = packet.blank_checksum(bytes.len()) {
            prop_assert!(usize::from(blank.start + blank.offset) + 2 <= bytes.len());
        }
        for kind in [GsoKind::TcpV4, GsoKind::TcpV6] {
            if let Some(gso) = packet.gso(&bytes, kind, 1000) {
                prop_assert!(usize::from(gso.header_len) <= bytes.len());
                if let Some(mut segmenter) = Segmenter::new(&bytes, &packet, gso, 5000) {
                    (0..segmenter.count()).for_each(|index| { segmenter.headers(index); });
                }
            }
        }
    }

    #[test]
    fn blank_checksums_are_filled_in(wanted in wanted(0..1400), at in 0usize..64) {
        let mut frame = build(&wanted);
        prop_assert!(is_right(&frame));
        let packet = peek(&frame);
        let blank = blank(&mut frame, &packet);
        let start = usize::from(blank.start);
        let mut by_bytes = Sum::new();
        by_bytes.bytes(&frame[start..]);
        // The same from memory at any alignment, in two pieces of any length.
        let memory = FakeXen::new().domain(DomId(1)).pages(1);
        memory.write(at, &frame[start..]);
        let half = (frame.len() - start) / 3;
        let mut by_memory = Sum::new();
        by_memory.memory(&memory, at, half);
        by_memory.memory(&memory, at + half, frame.len() - start - half);
        prop_assert_eq!(by_bytes.finish(), by_memory.finish());
        let field = start + usize::from(blank.offset);
        frame[field..field + 2].copy_from_slice(&by_memory.finish());
        prop_assert!(is_right(&frame));
    }

    #[test]
    fn an_updated_checksum_is_that_of_the_updated_data(mut data in prop::collection::vec(any::<u8>(), 4..40), new: [u8; 2]) {
        data.truncate(data.len() & !1);
        data[0] = 0x45;
        let sum = |data: &[u8]| { let mut sum = Sum::new(); sum.bytes(data); sum.finish() };
        let old = [data[2], data[3]];
        let updated = checksum::update(sum(&data), old, new);
        data[2..4].copy_from_slice(&new);
        // Zero has two faces.
        prop_assert_eq!(u16::from_le_bytes(updated) % 0xffff, u16::from_le_bytes(sum(&data)) % 0xffff);
    }

    /// Cut and merged again, a frame is what it was; and what is not the next segment is not taken for it.
    #[test]
    fn segments_merge_to_what_was_cut(mut wanted in wanted(1500..9000), size in 500u16..1460, flip: (prop::sample::Index, u8)) {
        (wanted.tcp, wanted.vlan) = (true, None);
        let mut frame = build(&wanted);
        let transport = if wanted.v4 { 34 } else { 54 };
        frame[transport + 13] = 0x18;
        let packet = peek(&frame);
        blank(&mut frame, &packet);
        let kind = if wanted.v4 { GsoKind::TcpV4 } else { GsoKind::TcpV6 };
        let gso = packet.gso(&frame[..HEAD_BYTES], kind, size).unwrap();
        let mut segmenter = Segmenter::new(&frame[..HEAD_BYTES], &packet, gso, frame.len()).unwrap();
        let mut merged: Option<(Flow, Vec<u8>)> = None;
        for index in 0..segmenter.count() {
            let payload = &frame[segmenter.payload(index)];
            let (headers, told) = segmenter.headers(index);
            let mut sum = told;
            sum.bytes(payload);
            let mut bytes = [headers, payload].concat();
            bytes[transport + 16..transport + 18].copy_from_slice(&sum.finish());
            let words = words_of(&bytes);
            let segment = right_segment(&bytes, &words).unwrap();
            prop_assert_eq!((segment.is_v4(), segment.transport()), (wanted.v4, transport));
            let mut broken = bytes.clone();
            broken[transport + flip.0.index(bytes.len() - transport)] ^= 1 << (flip.1 % 8);
            prop_assert!(right_segment(&broken, &words_of(&broken)).is_none());
            let Some((flow, all)) = &mut merged else {
                prop_assert_eq!(segment.destination(), Mac(DESTINATION));
                merged = Some((Flow::new(segment), bytes));
                continue;
            };
            for (at, place) in [(0, Place::Elsewhere), (transport, Place::Elsewhere), (transport + 2, Place::Elsewhere),
                (transport - 1, Place::Elsewhere), (22 - if wanted.v4 { 0 } else { 1 }, Place::After), (transport + 7, Place::After),
                (transport + 8, Place::After), (transport + 15, Place::After)] {
                let mut other = bytes.clone();
                other[at] ^= 1;
                let words = words_of(&other);
                prop_assert_eq!(flow.place(&Segment::peek(&words, other.len()).unwrap()), place, "byte {}", at);
            }
            prop_assert_eq!(flow.place(&segment), Place::Next);
            flow.add(&segment);
            prop_assert_eq!(flow.place(&segment), Place::After);
            all.extend(payload);
        }
        let (mut flow, mut all) = merged.unwrap();
        let (offloads, blank) = flow.offloads();
        prop_assert_eq!((offloads, blank), (gso, segmenter.blank_checksum()));
        prop_assert_eq!((flow.bytes(), flow.is_merged()), (frame.len(), segmenter.count() > 1));
        let (headers, len) = flow.headers();
        all[..len].copy_from_slice(&headers[..len]);
        prop_assert_eq!(all, frame);
    }

    /// Segments put together again are the frame; each is right in itself.
    #[test]
    fn segments_are_right_and_complete(mut wanted in wanted(1..9000), size in 100u16..3000) {
        wanted.tcp = true;
        let mut frame = build(&wanted);
        let packet = peek(&frame);
        blank(&mut frame, &packet);
        let kind = if wanted.v4 { GsoKind::TcpV4 } else { GsoKind::TcpV6 };
        let head = &frame[..frame.len().min(HEAD_BYTES)];
        let gso = packet.gso(head, kind, size).unwrap();
        let other = if wanted.v4 { GsoKind::TcpV6 } else { GsoKind::TcpV4 };
        prop_assert_eq!(packet.gso(head, other, size), None);
        let mut segmenter = Segmenter::new(head, &packet, gso, frame.len()).unwrap();
        let mut payload: Vec<u8> = Vec::new();
        let count = segmenter.count();
        prop_assert_eq!(count, wanted.payload.len().div_ceil(size.into()));
        for index in 0..count {
            let (headers, told) = segmenter.headers(index);
            let mut segment = headers.to_vec();
            segment.extend(&frame[segmenter.payload(index)]);
            let blank = segmenter.blank_checksum();
            let mut sum = Sum::new();
            sum.bytes(&segment[blank.start.into()..]);
            let mut as_told = told;
            as_told.bytes(&segment[segmenter.header_len()..]);
            prop_assert_eq!(as_told.finish(), sum.finish());
            let field = usize::from(blank.start + blank.offset);
            segment[field..field + 2].copy_from_slice(&sum.finish());
            prop_assert!(is_right(&segment), "segment {} of {}", index, count);
            let headers = PacketHeaders::from_ethernet_slice(&segment).unwrap();
            let Some(TransportHeader::Tcp(tcp)) = &headers.transport else { return Err(TestCaseError::fail("TCP")) };
            prop_assert_eq!(tcp.sequence_number, 0xffff_ff00u32.wrapping_add(payload.len() as u32));
            let last = index + 1 == count;
            prop_assert_eq!((tcp.psh, tcp.fin, tcp.cwr), (last, last, index == 0));
            if let Some(NetHeaders::Ipv4(ip, _)) = &headers.net {
                prop_assert_eq!(usize::from(ip.identification), index);
            }
            payload.extend(headers.payload.slice());
        }
        prop_assert_eq!(payload, wanted.payload);
    }
}

#[test]
fn fragments_have_no_transport_and_extensions_are_followed() {
    let mut frame = build(&Wanted {
        v4: true,
        tcp: false,
        vlan: None,
        options: 0,
        payload: vec![0; 20],
    });
    frame[20] = 0x20;
    let Network::Ip(ip) = peek(&frame).network else {
        panic!("IP")
    };
    assert_eq!(ip.transport, None, "more fragments follow");
    assert_eq!(peek(&frame).blank_checksum(frame.len()), None);

    let mut frame = vec![0; 14 + 40 + 8 + 16 + 8];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14] = 0x60;
    frame[20] = 0;
    frame[54..56].copy_from_slice(&[60, 0]);
    frame[62..64].copy_from_slice(&[17, 1]);
    let Network::Ip(ip) = peek(&frame).network else {
        panic!("IP")
    };
    assert_eq!((ip.protocol, ip.transport), (17, Some(78)));
    frame[62] = 44;
    let Network::Ip(ip) = peek(&frame).network else {
        panic!("IP")
    };
    assert_eq!((ip.protocol, ip.transport), (44, None));
    assert!(matches!(ip.source, IpAddr::V6(_)));
    assert_eq!(FakeXen::new().domain(DomId(1)).pages(1).len(), 4096);
}
