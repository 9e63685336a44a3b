//! What a frame costs: accesses to shared memory, doorbells, interrupts, allocations. The figures are those of
//! `devices/DESIGN.md`; a change here is a change there.

mod rig;

use outrigger_devices::{Device, DmaSegment, NetDevice, Tag, TxFrame};
use outrigger_virtio_model::{Accesses, Direction, NetHeader, NetOffer, Order};
use outrigger_virtio_net::Options;
use rig::{Offload, Rig};

const BATCH: usize = 32;

/// Shared-memory accesses while `work` runs: loads, stores, barriers.
fn accesses(rig: &mut Rig, work: impl FnOnce(&mut Rig)) -> (usize, usize, usize) {
    let before = rig.bus.accesses();
    work(rig);
    let after = rig.bus.accesses();
    let Accesses {
        loads,
        stores,
        barriers,
    } = before;
    (
        (after.loads - loads) as usize,
        (after.stores - stores) as usize,
        (after.barriers - barriers) as usize,
    )
}

#[test]
fn accesses_a_frame() {
    for indirect in [true, false] {
        let offer = NetOffer {
            indirect,
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        // To send: header 2, one segment 2, available ring 1.
        let submit = accesses(&mut rig, |rig| {
            for _ in 0..BATCH {
                rig.send(0, &[(0, 60)], Offload::Blank).expect("room");
            }
        });
        assert_eq!(submit, (0, 5 * BATCH, 0));
        // An empty buffer: descriptor 2, available ring 1.
        let post = accesses(&mut rig, |rig| {
            for _ in 0..BATCH {
                rig.post(0, 0, 4096).expect("room");
            }
        });
        assert_eq!(post, (0, 3 * BATCH, 0));
        let commit = accesses(&mut rig, |rig| rig.net.commit(0));
        assert_eq!(commit, (2, 2, 2), "a batch, each way");
        let idle = accesses(&mut rig, |rig| rig.net.commit(0));
        assert_eq!(idle, (0, 0, 0), "nothing to commit");

        for _ in 0..BATCH {
            rig.wire(0, 1514, Offload::Blank);
        }
        rig.model.run();
        // The index; each entry.
        let reap = accesses(&mut rig, |rig| assert_eq!(rig.reap_tx(0), Ok(BATCH)));
        assert_eq!(reap, (1 + BATCH, 0, 0));
        // The index; of each frame the entry and a header of two words.
        let reap = accesses(&mut rig, |rig| assert_eq!(rig.reap_rx(0, 64), Ok((BATCH, BATCH))));
        assert_eq!(reap, (1 + 3 * BATCH, 0, 0));

        let arm = accesses(&mut rig, |rig| assert!(!rig.net.arm(0, false)));
        assert_eq!(arm, (1, 1, 1));
        let arm = accesses(&mut rig, |rig| assert!(!rig.net.arm(0, true)));
        assert_eq!(arm, (2, 2, 2));
    }
}

#[test]
fn two_stores_a_segment_and_one_load_a_buffer_more() {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    let many = accesses(&mut rig, |rig| {
        rig.send(0, &[(0, 60); 18], Offload::None).expect("room");
    });
    assert_eq!(many, (0, 5 + 2 * 17, 0));
    rig.post_pages(0, 3);
    rig.wire(0, 9014, Offload::None);
    let many = accesses(&mut rig, |rig| assert_eq!(rig.reap_rx(0, 1), Ok((1, 3))));
    assert_eq!(many, (1 + 3 + 2, 0, 0));
}

#[test]
fn one_doorbell_a_batch_each_way() {
    for event_idx in [true, false] {
        let offer = NetOffer {
            event_idx,
            pairs: Some(2),
            ..NetOffer::default()
        };
        let options = Options {
            queues: 2,
            ..Options::default()
        };
        let mut rig = Rig::new(offer, options);
        for batch in [1, 2, BATCH, 200] {
            for pair in 0..2 {
                let before = rig.model.counters();
                for _ in 0..batch {
                    rig.send(pair, &[(0, 60)], Offload::None).expect("room");
                    rig.post(pair, 0, 4096).expect("room");
                }
                rig.net.commit(pair);
                rig.net.commit(pair);
                for _ in 0..batch {
                    rig.wire(pair, 60, Offload::None);
                }
                assert_eq!(rig.reap_tx(pair), Ok(batch));
                assert_eq!(rig.reap_rx(pair, 256), Ok((batch, batch)));
                let after = rig.model.counters();
                assert_eq!(after.register_writes - before.register_writes, 2);
                assert_eq!(after.doorbells - before.doorbells, 2);
                assert_eq!(after.register_reads, before.register_reads);
            }
        }
        rig.drain();
    }
}

#[test]
fn interrupts_come_when_armed_and_only_then() {
    for event_idx in [true, false] {
        let offer = NetOffer {
            event_idx,
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        for _ in 0..20 {
            // Polling: none.
            let before = rig.model.counters();
            rig.post_pages(0, 40);
            for _ in 0..40 {
                rig.send(0, &[(0, 60)], Offload::None).expect("room");
                rig.net.commit(0);
                rig.wire(0, 60, Offload::None);
                rig.reap_tx(0).expect("an honest card");
                rig.reap_rx(0, 1).expect("an honest card");
            }
            assert_eq!(rig.model.counters().interrupts, before.interrupts);
            // Armed for what is received: what was sent does not interrupt.
            rig.post_pages(0, 2);
            assert!(!rig.net.arm(0, false));
            rig.send(0, &[(0, 60)], Offload::None).expect("room");
            rig.net.commit(0);
            assert_eq!(rig.model.counters().interrupts, before.interrupts);
            rig.wire(0, 60, Offload::None);
            assert_eq!(rig.model.counters().interrupts, before.interrupts + 1);
            assert!(rig.net.acknowledge().completions && !rig.model.interrupt_line());
            assert_eq!((rig.reap_tx(0), rig.reap_rx(0, 9)), (Ok(1), Ok((1, 1))));
            // Armed for both.
            assert!(!rig.net.arm(0, true));
            for _ in 0..40 {
                rig.send(0, &[(0, 60)], Offload::None).expect("room");
            }
            rig.net.commit(0);
            assert_eq!(rig.model.counters().interrupts, before.interrupts + 2);
            let before = rig.model.counters();
            let told = rig.net.acknowledge();
            assert!(told.completions && !told.config);
            let after = rig.model.counters();
            assert_eq!(after.register_reads - before.register_reads, 1);
            assert_eq!(after.register_writes - before.register_writes, 1);
            assert_eq!(rig.reap_tx(0), Ok(40));
            rig.wire(0, 60, Offload::None);
            rig.model.run();
            rig.net.acknowledge();
            assert_eq!(rig.reap_rx(0, 9), Ok((1, 1)));
        }
        rig.drain();
    }
}

#[test]
fn the_data_path_allocates_nothing() {
    for (indirect, event_idx, mergeable) in [(true, true, true), (false, false, false)] {
        let offer = NetOffer {
            indirect,
            event_idx,
            mergeable,
            order: Order::Random(5),
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        rig.model.hold();
        let pages: Vec<_> = (0..3).map(|_| rig.bus.data_page()).collect();
        let segments: Vec<DmaSegment> = pages
            .iter()
            .map(|page| page.page.segment(512, 1024).expect("within"))
            .collect();
        for segment in &segments {
            rig.bus.lend(*segment, Direction::ToDevice);
        }
        rig.post_pages(0, 60);
        let (mut sent, mut submitted, mut received) = (0, 0, 0);
        for _ in 0..50 {
            let net = &mut rig.net;
            let submit = allocation_counter::measure(|| {
                for i in 0..200u32 {
                    let offload = if i % 3 == 0 { Offload::Blank } else { Offload::None };
                    let frame = TxFrame {
                        // Some are refused.
                        segments: &segments[..i as usize % 4],
                        checksum: offload.checksum(),
                        gso: None,
                        tag: Tag(i),
                    };
                    submitted += u32::from(net.submit(0, &frame).is_ok());
                }
                net.commit(0);
            });
            for _ in 0..8 {
                let len = if mergeable { 9000 } else { 1514 };
                rig.model.receive(0, NetHeader::default(), &vec![3; len]);
            }
            rig.model.run();
            let net = &mut rig.net;
            let mut tags = [Tag(0); 64];
            let mut count = 0;
            let reap = allocation_counter::measure(|| {
                net.arm(0, true);
                net.acknowledge();
                net.reap_tx(0, &mut |_| sent += 1).expect("an honest card");
                net.reap_rx(0, 64, &mut |buffer| {
                    tags[count] = buffer.tag;
                    count += 1;
                })
                .expect("an honest card");
            });
            received += count;
            let pages = rig.segments(&tags[..count]);
            let net = &mut rig.net;
            let post = allocation_counter::measure(|| {
                for (tag, page) in &pages {
                    net.post(0, *tag, *page).expect("room");
                }
                net.commit(0);
            });
            assert_eq!(
                (submit.count_total, reap.count_total, post.count_total),
                (0, 0, 0)
            );
        }
        assert!(sent > 500 && sent == submitted && received > 300);
        rig.model.sent();
        rig.model.assert_clean();
    }
}
