//! Vbds come and go.

use crate::disk;
use crate::guest::{ERROR, Guest, OKAY, Options, READ, WRITE};
use crate::world::{DD, FE, OTHER, World, vbd};

#[test]
fn offers_and_properties() {
    let world = World::new();
    let device = vbd(FE, 51712);
    world.attach(device, "virtio0", "w");
    assert_eq!(world.state(device), "2");
    for (key, value) in [
        ("max-ring-page-order", "4"),
        ("multi-queue-max-queues", "4"),
        ("feature-max-indirect-segments", "256"),
        ("feature-persistent", "1"),
    ] {
        assert_eq!(world.node(device, key).unwrap(), value, "{key}, before state 2");
    }
    let guest = Guest::connect(&world, device, Options::default());
    for (key, value) in [
        ("sectors", "16384"),
        ("sector-size", "512"),
        ("physical-sector-size", "4096"),
        ("info", "0"),
        ("feature-flush-cache", "1"),
        ("feature-barrier", "1"),
        ("feature-persistent", "1"),
        ("discard-alignment", "0"),
    ] {
        assert_eq!(
            world.node(guest.device, key).unwrap(),
            value,
            "{key}, before state 4"
        );
    }
}

#[test]
fn a_read_only_vbd_is_never_written() {
    // XSA-142.
    let world = World::new();
    let device = vbd(FE, 51712);
    let mut guest = Guest::boot(&world, device, "virtio0", "r", Options::default());
    assert_eq!(world.node(device, "info").unwrap(), "4");
    assert_eq!(world.node(device, "feature-discard").unwrap(), "0");
    let (buffer, page) = (guest.buffer(), guest.buffer());
    let before = world.disk().data.clone();
    buffer.fill(1);
    let ids = [
        guest.data(0, WRITE, 0, &[buffer.whole()]),
        guest.indirect(0, WRITE, 0, &[buffer.whole()], &page),
        guest.discard(0, 0, 8, 0),
        guest.data(0, crate::guest::BARRIER, 0, &[buffer.whole()]),
        guest.data(0, crate::guest::FLUSH, 0, &[buffer.whole()]),
    ];
    let read = guest.data(0, READ, 0, &[buffer.whole()]);
    guest.run(&world);
    for id in ids {
        assert_eq!(guest.answer(id), Some(ERROR));
    }
    assert_eq!(guest.answer(read), Some(OKAY));
    assert_eq!(world.disk().data, before);
    assert_eq!(
        world.counters(device).refused[outrigger_blkif::Refusal::ReadOnly as usize],
        5
    );
    // A device that cannot be written makes every vbd of it read-only.
    let mut limits = disk::limits(64);
    limits.read_only = true;
    let world = World::with(&[limits]);
    let mut guest = Guest::boot(&world, device, "virtio0", "w", Options::default());
    assert_eq!(world.node(device, "info").unwrap(), "4");
    let buffer = guest.buffer();
    let id = guest.data(0, WRITE, 0, &[buffer.whole()]);
    assert_eq!(guest.one(&world, id), ERROR);
}

#[test]
fn one_writer_at_a_time() {
    let world = World::new();
    let (first, second, reader) = (vbd(FE, 51712), vbd(OTHER, 51712), vbd(OTHER, 51728));
    let guest = Guest::boot(&world, first, "virtio0", "w", Options::default());
    world.attach(second, "virtio0", "w");
    assert_eq!(world.state(second), "6");
    assert!(
        world.error(second).contains("is written by vbd 7/51712"),
        "{}",
        world.error(second)
    );
    world.attach(reader, "virtio0", "r");
    assert_eq!(world.state(reader), "2", "a reader does no harm");
    // The first one leaves; the toolstack tries again.
    world.ts.begin_detach(first);
    world.advance(50);
    guest.set_state(&world, 6);
    world.advance(2500);
    assert!(world.ts.finish_detach(first));
    world.ts.begin_detach(second);
    world.advance(2500);
    assert!(world.ts.finish_detach(second));
    world.attach(second, "virtio0", "w");
    assert_eq!(world.state(second), "2");
    // Whoever asks for it with `!`, on both sides, may share.
    let world = World::new();
    for device in [first, second] {
        world.attach(device, "virtio0", "w!");
        assert_eq!(world.state(device), "2");
    }
}

#[test]
fn wrong_nodes_are_refused_with_a_line_that_names_them() {
    for (target, mode, expected) in [
        ("", "w", "params: \"\" is no target"),
        ("/dev/sda", "w", "params: \"/dev/sda\" is no target"),
        ("virtio7", "w", "params: no device virtio7 here, only virtio0"),
        (
            "virtio0:1",
            "w",
            "params: virtio0: the disk has no partition table",
        ),
        (
            "PARTLABEL=root",
            "w",
            "params: no partition PARTLABEL=root (virtio0: the disk has no partition table)",
        ),
        ("virtio0", "x", "mode: neither r nor w"),
    ] {
        let world = World::new();
        let device = vbd(FE, 51712);
        world.attach(device, target, mode);
        assert_eq!(world.state(device), "6", "{target} {mode}");
        let error = world.error(device);
        assert!(error.contains(expected), "{error}");
        // And the domain goes on.
        let other = vbd(OTHER, 51712);
        let mut guest = Guest::boot(&world, other, "virtio0", "w", Options::default());
        let buffer = guest.buffer();
        let id = guest.data(0, READ, 0, &[buffer.whole()]);
        assert_eq!(guest.one(&world, id), OKAY);
    }
}

#[test]
fn wrong_frontend_nodes_close_that_vbd_and_hold_nothing() {
    let cases: [(&str, &str, &str); 10] = [
        ("ring-ref", "", "ring-ref"),
        ("ring-ref", "-1", "ring-ref"),
        ("ring-ref", "4294967296", "ring-ref"),
        ("ring-ref", "4294967295", "Xen refuses the grant"),
        (
            "event-channel",
            "99999",
            "event-channel: port 99999 cannot be bound",
        ),
        ("event-channel", "x", "event-channel"),
        ("protocol", "sparc-abi", "protocol: none of"),
        (
            "multi-queue-num-queues",
            "5",
            "multi-queue-num-queues: not 1 to 4",
        ),
        (
            "multi-queue-num-queues",
            "0",
            "multi-queue-num-queues: not 1 to 4",
        ),
        ("ring-page-order", "5", "ring-page-order: not 0 to 4"),
    ];
    for (key, value, expected) in cases {
        let world = World::new();
        let device = vbd(FE, 51712);
        world.attach(device, "virtio0", "w");
        let guest = Guest::publish(&world, device, Options::default());
        let fe = world.xs.by(FE);
        fe.write(&format!("{}/{key}", device.frontend_path()), value)
            .unwrap();
        world.advance(600);
        assert_ne!(world.state(device), "4", "{key}={value}");
        let error = world.error(device);
        assert!(error.contains(expected), "{key}={value}: {error}");
        guest.set_state(&world, 6);
        world.advance(100);
        world.xen.assert_nothing_held(DD);
    }
}

#[test]
fn disconnecting_awaits_what_is_in_flight_and_fails_the_rest() {
    for persistent in [false, true] {
        let world = World::new();
        let device = vbd(FE, 51712);
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, device, "virtio0", "w", options);
        let buffers = guest.buffers(8);
        world.disk().held = true;
        world.disk().capacity = 5;
        let ids: Vec<_> = buffers
            .iter()
            .map(|buffer| guest.data(0, WRITE, 0, &[buffer.whole()]))
            .collect();
        guest.run(&world);
        assert_eq!(world.disk().in_flight(), 5);
        guest.set_state(&world, 6);
        world.advance(100);
        assert_ne!(
            world.state(device),
            "6",
            "the device may still write the guest's pages"
        );
        assert!(world.dd.mapped_pages() > 0);
        world.disk().let_go();
        world.advance(100);
        assert_eq!(world.state(device), "6");
        world.xen.assert_nothing_held(DD);
        guest.collect();
        let answers: Vec<_> = ids.iter().map(|id| guest.answer(*id)).collect();
        assert!(
            answers[..5].iter().all(|answer| *answer == Some(OKAY)),
            "{answers:?}"
        );
        // One was taken and waited for the device; what was never taken is never answered.
        assert!(
            answers[5..].iter().all(|answer| *answer != Some(OKAY)),
            "{answers:?}"
        );
    }
}

#[test]
fn a_guest_killed_with_requests_in_flight() {
    for persistent in [false, true] {
        let world = World::new();
        let (device, other) = (vbd(FE, 51712), vbd(OTHER, 51712));
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, device, "virtio0", "r", options);
        let mut bystander = Guest::boot(&world, other, "virtio0", "r", options);
        let buffers = guest.buffers(8);
        world.disk().held = true;
        for buffer in &buffers {
            guest.data(0, READ, 0, &[buffer.whole()]);
        }
        guest.kick(0);
        world.settle();
        assert_eq!(world.disk().in_flight(), 8);
        world.ts.begin_destroy(device);
        world.xen.destroy(FE);
        world.advance(100);
        // The pages are still there for the device, which writes them now.
        world.disk().let_go();
        world.advance(3000);
        assert!(world.ts.finish_detach(device), "the directory is gone");
        let buffer = bystander.buffer();
        let id = bystander.data(0, READ, 8, &[buffer.whole()]);
        assert_eq!(bystander.one(&world, id), OKAY);
        bystander.close(&world);
        world.xen.assert_nothing_held(DD);
    }
}

#[test]
fn connect_and_leave_many_times() {
    // XSA-71, scaled down.
    let world = World::new();
    let device = vbd(FE, 51712);
    world.attach(device, "virtio0", "w");
    for round in 0..200 {
        let options = Options {
            persistent: round % 2 == 0,
            queues: 1 + round % 4,
            order: round % 3,
            ..Options::default()
        };
        let mut guest = Guest::connect(&world, device, options);
        let buffer = guest.buffer();
        let id = guest.data(0, READ, 0, &[buffer.whole()]);
        if round % 5 == 0 {
            // It leaves without waiting.
            guest.kick(0);
        } else {
            assert_eq!(guest.one(&world, id), OKAY);
        }
        guest.close(&world);
        world.xen.assert_nothing_held(DD);
        guest.set_state(&world, 1);
        world.advance(150);
    }
}

#[test]
fn toggling_the_state_fast_leaves_nothing_behind() {
    // XSA-350.
    let world = World::new();
    let device = vbd(FE, 51712);
    world.attach(device, "virtio0", "w");
    for round in 0..60 {
        let guest = Guest::publish(&world, device, Options::default());
        for step in 0..round % 7 {
            world.turn(outrigger_xen::Wake {
                events: step % 2 == 0,
                ..Default::default()
            });
        }
        guest.set_state(&world, 6);
        if round % 3 == 0 {
            world.settle();
        }
        guest.set_state(&world, 1);
        if round % 4 == 0 {
            world.advance(30);
        }
    }
    world
        .xs
        .by(FE)
        .write(&format!("{}/state", device.frontend_path()), "6")
        .unwrap();
    world.advance(2000);
    assert_eq!(world.state(device), "6");
    world.xen.assert_nothing_held(DD);
}

#[test]
fn resize() {
    let world = World::new();
    let device = vbd(FE, 51712);
    let mut guest = Guest::boot(&world, device, "virtio0", "w", Options::default());
    let buffer = guest.buffer();
    let beyond = guest.data(0, WRITE, 16_384, &[buffer.whole()]);
    assert_eq!(guest.one(&world, beyond), ERROR);
    world.disk().resize(16_392);
    world.advance(20);
    assert_eq!(world.node(device, "sectors").unwrap(), "16392");
    assert_eq!(world.state(device), "4");
    let within = guest.data(0, WRITE, 16_384, &[buffer.whole()]);
    assert_eq!(guest.one(&world, within), OKAY);
    world.disk().resize(1000);
    world.advance(20);
    assert_eq!(world.node(device, "sectors").unwrap(), "1000");
    let beyond = guest.data(0, WRITE, 1000, &[buffer.whole()]);
    assert_eq!(guest.one(&world, beyond), ERROR);
}

#[test]
fn several_disks() {
    let world = World::with(&[disk::limits(64), disk::limits(128)]);
    let (one, two) = (vbd(FE, 51712), vbd(FE, 51728));
    let mut first = Guest::boot(&world, one, "virtio0", "w", Options::default());
    let mut second = Guest::boot(&world, two, "virtio1", "w", Options::default());
    assert_eq!(world.node(one, "sectors").unwrap(), "64");
    assert_eq!(world.node(two, "sectors").unwrap(), "128");
    for (guest, seed) in [(&mut first, 1), (&mut second, 2)] {
        let buffer = guest.buffer();
        buffer.fill(seed);
        let id = guest.data(0, WRITE, 0, &[buffer.whole()]);
        assert_eq!(guest.one(&world, id), OKAY);
    }
    for (disk, seed) in world.disks.iter().zip([1, 2]) {
        assert_eq!(disk.borrow().data[..4096], crate::guest::pattern(seed, 4096));
    }
}

#[test]
fn silo_is_explained() {
    let world = World::new();
    world.xen.set_silo(true);
    let device = vbd(FE, 51712);
    world.attach(device, "virtio0", "w");
    Guest::publish(&world, device, Options::default());
    world.advance(600);
    assert!(
        world.error(device).contains("xsm=dummy"),
        "{}",
        world.error(device)
    );
    world.xen.assert_nothing_held(DD);
}
