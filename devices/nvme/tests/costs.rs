//! What a request costs: accesses to shared memory, doorbells, allocations. The figures are those of `devices/DESIGN.md`; a
//! change here is a change there.

mod rig;

use outrigger_bus_model::Accesses;
use outrigger_devices::{BlockDevice, BlockOp, BlockRequest, DmaSegment, Tag};
use outrigger_devices::{Clock, Device, Instant};
use outrigger_nvme::{Options, Signal};
use outrigger_nvme_model::{Offer, Order};
use rig::{Rig, pages};

const BATCH: usize = 32;

/// Shared-memory accesses while `work` runs: loads, stores, barriers.
fn accesses(rig: &mut Rig, work: impl FnOnce(&mut Rig)) -> [u64; 3] {
    let count = |Accesses {
                     loads,
                     stores,
                     barriers,
                 }| [loads, stores, barriers];
    let before = count(rig.bus.accesses());
    work(rig);
    let after = count(rig.bus.accesses());
    std::array::from_fn(|i| after[i] - before[i])
}

#[test]
fn accesses_a_request() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.hold();
    let submit = accesses(&mut rig, |rig| {
        for i in 0..BATCH {
            rig.transfer(0, BlockOp::Read, i as u64 * 8, &pages(1))
                .expect("room");
        }
    });
    // The five words of an entry that ever change.
    assert_eq!(submit, [0, 5 * BATCH as u64, 0]);
    let commit = accesses(&mut rig, |rig| rig.disk.commit(0));
    assert_eq!(commit, [0; 3], "a doorbell is a register");
    rig.model.run();
    let reap = accesses(&mut rig, |rig| assert_eq!(rig.reap(0), Ok(BATCH)));
    // Three words of each; nothing tells that there are no more but that nothing is in flight.
    assert_eq!(reap, [3 * BATCH as u64, 0, 0]);
    assert_eq!(accesses(&mut rig, |rig| assert!(!rig.disk.arm(0))), [0; 3]);
    // One more store a page, from the second on.
    for pages_each in [2, 3, 32] {
        let stores = accesses(&mut rig, |rig| {
            rig.transfer(0, BlockOp::Write, 0, &pages(pages_each))
                .expect("room");
        });
        assert_eq!(stores, [0, 5 + (pages_each as u64 - 1), 0]);
        rig.drain();
    }
}

#[test]
fn two_register_writes_a_batch() {
    for signal in [rig::SIGNAL, Signal::Line] {
        let mut rig = Rig::signalled(Offer::default(), Options::default(), signal);
        for batch in [1, 2, BATCH, 63] {
            for queue in 0..2 {
                let before = rig.model.counters();
                for i in 0..batch {
                    rig.transfer(queue, BlockOp::Write, i as u64, &[(0, 1)])
                        .expect("room");
                }
                rig.disk.commit(queue);
                rig.disk.commit(queue);
                assert_eq!(rig.reap(queue), Ok(batch));
                let after = rig.model.counters();
                assert_eq!((after.tails - before.tails, after.heads - before.heads), (1, 1));
                assert_eq!(after.writes - before.writes, 2, "no other register");
                assert_eq!(after.reads, before.reads);
            }
        }
        // A sleep costs two more by line, and none by MSI-X.
        let before = rig.model.counters();
        rig.disk.arm(0);
        rig.disk.acknowledge();
        let extra = if signal == Signal::Line { 2 } else { 0 };
        assert_eq!(rig.model.counters().writes - before.writes, extra);
        rig.drain();
    }
}

#[test]
fn the_clock_is_not_read_while_work_gets_done() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    let first: Instant = rig.clock.now();
    for i in 1..60 {
        rig.transfer(0, BlockOp::Write, i, &[(0, 1)]).expect("room");
        rig.disk.commit(0);
    }
    assert_eq!(rig.reap(0), Ok(60));
    assert_eq!(rig.clock.now().0 - first.0, 1000, "only by the test");
    rig.drain();
}

#[test]
fn the_data_path_allocates_nothing() {
    let offer = Offer {
        order: Order::Random(5),
        ..Offer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    rig.model.hold();
    let pages: Vec<_> = (0..3).map(|_| rig.bus.data_page()).collect();
    let segments: Vec<DmaSegment> = pages
        .iter()
        .map(|page| page.page.segment(512, 1024).expect("within"))
        .collect();
    for segment in &segments {
        rig.bus.lend(*segment, outrigger_bus_model::Direction::ToDevice);
    }
    let (mut done, mut submitted, mut allocated) = (0, 0, 0);
    for _ in 0..50 {
        for i in 0..200 {
            let op = match i % 5 {
                0 => BlockOp::Flush,
                1 => BlockOp::Discard,
                2 => BlockOp::WriteZeroes { may_unmap: true },
                _ => BlockOp::Write,
            };
            let segments = if op == BlockOp::Write { &segments[..] } else { &[] };
            let request = BlockRequest {
                op,
                sector: i,
                // Some are refused.
                sectors: i % 3,
                segments,
                tag: Tag(i as u32),
            };
            let disk = &mut rig.disk;
            let submit =
                allocation_counter::measure(|| submitted += u32::from(disk.submit(0, &request).is_ok()));
            allocated += submit.count_total;
        }
        // The model allocates when it is told.
        rig.disk.commit(0);
        rig.model.run();
        let mut reaped = Vec::with_capacity(200);
        let disk = &mut rig.disk;
        let reap = allocation_counter::measure(|| {
            disk.acknowledge();
            disk.reap(0, &mut |completion| reaped.push(completion))
                .expect("an honest controller");
            disk.arm(0);
        });
        allocated += reap.count_total;
        done += reaped.len() as u32;
    }
    assert_eq!(allocated, 0);
    assert!(done > 500 && done == submitted, "{done} of {submitted}");
    rig.model.assert_clean();
}
