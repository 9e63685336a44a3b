//! What a batch costs, exactly: golden numbers.

use outrigger_devices::DmaCounters;
use outrigger_xen::fake::Counts;
use outrigger_xen::{Instant, Wake};

use crate::guest::{Guest, OKAY, Options, READ, WRITE};
use crate::world::{FE, OTHER, World, vbd};

/// A batch of requests that is in the ring before the backend wakes; what it cost.
fn batch(world: &World, guest: &mut Guest, fill: impl FnOnce(&mut Guest) -> Vec<u64>) -> (Counts, usize) {
    // So that all of the batch completes in one go.
    world.disk().held = true;
    let ids = fill(guest);
    let (before, commits) = (world.dd.counts(), world.disk().commits);
    guest.kick(0);
    world.settle();
    world.disk().let_go();
    world.settle();
    let cost = world.dd.counts() - before;
    guest.collect();
    for id in ids {
        assert_eq!(guest.answer(id), Some(OKAY));
    }
    (cost, world.disk().commits - commits)
}

#[test]
fn thirty_two_requests_with_persistent_grants() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let buffers = guest.buffers(32);
    let write_all = |guest: &mut Guest| {
        let buffers = buffers.clone();
        batch(&world, guest, |guest| {
            buffers
                .iter()
                .map(|buffer| guest.data(0, WRITE, 0, &[buffer.whole()]))
                .collect()
        })
    };
    // The first time all pages are mapped, by one hypercall.
    assert_eq!(
        write_all(&mut guest),
        (
            Counts {
                hypercalls: 2,
                maps: 32,
                unmaps: 0,
                copies: 0,
                notifications: 1
            },
            1
        )
    );
    for _ in 0..3 {
        assert_eq!(
            write_all(&mut guest),
            (
                Counts {
                    hypercalls: 1,
                    maps: 0,
                    unmaps: 0,
                    copies: 0,
                    notifications: 1
                },
                1
            )
        );
    }
    assert_eq!(guest.events, 4, "one notification a batch");
}

#[test]
fn thirty_two_requests_without() {
    let world = World::new();
    let options = Options {
        persistent: false,
        ..Options::default()
    };
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
    let buffers = guest.buffers(64);
    for _ in 0..3 {
        let buffers = buffers.clone();
        let cost = batch(&world, &mut guest, |guest| {
            buffers
                .chunks(2)
                .map(|pair| guest.data(0, READ, 0, &[pair[0].whole(), pair[1].whole()]))
                .collect()
        });
        assert_eq!(
            cost,
            (
                Counts {
                    hypercalls: 3,
                    maps: 64,
                    unmaps: 64,
                    copies: 0,
                    notifications: 1
                },
                1
            ),
            "a map, an unmap, a notification; one doorbell"
        );
    }
}

#[test]
fn sixteen_indirect_requests_of_128_kib() {
    // Without persistent grants the pages of indirect segments, and 512 others in four hypercalls, both ways.
    for (persistent, hypercalls, maps) in [(true, 1, 0), (false, 11, 16 * 33)] {
        let world = World::new();
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let buffers = guest.buffers(512);
        let pages = guest.buffers(16);
        let mut last = None;
        for _ in 0..3 {
            let (buffers, pages) = (buffers.clone(), pages.clone());
            let cost = batch(&world, &mut guest, |guest| {
                buffers
                    .chunks(32)
                    .zip(&pages)
                    .enumerate()
                    .map(|(i, (buffers, page))| {
                        let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
                        guest.indirect(0, WRITE, 256 * i as u64, &segs, page)
                    })
                    .collect()
            });
            last = Some(cost);
        }
        assert_eq!(
            last,
            Some((
                Counts {
                    hypercalls,
                    maps,
                    unmaps: maps,
                    copies: 0,
                    notifications: 1
                },
                1
            ))
        );
    }
}

#[test]
fn two_guests_share_a_doorbell_and_each_hears_once() {
    let world = World::new();
    let mut guests = [FE, OTHER]
        .map(|frontend| Guest::boot(&world, vbd(frontend, 51712), "virtio0", "r", Options::default()));
    for round in 0..2 {
        world.disk().held = true;
        for guest in &mut guests {
            let buffer = guest.buffer();
            for _ in 0..16 {
                guest.data(0, READ, 0, &[buffer.whole()]);
            }
            guest.kick(0);
        }
        let (before, commits) = (world.dd.counts(), world.disk().commits);
        world.settle();
        world.disk().let_go();
        world.settle();
        let cost = world.dd.counts() - before;
        assert_eq!(
            (cost.notifications, world.disk().commits - commits),
            (2, 1),
            "round {round}"
        );
        for guest in &mut guests {
            guest.collect();
            assert_eq!(guest.unanswered(), 0);
        }
    }
}

#[test]
fn counters_tell_what_was_done() {
    let world = World::new();
    let device = vbd(FE, 51712);
    let mut guest = Guest::boot(&world, device, "virtio0", "w", Options::default());
    let buffers = guest.buffers(4);
    for buffer in &buffers {
        guest.data(0, WRITE, 0, &[buffer.whole()]);
        guest.data(0, READ, 0, &[(buffer.gref, 1, 2)]);
    }
    guest.data(0, READ, 1 << 40, &[buffers[0].whole()]);
    guest.flush(0);
    guest.run(&world);
    let counters = world.counters(device);
    assert_eq!(
        (
            counters.reads,
            counters.writes,
            counters.flushes,
            counters.refusals()
        ),
        (4, 4, 1, 1)
    );
    assert_eq!((counters.sectors_read, counters.sectors_written), (8, 32));
    // A page that two requests of one batch name is mapped twice before it is kept, and once unmapped.
    assert_eq!((counters.maps, counters.unmaps), (8, 4));
    world.advance(5000);
    assert_eq!(
        world.node(device, "statistics").as_deref(),
        Some(
            "reads=4 sectors-read=8 writes=4 sectors-written=32 flushes=1 barriers=0 discards=0 refused=1 errors=0 maps=8 \
             unmaps=4 notifications=1 replayed=0 restarts=0"
        )
    );
}

/// What the processor did for a device that does not reach everything is said with each of its vbds.
#[test]
fn bounces_are_told() {
    let world = World::new();
    let device = vbd(FE, 51712);
    let mut guest = Guest::boot(&world, device, "virtio0", "w", Options::default());
    let buffers = guest.buffers(1);
    guest.data(0, WRITE, 0, &[buffers[0].whole()]);
    guest.run(&world);
    world.disk().helped = DmaCounters {
        bounces: 7,
        by_hand: 3,
    };
    world.advance(5000);
    let told = world.node(device, "statistics").expect("statistics");
    assert!(
        told.ends_with(" notifications=1 replayed=0 bounced=7 by-hand=3 restarts=0"),
        "{told}"
    );
}

/// A device that may never be heard of again is looked at when it asks for that.
#[test]
fn a_device_is_looked_at_when_it_wants_to_be() {
    let world = World::new();
    let asked = Instant(123_456_789);
    let turn = |world: &World| world.block().turn(Wake::default()).deadline;
    assert_eq!(turn(&world), None);
    world.disk().deadline = Some(asked);
    assert_eq!(turn(&world), Some(asked));
}

#[test]
fn nothing_allocates_on_the_data_path() {
    assert_eq!(
        allocation_counter::measure(|| drop(vec![1])).count_total,
        1,
        "the counter counts"
    );
    for persistent in [true, false] {
        let world = World::new();
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let buffers = guest.buffers(64);
        let page = guest.buffer();
        let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
        // From the very first request on: what a ring needs it has since it was connected.
        let mut turns = 0;
        for _ in 0..20 {
            for chunk in segs.chunks(8) {
                guest.data(0, WRITE, 0, chunk);
                guest.data(0, READ, 1 << 40, chunk);
            }
            guest.indirect(0, READ, 0, &segs, &page);
            guest.flush(0);
            guest.data(0, crate::guest::BARRIER, 8, &segs[..3]);
            guest.discard(0, 512, 1000, 0);
            guest.data(0, READ, 0, &[(outrigger_xen::GrantRef(77_777), 0, 7)]);
            guest.kick(0);
            let mut more = true;
            while more {
                let allocated = allocation_counter::measure(|| {
                    let wake = Wake {
                        events: true,
                        devices: outrigger_xen::IrqSet::of(0),
                        timer: false,
                    };
                    more = world.block().turn(wake).more_work;
                });
                assert_eq!(allocated.count_total, 0, "turn {turns}, persistent {persistent}");
                turns += 1;
            }
            guest.collect();
            assert_eq!(guest.unanswered(), 0);
        }
        assert!(turns >= 20);
    }
}
