//! What a request costs: accesses to shared memory, doorbells, interrupts, allocations. The figures are those of
//! `devices/DESIGN.md`; a change here is a change there.

mod rig;

use outrigger_devices::{BlockDevice, BlockOp, BlockRequest, Device, DmaSegment, Tag};
use outrigger_virtio_blk::Options;
use outrigger_virtio_model::{Accesses, Offer, Order};
use rig::{Rig, pages};

const BATCH: usize = 32;

/// Shared-memory accesses while `work` runs.
fn accesses(rig: &mut Rig, work: impl FnOnce(&mut Rig)) -> Accesses {
    let before = rig.bus.accesses();
    work(rig);
    let after = rig.bus.accesses();
    Accesses {
        loads: after.loads - before.loads,
        stores: after.stores - before.stores,
        barriers: after.barriers - before.barriers,
    }
}

#[test]
fn accesses_a_request() {
    for indirect in [true, false] {
        let offer = Offer {
            indirect,
            ..Offer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        let batch = if indirect { BATCH } else { 16 };
        let submit = accesses(&mut rig, |rig| {
            for i in 0..batch {
                rig.transfer(0, BlockOp::Read, i as u64 * 8, &pages(1))
                    .expect("room");
            }
        });
        // Header 2, status 1, link 1, one segment 2, available ring 1.
        let expected = Accesses {
            stores: 7 * batch as u64,
            ..Accesses::default()
        };
        assert_eq!(submit, expected);

        let commit = accesses(&mut rig, |rig| rig.disk.commit(0));
        assert_eq!(
            (commit.loads, commit.stores, commit.barriers),
            (1, 1, 1),
            "a batch"
        );

        rig.model.run();
        let reap = accesses(&mut rig, |rig| assert_eq!(rig.reap(0), Ok(batch)));
        // The index before and after; entry and status of each.
        assert_eq!(
            (reap.loads, reap.stores, reap.barriers),
            (2 + 2 * batch as u64, 0, 0)
        );

        let idle = accesses(&mut rig, |rig| rig.disk.commit(0));
        assert_eq!(idle, Accesses::default(), "nothing to commit");
        let arm = accesses(&mut rig, |rig| assert!(!rig.disk.arm(0)));
        assert_eq!((arm.loads, arm.stores, arm.barriers), (1, 1, 1));
    }
}

#[test]
fn two_stores_a_segment_more() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    let one = accesses(&mut rig, |rig| {
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    });
    let many = accesses(&mut rig, |rig| {
        rig.transfer(0, BlockOp::Write, 0, &pages(32)).expect("room");
    });
    assert_eq!(many.stores, one.stores + 2 * 31);
    assert_eq!(many.loads, 0);
}

#[test]
fn one_register_write_a_batch() {
    for event_idx in [true, false] {
        let offer = Offer {
            event_idx,
            queues: Some(2),
            ..Offer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        for batch in [1, 2, BATCH, 128] {
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
                assert_eq!(after.register_writes - before.register_writes, 1);
                assert_eq!(after.doorbells - before.doorbells, 1);
                assert_eq!(after.register_reads, before.register_reads);
            }
        }
        rig.drain();
    }
}

#[test]
fn no_doorbell_for_a_device_that_looks_anyway() {
    for event_idx in [true, false] {
        let offer = Offer {
            event_idx,
            ..Offer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.drain();
        rig.model.hold();
        rig.model.poll(true);
        // With event-idx the device asked for the next one before it began to poll.
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.drain();
        let before = rig.model.counters();
        for i in 0..100 {
            rig.transfer(0, BlockOp::Write, i, &pages(1)).expect("room");
            rig.disk.commit(0);
            rig.model.run();
            assert_eq!(rig.reap(0), Ok(1));
        }
        assert_eq!(rig.model.counters().doorbells, before.doorbells);
        rig.model.poll(false);
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.drain();
        assert_eq!(rig.model.counters().doorbells, before.doorbells + 1);
    }
}

#[test]
fn interrupts_come_when_armed_and_only_then() {
    for event_idx in [true, false] {
        let offer = Offer {
            event_idx,
            ..Offer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        for _ in 0..20 {
            // Polling: none.
            let before = rig.model.counters();
            for i in 0..40 {
                rig.transfer(0, BlockOp::Write, i, &pages(1)).expect("room");
                rig.disk.commit(0);
                rig.reap(0).expect("an honest device");
            }
            assert_eq!(rig.model.counters().interrupts, before.interrupts);
            // Armed: one for a batch that ends together, whose cause takes one read and one write.
            assert!(!rig.disk.arm(0));
            for i in 0..40 {
                rig.transfer(0, BlockOp::Write, i, &pages(1)).expect("room");
            }
            rig.disk.commit(0);
            assert_eq!(rig.model.counters().interrupts, before.interrupts + 1);
            let before = rig.model.counters();
            let told = rig.disk.acknowledge();
            assert!(told.completions && !told.config && !rig.model.interrupt_line());
            let after = rig.model.counters();
            assert_eq!(after.register_reads - before.register_reads, 1);
            assert_eq!(after.register_writes - before.register_writes, 1);
            assert_eq!(rig.reap(0), Ok(40));
        }
        rig.drain();
    }
}

#[test]
fn the_data_path_allocates_nothing() {
    for (indirect, event_idx) in [(true, true), (false, false)] {
        let offer = Offer {
            indirect,
            event_idx,
            flush: true,
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
            rig.bus
                .lend(*segment, outrigger_virtio_model::Direction::ToDevice);
        }
        let mut done = 0;
        let mut submitted = 0;
        for _ in 0..50 {
            let disk = &mut rig.disk;
            let submit = allocation_counter::measure(|| {
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
                    submitted += u32::from(disk.submit(0, &request).is_ok());
                }
                disk.commit(0);
            });
            rig.model.run();
            let disk = &mut rig.disk;
            let reap = allocation_counter::measure(|| {
                disk.arm(0);
                disk.acknowledge();
                disk.reap(0, &mut |_| done += 1).expect("an honest device");
            });
            assert_eq!((submit.count_total, reap.count_total), (0, 0));
        }
        assert!(done > 500 && done == submitted);
        rig.model.assert_clean();
    }
}
