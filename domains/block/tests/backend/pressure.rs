//! Too little of everything: requests wait, nothing is lost, nobody starves.

use outrigger_devices::BlockOp;
use outrigger_xen::Wake;
use outrigger_xen::fake::Limits;

use crate::disk;
use crate::guest::{Guest, OKAY, Options, READ, WRITE, pattern};
use crate::world::{DD, FE, OTHER, World, vbd};

fn both() -> [Options; 2] {
    [false, true].map(|persistent| Options {
        persistent,
        ..Options::default()
    })
}

#[test]
fn a_full_device_queue_loses_nothing() {
    for options in both() {
        for (capacity, max_segments) in [(1, 126), (3, 2), (5, 1)] {
            let mut limits = disk::limits(16_384);
            limits.max_segments = max_segments;
            let world = World::with(&[limits]);
            world.disk().capacity = capacity;
            let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
            let page = guest.buffer();
            let buffers = guest.buffers(32);
            let mut ids = Vec::new();
            for (i, buffer) in buffers.iter().enumerate() {
                buffer.fill(i as u64);
                ids.push(guest.data(0, WRITE, 8 * i as u64, &[buffer.whole()]));
            }
            guest.run(&world);
            let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
            ids.push(guest.indirect(0, WRITE, 512, &segs, &page));
            ids.push(guest.flush(0));
            ids.push(guest.discard(0, 1024, 1000, 0));
            ids.push(guest.data(0, crate::guest::BARRIER, 2048, &segs[..11]));
            guest.run(&world);
            for id in ids {
                assert_eq!(
                    guest.answer(id),
                    Some(OKAY),
                    "{capacity} {max_segments} {options:?}"
                );
            }
            assert!(world.disk().most_in_flight <= capacity);
            for i in 0..32 {
                let expected = pattern(i as u64, 4096);
                assert_eq!(world.disk().data[4096 * i..][..4096], expected);
                assert_eq!(world.disk().data[512 * 512 + 4096 * i..][..4096], expected);
            }
            guest.close(&world);
            world.xen.assert_nothing_held(DD);
        }
    }
}

#[test]
fn xsa_300_no_room_to_map() {
    for options in both() {
        let world = World::new();
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let buffers = guest.buffers(64);
        let page = guest.buffer();
        // The ring, one indirect page, and a few more.
        world.dd.set_limits(Limits {
            mapped_pages: world.dd.mapped_pages() + 12,
            ..Limits::default()
        });
        for round in 0..10 {
            let mut ids: Vec<_> = buffers
                .chunks(4)
                .enumerate()
                .map(|(i, chunk)| {
                    let segs: Vec<_> = chunk.iter().map(|buffer| buffer.whole()).collect();
                    guest.data(0, READ, 32 * i as u64, &segs)
                })
                .collect();
            let segs: Vec<_> = buffers[..8].iter().map(|buffer| buffer.whole()).collect();
            ids.push(guest.indirect(0, READ, 0, &segs, &page));
            guest.kick(0);
            world.advance(500);
            guest.collect();
            for id in ids {
                assert_eq!(guest.answer(id), Some(OKAY), "round {round}: waits, never fails");
            }
        }
        world.dd.set_limits(Limits::default());
        let before = world.dd.counts();
        let id = guest.data(0, READ, 0, &[buffers[0].whole()]);
        assert_eq!(guest.one(&world, id), OKAY, "and recovers");
        assert!((world.dd.counts() - before).hypercalls <= 4);
        guest.close(&world);
        world.xen.assert_nothing_held(DD);
    }
}

#[test]
fn xsa_300_a_greedy_guest_does_not_starve_another_of_maps() {
    let world = World::new();
    let mut greedy = Guest::boot(&world, vbd(FE, 51712), "virtio0", "r", Options::default());
    let buffers = greedy.buffers(60);
    world.dd.set_limits(Limits {
        mapped_pages: world.dd.mapped_pages() + 44,
        ..Limits::default()
    });
    for chunk in buffers.chunks(10) {
        let segs: Vec<_> = chunk.iter().map(|buffer| buffer.whole()).collect();
        greedy.data(0, READ, 0, &segs);
    }
    greedy.kick(0);
    world.advance(100);
    greedy.collect();
    assert_eq!(greedy.unanswered(), 0);
    let device = vbd(OTHER, 51712);
    world.attach(device, "virtio0", "r");
    let mut modest = Guest::connect(&world, device, Options::default());
    let mine = modest.buffers(11);
    for _ in 0..20 {
        let segs: Vec<_> = mine.iter().map(|buffer| buffer.whole()).collect();
        let id = modest.data(0, READ, 0, &segs);
        modest.kick(0);
        world.advance(50);
        modest.collect();
        assert_eq!(modest.answer(id), Some(OKAY));
    }
}

#[test]
fn a_busy_ring_does_not_starve_another() {
    let world = World::new();
    let options = Options {
        order: 4,
        ..Options::default()
    };
    let mut busy = Guest::boot(&world, vbd(FE, 51712), "virtio0", "r", options);
    let mut calm = Guest::boot(&world, vbd(OTHER, 51712), "virtio0", "r", Options::default());
    let (buffer, mine) = (busy.buffer(), calm.buffer());
    for buffer in [(&mut busy, &buffer), (&mut calm, &mine)] {
        let id = buffer.0.data(0, READ, 0, &[buffer.1.whole()]);
        assert_eq!(buffer.0.one(&world, id), OKAY);
    }
    // The busy one's ring is full before each turn, and has 512 requests at the start.
    while busy.rings[0].free() > 0 {
        busy.data(0, READ, 0, &[buffer.whole()]);
    }
    busy.kick(0);
    // The first one finds the backend asleep. The next ones find it busy: nobody asked to be notified of them.
    for round in 0..5 {
        let id = calm.data(0, READ, 8, &[mine.whole()]);
        calm.kick(0);
        world.disk().seen.clear();
        for turn in 0.. {
            assert!(
                turn < 3,
                "the calm guest's request {round} is served within two turns"
            );
            world.turn(Wake {
                events: true,
                ..Wake::default()
            });
            busy.collect();
            while busy.rings[0].free() > 0 {
                busy.data(0, READ, 0, &[buffer.whole()]);
            }
            busy.kick(0);
            calm.collect();
            if calm.answer(id).is_some() {
                break;
            }
        }
        let disk = world.disk();
        let before = disk.seen.iter().position(|seen| seen.sector == 8).unwrap();
        assert!(
            before <= 128,
            "{before} of the busy one's requests came before it"
        );
    }
}

#[test]
fn discards_do_not_take_the_queue() {
    let world = World::new();
    world.disk().capacity = 32;
    let mut busy = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let mut calm = Guest::boot(&world, vbd(OTHER, 51712), "virtio0", "r", Options::default());
    let buffer = calm.buffer();
    world.disk().held = true;
    busy.discard(0, 0, 16_000, 0);
    busy.kick(0);
    world.settle();
    let id = calm.data(0, READ, 8, &[buffer.whole()]);
    calm.kick(0);
    world.settle();
    {
        let mut disk = world.disk();
        assert_eq!(
            disk.seen.last().map(|seen| seen.op),
            Some(BlockOp::Read),
            "it is with the device"
        );
        disk.let_go();
    }
    world.settle();
    calm.collect();
    busy.collect();
    assert_eq!(calm.answer(id), Some(OKAY));
    assert_eq!(busy.unanswered(), 0);
}

#[test]
fn a_request_that_waits_for_room_holds_none() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", both()[0]);
    let buffers = guest.buffers(24);
    let before = world.dd.mapped_pages();
    world.dd.set_limits(Limits {
        mapped_pages: before + 12,
        ..Limits::default()
    });
    world.disk().held = true;
    let ids: Vec<_> = buffers
        .chunks(8)
        .map(|chunk| {
            let segs: Vec<_> = chunk.iter().map(|buffer| buffer.whole()).collect();
            guest.data(0, READ, 0, &segs)
        })
        .collect();
    guest.run(&world);
    assert_eq!(world.disk().in_flight(), 1);
    assert_eq!(
        world.dd.mapped_pages(),
        before + 8,
        "two of them could deadlock each other"
    );
    world.disk().let_go();
    guest.run(&world);
    world.advance(50);
    guest.collect();
    for id in ids {
        assert_eq!(guest.answer(id), Some(OKAY));
    }
}

#[test]
fn completions_between_the_last_look_and_the_sleep_are_not_lost() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let buffers = guest.buffers(8);
    world.disk().late = true;
    for _ in 0..20 {
        let mut ids: Vec<_> = buffers
            .iter()
            .map(|buffer| guest.data(0, WRITE, 0, &[buffer.whole()]))
            .collect();
        ids.push(guest.data(0, crate::guest::BARRIER, 0, &[buffers[0].whole()]));
        guest.run(&world);
        for id in ids {
            assert_eq!(guest.answer(id), Some(OKAY));
        }
    }
}
