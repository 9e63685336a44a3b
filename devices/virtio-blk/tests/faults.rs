//! A device that lies, fails or goes away.

mod rig;

use outrigger_devices::{BlockDevice, BlockOp, Device, DeviceFault, Interrupt, QueueFull, Status};
use outrigger_virtio_blk::Options;
use outrigger_virtio_model::{Fault, Offer, Order};
use rig::{Rig, pages};

/// Three reads, of which the device treats the first that ends with `fault`.
fn three_reads(fault: Fault, order: Order) -> Rig {
    let mut rig = Rig::new(
        Offer {
            order,
            ..Offer::default()
        },
        Options::default(),
    );
    rig.model.inject(fault);
    for i in 0..3 {
        rig.transfer(0, BlockOp::Read, 8 * i, &pages(1)).expect("room");
    }
    rig.disk.commit(0);
    rig
}

/// The device is faulty, off, and takes nothing more; and comes back by a restart.
fn dead_and_back(mut rig: Rig, fault: DeviceFault) {
    assert!(
        !rig.model.is_live(),
        "a faulty device is reset before anyone is told"
    );
    let (completions, again) = rig.reap_raw(0);
    assert_eq!((completions.len(), again), (0, Err(fault)), "a fault stays");
    rig.forget();
    assert_eq!(rig.transfer(0, BlockOp::Read, 0, &pages(1)), Err(QueueFull));
    assert_eq!(rig.dataless(0, BlockOp::Flush, 0, 0), Err(QueueFull));
    assert_eq!(rig.dataless(0, BlockOp::Discard, 0, u64::MAX), Err(QueueFull));
    let doorbells = rig.model.counters().doorbells;
    rig.disk.commit(0);
    assert_eq!(rig.model.counters().doorbells, doorbells);
    assert!(!rig.disk.arm(0));
    rig.model.assert_clean();

    let left = rig.pool.left();
    let mut rig = rig.restart().expect("a device that was reset");
    assert_eq!(rig.pool.left(), left, "a restart takes no memory");
    for round in 0..300 {
        let op = if round % 2 == 0 {
            BlockOp::Write
        } else {
            BlockOp::Read
        };
        rig.transfer(0, op, 3 * (round / 2), &[(0, 1), (5, 2)])
            .expect("room");
        if round % 50 == 0 {
            rig.drain();
        }
        rig.disk.commit(0);
        rig.reap(0).expect("an honest device");
    }
    rig.drain();
}

fn is_faulty(fault: Fault) {
    for order in [Order::InOrder, Order::Reversed] {
        let mut rig = three_reads(fault, order);
        let (completions, result) = rig.reap_raw(0);
        let found = result.expect_err("a lie is found out");
        assert!(completions.iter().all(|c| c.status == Status::Ok));
        dead_and_back(rig, found);
    }
}

#[test]
fn used_ids_that_are_not_in_flight() {
    for id in [3, 127, 128, 256, 65535, 65536, u32::MAX, 0x8000_0000] {
        is_faulty(Fault::UsedId(id));
    }
}

#[test]
fn one_id_instead_of_another() {
    // In flight, so it is taken for what it says it is; what it says of the other is a completion of nothing.
    for id in [1, 2] {
        let mut rig = three_reads(Fault::UsedId(id), Order::InOrder);
        let (completions, result) = rig.reap_raw(0);
        // Its status may be written (all three were performed), but it ends once only.
        assert!(completions.len() < 3);
        dead_and_back(rig, result.expect_err("the second completion of one request"));
    }
}

#[test]
fn a_completion_twice() {
    is_faulty(Fault::Twice);
}

#[test]
fn indices_that_jump() {
    for by in [1, 100, 127, 128, 256, 32767, 65000] {
        is_faulty(Fault::IndexJump(by));
    }
}

#[test]
fn more_bytes_than_there_was_room_for() {
    for by in [1, 4096, i32::MAX] {
        is_faulty(Fault::UsedLenOff(by));
    }
}

#[test]
fn a_status_that_does_not_exist_or_never_came() {
    for status in [3, 0x7f, 0xff] {
        is_faulty(Fault::Status(status));
    }
    is_faulty(Fault::NoStatus);
}

#[test]
fn stale_status_of_an_earlier_request_is_no_success() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    for _ in 0..300 {
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.disk.commit(0);
        assert_eq!(rig.reap(0), Ok(1));
    }
    rig.model.inject(Fault::NoStatus);
    rig.transfer(0, BlockOp::Write, 8, &pages(1)).expect("room");
    rig.disk.commit(0);
    let (completions, result) = rig.reap_raw(0);
    assert!(completions.is_empty() && result.is_err());
}

#[test]
fn errors_of_one_request_are_its_own() {
    for (status, expected) in [(1, Status::IoError), (2, Status::Unsupported)] {
        let mut rig = three_reads(Fault::Status(status), Order::InOrder);
        let (completions, result) = rig.reap_raw(0);
        assert_eq!(result, Ok(()));
        let statuses: Vec<_> = completions.iter().map(|c| c.status).collect();
        assert_eq!(statuses, [expected, Status::Ok, Status::Ok]);
        rig.drain();
    }
}

#[test]
fn a_read_that_brought_too_little_has_failed() {
    for (by, expected) in [
        (-1, Status::Ok),
        (-2, Status::IoError),
        (-4096, Status::IoError),
        (-4097, Status::IoError),
    ] {
        let mut rig = three_reads(Fault::UsedLenOff(by), Order::InOrder);
        let (completions, result) = rig.reap_raw(0);
        assert_eq!(
            (completions[0].status, result),
            (expected, Ok(())),
            "length off by {by}"
        );
    }
    // A write's length says nothing.
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.inject(Fault::UsedLenOff(-1));
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    assert_eq!(rig.reap(0), Ok(1));
    rig.drain();
}

#[test]
fn a_device_that_asks_for_a_reset() {
    let mut rig = three_reads(Fault::Status(0), Order::InOrder);
    rig.model.need_reset();
    assert!(rig.model.interrupt_line());
    let told = rig.disk.acknowledge();
    assert!(
        told.completions && !told.config,
        "the caller is made to look: {told:?}"
    );
    let (_, result) = rig.reap_raw(0);
    dead_and_back(rig, result.expect_err("it asked for a reset"));
}

#[test]
fn a_device_that_is_gone() {
    let mut rig = three_reads(Fault::Status(0), Order::InOrder);
    rig.model.vanish();
    assert!(rig.disk.acknowledge().completions);
    let (completions, result) = rig.reap_raw(0);
    assert!(completions.is_empty() && result.is_err());
    rig.forget();
    assert_eq!(rig.transfer(0, BlockOp::Read, 0, &pages(1)), Err(QueueFull));
    assert!(!rig.disk.arm(0));
    // Its interrupt line may stay up; that costs no more than to read it.
    let before = rig.model.counters();
    for _ in 0..100 {
        assert!(!rig.disk.acknowledge().config);
    }
    let after = rig.model.counters();
    assert_eq!(after.register_reads - before.register_reads, 100);
    rig.disk.quiesce();
    assert_eq!(rig.reap(0), Ok(0), "quiesced is quiesced");
    assert!(rig.restart().is_err());
}

#[test]
fn a_device_that_never_interrupts_is_still_served_by_polling() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.silence();
    rig.model.hold();
    for i in 0..50 {
        rig.transfer(0, BlockOp::Write, i, &pages(1)).expect("room");
        rig.disk.commit(0);
        assert!(!rig.disk.arm(0));
        rig.model.run();
        assert!(!rig.model.interrupt_line());
        assert!(rig.disk.arm(0), "arming looks again");
        assert_eq!(rig.reap(0), Ok(1));
    }
    rig.drain();
}

#[test]
fn an_interrupt_for_nothing() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    let before = rig.model.counters();
    assert_eq!(rig.disk.acknowledge(), Interrupt::default());
    let after = rig.model.counters();
    assert_eq!(
        after.register_writes, before.register_writes,
        "nothing to acknowledge"
    );
    assert_eq!(rig.reap(0), Ok(0));
}

#[test]
fn quiesced_means_quiet() {
    let mut rig = three_reads(Fault::Status(0), Order::InOrder);
    rig.model.hold();
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.quiesce();
    rig.forget();
    rig.disk.commit(0);
    rig.model.run();
    assert!(!rig.model.is_live() && !rig.model.interrupt_line());
    assert_eq!(rig.reap(0), Ok(0), "everything in flight is forgotten");
    assert!(!rig.disk.arm(0));
    assert_eq!(rig.transfer(0, BlockOp::Read, 0, &pages(1)), Err(QueueFull));
    rig.model.assert_clean();
    let mut rig = rig.restart().expect("a good device");
    rig.transfer(0, BlockOp::Write, 5, &pages(2)).expect("room");
    rig.drain();
}

#[test]
fn a_quiesce_that_the_device_ignores_is_bounded() {
    let mut rig = three_reads(Fault::Status(0), Order::InOrder);
    rig.model.stick();
    rig.disk.quiesce();
    assert_eq!(rig.reap_raw(0).1, Ok(()));
    assert!(rig.model.counters().register_reads < 200_000);
}

#[test]
fn capacity_follows_the_device() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.resize(4096);
    assert!(rig.model.interrupt_line());
    let told = rig.disk.acknowledge();
    assert_eq!((told.completions, told.config), (false, true));
    assert_eq!(rig.disk.limits().sectors, 4096);
    rig.oracle.resize(4096 * 512, 0);
    rig.transfer(0, BlockOp::Write, 4088, &pages(1)).expect("room");
    rig.drain();

    // Torn between its halves: 2^32 - 1 becomes something else while being read. (The disk itself stays small.)
    rig.model.resize_torn(1000);
    assert!(rig.disk.acknowledge().config);
    assert_eq!(rig.disk.limits().sectors, 1000);

    rig.model.resize(1000);
    assert!(!rig.disk.acknowledge().config, "nothing changed");
}

#[test]
fn a_capacity_that_never_settles() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.unsettle();
    rig.model.resize(77);
    assert!(rig.disk.acknowledge().completions);
    assert!(rig.reap_raw(0).1.is_err());
}

#[test]
fn requests_that_the_device_never_sees() {
    let offer = Offer {
        flush: false,
        discard: None,
        write_zeroes: Some(100),
        size_max: Some(4096),
        ..Offer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    let most = rig.disk.limits().max_segments;
    rig.dataless(0, BlockOp::Flush, 0, 0).expect("room");
    rig.dataless(0, BlockOp::Discard, 0, 8).expect("room");
    rig.dataless(0, BlockOp::WriteZeroes { may_unmap: false }, 0, 101)
        .expect("room");
    rig.dataless(0, BlockOp::WriteZeroes { may_unmap: false }, 0, 0)
        .expect("room");
    rig.dataless(0, BlockOp::WriteZeroes { may_unmap: true }, 0, 1 << 33)
        .expect("room");
    rig.transfer(0, BlockOp::Read, 0, &[]).expect("room");
    rig.transfer(0, BlockOp::Write, 0, &pages(most + 1))
        .expect("room");
    assert!(rig.disk.arm(0), "they have ended already");
    rig.disk.commit(0);
    assert_eq!(rig.model.counters().doorbells, 0);
    assert_eq!(rig.reap(0), Ok(7));
    assert!(!rig.disk.arm(0));
    assert_eq!(rig.model.counters().completed, 0);

    // A segment longer than the device takes.
    let page = rig.bus.data_page();
    let mut segment = page.page.segment(0, 4096).expect("a page");
    segment.len = 8192;
    let request = outrigger_devices::BlockRequest {
        op: BlockOp::Read,
        sector: 0,
        sectors: 0,
        segments: &[segment],
        tag: outrigger_devices::Tag(1),
    };
    rig.disk.submit(0, &request).expect("room");
    let (completions, _) = rig.reap_raw(0);
    assert_eq!(completions[0].status, Status::IoError);

    // Their number is bounded too.
    let room = (0..1000)
        .take_while(|_| rig.dataless(0, BlockOp::Flush, 0, 0).is_ok())
        .count();
    assert_eq!(room, 128);
    assert_eq!(rig.reap(0), Ok(128));
    rig.drain();
}

#[test]
fn a_read_only_disk_refuses_writes_itself() {
    let mut rig = Rig::new(
        Offer {
            read_only: true,
            ..Offer::default()
        },
        Options::default(),
    );
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.dataless(0, BlockOp::Discard, 0, 8).expect("room");
    rig.dataless(0, BlockOp::Flush, 0, 0).expect("room");
    rig.drain();
}

#[test]
fn queues_fill_and_empty() {
    for (indirect, expected) in [(true, 128), (false, 16)] {
        let mut rig = Rig::new(
            Offer {
                indirect,
                ..Offer::default()
            },
            Options::default(),
        );
        rig.model.hold();
        for round in 0..4 {
            let count = (0..1000u64)
                .take_while(|i| {
                    rig.transfer(0, BlockOp::Write, i * 8, &pages(1 + round % 2))
                        .is_ok()
                })
                .count();
            assert_eq!(count, expected);
            rig.drain();
        }
    }
}
