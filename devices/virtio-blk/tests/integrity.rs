//! Whatever is asked, in whatever order it ends, the disk holds what was written.

mod rig;

use outrigger_devices::{BlockDevice, BlockOp, Device};
use outrigger_virtio_blk::Options;
use outrigger_virtio_model::{Offer, Order};
use proptest::prelude::*;
use rig::{Piece, Rig};

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

fn piece() -> impl Strategy<Value = Piece> {
    let small = (0u32..7).prop_flat_map(|offset| (Just(offset), 1..=2u32.min(8 - offset)));
    prop_oneof![9 => small, 1 => Just((0, 8))]
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
        8 => (queue.clone(), data, 0u64..700, prop::collection::vec(piece(), 0..18))
            .prop_map(|(q, op, sector, pieces)| Step::Transfer(q, op, sector, pieces)),
        2 => (queue.clone(), dataless, 0u64..700, 0u64..90).prop_map(|(q, op, s, n)| Step::Dataless(q, op, s, n)),
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
    let sizes = (2u32..=8, prop::option::of(1u32..20), prop::option::of(0u32..60));
    (features, order, sizes).prop_map(|(features, order, (size, seg_max, discard))| {
        let (indirect, event_idx, mq, flush, read_only) = features;
        Offer {
            indirect,
            event_idx,
            order,
            flush,
            seg_max,
            read_only: read_only && flush,
            queues: mq.then_some(3),
            queue_size: 1 << size,
            sectors: 2100,
            discard: discard.map(|most| (most, 1)),
            write_zeroes: discard,
            ..Offer::default()
        }
    })
}

/// Each queue has its own third of the disk (and a little beyond the end for the last), because nothing orders requests of
/// different queues.
fn place(queue: usize, sector: u64) -> u64 {
    700 * queue as u64 + sector
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_disk_holds_what_was_written(offer in offer(), steps in prop::collection::vec(step(), 1..150)) {
        let single = offer.queues.is_none();
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        let queues = rig.disk.limits().queues;
        for step in steps {
            match step {
                Step::Transfer(queue, op, sector, mut pieces) => {
                    let queue = queue % queues;
                    // What would reach into the next queue's third is cut off.
                    let mut room = if queue + 1 == queues { u64::MAX } else { 700 - sector };
                    pieces.retain(|piece| {
                        let fits = u64::from(piece.1) <= room;
                        room -= if fits { u64::from(piece.1) } else { 0 };
                        fits
                    });
                    let _full_is_fine = rig.transfer(queue, op, place(queue, sector), &pieces);
                }
                Step::Dataless(queue, op, sector, sectors) => {
                    let queue = queue % queues;
                    let sectors = if queue + 1 == queues { sectors } else { sectors.min(700 - sector) };
                    let _full_is_fine = rig.dataless(queue, op, place(queue, sector), sectors);
                }
                Step::Commit(queue) => rig.disk.commit(queue % queues),
                Step::Fetch => rig.model.fetch(),
                Step::Complete(most) => {
                    rig.model.complete(most);
                }
                Step::Reap(queue) => {
                    rig.reap(queue % queues).expect("an honest device");
                }
                Step::Arm(queue) => {
                    rig.disk.arm(queue % queues);
                }
            }
        }
        rig.drain();
        if single {
            let expected = if rig.disk.limits().flush { &rig.flushed } else { &rig.oracle };
            prop_assert!(rig.model.durable() == *expected, "a flush makes durable what was there");
        }
    }

    /// A device that works between any two accesses of the driver, and a driver that sleeps when it may: neither misses
    /// the other.
    #[test]
    fn nobody_sleeps_for_ever(
        seed in any::<u64>(),
        event_idx in any::<bool>(),
        indirect in any::<bool>(),
        batches in prop::collection::vec(1usize..9, 1..60),
    ) {
        let order = Order::Random(seed);
        let mut rig = Rig::new(Offer { event_idx, indirect, order, sectors: 128, ..Offer::default() }, Options::default());
        rig.model.hold();
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
        while !ended || rig.pending() > 0 {
            let batch = batches.next();
            ended = batch.is_none();
            for i in 0..batch.unwrap_or(0) {
                let _full_is_fine = rig.transfer(0, BlockOp::Write, 8 * i as u64, &[(0, 1), (3, 2), (7, 1)][..1 + i % 3]);
            }
            rig.disk.commit(0);
            rig.reap(0).expect("an honest device");
            if rig.disk.arm(0) || rig.pending() == 0 {
                continue;
            }
            // Asleep. The device does all that it was told of.
            rig.model.run();
            prop_assert!(rig.model.interrupt_line(), "asleep with {} requests in flight", rig.pending());
            prop_assert!(rig.disk.acknowledge().completions);
            prop_assert!(!rig.model.interrupt_line());
        }
        rig.bus.calm();
        rig.drain();
    }
}

/// More than 65536 requests: every index wraps, and batches cross the wrap in the middle.
#[test]
fn indices_wrap() {
    for (event_idx, indirect) in [(true, true), (true, false), (false, true)] {
        let mut rig = Rig::new(
            Offer {
                event_idx,
                indirect,
                ..Offer::default()
            },
            Options::default(),
        );
        let mut done = 0;
        let mut batch = 1;
        while done < 65536 + 1000 {
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
            batch = batch % 13 + 1;
        }
        let counters = rig.model.counters();
        assert_eq!(counters.completed, done as u64);
        // Never armed: at most the one completion in 65536 that passes where `used_event` was left.
        assert!(counters.interrupts <= 1, "{} interrupts", counters.interrupts);
        rig.drain();
    }
}
