//! Codecs and assembly: golden slots, hostile slots, and what is owed.

use outrigger_xen::GrantRef;
use proptest::prelude::*;
use xen_unikernel_abi::io::netif::*;

use super::*;

fn slot(size: u16, offset: u16, flags: u16) -> [u32; 3] {
    TxRequest {
        gref: 9,
        offset,
        flags,
        id: 7,
        size,
    }
    .encode()
}

fn run(slots: &[[u32; 3]]) -> (Vec<Result<Taken, Broken>>, Debts, Vec<Fragment>) {
    let (mut assembly, mut debts, mut fragments) = (Assembly::default(), Debts::default(), Vec::new());
    let taken = slots
        .iter()
        .map(|words| assembly.take(*words, &mut debts, &mut fragments))
        .collect();
    (taken, debts, fragments)
}

fn words(extra: Extra, more: bool) -> [u32; 3] {
    let [a, b] = extra.encode(more);
    [a, b, 0xdead_beef]
}

#[test]
fn golden_slots() {
    // gref 0x04030201, offset 0x0605, flags 0x0807, id 0x0a09, size 0x0c0b: the header's order, little-endian.
    let bytes: [u8; 12] = core::array::from_fn(|i| i as u8 + 1);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let request = TxRequest::decode([word(0), word(4), word(8)]);
    assert_eq!(
        request,
        TxRequest {
            gref: 0x0403_0201,
            offset: 0x0605,
            flags: 0x0807,
            id: 0x0a09,
            size: 0x0c0b
        }
    );
    assert_eq!(request.encode(), [word(0), word(4), word(8)]);
    assert_eq!(
        RxRequest::decode([0xffff_0102, 0x55]),
        RxRequest {
            id: 0x0102,
            gref: GrantRef(0x55)
        }
    );
    let response = RxResponse {
        id: 0x0102,
        offset: 0x0304,
        checksum: Checksum::Blank,
        more: true,
        extra: false,
        status: RxStatus::Bytes(0x0607),
    };
    assert_eq!(response.encode(), [0x0304_0102, 0x0607_0007]);
    let gso = Extra::Gso(Ok(Gso {
        kind: GsoKind::TcpV6,
        size: 0x05a8,
    }));
    assert_eq!(gso.encode(true), [0x05a8_0101, 0x0000_0002]);
    let hash = HashValue {
        kind: 3,
        algorithm: 1,
        value: 0x1234_5678,
    };
    assert_eq!(hash.extra().encode(false), [0x0103_0004, 0x1234_5678]);
    assert_eq!(
        Extra::decode([0x2211_0002, 0x6655_4433]),
        (
            Some(Extra::MulticastAdd([0x11, 0x22, 0x33, 0x44, 0x55, 0x66])),
            false
        )
    );
}

#[test]
fn the_bits_are_not_the_same_both_ways() {
    for (tx, checksum, rx) in [
        (0, Checksum::Unknown, 0),
        (NETTXF_data_validated, Checksum::Validated, NETRXF_data_validated),
        (
            NETTXF_csum_blank,
            Checksum::Blank,
            NETRXF_csum_blank | NETRXF_data_validated,
        ),
        (
            NETTXF_csum_blank | NETTXF_data_validated,
            Checksum::Blank,
            NETRXF_csum_blank | NETRXF_data_validated,
        ),
    ] {
        assert_eq!(Checksum::from_tx(tx), checksum);
        assert_eq!(checksum.rx_flags(), rx);
    }
}

#[test]
fn the_first_slot_says_the_length_of_all() {
    let gso = Extra::Gso(Ok(Gso {
        kind: GsoKind::TcpV4,
        size: 1448,
    }));
    let (taken, debts, fragments) = run(&[
        slot(3000, 96, NETTXF_more_data | NETTXF_extra_info | NETTXF_csum_blank),
        words(gso, false),
        slot(2000, 0, NETTXF_more_data),
        slot(900, 3196, 0),
    ]);
    let Ok(Taken::Packet(packet)) = taken[3] else {
        panic!("{taken:?}")
    };
    assert_eq!(taken[..3], [Ok(Taken::More); 3]);
    assert_eq!(
        (packet.len, packet.checksum, packet.fragments, packet.slots.len()),
        (3000, Checksum::Blank, 3, 4)
    );
    assert_eq!(
        packet.gso,
        Some(Gso {
            kind: GsoKind::TcpV4,
            size: 1448
        })
    );
    assert_eq!(
        fragments.iter().map(|f| f.len).collect::<Vec<_>>(),
        [100, 2000, 900]
    );
    let statuses: Vec<i16> = debts.entries().iter().map(|debt| debt.status).collect();
    assert_eq!(
        statuses,
        [NETIF_RSP_ERROR, NETIF_RSP_NULL, NETIF_RSP_ERROR, NETIF_RSP_ERROR]
    );
}

#[test]
fn debts_are_paid_once_and_extras_with_null() {
    let (taken, mut debts, _) = run(&[
        slot(60, 0, NETTXF_extra_info),
        words(
            Extra::Hash(HashValue {
                kind: 0,
                algorithm: 1,
                value: 5,
            }),
            false,
        ),
        slot(60, 0, 0),
    ]);
    let Ok(Taken::Packet(packet)) = taken[1] else {
        panic!("{taken:?}")
    };
    debts.settle(packet.slots, NETIF_RSP_OKAY);
    let mut paid = Vec::new();
    debts.pay(|word| paid.push(word));
    assert_eq!(paid, [7, 0x0001_0007, 0xffff_0007]);
    assert!(debts.is_empty());
    debts.pay(|_| panic!("nothing is owed any more"));
}

#[test]
fn what_is_refused() {
    for (slots, why) in [
        (vec![slot(13, 0, 0)], Refusal::Runt),
        (vec![slot(0, 0, 0)], Refusal::Runt),
        (vec![slot(100, 4000, 0)], Refusal::Bounds),
        (vec![slot(100, 0xffff, 0)], Refusal::Bounds),
        (vec![slot(5000, 0, 0)], Refusal::Bounds),
        (
            vec![slot(100, 0, NETTXF_more_data), slot(101, 0, 0)],
            Refusal::Length,
        ),
        (
            vec![slot(100, 0, NETTXF_more_data), slot(50, 4095, 0)],
            Refusal::Bounds,
        ),
        (
            vec![slot(100, 0, NETTXF_extra_info), words(Extra::Gso(Err(())), false)],
            Refusal::Extra,
        ),
        (vec![slot(100, 0, NETTXF_extra_info), [0, 0, 0]], Refusal::Extra),
        (vec![slot(100, 0, NETTXF_extra_info), [5, 0, 0]], Refusal::Extra),
    ] {
        let (taken, debts, fragments) = run(&slots);
        assert_eq!(*taken.last().unwrap(), Ok(Taken::Refused(why)), "{slots:x?}");
        assert_eq!(debts.len(), slots.len());
        assert!(fragments.is_empty(), "nothing is left of a refused packet");
    }
}

#[test]
fn too_many_slots_are_refused_and_far_too_many_end_the_ring() {
    let mut slots = vec![slot(10_000, 0, NETTXF_more_data)];
    slots.extend([slot(1, 0, NETTXF_more_data); 16]);
    slots.push(slot(1, 0, 0));
    let (taken, ..) = run(&slots);
    assert!(
        matches!(taken.last(), Some(Ok(Taken::Refused(Refusal::Bounds)))),
        "18 slots are not too many: {taken:?}"
    );
    slots.insert(1, slot(1, 0, NETTXF_more_data));
    let (taken, ..) = run(&slots);
    assert_eq!(*taken.last().unwrap(), Ok(Taken::Refused(Refusal::Slots)));
    slots.resize(40, slot(1, 0, NETTXF_more_data));
    slots[18] = slot(1, 0, NETTXF_more_data);
    slots[19] = slots[18];
    let (taken, ..) = run(&slots);
    assert!(taken.iter().any(Result::is_err));
    let mut extras = vec![slot(100, 0, NETTXF_extra_info)];
    extras.resize(20, [0x0000_0101, 0x1, 0]);
    assert!(run(&extras).0.iter().any(Result::is_err));
}

#[test]
fn empty_fragments_are_answered_but_not_copied() {
    let (taken, debts, fragments) = run(&[
        slot(100, 0, NETTXF_more_data),
        slot(0, 0, NETTXF_more_data),
        slot(100, 10, NETTXF_more_data),
        slot(0, 4096, 0),
    ]);
    let Some(Ok(Taken::Packet(packet))) = taken.last() else {
        panic!("{taken:?}")
    };
    let its = &fragments[packet.first_fragment..packet.first_fragment + packet.fragments];
    assert_eq!(
        its.iter().map(|f| (f.offset, f.len)).collect::<Vec<_>>(),
        [(10, 100)]
    );
    assert_eq!((debts.len(), packet.slots.len()), (4, 4));
}

#[test]
fn a_multicast_request_carries_no_data() {
    let add = words(Extra::MulticastAdd([1, 0, 0x5e, 0, 0, 1]), false);
    let (taken, debts, fragments) = run(&[
        slot(0, 0, NETTXF_extra_info | NETTXF_more_data),
        add,
        slot(60, 0, 0),
    ]);
    assert!(matches!(
        taken[1],
        Ok(Taken::Multicast(Multicast { add: true, address: [1, 0, 0x5e, 0, 0, 1], slots })) if slots.len() == 2
    ));
    assert!(matches!(taken[2], Ok(Taken::Packet(packet)) if packet.slots.len() == 1));
    assert_eq!((debts.len(), fragments.len()), (3, 1));
}

proptest! {
    /// Whatever comes: each slot is owed one response, fragments are within bounds and sum up, nothing panics.
    #[test]
    fn any_slots(slots in prop::collection::vec(any_slot(), 1..200)) {
        let (mut assembly, mut debts, mut fragments) = (Assembly::default(), Debts::default(), Vec::new());
        for (taken, words) in slots.iter().enumerate() {
            let result = assembly.take(*words, &mut debts, &mut fragments);
            prop_assert_eq!(debts.len(), taken + 1);
            match result {
                Err(Broken(_)) => return Ok(()),
                Ok(Taken::Packet(packet)) => {
                    let its = &fragments[packet.first_fragment..][..packet.fragments];
                    prop_assert!((1..=MAX_FRAGMENTS).contains(&its.len()));
                    prop_assert_eq!(its.iter().map(|f| usize::from(f.len)).sum::<usize>(), usize::from(packet.len));
                    prop_assert!(its.iter().all(|f| f.len > 0 && f.offset as usize + f.len as usize <= 4096));
                    prop_assert!(packet.len >= ETH_HLEN && packet.gso.is_none_or(|gso| gso.size > 0));
                    fragments.clear();
                }
                Ok(Taken::More) => {}
                Ok(_) => prop_assert!(fragments.is_empty()),
            }
        }
    }

    #[test]
    fn extras_come_back(kind in 1u8..5, a in any::<[u8; 6]>(), more: bool) {
        let [p, q, r, s, t, u] = a;
        let words = [u32::from_le_bytes([kind, u8::from(more), p, q]), u32::from_le_bytes([r, s, t, u])];
        let (extra, flag) = Extra::decode(words);
        prop_assert_eq!(flag, more);
        let Some(extra) = extra else { return Err(TestCaseError::fail("types 1 to 4 exist")) };
        prop_assert_eq!(Extra::decode(extra.encode(more)), (Some(extra), more));
    }

    /// The full sweep of XSA-270: no combination of size, entries and offset leaves the table.
    #[test]
    fn any_control_message(messages in prop::collection::vec((0u16..12, edge(), edge(), edge()), 1..60), queues in 1usize..9) {
        let mut control = HashControl::new(queues);
        for (kind, a, b, c) in messages {
            let request = ControlRequest { id: 3, kind, data: [a, b, c] };
            prop_assert_eq!(ControlRequest::decode(request.encode()), request);
            let response = match control.handle(request) {
                Control::Respond(response) => response,
                Control::Read(pending) => {
                    prop_assert!(pending.bytes as usize <= MAPPING_SIZE * 4 && pending.bytes > 0);
                    let mut data = vec![0; pending.bytes.into()];
                    data[0] = a as u8;
                    control.complete(pending, Some(&data))
                }
            };
            prop_assert_eq!((response.id, response.kind), (3, kind));
            for hash in [0, 1, u32::MAX] {
                prop_assert!(control.queue(hash) < queues);
            }
        }
        // The next life knows all that was set; and believes nothing that cannot have been.
        let mut words = control.to_words();
        let again = HashControl::from_words(queues, &words).expect("it was set");
        prop_assert_eq!(again.to_words(), words);
        prop_assert_eq!(again.is_on(), control.is_on());
        for (at, wrong) in [(0, 2), (1, 16), (2, 129), (13, 9)] {
            let right = std::mem::replace(&mut words[at], wrong);
            prop_assert!(HashControl::from_words(queues, &words).is_none());
            words[at] = right;
        }
    }
}

fn edge() -> impl Strategy<Value = u32> {
    prop_oneof![
        0u32..5,
        126u32..131,
        Just(u32::MAX),
        Just(u32::MAX - 127),
        Just(0x4000_0000),
        any::<u32>()
    ]
}

fn any_slot() -> impl Strategy<Value = [u32; 3]> {
    let size = prop_oneof![0u16..70, 4090u16..4100, any::<u16>()];
    let offset = prop_oneof![Just(0u16), 4080u16..4100, any::<u16>()];
    let data = (size, offset, 0u16..16).prop_map(|(size, offset, flags)| slot(size, offset, flags));
    let extra = (0u32..7, 0u32..2, 0u32..3).prop_map(|(kind, more, b)| [kind | more << 8 | 1448 << 16, b, 0]);
    prop_oneof![3 => data, 1 => extra]
}

/// The verification suite that every document about receive side scaling repeats.
#[test]
fn toeplitz_known_answers() {
    const KEY: [u8; KEY_BYTES] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];
    for (source, sport, destination, dport, plain, with_ports) in [
        (
            [66, 9, 149, 187],
            2794u16,
            [161, 142, 100, 80],
            1766u16,
            0x323e_8fc2u32,
            0x51cc_c178u32,
        ),
        (
            [199, 92, 111, 2],
            14230,
            [65, 69, 140, 83],
            4739,
            0xd718_262a,
            0xc626_b0ea,
        ),
    ] {
        let addresses = [source, destination].concat();
        assert_eq!(toeplitz(&KEY, &addresses), plain);
        let [a, b] = sport.to_be_bytes();
        let [c, d] = dport.to_be_bytes();
        let mut control = HashControl::new(4);
        let send = |control: &mut HashControl, kind, data, bytes: &[u8]| {
            match control.handle(ControlRequest { id: 1, kind, data }) {
                Control::Respond(response) => response,
                Control::Read(pending) => control.complete(pending, Some(bytes)),
            }
            .status
        };
        let set = XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS;
        assert_eq!(
            send(&mut control, set, [3, 0, 0], &[]),
            XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
            "no algorithm yet"
        );
        let algorithm = XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM;
        assert_eq!(send(&mut control, algorithm, [1, 0, 0], &[]), 0);
        assert_eq!(send(&mut control, set, [3, 0, 0], &[]), 0);
        assert_eq!(
            send(&mut control, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, [5, 40, 0], &KEY),
            0
        );
        assert_eq!(
            send(&mut control, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, [5, 41, 0], &[]),
            XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW
        );
        assert_eq!(
            control.hash(&addresses, Some([a, b, c, d])).unwrap().value,
            with_ports
        );
        assert_eq!(control.hash(&addresses, None).unwrap().value, plain);
        assert_eq!(control.hash(&[0; 32], None), None, "IPv6 was not asked for");
    }
}

#[test]
fn a_mapping_is_taken_whole_or_not_at_all() {
    let mut control = HashControl::new(2);
    let mut send = |kind, data, bytes: &[u8]| match control.handle(ControlRequest { id: 1, kind, data }) {
        Control::Respond(response) => response.status,
        Control::Read(pending) => control.complete(pending, Some(bytes)).status,
    };
    let size = XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE;
    let mapping = XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING;
    assert_eq!(
        send(size, [129, 0, 0], &[]),
        XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
    );
    assert_eq!(send(size, [4, 0, 0], &[]), 0);
    assert_eq!(send(mapping, [9, 2, 2], &[1, 0, 0, 0, 1, 0, 0, 0]), 0);
    assert_eq!(
        send(mapping, [9, 2, 0], &[1, 0, 0, 0, 2, 0, 0, 0]),
        XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
        "there are two queues"
    );
    assert_eq!(
        send(mapping, [9, 4, u32::MAX - 2], &[]),
        XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
    );
    assert_eq!(
        (0..4).map(|hash| control.queue(hash)).collect::<Vec<_>>(),
        [0, 0, 1, 1]
    );
}
