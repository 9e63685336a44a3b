//! Devices that stop answering, or lie: reset, and everything again; and in the end an error.

use outrigger_devices::DeviceFault;

use crate::guest::{BARRIER, ERROR, Guest, OKAY, Options, READ, WRITE};
use crate::world::{DD, FE, OTHER, World, vbd};

/// Requests of all kinds that are with the device, and their ids.
fn begin(world: &World, guest: &mut Guest) -> Vec<u64> {
    let buffers = guest.buffers(24);
    let page = guest.buffer();
    buffers
        .iter()
        .zip(70..)
        .for_each(|(buffer, seed)| buffer.fill(seed));
    let segs: Vec<_> = buffers[8..].iter().map(|buffer| buffer.whole()).collect();
    let ids = vec![
        guest.data(0, WRITE, 0, &[buffers[0].whole()]),
        guest.data(0, READ, 4096, &[buffers[1].whole(), buffers[2].whole()]),
        guest.indirect(0, WRITE, 64, &segs, &page),
        guest.flush(0),
        guest.discard(0, 1024, 200, 0),
        guest.data(0, BARRIER, 16, &[buffers[3].whole()]),
        guest.data(0, WRITE, 24, &[buffers[4].whole()]),
    ];
    guest.run(world);
    assert_eq!(guest.unanswered(), ids.len());
    ids
}

#[test]
fn a_device_that_does_not_answer_is_reset_and_asked_again() {
    for persistent in [true, false] {
        let world = World::new();
        let device = vbd(FE, 51712);
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, device, "virtio0", "w", options);
        let mut other = Guest::boot(&world, vbd(OTHER, 51712), "virtio0", "r", Options::default());
        let answered = guest.flush(0);
        assert_eq!(guest.one(&world, answered), OKAY);
        world.disk().held = true;
        world.disk().restarts = 1;
        let ids = begin(&world, &mut guest);
        let buffer = other.buffer();
        let late = other.data(0, READ, 0, &[buffer.whole()]);
        other.run(&world);
        world.advance(29_000);
        assert_eq!(world.disk().restarts, 1, "it is given half a minute");
        world.advance(5_000);
        assert_eq!(world.disk().restarts, 0);
        assert_eq!(guest.unanswered(), ids.len());
        world.disk().let_go();
        world.settle();
        guest.collect();
        other.collect();
        assert!(ids.iter().all(|id| guest.answer(*id) == Some(OKAY)));
        assert_eq!(other.answer(late), Some(OKAY));
        assert_eq!(
            world.counters(device).replayed,
            6,
            "all but what waited for the barrier"
        );
        assert_eq!(world.disk().data[..4096], crate::guest::pattern(70, 4096));
        guest.close(&world);
        other.close(&world);
        world.xen.assert_nothing_held(DD);
    }
}

#[test]
fn a_device_that_never_answers_fails_what_was_asked() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    world.disk().held = true;
    world.disk().restarts = 10;
    let ids = begin(&world, &mut guest);
    world.advance(200_000);
    guest.collect();
    assert!(ids.iter().all(|id| guest.answer(*id) == Some(ERROR)));
    // Two resets, and trials after 10, 30 and 40 seconds more: each gets half a minute.
    assert_eq!(world.disk().restarts, 6);
    let device = guest.device;
    assert!(
        world
            .node(device, "statistics")
            .unwrap()
            .contains(" disk-failed=1 ")
    );
    let buffer = guest.buffer();
    let id = guest.data(0, READ, 0, &[buffer.whole()]);
    assert_eq!(guest.one(&world, id), ERROR, "it fails at once");
    // It answers again, and is tried again in due time.
    world.disk().let_go();
    world.advance(640_000);
    let id = guest.data(0, READ, 0, &[buffer.whole()]);
    assert_eq!(guest.one(&world, id), OKAY, "it serves again");
    world.advance(5000);
    assert!(!world.node(device, "statistics").unwrap().contains("disk-failed"));
    guest.close(&world);
    world.xen.assert_nothing_held(DD);
}

#[test]
fn one_that_works_slowly_is_left_alone() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    world.disk().held = true;
    let ids = begin(&world, &mut guest);
    // The barrier's flushes, and a discard in four parts.
    for _ in 0..14 {
        world.advance(25_000);
        world.disk().release(1);
        world.settle();
    }
    guest.collect();
    assert!(ids.iter().all(|id| guest.answer(*id) == Some(OKAY)));
    // Idle is no silence.
    world.advance(100_000);
    let last = guest.flush(0);
    world.disk().let_go();
    assert_eq!(guest.one(&world, last), OKAY);
}

#[test]
fn a_device_that_lied_is_reset_and_asked_again() {
    let world = World::new();
    let device = vbd(FE, 51712);
    let mut guest = Guest::boot(&world, device, "virtio0", "w", Options::default());
    world.disk().held = true;
    world.disk().restarts = 1;
    let ids = begin(&world, &mut guest);
    world.disk().fault = Some(DeviceFault("a completion of nothing"));
    world.disk().let_go();
    world.settle();
    guest.collect();
    assert!(ids.iter().all(|id| guest.answer(*id) == Some(OKAY)));
    assert!(world.counters(device).replayed > 0);
    world.advance(5000);
    let told = world.node(device, "statistics").expect("statistics");
    assert!(told.contains(" replayed=6 disk-resets=1 "), "{told}");
}

/// The domain was paused, or its processor was given to others, for longer than a device is given: that is no
/// silence of the device's, whose answers may be waiting.
#[test]
fn time_in_which_the_domain_did_not_run_is_no_silence() {
    for answers_wait in [true, false] {
        let world = World::new();
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
        let buffer = guest.buffer();
        for pause in 0..5 {
            world.disk().held = true;
            let id = guest.data(0, READ, 0, &[buffer.whole()]);
            guest.run(&world);
            world.advance(2_000);
            if answers_wait {
                world.disk().let_go();
            }
            world.xen.advance(std::time::Duration::from_secs(40));
            world.settle();
            world.advance(2_000);
            world.disk().let_go();
            world.settle();
            guest.collect();
            assert_eq!(
                guest.answer(id),
                Some(OKAY),
                "pause {pause}, answers wait: {answers_wait}"
            );
        }
        let told = world.node(guest.device, "statistics").unwrap();
        assert!(!told.contains("disk-resets"), "{told}");
    }
}

/// A device that never lets the domain sleep does not hide another one that is silent.
#[test]
fn a_busy_device_does_not_hide_a_silent_one() {
    let world = World::with(&[crate::disk::limits(16_384), crate::disk::limits(16_384)]);
    let mut busy = Guest::boot(&world, vbd(FE, 51712), "virtio0", "r", Options::default());
    let mut calm = Guest::boot(&world, vbd(OTHER, 51712), "virtio1", "r", Options::default());
    let (buffer, mine) = (busy.buffer(), calm.buffer());
    world.disks[1].borrow_mut().held = true;
    world.disks[1].borrow_mut().restarts = 1;
    calm.data(0, READ, 0, &[mine.whole()]);
    calm.run(&world);
    for _ in 0..6400 {
        busy.data(0, READ, 0, &[buffer.whole()]);
        busy.kick(0);
        world.turn(outrigger_xen::Wake {
            events: true,
            ..Default::default()
        });
        busy.collect();
        world.xen.advance(std::time::Duration::from_millis(10));
    }
    assert_eq!(world.disks[1].borrow().restarts, 0, "it was reset");
}
