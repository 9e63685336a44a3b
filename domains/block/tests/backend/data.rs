//! What is written is what is read, in every shape of request.

use outrigger_devices::BlockOp;

use crate::disk::{Order, SECTOR};
use crate::guest::{BARRIER, DISCARD, ERROR, FLUSH, Guest, OKAY, Options, READ, UNSUPPORTED, WRITE, pattern};
use crate::world::{FE, World, vbd};

/// The shapes in which a frontend may connect.
fn shapes() -> Vec<Options> {
    let mut shapes = Vec::new();
    for persistent in [false, true] {
        for protocol in [None, Some("x86_64-abi"), Some("x86_32-abi"), Some("arm-abi")] {
            for (queues, order, first) in [(1, 0, 0), (4, 0, 0), (1, 4, 0), (2, 1, u32::MAX - 20)] {
                shapes.push(Options {
                    persistent,
                    queues,
                    order,
                    protocol,
                    first,
                });
            }
        }
    }
    shapes
}

#[test]
fn every_shape_of_frontend_reads_what_it_wrote() {
    for options in shapes() {
        let world = World::new();
        let device = vbd(FE, 51712);
        let mut guest = Guest::boot(&world, device, "virtio0", "w", options);
        let buffers = guest.buffers(3);
        // More than any ring of a page has slots, so that indices wrap.
        for round in 0..18_u64 {
            let ring = round as usize % guest.rings.len();
            let sector = round * 88;
            for (i, buffer) in buffers.iter().enumerate() {
                buffer.fill(round * 100 + i as u64);
            }
            let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
            let id = guest.data(ring, WRITE, sector, &segs);
            assert_eq!(guest.one(&world, id), OKAY, "{options:?}");
            for buffer in &buffers {
                buffer.fill(1);
            }
            let id = guest.data(ring, READ, sector, &segs);
            assert_eq!(guest.one(&world, id), OKAY);
            for (i, buffer) in buffers.iter().enumerate() {
                assert_eq!(
                    buffer.bytes(),
                    pattern(round * 100 + i as u64, 4096),
                    "{options:?}"
                );
            }
        }
        assert_eq!(guest.unanswered(), 0);
        guest.close(&world);
        world.xen.assert_nothing_held(crate::world::DD);
    }
}

#[test]
fn partial_segments_leave_the_rest_of_the_page_alone() {
    for persistent in [false, true] {
        let world = World::new();
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let image = pattern(9, 16_384 * SECTOR);
        world.disk().data.copy_from_slice(&image);
        let buffers = guest.buffers(36);
        let mut at = 3;
        let mut ids = Vec::new();
        let mut n = 0;
        for first in 0..8_u8 {
            for last in first..8 {
                buffers[n].fill(1000 + n as u64);
                ids.push((
                    guest.data(0, READ, at, &[(buffers[n].gref, first, last)]),
                    n,
                    first,
                    last,
                    at,
                ));
                at += u64::from(last - first + 1);
                n += 1;
                if n.is_multiple_of(30) {
                    guest.run(&world);
                }
            }
        }
        guest.run(&world);
        for (id, n, first, last, at) in ids {
            assert_eq!(guest.answer(id), Some(OKAY));
            let mut expected = pattern(1000 + n as u64, 4096);
            let (from, to) = (usize::from(first) * SECTOR, (usize::from(last) + 1) * SECTOR);
            let disk = at as usize * SECTOR;
            expected[from..to].copy_from_slice(&image[disk..disk + to - from]);
            assert_eq!(
                buffers[n].bytes(),
                expected,
                "nothing outside {first}..={last} is touched"
            );
        }
    }
}

#[test]
fn indirect_requests_of_every_length() {
    for (persistent, max_segments) in [(false, 126), (true, 126), (true, 7), (false, 1), (true, 256)] {
        let world = World::new();
        world.disk().limits.max_segments = max_segments;
        let world = {
            let limits = world.disk().limits;
            World::with(&[limits])
        };
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let most: usize = world
            .node(guest.device, "feature-max-indirect-segments")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(most, 256);
        let buffers = guest.buffers(most);
        let page = guest.buffer();
        for count in [1, 2, 11, 12, 32, 33, 126, 127, 255, 256] {
            for (i, buffer) in buffers.iter().enumerate().take(count) {
                buffer.fill((count * 1000 + i) as u64);
            }
            // The first sectors of one page are not part of it.
            let mut segs: Vec<_> = buffers[..count].iter().map(|buffer| buffer.whole()).collect();
            segs[count / 2].1 = 3;
            let before = world.disk().seen.len();
            let id = guest.indirect(0, WRITE, 77, &segs, &page);
            assert_eq!(
                guest.one(&world, id),
                OKAY,
                "{count} segments, {max_segments} at once"
            );
            assert_eq!(
                world.disk().seen.len() - before,
                count.div_ceil(max_segments),
                "a large request is split"
            );
            for buffer in &buffers {
                buffer.fill(0);
            }
            let id = guest.indirect(0, READ, 77, &segs, &page);
            assert_eq!(guest.one(&world, id), OKAY);
            for (i, buffer) in buffers.iter().enumerate().take(count) {
                let mut expected = pattern((count * 1000 + i) as u64, 4096);
                if i == count / 2 {
                    expected[..3 * SECTOR].copy_from_slice(&pattern(0, 3 * SECTOR));
                }
                assert_eq!(buffer.bytes(), expected);
            }
        }
        let id = guest.indirect_raw(0, WRITE, 0, 257, page.gref, &[]);
        assert_eq!(guest.one(&world, id), ERROR, "more than was offered");
        guest.close(&world);
        world.xen.assert_nothing_held(crate::world::DD);
    }
}

#[test]
fn responses_may_come_in_any_order() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let buffers = guest.buffers(32);
    for order in [Order::Last, Order::Any(7)] {
        world.disk().order = order;
        let ids: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, buffer)| {
                buffer.fill(i as u64);
                guest.data(0, WRITE, 8 * i as u64, &[buffer.whole()])
            })
            .collect();
        guest.run(&world);
        for (i, id) in ids.into_iter().enumerate() {
            assert_eq!(guest.answer(id), Some(OKAY));
            assert_eq!(
                world.disk().data[i * 4096..(i + 1) * 4096],
                pattern(i as u64, 4096)
            );
        }
    }
}

#[test]
fn flush_is_answered_after_the_devices_own() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    assert_eq!(world.node(guest.device, "feature-flush-cache").unwrap(), "1");
    world.disk().held = true;
    let id = guest.flush(0);
    guest.run(&world);
    assert_eq!(guest.answer(id), None);
    assert_eq!(world.disk().seen.last().unwrap().op, BlockOp::Flush);
    world.disk().let_go();
    guest.run(&world);
    assert_eq!(guest.answer(id), Some(OKAY));
}

#[test]
fn a_barrier_waits_for_what_came_before_and_holds_what_comes_after() {
    for operation in [BARRIER, FLUSH] {
        let world = World::new();
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
        let buffers = guest.buffers(3);
        world.disk().held = true;
        let before = guest.data(0, WRITE, 0, &[buffers[0].whole()]);
        let barrier = guest.data(0, operation, 8, &[buffers[1].whole()]);
        let after = guest.data(0, READ, 16, &[buffers[2].whole()]);
        guest.run(&world);
        let ops = |world: &World| -> Vec<BlockOp> { world.disk().seen.iter().map(|seen| seen.op).collect() };
        let skip = ops(&world).len() - 1;
        assert_eq!(
            ops(&world)[skip..],
            [BlockOp::Write],
            "only what came before is with the device"
        );
        for expected in [
            &[BlockOp::Write, BlockOp::Flush][..],
            &[BlockOp::Write, BlockOp::Flush, BlockOp::Write],
            &[BlockOp::Write, BlockOp::Flush, BlockOp::Write, BlockOp::Flush],
        ] {
            world.disk().release(1);
            guest.run(&world);
            assert_eq!(ops(&world)[skip..], *expected);
            assert_eq!(guest.answer(before), Some(OKAY));
            assert_eq!(guest.answer(barrier), None, "only after the last flush");
        }
        world.disk().release(1);
        guest.run(&world);
        assert_eq!(guest.answer(barrier), Some(OKAY));
        assert_eq!(guest.answer(after), None);
        assert_eq!(*ops(&world).last().unwrap(), BlockOp::Read);
        world.disk().let_go();
        guest.run(&world);
        assert_eq!(guest.answer(after), Some(OKAY));
        // An empty one is a flush.
        let empty = guest.data(0, operation, 0, &[]);
        assert_eq!(guest.one(&world, empty), OKAY);
    }
}

#[test]
fn a_barrier_that_cannot_be_done_does_not_stop_the_ring() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let buffer = guest.buffer();
    let bad = guest.data(0, BARRIER, 1 << 60, &[buffer.whole()]);
    let unmappable = guest.data(0, BARRIER, 0, &[(outrigger_xen::GrantRef(99_999), 0, 7)]);
    let good = guest.data(0, BARRIER, 0, &[buffer.whole()]);
    guest.run(&world);
    assert_eq!(guest.answer(bad), Some(ERROR));
    assert_eq!(guest.answer(unmappable), Some(ERROR));
    assert_eq!(guest.answer(good), Some(OKAY));
    // A flush that the device fails ends it.
    world
        .disk()
        .failures
        .push_back(outrigger_devices::Status::IoError);
    let failed = guest.data(0, BARRIER, 0, &[buffer.whole()]);
    let next = guest.data(0, READ, 0, &[buffer.whole()]);
    guest.run(&world);
    assert_eq!(guest.answer(failed), Some(ERROR));
    assert_eq!(guest.answer(next), Some(OKAY));
}

#[test]
fn discards_are_split_and_counted() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    assert_eq!(world.node(guest.device, "feature-discard").unwrap(), "1");
    assert_eq!(world.node(guest.device, "discard-granularity").unwrap(), "4096");
    assert_eq!(world.node(guest.device, "discard-secure").unwrap(), "0");
    let image = pattern(3, 16_384 * SECTOR);
    world.disk().data.copy_from_slice(&image);
    // 64 sectors at most: 157 of them, of which 16 are in flight at a time.
    world.disk().held = true;
    let id = guest.discard(0, 100, 10_001, 0);
    guest.run(&world);
    assert_eq!(world.disk().in_flight(), 16);
    world.disk().let_go();
    guest.run(&world);
    assert_eq!(guest.answer(id), Some(OKAY));
    {
        let disk = world.disk();
        let discards: Vec<_> = disk
            .seen
            .iter()
            .filter(|seen| seen.op == BlockOp::Discard)
            .collect();
        assert_eq!(discards.len(), 10_001_usize.div_ceil(64));
        assert!(
            disk.data[100 * SECTOR..10_101 * SECTOR]
                .iter()
                .all(|byte| *byte == 0)
        );
        assert_eq!(disk.data[..100 * SECTOR], image[..100 * SECTOR]);
        assert_eq!(disk.data[10_101 * SECTOR..], image[10_101 * SECTOR..]);
    }
    let secure = guest.discard(0, 0, 8, 1);
    let empty = guest.discard(0, 0, 0, 0);
    let outside = guest.discard(0, 16_380, 8, 0);
    let wrapped = guest.discard(0, 8, u64::MAX, 0);
    guest.run(&world);
    assert_eq!(guest.answer(secure), Some(UNSUPPORTED));
    for id in [empty, outside, wrapped] {
        assert_eq!(guest.answer(id), Some(ERROR));
    }
    assert_eq!(world.counters(guest.device).discards, 1);
}

#[test]
fn a_device_that_cannot_discard_offers_none() {
    let mut limits = crate::disk::limits(1024);
    limits.max_discard_sectors = 0;
    limits.flush = false;
    let world = World::with(&[limits]);
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    assert_eq!(world.node(guest.device, "feature-discard").unwrap(), "0");
    assert_eq!(world.node(guest.device, "discard-granularity"), None);
    assert_eq!(world.node(guest.device, "feature-flush-cache").unwrap(), "0");
    assert_eq!(world.node(guest.device, "feature-barrier").unwrap(), "0");
    let id = guest.discard(0, 0, 8, 0);
    assert_eq!(guest.one(&world, id), UNSUPPORTED);
    assert_eq!(DISCARD, 5);
}

#[test]
fn large_blocks_refuse_what_is_not_aligned() {
    let mut limits = crate::disk::limits(16_384);
    limits.logical_block_size = 4096;
    let world = World::with(&[limits]);
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    assert_eq!(
        world.node(guest.device, "sectors").unwrap(),
        "16384",
        "in units of 512 bytes"
    );
    assert_eq!(world.node(guest.device, "sector-size").unwrap(), "4096");
    let buffers = guest.buffers(2);
    let good = guest.data(0, WRITE, 8, &[buffers[0].whole(), buffers[1].whole()]);
    let by_sector = guest.data(0, WRITE, 9, &[buffers[0].whole()]);
    let by_length = guest.data(0, WRITE, 8, &[(buffers[0].gref, 0, 3), (buffers[1].gref, 4, 7)]);
    let discard = guest.discard(0, 8, 9, 0);
    guest.run(&world);
    assert_eq!(guest.answer(good), Some(OKAY));
    for id in [by_sector, by_length, discard] {
        assert_eq!(guest.answer(id), Some(ERROR));
    }
}

#[test]
fn errors_of_the_device_reach_their_request_alone() {
    let world = World::new();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    use outrigger_devices::Status::{IoError, Ok, Unsupported};
    let buffers = guest.buffers(4);
    world.disk().failures.extend([Ok, IoError, Unsupported, Ok]);
    let ids: Vec<_> = buffers
        .iter()
        .map(|buffer| guest.data(0, READ, 0, &[buffer.whole()]))
        .collect();
    guest.run(&world);
    let answers: Vec<_> = ids.iter().map(|id| guest.answer(*id).unwrap()).collect();
    assert_eq!(answers, [OKAY, ERROR, UNSUPPORTED, OKAY]);
    // One failed part fails the whole, once all parts are over.
    let mut limits = crate::disk::limits(16_384);
    limits.max_segments = 1;
    let world = World::with(&[limits]);
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", Options::default());
    let buffers = guest.buffers(4);
    let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
    world.disk().failures.extend([Ok, IoError, Ok, Ok]);
    let id = guest.data(0, READ, 0, &segs);
    assert_eq!(guest.one(&world, id), ERROR);
    assert_eq!(world.disk().in_flight(), 0);
}

#[test]
fn a_faulty_device_fails_requests_and_holds_nothing() {
    for persistent in [false, true] {
        let world = World::new();
        let options = Options {
            persistent,
            ..Options::default()
        };
        let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let buffers = guest.buffers(8);
        world.disk().held = true;
        world.disk().capacity = 4;
        let ids: Vec<_> = buffers
            .iter()
            .map(|buffer| guest.data(0, WRITE, 0, &[buffer.whole()]))
            .collect();
        let barrier = guest.data(0, BARRIER, 0, &[buffers[0].whole()]);
        guest.run(&world);
        world.disk().fault = Some(outrigger_devices::DeviceFault("it lies"));
        world.disk().let_go();
        guest.run(&world);
        for id in ids.into_iter().chain([barrier]) {
            assert_eq!(guest.answer(id), Some(ERROR));
        }
        assert!(world.disk().quiesced, "no DMA into pages that are no longer its");
        let later = guest.data(0, READ, 0, &[buffers[0].whole()]);
        assert_eq!(guest.one(&world, later), ERROR);
        guest.close(&world);
        world.xen.assert_nothing_held(crate::world::DD);
    }
}
