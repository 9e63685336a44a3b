//! Whatever is sent and received, in whatever order it ends, nothing is lost, doubled or changed.

mod rig;

use outrigger_devices::{Device, DmaSegment, GsoKind, NetDevice};
use outrigger_virtio_model::{NetOffer, Order};
use outrigger_virtio_net::Options;
use proptest::prelude::*;
use rig::{Offload, Rig};

const MANY: Options = Options {
    queues: 3,
    queue_size: 256,
    max_segments: 30,
    mac: [2, 0, 0, 0, 0, 9],
};

#[derive(Clone, Debug)]
enum Step {
    Send(usize, Vec<(u32, u32)>, Offload),
    Wire(usize, usize, Offload),
    Post(usize, u32, u32),
    Commit(usize),
    Fetch,
    Complete(usize),
    ReapTx(usize),
    ReapRx(usize, usize),
    Arm(usize, bool),
}

fn offload() -> impl Strategy<Value = Offload> {
    let kind = prop_oneof![Just(GsoKind::TcpV4), Just(GsoKind::TcpV6)];
    prop_oneof![
        2 => Just(Offload::None),
        1 => Just(Offload::Valid),
        1 => Just(Offload::Blank),
        2 => (kind, 1u16..1500).prop_map(|(kind, size)| Offload::Segments(kind, size)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pair = 0usize..3;
    let first = (0u32..64, 60u32..1500);
    let more = prop::collection::vec((0u32..4000, 1u32..97), 0..9);
    let to_send = offload().prop_filter("nobody sends a checked frame", |offload| {
        *offload != Offload::Valid
    });
    prop_oneof![
        5 => (pair.clone(), first, more, to_send).prop_map(|(pair, first, mut more, offload)| {
            more.insert(0, first);
            Step::Send(pair, more, offload)
        }),
        5 => (pair.clone(), 60usize..3000, offload()).prop_map(|(pair, len, offload)| Step::Wire(pair, len, offload)),
        8 => (pair.clone(), 0u32..256, 512u32..2048).prop_map(|(pair, at, len)| Step::Post(pair, 8 * at, len)),
        3 => pair.clone().prop_map(Step::Commit),
        2 => Just(Step::Fetch),
        3 => (0usize..12).prop_map(Step::Complete),
        2 => pair.clone().prop_map(Step::ReapTx),
        3 => (pair.clone(), 0usize..9).prop_map(|(pair, most)| Step::ReapRx(pair, most)),
        1 => (pair, any::<bool>()).prop_map(|(pair, sent)| Step::Arm(pair, sent)),
    ]
}

fn offer() -> impl Strategy<Value = NetOffer> {
    let order = prop_oneof![
        Just(Order::InOrder),
        Just(Order::Reversed),
        any::<u64>().prop_map(Order::Random)
    ];
    let transport = any::<(bool, bool, bool, bool)>();
    let offloads = any::<(bool, bool, bool, [bool; 2], [bool; 2])>();
    (transport, offloads, order, 3u32..=8).prop_map(|(transport, offloads, order, size)| {
        let (indirect, event_idx, mq, control_rx) = transport;
        let (mergeable, csum, guest_csum, host_tso, guest_tso) = offloads;
        NetOffer {
            indirect,
            event_idx,
            mergeable,
            csum,
            guest_csum,
            host_tso,
            guest_tso,
            control: mq || control_rx,
            control_rx,
            pairs: mq.then_some(3),
            queue_size: 1 << size,
            order,
            ..NetOffer::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_goes_in_comes_out(offer in offer(), steps in prop::collection::vec(step(), 1..200)) {
        let mut rig = Rig::new(offer, MANY);
        rig.model.hold();
        let limits = rig.net.limits();
        let pairs = limits.queues;
        for step in steps {
            match step {
                Step::Send(pair, pieces, offload) => {
                    let _full_is_fine = rig.send(pair % pairs, &pieces, offload);
                }
                Step::Wire(pair, len, offload) => {
                    // A card that cannot merge, or cut, gets frames that fit.
                    let most = if limits.mergeable { 3000 } else { 1514 };
                    rig.wire(pair % pairs, len.min(most), offload);
                }
                Step::Post(pair, at, len) => {
                    let piece = if limits.mergeable { (at, len) } else { (at % 1024, 3072) };
                    let _full_is_fine = rig.post(pair % pairs, piece.0, piece.1);
                }
                Step::Commit(pair) => rig.net.commit(pair % pairs),
                Step::Fetch => rig.model.fetch(),
                Step::Complete(most) => {
                    rig.model.complete(most);
                }
                Step::ReapTx(pair) => {
                    rig.reap_tx(pair % pairs).expect("an honest card");
                }
                Step::ReapRx(pair, most) => {
                    rig.reap_rx(pair % pairs, most).expect("an honest card");
                }
                Step::Arm(pair, sent) => {
                    rig.net.arm(pair % pairs, sent);
                }
            }
        }
        rig.drain();
    }

    /// A card that works between any two accesses of the driver, and a driver that sleeps when it may: neither misses the
    /// other, in either direction.
    #[test]
    fn nobody_sleeps_for_ever(
        seed in any::<u64>(),
        event_idx in any::<bool>(),
        indirect in any::<bool>(),
        batches in prop::collection::vec((0usize..6, 0usize..6), 1..60),
    ) {
        let order = Order::Random(seed);
        let mut rig = Rig::new(NetOffer { event_idx, indirect, order, ..NetOffer::default() }, Options::default());
        rig.model.hold();
        rig.post_pages(0, 40);
        let model = rig.model.clone();
        let random = std::cell::Cell::new(seed | 1);
        rig.bus.race(move || {
            let mut x = random.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            random.set(x);
            match x % 16 {
                0 => model.fetch(),
                1 => { model.complete(1); }
                2 => { model.complete(3); }
                _ => {}
            }
        });
        let mut batches = batches.into_iter();
        let mut ended = false;
        while !ended || rig.sending() + rig.expected() > 0 {
            let batch = batches.next();
            ended = batch.is_none();
            let (send, receive) = batch.unwrap_or_default();
            for i in 0..send {
                let _full_is_fine = rig.send(0, &[(0, 700), (3, 200), (7, 1)][..1 + i % 3], Offload::None);
            }
            for i in 0..receive {
                rig.wire(0, 100 + 1400 * i, Offload::Blank);
            }
            rig.reap_tx(0).expect("an honest card");
            rig.reap_rx(0, 5).expect("an honest card");
            while rig.posted() < 40 {
                rig.post(0, 0, 4096).expect("room");
            }
            rig.net.commit(0);
            if rig.net.arm(0, true) || rig.sending() + rig.expected() == 0 {
                continue;
            }
            // Asleep. The card does all that it was told of.
            rig.model.run();
            prop_assert!(
                rig.model.interrupt_line(),
                "asleep with {} to send and {} to receive", rig.sending(), rig.expected()
            );
            prop_assert!(rig.net.acknowledge().completions);
            prop_assert!(!rig.model.interrupt_line());
        }
        rig.bus.calm();
        rig.drain();
    }
}

/// More than 65536 frames each way: every index wraps, and batches cross the wrap in the middle.
#[test]
fn indices_wrap() {
    for (event_idx, indirect) in [(true, true), (false, false)] {
        let offer = NetOffer {
            event_idx,
            indirect,
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.post_pages(0, 64);
        let mut done = 0;
        let mut batch = 1;
        while done < 65536 + 500 {
            for _ in 0..batch {
                rig.send(0, &[(2, 60)], Offload::None).expect("room for a batch");
                rig.wire(0, 60, Offload::None);
            }
            rig.net.commit(0);
            assert_eq!(rig.reap_tx(0), Ok(batch), "after {done}");
            assert_eq!(rig.reap_rx(0, 64), Ok((batch, batch)), "after {done}");
            rig.post_pages(0, batch);
            done += batch;
            batch = batch % 13 + 1;
        }
        // Never armed: at most the one completion in 65536 that passes where `used_event` was left, each way.
        assert!(rig.model.counters().interrupts <= 2);
        rig.drain();
    }
}

#[test]
fn a_frame_of_64_kib_either_way() {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    let mut pieces = vec![(0, 4096); 16];
    pieces.push((64, 65550 - 16 * 4096));
    let big = Offload::Segments(GsoKind::TcpV4, 1448);
    rig.send(0, &pieces, big).expect("room");
    rig.post_pages(0, 20);
    rig.wire(0, 65550, big);
    rig.wire(0, 60, Offload::Valid);
    rig.net.commit(0);
    assert_eq!(rig.reap_tx(0), Ok(1));
    // Whole frames, even where that is more than was asked for.
    assert_eq!(rig.reap_rx(0, 1), Ok((1, 17)));
    assert_eq!(rig.reap_rx(0, 1), Ok((1, 1)));
    assert_eq!(rig.reap_rx(0, 1), Ok((0, 0)));
    rig.drain();
}

#[test]
fn a_frame_waits_for_buffers_and_one_pair_does_not_wait_for_another() {
    let offer = NetOffer {
        pairs: Some(2),
        ..NetOffer::default()
    };
    let options = Options {
        queues: 2,
        ..Options::default()
    };
    let mut rig = Rig::new(offer, options);
    rig.wire(0, 60, Offload::None);
    rig.wire(1, 9000, Offload::None);
    assert_eq!(rig.reap_rx(0, 9), Ok((0, 0)));
    rig.post_pages(1, 2);
    assert_eq!(rig.reap_rx(1, 9), Ok((0, 0)), "two pages are not enough");
    rig.post_pages(1, 1);
    assert_eq!(rig.reap_rx(1, 9), Ok((1, 3)));
    rig.post_pages(0, 1);
    assert_eq!(rig.reap_rx(0, 9), Ok((1, 1)));
    rig.drain();
}

#[test]
fn queues_fill_and_empty() {
    for (indirect, frames) in [(true, 256), (false, 32)] {
        let offer = NetOffer {
            indirect,
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        for _ in 0..3 {
            let sent = (0..1000)
                .take_while(|_| rig.send(0, &[(0, 60)], Offload::Blank).is_ok())
                .count();
            assert_eq!(sent, frames);
            while rig.post(0, 0, 4096).is_ok() {}
            assert_eq!(rig.posted(), 256);
            for _ in 0..300 {
                rig.wire(0, 1000, Offload::None);
            }
            rig.drain();
        }
    }
}

#[test]
fn frames_that_the_card_never_sees() {
    let offer = NetOffer {
        csum: false,
        ..NetOffer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    let most = rig.net.limits().max_segments;
    let before = rig.model.counters();
    rig.send(0, &[], Offload::None).expect("room");
    rig.send(0, &vec![(0, 60); most + 1], Offload::None)
        .expect("room");
    rig.send(0, &[(0, 100)], Offload::Blank).expect("room");
    rig.send(0, &[(0, 4000)], Offload::Segments(GsoKind::TcpV4, 1448))
        .expect("room");
    assert!(rig.net.arm(0, true), "they are over already");
    rig.net.commit(0);
    assert_eq!(rig.model.counters().doorbells, before.doorbells);
    assert_eq!(rig.reap_tx(0), Ok(4));
    assert!(!rig.net.arm(0, true));
    assert_eq!(rig.model.counters().completed, before.completed);
    // Their number is bounded.
    let room = (0..1000)
        .take_while(|_| rig.send(0, &[], Offload::None).is_ok())
        .count();
    assert_eq!(room, 256);
    rig.drain();
}

/// Posts so many bytes at the start of the page that the tag names, or at `offset` in another.
fn post_astray(own: bool, offset: u32, len: u32) {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    let tag = rig.post(0, 0, 4096).expect("room");
    let (_, segment) = rig.segments(&[tag])[0];
    let other = rig.bus.data_page().page.segment(offset, 1).expect("a byte");
    let segment = DmaSegment {
        len,
        ..if own { segment } else { other }
    };
    let _panics = rig.net.post(0, tag, segment);
}

#[test]
#[should_panic(expected = "the page that its tag names")]
fn a_buffer_of_another_page_is_our_own_bug() {
    post_astray(false, 0, 4096);
}

#[test]
#[should_panic(expected = "the page that its tag names")]
fn a_buffer_past_its_page_is_our_own_bug() {
    post_astray(true, 0, 4104);
}

#[test]
#[should_panic(expected = "the page that its tag names")]
fn a_buffer_without_room_for_a_header_is_our_own_bug() {
    post_astray(true, 0, 11);
}
