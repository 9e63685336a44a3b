//! What a frame costs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use outrigger_devices::{Device, NetDevice};
use outrigger_genet_model::udp4;
use rig::{Rig, STATION};

/// Register reads and writes, and segments cleaned and invalidated, of one call.
fn cost(rig: &mut Rig, call: impl FnOnce(&mut Rig)) -> (u64, u64, u64, u64) {
    let (reads, writes) = rig.model.accesses();
    let before = rig.bus.maintenance();
    call(rig);
    let (reads_after, writes_after) = rig.model.accesses();
    let after = rig.bus.maintenance();
    (
        reads_after - reads,
        writes_after - writes,
        after.cleans - before.cleans,
        after.invalidations - before.invalidations,
    )
}

/// A rig whose descriptors have all been used before, so that the high halves of their addresses stand.
fn warm() -> Rig {
    let mut rig = Rig::up();
    let frame = udp4(STATION, 100, true);
    for _ in 0..300 {
        rig.receive(&frame);
        rig.post(1);
        rig.send(&frame, &[(64, 142)], None);
    }
    rig
}

#[test]
fn of_a_frame_to_send() {
    let mut rig = warm();
    let frame = udp4(STATION, 1000, true);
    // A small one is one descriptor, a longer one two; further pieces one each.
    let small = cost(&mut rig, |rig| {
        rig.submit(&frame[..60], &[(64, 60)], None).unwrap();
    });
    assert_eq!(small, (0, 2, 1, 0));
    let long = cost(&mut rig, |rig| {
        rig.submit(&frame, &[(64, 1042)], None).unwrap();
    });
    assert_eq!(long, (0, 4, 2, 0));
    let pieces = cost(&mut rig, |rig| {
        rig.submit(&frame, &[(64, 600), (0, 442)], None).unwrap();
    });
    assert_eq!(pieces, (0, 6, 3, 0));
    assert_eq!(cost(&mut rig, |rig| rig.net.commit(0)), (0, 1, 0, 0));
    assert_eq!(
        cost(&mut rig, |rig| rig.net.commit(0)),
        (0, 0, 0, 0),
        "nothing new"
    );
    assert_eq!(
        cost(&mut rig, |rig| rig.reap_tx().unwrap()),
        (1, 0, 0, 0),
        "all three"
    );
    assert_eq!(
        cost(&mut rig, |rig| rig.reap_tx().unwrap()),
        (0, 0, 0, 0),
        "nothing in flight"
    );
}

#[test]
fn of_a_frame_received() {
    let mut rig = warm();
    for _ in 0..10 {
        rig.model.arrive(udp4(STATION, 1000, true));
    }
    let reaped = cost(&mut rig, |rig| {
        assert_eq!(rig.reap_rx(16).unwrap().len(), 10);
    });
    assert_eq!(reaped, (1, 0, 0, 10));
    // Ten buffers, and one word for all of them.
    assert_eq!(cost(&mut rig, |rig| rig.post(10)), (0, 21, 0, 10));
}

#[test]
fn of_going_to_sleep() {
    let mut rig = warm();
    rig.net.arm(0, true);
    // It stays armed until there is an interrupt.
    assert_eq!(cost(&mut rig, |rig| assert!(!rig.net.arm(0, true))), (1, 0, 0, 0));
    rig.model.arrive(udp4(STATION, 1000, true));
    assert_eq!(
        cost(&mut rig, |rig| assert!(rig.net.acknowledge().completions)),
        (1, 2, 0, 0)
    );
    // What is there is found without arming.
    assert_eq!(cost(&mut rig, |rig| assert!(rig.net.arm(0, true))), (1, 0, 0, 0));
    rig.reap_rx(16).unwrap();
    rig.post(1);
    assert_eq!(cost(&mut rig, |rig| assert!(!rig.net.arm(0, true))), (2, 2, 0, 0));
}

#[test]
fn nothing_on_the_data_path_allocates() {
    let mut rig = warm();
    rig.net.set_filter(None);
    let now = outrigger_devices::Clock::now(&rig.model);
    let counted = allocation_counter::measure(|| {
        rig.net.commit(0);
        rig.net.reap_tx(0, &mut |_| {}).unwrap();
        rig.net.reap_rx(0, 16, &mut |_| {}).unwrap();
        rig.net.arm(0, true);
        rig.net.acknowledge();
        rig.net.tick(now);
    });
    assert_eq!(counted.count_total, 0);
}
