//! A turn is bounded, whatever guests ask for. (FakeXen's watchdog looks on in all tests; here the bounds are
//! named.)

use outrigger_xen::{IrqSet, Wake};

use crate::disk;
use crate::guest::{BARRIER, FLUSH, Guest, OKAY, Options, READ, WRITE};
use crate::world::{DD, FE, OTHER, World, vbd};

/// Pages that a turn maps at most, and unmaps but for the last request's.
const TURN_PAGES: u64 = 1024;

/// One turn as after an interrupt; how many pages it maps and unmaps, and whether there is more to do.
fn turn(world: &World) -> ([u64; 2], bool) {
    let before = world.dd.counts();
    let more = world.turn(Wake {
        events: true,
        devices: IrqSet::of(0),
        timer: false,
    });
    let done = world.dd.counts() - before;
    ([done.maps, done.unmaps], more)
}

/// 32 indirect reads of 256 segments of one sector: without persistent grants 8192 pages to map, and to
/// unmap.
#[test]
fn indirect_requests_without_persistent_grants_take_bounded_turns() {
    let mut limits = disk::limits(16_384);
    limits.max_segments = 256;
    let world = World::with(&[limits]);
    let options = Options {
        persistent: false,
        order: 1,
        ..Options::default()
    };
    let mut guests =
        [FE, OTHER].map(|domain| Guest::boot(&world, vbd(domain, 51712), "virtio0", "r", options));
    for guest in &mut guests {
        let buffers = guest.buffers(256);
        let segs: Vec<_> = buffers.iter().map(|buffer| (buffer.gref, 3, 3)).collect();
        let pages = guest.buffers(32);
        for page in &pages {
            guest.indirect(0, READ, 0, &segs, page);
        }
        guest.kick(0);
    }
    // All completions come at once.
    world.disk().held = true;
    let (mut turns, mut total) = (0, 0);
    loop {
        let ([maps, unmaps], more) = turn(&world);
        turns += 1;
        total += maps;
        // And the pages that say which.
        assert!(
            maps <= TURN_PAGES + 2 * 32,
            "{maps} pages are mapped in turn {turns}"
        );
        assert!(
            unmaps <= TURN_PAGES + 256 + 2 * 32,
            "{unmaps} pages are unmapped in turn {turns}"
        );
        if !more {
            if world.disk().in_flight() == 0 {
                break;
            }
            world.disk().release(usize::MAX);
        }
        assert!(turns < 200, "it ends");
    }
    assert!(total >= 2 * 32 * 257, "{total}");
    for guest in &mut guests {
        guest.collect();
        assert_eq!(guest.unanswered(), 0);
        guest.close(&world);
    }
    world.xen.assert_nothing_held(DD);
}

/// While as many pages are mapped as a turn may, every ring has its part.
#[test]
fn rings_that_map_much_take_turns() {
    let mut limits = disk::limits(16_384);
    limits.max_segments = 256;
    let world = World::with(&[limits]);
    let options = Options {
        persistent: false,
        ..Options::default()
    };
    let mut greedy: Vec<Guest> = (0..7)
        .map(|n| Guest::boot(&world, vbd(FE, 51712 + 16 * n), "virtio0", "r", options))
        .collect();
    let mut calm = Guest::boot(&world, vbd(OTHER, 51712), "virtio0", "r", options);
    let work: Vec<_> = greedy
        .iter()
        .map(|guest| (guest.buffers(256), guest.buffer()))
        .collect();
    let mine = calm.buffers(8);
    let mut served = 0;
    let mut asked = calm.data(0, READ, 0, &[mine[0].whole()]);
    for _ in 0..100 {
        for (guest, (buffers, page)) in greedy.iter_mut().zip(&work) {
            guest.collect();
            let segs: Vec<_> = buffers.iter().map(|buffer| (buffer.gref, 3, 3)).collect();
            while guest.unanswered() < 16 {
                guest.indirect(0, READ, 0, &segs, page);
            }
            guest.kick(0);
        }
        calm.kick(0);
        let _ = turn(&world);
        calm.collect();
        if calm.answer(asked).is_some() {
            served += 1;
            asked = calm.data(0, READ, 0, &[mine[0].whole()]);
        }
    }
    assert!(
        served >= 20,
        "served in {served} of 100 turns; two rings' pages fit a turn, and eight want some"
    );
}

/// A disk with 12,288 persistent pages goes while another guest reads.
#[test]
fn a_disk_that_goes_does_not_stop_others() {
    let world = World::new();
    let options = Options {
        queues: 3,
        order: 4,
        ..Options::default()
    };
    let mut large = Guest::boot(&world, vbd(FE, 51712), "virtio0", "r", options);
    let mut calm = Guest::boot(&world, vbd(OTHER, 51712), "virtio0", "r", Options::default());
    let page = large.buffer();
    for ring in 0..3 {
        for _ in 0..16 {
            let buffers = large.buffers(256);
            let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
            let id = large.indirect(ring, READ, 0, &segs, &page);
            assert_eq!(large.one(&world, id), OKAY);
        }
    }
    assert!(world.dd.mapped_pages() >= 12_288, "{}", world.dd.mapped_pages());
    let mine = calm.buffer();
    large.set_state(&world, 6);
    let (mut turns, mut longest, mut waits) = (0, 0, 0);
    let mut asked = calm.data(0, READ, 0, &[mine.whole()]);
    while world.dd.mapped_pages() > 200 {
        calm.kick(0);
        let ([_, unmaps], _) = turn(&world);
        // The last portions take the rings themselves along.
        assert!(unmaps <= 128 + 3 * 16, "{unmaps} pages in one turn");
        turns += 1;
        waits += 1;
        calm.collect();
        if calm.answer(asked).is_some() {
            longest = longest.max(waits);
            waits = 0;
            asked = calm.data(0, READ, 0, &[mine.whole()]);
        }
        assert!(turns < 1000, "it ends");
    }
    assert!(
        turns >= 96 && longest <= 2,
        "{turns} turns; a read has waited for {longest}"
    );
    world.advance(100);
    assert_eq!(world.state(large.device), "6");
}

/// An empty barrier comes after all writes that are under way, as in Linux's backend; a flush does not.
#[test]
fn an_empty_barrier_waits_for_earlier_writes() {
    for (operation, waits) in [(BARRIER, true), (FLUSH, false)] {
        let world = World::new();
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
        let buffer = guest.buffer();
        buffer.fill(5);
        world.disk().held = true;
        let write = guest.data(0, WRITE, 0, &[buffer.whole()]);
        let barrier = guest.data(0, operation, 0, &[]);
        let behind = guest.data(0, WRITE, 8, &[buffer.whole()]);
        guest.run(&world);
        assert_eq!(world.disk().in_flight(), if waits { 1 } else { 3 });
        if !waits {
            continue;
        }
        world.disk().release(1);
        world.settle();
        guest.collect();
        assert_eq!((guest.answer(write), guest.answer(barrier)), (Some(OKAY), None));
        world.disk().release(1);
        world.settle();
        guest.collect();
        assert_eq!(guest.answer(barrier), Some(OKAY));
        assert_eq!(
            world.disk().durable[..4096],
            crate::guest::pattern(5, 4096),
            "it is durable"
        );
        world.disk().let_go();
        world.settle();
        guest.collect();
        assert_eq!(guest.answer(behind), Some(OKAY));
    }
}
