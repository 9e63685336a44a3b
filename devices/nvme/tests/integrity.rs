//! Whatever is asked, in whatever order it ends, the disk holds what was written.

mod rig;

use std::cell::Cell;

use outrigger_devices::{BlockDevice, BlockOp, Device};
use outrigger_nvme::{Options, Signal};
use outrigger_nvme_model::{NamespaceOffer, Offer, Order};
use proptest::prelude::*;
use rig::{Piece, Rig, SIGNAL, pages};

#[derive(Clone, Debug)]
enum Step {
    Transfer(usize, BlockOp, u64, Vec<Piece>),
    Dataless(usize, BlockOp, u64, u64),
    Commit(usize),
    Fetch,
    Complete(usize),
    Reap(usize),
    Arm(usize),
}

/// Pieces as guests have them: most follow each other, as pages of a buffer do; some do not.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let any = (0u32..8).prop_flat_map(|offset| (Just(offset), 1..=8 - offset));
    let buffer = (0u32..8, 0usize..12, 1u32..=8).prop_map(|(first, whole, last)| {
        let mut pieces = vec![(first, 8 - first)];
        pieces.extend(vec![(0, 8); whole]);
        pieces.push((0, last));
        pieces
    });
    let odd = prop::collection::vec(any, 0..12);
    prop_oneof![3 => buffer, 2 => odd]
}

fn step() -> impl Strategy<Value = Step> {
    let queue = 0usize..3;
    let data = prop_oneof![Just(BlockOp::Read), Just(BlockOp::Write)];
    let dataless = prop_oneof![
        Just(BlockOp::Flush),
        Just(BlockOp::Discard),
        any::<bool>().prop_map(|may_unmap| BlockOp::WriteZeroes { may_unmap }),
    ];
    prop_oneof![
        8 => (queue.clone(), data, 0u64..2100, pieces()).prop_map(|(q, op, s, p)| Step::Transfer(q, op, s, p)),
        2 => (queue.clone(), dataless, 0u64..2100, 0u64..90).prop_map(|(q, op, s, n)| Step::Dataless(q, op, s, n)),
        3 => queue.clone().prop_map(Step::Commit),
        2 => Just(Step::Fetch),
        3 => (0usize..12).prop_map(Step::Complete),
        3 => queue.clone().prop_map(Step::Reap),
        1 => queue.prop_map(Step::Arm),
    ]
}

fn offer() -> impl Strategy<Value = Offer> {
    let order = prop_oneof![
        Just(Order::InOrder),
        Just(Order::Reversed),
        any::<u64>().prop_map(Order::Random)
    ];
    let features = any::<(bool, bool, bool, bool, bool)>();
    (features, order, 2u32..70, 0u8..4, 0u8..4, 1u16..5).prop_map(
        |((large, read_only, cache, deallocate, write_zeroes), order, entries, mdts, stride, queues)| Offer {
            order,
            entries,
            mdts,
            stride,
            queues,
            cache,
            deallocate,
            write_zeroes,
            namespaces: vec![NamespaceOffer {
                shift: if large { 12 } else { 9 },
                blocks: if large { 256 } else { 2048 },
                read_only: read_only && cache,
                ..NamespaceOffer::default()
            }],
            ..Offer::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_disk_holds_what_was_written(offer in offer(), steps in prop::collection::vec(step(), 1..150)) {
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        let limits = rig.disk.limits();
        let align = |sector: u64| sector - sector % u64::from(limits.logical_block_size / 512);
        for step in steps {
            match step {
                Step::Transfer(queue, op, sector, pieces) => {
                    // One in four stays as it is.
                    let sector = if sector % 4 == 0 { sector } else { align(sector) };
                    let sectors = pieces.iter().map(|piece| u64::from(piece.1)).sum();
                    // Nothing orders requests that touch the same sectors.
                    if !rig.overlaps(sector, sectors) {
                        let _full_is_fine = rig.transfer(queue % limits.queues, op, sector, &pieces);
                    }
                }
                Step::Dataless(queue, op, sector, sectors) => {
                    let (sector, sectors) = (align(sector), if sectors % 4 == 0 { sectors } else { align(sectors) });
                    if op == BlockOp::Flush || !rig.overlaps(sector, sectors) {
                        let _full_is_fine = rig.dataless(queue % limits.queues, op, sector, sectors);
                    }
                }
                Step::Commit(queue) => rig.disk.commit(queue % limits.queues),
                Step::Fetch => rig.model.fetch(),
                Step::Complete(most) => {
                    rig.model.complete(most);
                }
                Step::Reap(queue) => {
                    rig.reap(queue % limits.queues).expect("an honest device");
                }
                Step::Arm(queue) => {
                    rig.disk.arm(queue % limits.queues);
                }
            }
        }
        rig.drain();
        rig.dataless(0, BlockOp::Flush, 0, 0).expect("room");
        rig.drain();
        prop_assert!(rig.model.durable(1) == rig.oracle, "a flush makes durable what was there");
    }

    /// A controller that works between any two accesses of the driver, and a driver that sleeps when it may: neither misses
    /// the other, however it interrupts.
    #[test]
    fn nobody_sleeps_for_ever(
        seed in any::<u64>(),
        signal in prop_oneof![Just(SIGNAL), Just(Signal::Line)],
        msi in any::<bool>(),
        batches in prop::collection::vec(1usize..9, 1..60),
    ) {
        let mut offer = Offer { order: Order::Random(seed), ..Offer::default() };
        if msi {
            (offer.function.msix, offer.function.msi) = (None, Some(true));
        }
        let mut rig = Rig::signalled(offer, Options::default(), signal);
        rig.model.hold();
        let model = rig.model.clone();
        let random = Cell::new(seed | 1);
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
        while !ended || rig.pending() > 0 {
            let batch = batches.next();
            ended = batch.is_none();
            for i in 0..batch.unwrap_or(0) {
                let sector = 40 * i as u64;
                if !rig.overlaps(sector, 8) {
                    let _full_is_fine = rig.transfer(0, BlockOp::Write, sector, &[(0, 1), (3, 2), (7, 1)][..1 + i % 3]);
                }
            }
            rig.disk.commit(0);
            rig.model.function().take_messages();
            rig.reap(0).expect("an honest device");
            if rig.disk.arm(0) || rig.pending() == 0 {
                continue;
            }
            // Asleep. The controller does all that it was told of.
            rig.model.run();
            let told = !rig.model.function().take_messages().is_empty() || rig.model.function().is_line_up();
            prop_assert!(told, "asleep with {} requests in flight", rig.pending());
            prop_assert!(rig.disk.acknowledge().completions);
            prop_assert!(!rig.model.function().is_line_up());
        }
        rig.bus.calm();
        rig.drain();
    }
}

/// Every identifier and index wraps many times, and the phase tag with them.
#[test]
fn indices_wrap() {
    for entries in [2, 3, 64] {
        let mut rig = Rig::new(
            Offer {
                entries,
                order: Order::Random(9),
                ..Offer::default()
            },
            Options::default(),
        );
        let mut done = 0;
        let mut batch = 1;
        while done < 5000 {
            for i in 0..batch {
                let op = if (done + i) % 3 == 0 {
                    BlockOp::Write
                } else {
                    BlockOp::Read
                };
                let sector = ((done + i) * 7 % 2000) as u64;
                rig.transfer(0, op, sector, &[(1, 1)]).expect("room for a batch");
            }
            rig.disk.commit(0);
            assert_eq!(rig.reap(0), Ok(batch), "after {done}");
            done += batch;
            batch = batch % 13.min(entries as usize - 1) + 1;
        }
        rig.drain();
    }
}

/// What a PRP list cannot name becomes several commands.
#[test]
fn requests_are_cut_where_lists_end() {
    // (pieces, commands): whole pages; a buffer that begins and ends within pages; holes; two pieces of one page that follow
    // each other.
    let cases: [(&[Piece], u64); 9] = [
        (&[(0, 8)], 1),
        (&[(3, 2)], 1),
        (&[(4, 4), (0, 8), (0, 3)], 1),
        (&[(0, 8), (1, 7)], 2),
        (&[(0, 7), (0, 8)], 2),
        (&[(2, 2), (2, 2), (2, 2)], 3),
        (&[(0, 8), (0, 4), (4, 4), (0, 8)], 2),
        (&[(7, 1), (0, 1), (7, 1), (0, 1)], 2),
        (&[(0, 8); 63], 1),
    ];
    for (pieces, commands) in cases {
        for op in [BlockOp::Write, BlockOp::Read] {
            let mut rig = Rig::new(Offer::default(), Options::default());
            rig.transfer(0, op, 11, pieces).expect("room");
            rig.drain();
            assert_eq!(rig.model.counters().completed, commands, "{pieces:?}");
        }
    }
    // MDTS of 8 KiB cuts, and never within a block of 4 KiB.
    for (shift, blocks) in [(9, 2048), (12, 256)] {
        let namespace = NamespaceOffer {
            shift,
            blocks,
            ..NamespaceOffer::default()
        };
        let offer = Offer {
            mdts: 1,
            namespaces: vec![namespace],
            ..Offer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.transfer(0, BlockOp::Write, 8, &[(4, 4), (0, 8), (0, 8), (0, 4)])
            .expect("room");
        rig.drain();
        assert_eq!(rig.model.counters().completed, 2);
    }
}

/// Segments that follow each other in one page, and segments longer than a page.
#[test]
fn neighbours_in_memory_are_one_piece() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    let page = rig.bus.data_page();
    let segments =
        [(0, 1024), (1024, 512), (1536, 2560)].map(|(at, len)| page.page.segment(at, len).expect("within"));
    for segment in &segments {
        rig.bus.lend(*segment, outrigger_bus_model::Direction::ToDevice);
    }
    rig.bus.lend(
        page.page.segment(0, 4096).expect("a page"),
        outrigger_bus_model::Direction::ToDevice,
    );
    let request = outrigger_devices::BlockRequest {
        op: BlockOp::Write,
        sector: 0,
        sectors: 0,
        segments: &segments,
        tag: outrigger_devices::Tag(1),
    };
    rig.disk.submit(0, &request).expect("room");
    rig.disk.commit(0);
    assert_eq!(rig.reap_raw(0).0.len(), 1);
    assert_eq!(rig.model.counters().completed, 1);
    rig.model.assert_clean();
}

/// All or nothing: a request that does not fit now leaves no trace.
#[test]
fn a_full_queue_takes_no_part_of_a_request() {
    let mut rig = Rig::new(
        Offer {
            entries: 8,
            ..Offer::default()
        },
        Options::default(),
    );
    rig.model.hold();
    assert_eq!(rig.disk.limits().max_segments, 7);
    // Three commands each: the third request does not fit seven.
    for i in 0..2 {
        rig.transfer(0, BlockOp::Write, 100 * i, &[(2, 2); 3])
            .expect("room");
    }
    assert!(rig.transfer(0, BlockOp::Write, 300, &[(2, 2); 3]).is_err());
    rig.transfer(0, BlockOp::Write, 400, &pages(7))
        .expect("room for one command");
    assert!(rig.transfer(0, BlockOp::Write, 500, &pages(1)).is_err());
    rig.drain();
    assert_eq!(rig.model.counters().completed, 7);
    // As many commands as there may be.
    rig.transfer(0, BlockOp::Write, 300, &[(2, 2); 7]).expect("room");
    rig.drain();
}
