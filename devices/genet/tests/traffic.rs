//! Frames both ways.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use outrigger_devices::{BlankChecksum, DmaReach, NetDevice, QueueFull, RxChecksum, Tag};
use outrigger_genet::Options;
use outrigger_genet_model::{Offer, Partner, checksum_is_right, udp4};
use proptest::prelude::*;
use rig::{INCOHERENT, Rig, STATION};

/// Cuts a frame into pieces in pages of their own, the first at byte `start`.
fn pieces(len: usize, start: u32, cuts: &[usize]) -> Vec<(u32, u32)> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % len).filter(|cut| *cut > 0).collect();
    ends.push(len);
    ends.sort_unstable();
    ends.dedup();
    let mut from = 0;
    let mut out = Vec::new();
    for end in ends {
        let offset = if from == 0 {
            start
        } else {
            (from as u32 * 4) % 1024
        };
        out.push((offset, (end - from) as u32));
        from = end;
    }
    out
}

#[test]
fn frames_go_out_as_they_are_in_one_piece_or_several() {
    let mut rig = Rig::up();
    for len in [14, 42, 60, 61, 64, 65, 127, 128, 129, 1000, 1514, 1518] {
        let mut frame: Vec<u8> = (0..len).map(|i| (i * 31 + len) as u8).collect();
        for cuts in [&[][..], &[64], &[100, 700], &[56, 57, 58, 59, 200, 900]] {
            let mut cuts: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < len).collect();
            // Headers are in one piece, as a backend has them.
            cuts.retain(|cut| *cut >= 56);
            let sent = rig.send(&frame, &pieces(len, 64, &cuts), None);
            let mut padded = frame.clone();
            padded.resize(len.max(60), 0);
            assert_eq!(sent, padded, "{len} bytes, cut at {cuts:?}");
            frame[len - 1] ^= 0x5a;
        }
    }
    rig.model.assert_clean();
}

#[test]
fn blank_checksums_are_filled_in() {
    let mut rig = Rig::up();
    let blank = |offset| BlankChecksum { start: 34, offset };
    for payload in [0, 1, 7, 64, 1000, 1472] {
        let frame = udp4(STATION, payload, false);
        let sent = rig.send(&frame, &[(64, frame.len() as u32)], Some(blank(6)));
        assert_eq!(checksum_is_right(&sent), Some(true), "{payload} bytes");
        let cuts = if frame.len() > 66 { &[66][..] } else { &[] };
        let sent = rig.send(&frame, &pieces(frame.len(), 60, cuts), Some(blank(6)));
        assert_eq!(checksum_is_right(&sent), Some(true), "{payload} bytes in pieces");
    }
    // Far in: IPv6 with extension headers.
    let mut frame = vec![0x11; 300];
    frame[118..120].copy_from_slice(&[0, 0]);
    let sent = rig.send(
        &frame,
        &[(0, 300)],
        Some(BlankChecksum {
            start: 102,
            offset: 16,
        }),
    );
    let sum = sent[102..].chunks(2).fold(0u32, |sum, pair| {
        sum + u32::from(pair[0]) * 256 + u32::from(pair[1])
    });
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    rig.model.assert_clean();
}

#[test]
fn a_udp_checksum_of_zero_goes_out_as_all_ones() {
    let mut rig = Rig::up();
    // Two bytes of payload that make the sum all ones.
    let mut frame = udp4(STATION, 2, false);
    frame[42..44].copy_from_slice(&[0, 0]);
    let sum = frame[34..].chunks(2).fold(0u32, |sum, pair| {
        sum + u32::from(pair[0]) * 256 + u32::from(pair[1])
    });
    let missing = 0xffff - ((sum & 0xffff) + (sum >> 16)) as u16;
    frame[42..44].copy_from_slice(&missing.to_be_bytes());
    let blank = BlankChecksum { start: 34, offset: 6 };
    let sent = rig.send(&frame, &[(64, 44)], Some(blank));
    assert_eq!(sent[40..42], [0xff, 0xff]);
}

#[test]
fn frames_that_it_cannot_send_come_back_unsent() {
    let mut rig = Rig::up();
    let long: Vec<u8> = vec![1; 1519];
    type Case<'a> = (&'a [u8], Vec<(u32, u32)>, Option<BlankChecksum>);
    let cases: [Case<'_>; 5] = [
        (&long, vec![(0, 1519)], None),
        (&long[..13], vec![(0, 13)], None),
        // On no word.
        (&long[..100], vec![(66, 100)], None),
        // A checksum that is not in the first piece.
        (
            &long[..200],
            vec![(0, 64), (0, 136)],
            Some(BlankChecksum { start: 80, offset: 6 }),
        ),
        (
            &long[..1500],
            vec![(0, 1500)],
            Some(BlankChecksum {
                start: 400,
                offset: 6,
            }),
        ),
    ];
    for (frame, pieces, checksum) in cases {
        let tag = rig.submit(frame, &pieces, checksum).unwrap();
        rig.net.commit(0);
        assert!(rig.net.arm(0, true), "there is something to reap");
        rig.reap_tx().unwrap();
        assert_eq!(rig.returned.pop(), Some(tag));
    }
    let many = vec![(0, 64); 17];
    rig.submit(&long[..64 * 17], &many, None).unwrap();
    rig.reap_tx().unwrap();
    assert_eq!(rig.model.take_sent(), Vec::<Vec<u8>>::new());
    assert_eq!(rig.net.faults().refused, 6);
    rig.assert_works();
}

#[test]
fn a_full_ring_says_so_and_goes_on() {
    let offer = Offer {
        eager: false,
        ..Offer::default()
    };
    let mut rig = Rig::with(INCOHERENT, offer, Options::default());
    rig.connect(Partner::GIGABIT);
    let frame = [7; 200];
    let mut tags = Vec::new();
    for _ in 0..700 {
        // Three descriptors a frame: the copied head, what is left of that piece, the other one.
        while let Ok(tag) = rig.submit(&frame, &[(64, 100), (0, 100)], None) {
            tags.push(tag);
        }
        assert_eq!(rig.sending(), 85);
        rig.net.commit(0);
        rig.model.run();
        rig.reap_tx().unwrap();
        assert_eq!(rig.sending(), 0);
    }
    assert_eq!(rig.returned, tags, "in order");
    assert_eq!(rig.model.take_sent().len(), tags.len());
    rig.model.assert_clean();
}

#[test]
fn frames_come_in_with_what_is_known_of_their_checksum() {
    let mut rig = Rig::up();
    let cases = [
        (udp4(STATION, 100, true), RxChecksum::Validated),
        (udp4([0xff; 6], 1472, true), RxChecksum::Validated),
        (udp4(STATION, 100, false), RxChecksum::Unknown),
        (vec![0xaa; 60], RxChecksum::Unknown),
        (
            {
                // A fragment.
                let mut frame = udp4(STATION, 100, true);
                frame[20] = 0x20;
                frame
            },
            RxChecksum::Unknown,
        ),
    ];
    for (frame, checksum) in cases {
        assert_eq!(rig.receive(&frame), (frame.clone(), checksum));
    }
    rig.model.assert_clean();
}

#[test]
fn it_receives_with_as_few_buffers_as_it_has() {
    let mut rig = Rig::new();
    rig.connect(Partner::GIGABIT);
    let frame = |n: u8| vec![n; 100];
    // Nothing is received without buffers, and nothing goes wrong.
    rig.model.arrive(frame(0));
    assert_eq!(rig.model.wire().dropped, 1);
    rig.post(3);
    assert_eq!(rig.model.buffers(), 3);
    for round in 0..200u8 {
        for n in 0..5 {
            rig.model.arrive(frame(round ^ n));
        }
        let frames = rig.reap_rx(16).unwrap();
        assert_eq!(frames.len(), 3);
        for (n, (bytes, _)) in frames.into_iter().enumerate() {
            assert_eq!(bytes, frame(round ^ n as u8));
        }
        rig.post(3);
    }
    assert_eq!(rig.net.faults().no_buffer, 400);
    rig.model.assert_clean();
}

#[test]
fn frames_without_a_buffer_are_counted_however_many() {
    let mut rig = Rig::new();
    rig.connect(Partner::GIGABIT);
    rig.post(1);
    let mut lost = 0;
    for _ in 0..3 {
        for _ in 0..0xd000 {
            rig.model.arrive(vec![1; 60]);
        }
        lost += 0xd000 - 1;
        assert_eq!(rig.reap_rx(16).unwrap().len(), 1);
        assert_eq!(rig.net.faults().no_buffer, lost);
        rig.post(1);
    }
    rig.model.assert_clean();
}

#[test]
fn no_more_is_handed_over_than_was_asked_for() {
    let mut rig = Rig::up();
    for n in 0..20 {
        rig.model.arrive(vec![n; 60]);
    }
    for _ in 0..2 {
        assert_eq!(rig.reap_rx(8).unwrap().len(), 8);
        assert!(rig.net.arm(0, false), "there is more");
    }
    assert_eq!(rig.reap_rx(8).unwrap().len(), 4);
    assert!(!rig.net.arm(0, false));
}

#[test]
fn a_buffer_too_many_is_refused() {
    let mut rig = Rig::up();
    assert_eq!(rig.post_one(4096), Err(QueueFull));
    assert_eq!(rig.posted(), 256);
    rig.assert_works();
}

#[test]
#[should_panic(expected = "room for a whole frame")]
fn a_buffer_too_short_is_a_bug() {
    let mut rig = Rig::new();
    let _ = rig.post_one(2047);
}

#[test]
fn long_frames_where_the_mtu_allows_them() {
    let options = Options {
        mtu: Options::MTU_MAX,
        ..Options::default()
    };
    let mut rig = Rig::with(INCOHERENT, Offer::default(), options);
    rig.connect(Partner::GIGABIT);
    rig.post(256);
    // With Ethernet header and VLAN tag.
    let longest = usize::from(Options::MTU_MAX) + 18;
    for len in [1514, 2000, 2048, 3000, longest] {
        let frame: Vec<u8> = (0..len).map(|i| (i / 3) as u8).collect();
        assert_eq!(rig.receive(&frame).0, frame, "{len} in");
        let sent = rig.send(&frame, &[(64, len as u32)], None);
        assert_eq!(sent, frame, "{len} out");
    }
    rig.model.arrive(vec![0; longest + 1]);
    assert_eq!(rig.reap_rx(16).unwrap(), []);
    // More than the buffers' threshold: handed over before its end.
    assert_eq!(rig.net.faults().in_parts, 1);
    rig.assert_works();
}

#[test]
fn a_frame_that_is_too_long_is_dropped_and_its_buffers_used_again() {
    let mut rig = Rig::up();
    for len in [1533, 1900, 1985, 2040, 2100, 9000] {
        rig.model.arrive(vec![3; len]);
        assert_eq!(rig.reap_rx(16).unwrap(), [], "{len} bytes");
        assert_eq!((rig.posted(), rig.model.buffers()), (256, 256));
    }
    let counters = rig.net.faults();
    // The first two fit into a buffer; the others lie in 2, 2, 2 and 5.
    assert_eq!((counters.too_long, counters.in_parts), (2, 2 + 2 + 2 + 5));
    rig.assert_works();
}

/// A long frame whose later buffers begin with what would be a status, if it were one.
#[test]
fn what_a_neighbour_sends_is_never_taken_for_a_status() {
    let mut rig = Rig::up();
    for status in [0x07d0_6000u32, 0x0fff_7fff, 0, 0x0fff_e000, 0x0050_2000] {
        let frame: Vec<u8> = status.to_le_bytes().repeat(9000 / 4);
        rig.model.arrive(frame);
        assert_eq!(rig.reap_rx(16).unwrap(), [], "{status:#x}");
        rig.assert_works();
        rig.post(1);
    }
    // Even if its parts are looked at one by one.
    rig.model.arrive(0x07d0_6000u32.to_le_bytes().repeat(9000 / 4));
    for _ in 0..10 {
        assert_eq!(rig.reap_rx(1).unwrap(), []);
    }
    rig.assert_works();
}

#[test]
fn a_coherent_controller_is_left_to_its_snooping() {
    let mut rig = Rig::with(DmaReach::ALL, Offer::default(), Options::default());
    rig.connect(Partner::GIGABIT);
    rig.post(256);
    rig.assert_works();
    assert_eq!(rig.bus.maintenance(), outrigger_bus_model::Maintenance::default());
}

#[test]
fn indices_that_cannot_be_written_are_taken_as_they_are() {
    for (receiver, transmitter) in [(1, 2), (255, 300), (40_000, 65_535)] {
        let offer = Offer {
            fixed_indices: Some((receiver, transmitter)),
            ..Offer::default()
        };
        let mut rig = Rig::with(INCOHERENT, offer, Options::default());
        rig.connect(Partner::GIGABIT);
        rig.post(200);
        for _ in 0..600 {
            rig.assert_works();
            rig.post(1);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, Vec<usize>, bool),
    Arrive(usize),
    Commit,
    Run,
    ReapTx,
    ReapRx(usize),
    Post(usize),
    Arm(bool),
    Live(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (14..1519usize, prop::collection::vec(56..1519usize, 0..4), any::<bool>())
            .prop_map(|(len, cuts, sum)| Step::Send(len, cuts, sum)),
        6 => (14..1519usize).prop_map(Step::Arrive),
        4 => Just(Step::Commit),
        4 => Just(Step::Run),
        3 => Just(Step::ReapTx),
        3 => (1..40usize).prop_map(Step::ReapRx),
        3 => (1..100usize).prop_map(Step::Post),
        2 => any::<bool>().prop_map(Step::Arm),
        1 => (1..3_000u64).prop_map(Step::Live),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order: what was committed goes out in order and whole, what arrived comes in in order
    /// and whole as long as there were buffers, every tag comes back once, and memory is used only while it is lent.
    #[test]
    fn any_order_of_things(steps in prop::collection::vec(step(), 1..150)) {
        let offer = Offer { eager: false, ..Offer::default() };
        let mut rig = Rig::with(INCOHERENT, offer, Options::default());
        rig.connect(Partner::GIGABIT);
        let mut expected_out: Vec<Vec<u8>> = Vec::new();
        let mut expected_in: std::collections::VecDeque<Vec<u8>> = Default::default();
        let mut tags: Vec<Tag> = Vec::new();
        let mut committed = 0;
        let mut serial = 0u32;
        for step in steps {
            match step {
                Step::Send(len, cuts, sum) => {
                    serial += 1;
                    let sum = sum && len >= 60;
                    let mut frame: Vec<u8> = if sum { udp4(STATION, len - 42, false) } else { vec![5; len] };
                    frame[6..10].copy_from_slice(&serial.to_le_bytes());
                    let cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < len).collect();
                    let blank = sum.then_some(BlankChecksum { start: 34, offset: 6 });
                    if let Ok(tag) = rig.submit(&frame, &pieces(len, 64, &cuts), blank) {
                        tags.push(tag);
                        if sum {
                            let right = udp4(STATION, len - 42, true);
                            frame[40..42].copy_from_slice(&right[40..42]);
                        }
                        frame.resize(len.max(60), 0);
                        expected_out.push(frame);
                    }
                }
                Step::Arrive(len) => {
                    serial += 1;
                    let mut frame = vec![9; len];
                    frame[6..10].copy_from_slice(&serial.to_le_bytes());
                    if rig.model.buffers() > 0 {
                        expected_in.push_back(frame.clone());
                    }
                    rig.model.arrive(frame);
                }
                Step::Commit => {
                    rig.net.commit(0);
                    committed = tags.len();
                }
                Step::Run => rig.model.run(),
                Step::ReapTx => rig.reap_tx().unwrap(),
                Step::ReapRx(most) => {
                    for (bytes, _) in rig.reap_rx(most).unwrap() {
                        prop_assert_eq!(Some(bytes), expected_in.pop_front());
                    }
                }
                Step::Post(count) => {
                    for _ in 0..count {
                        let _ = rig.post_one(4096);
                    }
                }
                Step::Arm(sent) => {
                    let more = rig.net.arm(0, sent);
                    prop_assert!(more || expected_in.is_empty(), "it sleeps on what it has");
                }
                Step::Live(ms) => {
                    rig.live(std::time::Duration::from_millis(ms));
                }
                Step::Restart => {
                    rig.restart();
                    let sent = rig.model.take_sent();
                    prop_assert!(sent.len() <= committed);
                    prop_assert_eq!(&sent[..], &expected_out[..sent.len()]);
                    expected_out.clear();
                    expected_in.clear();
                    tags.clear();
                    rig.returned.clear();
                    committed = 0;
                    rig.live(std::time::Duration::from_secs(3));
                }
            }
        }
        rig.net.commit(0);
        rig.model.run();
        rig.reap_tx().unwrap();
        prop_assert_eq!(&rig.returned, &tags);
        prop_assert_eq!(rig.model.take_sent(), expected_out);
        for (bytes, _) in rig.reap_rx(usize::MAX).unwrap() {
            prop_assert_eq!(Some(bytes), expected_in.pop_front());
        }
        prop_assert!(expected_in.is_empty());
        rig.model.assert_clean();
    }
}
