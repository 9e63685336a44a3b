//! Frontends that attack, by advisory. After each attack another guest's I/O goes on, and nothing is held.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use outrigger_blkif::Refusal;
use outrigger_ring::SharedPages;
use outrigger_xen::{Access, EventChannels, GrantRef};

use crate::disk::SECTOR;
use crate::guest::{ERROR, Guest, INDIRECT, OKAY, Options, READ, UNSUPPORTED, WRITE, pattern, segment};
use crate::world::{DD, FE, OTHER, World, vbd};

/// A hostile guest, and one that just wants to work.
struct Scene {
    world: World,
    hostile: Guest,
    victim: Guest,
}

impl Scene {
    fn new(options: Options) -> Self {
        let world = World::with(&[crate::disk::limits(16_384), crate::disk::limits(16_384)]);
        let hostile = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
        let victim = Guest::boot(&world, vbd(OTHER, 51712), "virtio1", "w", Options::default());
        Self {
            world,
            hostile,
            victim,
        }
    }

    /// The victim writes and reads back.
    fn victim_works(&mut self) {
        let buffer = self.victim.buffer();
        buffer.fill(5);
        let id = self.victim.data(0, WRITE, 64, &[buffer.whole()]);
        assert_eq!(self.victim.one(&self.world, id), OKAY);
        buffer.fill(6);
        let id = self.victim.data(0, READ, 64, &[buffer.whole()]);
        assert_eq!(self.victim.one(&self.world, id), OKAY);
        assert_eq!(buffer.bytes(), pattern(5, 4096));
    }

    /// The end of one whose hostile guest has lost its disk: the other has not noticed, nothing is held.
    fn end_closed(mut self) {
        self.victim_works();
        self.hostile.set_state(&self.world, 6);
        self.world.advance(50);
        self.victim.close(&self.world);
        self.world.xen.assert_nothing_held(DD);
    }

    /// The end: both leave, nothing is held.
    fn end(mut self) {
        self.victim_works();
        self.hostile.close(&self.world);
        self.victim.close(&self.world);
        self.world.xen.assert_nothing_held(DD);
    }
}

fn both() -> [Options; 2] {
    [false, true].map(|persistent| Options {
        persistent,
        ..Options::default()
    })
}

#[test]
fn xsa_39_indices_beyond_the_ring_close_that_vbd_alone() {
    for claimed in [33_u32, 1 << 31, u32::MAX, 0x8000_0001] {
        let scene = Scene::new(Options::default());
        scene.hostile.ring_pages[0].store_u32(0, claimed);
        scene.hostile.dom.notify(scene.hostile.ports[0]);
        scene.world.settle();
        scene.world.advance(50);
        let device = scene.hostile.device;
        assert!(matches!(&*scene.world.state(device), "5" | "6"), "it is closed");
        assert!(
            scene.world.error(device).contains("is impossible"),
            "{}",
            scene.world.error(device)
        );
        scene.end_closed();
    }
}

#[test]
fn xsa_39_indices_that_go_back_or_run_ahead_while_requests_are_in_flight() {
    let mut scene = Scene::new(Options::default());
    let buffer = scene.hostile.buffer();
    scene.world.disks[0].borrow_mut().held = true;
    for _ in 0..20 {
        scene.hostile.data(0, READ, 0, &[buffer.whole()]);
    }
    scene.hostile.kick(0);
    scene.world.settle();
    // 20 are owed: 13 more would overwrite them.
    scene.hostile.ring_pages[0].store_u32(0, 33);
    scene.hostile.dom.notify(scene.hostile.ports[0]);
    scene.world.settle();
    scene.world.advance(50);
    assert_ne!(
        scene.world.state(scene.hostile.device),
        "6",
        "not while the device has its pages"
    );
    scene.victim_works();
    scene.world.disks[0].borrow_mut().let_go();
    scene.world.advance(50);
    scene.hostile.set_state(&scene.world, 6);
    scene.world.advance(50);
    scene.victim.close(&scene.world);
    scene.world.xen.assert_nothing_held(DD);
}

#[test]
fn xsa_155_fields_that_change_between_reads() {
    for options in both() {
        let mut scene = Scene::new(options);
        let (buffers, page) = (scene.hostile.buffers(11), scene.hostile.buffer());
        let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
        for _ in 0..40 {
            let id = scene.hostile.data(0, WRITE, 0, &segs);
            let other = scene.hostile.indirect(0, WRITE, 8, &segs[..3], &page);
            for memory in [&scene.hostile.ring_pages[0], &page.page] {
                memory.record_fetches();
                // What was loaded is something else before the next load; the ring's indices stay.
                memory.before_foreign_load(|guest, at| {
                    if at > 64 {
                        guest.store_u32(at - 4, 0xffff_ffff);
                    }
                });
            }
            scene.hostile.kick(0);
            scene.world.settle();
            scene.hostile.ring_pages[0].assert_fetched_at_most_once(64..4096);
            page.page.assert_fetched_at_most_once(0..4096);
            for memory in [&scene.hostile.ring_pages[0], &page.page] {
                memory.leave_loads_alone();
            }
            scene.hostile.collect();
            assert_eq!(scene.hostile.answer(id), Some(OKAY));
            assert_eq!(scene.hostile.answer(other), Some(OKAY));
        }
        scene.end();
    }
}

#[test]
fn xsa_155_a_second_processor_scribbles_over_the_slots() {
    for options in both() {
        let mut scene = Scene::new(options);
        let (buffers, page) = (scene.hostile.buffers(4), scene.hostile.buffer());
        let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
        let seed = Rc::new(Cell::new(1_u64));
        for _ in 0..200 {
            scene.hostile.data(0, READ, 0, &segs);
            scene.hostile.indirect(0, READ, 8, &segs, &page);
            for memory in [&scene.hostile.ring_pages[0], &page.page] {
                let seed = seed.clone();
                memory.before_foreign_load(move |guest, at| {
                    // Before each load something near is rewritten: op, count, sector, reference, bounds.
                    let next = seed.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
                    seed.set(next);
                    let near = (at / 4 + (next >> 60) as usize) * 4;
                    if at >= 64 && (64..4096).contains(&near) && next >> 58 & 3 == 0 {
                        guest.store_u32(near, (next >> 20) as u32);
                    }
                });
            }
            scene.hostile.kick(0);
            scene.world.settle();
            for memory in [&scene.hostile.ring_pages[0], &page.page] {
                memory.leave_loads_alone();
            }
            // Its ids are nonsense by now; one response for each request all the same.
            let owed = scene.hostile.rings[0].pending().unwrap();
            assert_eq!(owed, 2);
            let mut words = [0; 4];
            for _ in 0..owed {
                scene.hostile.rings[0].consume(&mut words);
            }
        }
        // The disk is where it was: these were reads, or writes that went where a write may go.
        scene.end();
    }
}

#[test]
fn xsa_216_every_byte_of_a_response_is_defined() {
    // Guest::collect checks each response's padding; here the slot's old bytes are no excuse.
    for protocol in ["x86_64-abi", "x86_32-abi", "arm-abi"] {
        let options = Options {
            protocol: Some(protocol),
            ..Options::default()
        };
        let mut scene = Scene::new(options);
        let buffer = scene.hostile.buffer();
        for sector in [0, 1 << 50] {
            scene.hostile.ring_pages[0].write(64, &[0xff; 4096 - 64]);
            scene.hostile.data(0, READ, sector, &[buffer.whole()]);
            scene.hostile.run(&scene.world);
            assert_eq!(scene.hostile.unanswered(), 0);
        }
        scene.end();
    }
}

#[test]
fn xsa_229_the_same_page_in_many_segments() {
    for options in both() {
        let mut scene = Scene::new(options);
        let (buffer, page) = (scene.hostile.buffer(), scene.hostile.buffer());
        buffer.fill(3);
        let segs = [
            (buffer.gref, 0, 7),
            (buffer.gref, 2, 5),
            (buffer.gref, 3, 3),
            (buffer.gref, 0, 7),
        ];
        let id = scene.hostile.data(0, WRITE, 0, &segs);
        let many = vec![(buffer.gref, 0, 7); 256];
        let more = scene.hostile.indirect(0, READ, 0, &many, &page);
        scene.hostile.run(&scene.world);
        assert_eq!(scene.hostile.answer(id), Some(OKAY));
        assert_eq!(scene.hostile.answer(more), Some(OKAY));
        // The page of segments as data, too: it is read once and then overwritten, as the guest asked.
        let odd = scene.hostile.indirect(0, READ, 0, &[(page.gref, 0, 7)], &page);
        assert_eq!(scene.hostile.one(&scene.world, odd), OKAY);
        let image = scene.world.disks[0].borrow().data[..4096].to_vec();
        assert_eq!(image, pattern(3, 4096));
        scene.end();
    }
}

#[test]
fn xsa_361_references_that_are_no_good() {
    for options in both() {
        let mut scene = Scene::new(options);
        let others = scene.victim.buffer();
        let read_only = scene.hostile.buffer_with(Access::ReadOnly);
        let revoked = scene.hostile.buffer();
        scene.hostile.dom.revoke(revoked.gref).unwrap();
        let page = scene.hostile.dom.pages(1);
        let not_ours = scene.hostile.dom.grant(&page, 0, OTHER, Access::ReadWrite);
        let good = scene.hostile.buffer();
        for bad in [
            GrantRef(0),
            GrantRef(9_999_999),
            GrantRef(u32::MAX),
            // Another guest's number, taken in the hostile guest's own table.
            GrantRef(others.gref.0 + 500),
            revoked.gref,
            not_ours,
            read_only.gref,
        ] {
            let id = scene.hostile.data(0, READ, 0, &[(bad, 0, 7)]);
            let fine = scene.hostile.data(0, READ, 0, &[good.whole()]);
            scene.hostile.run(&scene.world);
            assert_eq!(scene.hostile.answer(id), Some(ERROR), "{bad:?}");
            assert_eq!(scene.hostile.answer(fine), Some(OKAY));
            // As an indirect page.
            if bad != read_only.gref {
                let id = scene.hostile.indirect_raw(0, READ, 0, 1, bad, &[]);
                assert_eq!(scene.hostile.one(&scene.world, id), ERROR, "{bad:?}");
            }
        }
        // A page that may only be read is good for a write to the disk, unless it is to be kept.
        let id = scene.hostile.data(0, WRITE, 0, &[read_only.whole()]);
        let expected = if options.persistent { ERROR } else { OKAY };
        assert_eq!(scene.hostile.one(&scene.world, id), expected);
        scene.end();
    }
}

#[test]
fn xsa_365_one_bad_reference_at_each_place_of_a_batch() {
    for options in both() {
        let mut scene = Scene::new(options);
        let page = scene.hostile.buffer();
        for place in 0..33 {
            let buffers = scene.hostile.buffers(33);
            let mut segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
            segs[place].0 = GrantRef(77_777);
            let before = scene.hostile.data(0, READ, 0, &[buffers[0].whole()]);
            let bad = scene.hostile.indirect(0, READ, 0, &segs, &page);
            let after = scene.hostile.data(0, READ, 8, &[buffers[32].whole()]);
            scene.hostile.run(&scene.world);
            assert_eq!(scene.hostile.answer(before), Some(OKAY));
            assert_eq!(scene.hostile.answer(bad), Some(ERROR));
            assert_eq!(scene.hostile.answer(after), Some(OKAY));
            if !options.persistent {
                for buffer in &buffers {
                    scene
                        .hostile
                        .dom
                        .revoke(buffer.gref)
                        .expect("nothing stays mapped");
                }
            }
        }
        let counters = scene.world.counters(scene.hostile.device);
        assert_eq!(counters.refused[Refusal::Grant as usize], 33);
        scene.end();
    }
}

#[test]
fn xsa_371_no_persistent_map_outlives_its_guest() {
    let scene = Scene::new(Options::default());
    let Scene {
        world,
        mut hostile,
        mut victim,
    } = scene;
    let buffers = hostile.buffers(1500);
    // More than are ever kept: the rest is mapped for its request alone.
    for chunk in buffers.chunks(11) {
        let segs: Vec<_> = chunk.iter().map(|buffer| buffer.whole()).collect();
        let id = hostile.data(0, READ, 0, &segs);
        assert_eq!(hostile.one(&world, id), OKAY);
    }
    let kept = buffers
        .iter()
        .filter(|buffer| hostile.dom.grant_uses(buffer.gref) > 0)
        .count();
    assert_eq!(kept, 1056);
    world.ts.begin_destroy(hostile.device);
    world.xen.destroy(FE);
    world.advance(3000);
    assert!(world.ts.finish_detach(hostile.device));
    let id = victim.flush(0);
    assert_eq!(victim.one(&world, id), OKAY);
    victim.close(&world);
    world.xen.assert_nothing_held(DD);
}

#[test]
fn xsa_396_pages_are_unmapped_before_their_response() {
    // The frontend revokes each reference the moment it sees the response, as Linux's does.
    let mut scene = Scene::new(both()[0]);
    let (page, count) = (scene.hostile.buffer(), 40);
    for round in 0..20 {
        let buffers = scene.hostile.buffers(count);
        let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
        scene.world.disks[0].borrow_mut().order = crate::disk::Order::Any(round);
        scene.hostile.indirect(0, READ, 0, &segs, &page);
        scene.hostile.data(0, WRITE, 0, &segs[..11]);
        scene.hostile.data(0, READ, 1 << 55, &segs[..11]);
        let (heard, dom) = (Rc::new(Cell::new(0)), scene.hostile.dom.clone());
        let (count_heard, grefs) = (heard.clone(), segs.clone());
        *scene.world.quiet.on_notify.borrow_mut() = Some(Box::new(move || {
            count_heard.set(count_heard.get() + 1);
            for (gref, _, _) in &grefs {
                assert_eq!(dom.grant_uses(*gref), 0, "mapped when its response is published");
            }
        }));
        // `collect` looks at the grants' uses with each response.
        scene.hostile.run(&scene.world);
        assert_eq!(scene.hostile.unanswered(), 0);
        for buffer in &buffers {
            scene
                .hostile
                .dom
                .revoke(buffer.gref)
                .expect("nothing is mapped any more");
        }
    }
    assert_eq!(scene.hostile.dom.failed_revokes(), 0);
    scene.end();
}

#[test]
fn xsa_403_nothing_outside_the_segment_is_touched() {
    for options in both() {
        let mut scene = Scene::new(options);
        let buffer = scene.hostile.buffer();
        scene.world.disks[0].borrow_mut().data.fill(0xaa);
        for first in 0..8_u8 {
            buffer.fill(u64::from(first));
            let id = scene.hostile.data(0, READ, 0, &[(buffer.gref, first, first)]);
            assert_eq!(scene.hostile.one(&scene.world, id), OKAY);
            let mut expected = pattern(u64::from(first), 4096);
            expected[usize::from(first) * SECTOR..][..SECTOR].fill(0xaa);
            assert_eq!(buffer.bytes(), expected);
        }
        scene.end();
    }
}

#[test]
fn requests_of_every_malformation() {
    for options in both() {
        let mut scene = Scene::new(options);
        let (buffer, page) = (scene.hostile.buffer(), scene.hostile.buffer());
        let image = scene.world.disks[0].borrow().data.clone();
        buffer.fill(1);
        let whole = buffer.whole();
        let mut cases = vec![
            // Sectors outside the disk, and sums that wrap.
            (scene.hostile.data(0, WRITE, 16_384, &[whole]), ERROR),
            (scene.hostile.data(0, WRITE, 16_383, &[whole]), ERROR),
            (scene.hostile.data(0, WRITE, u64::MAX, &[whole]), ERROR),
            (scene.hostile.data(0, WRITE, u64::MAX - 7, &[whole]), ERROR),
            (scene.hostile.data(0, WRITE, 1 << 63, &[whole]), ERROR),
            // Segments that are none.
            (scene.hostile.data(0, WRITE, 0, &[(buffer.gref, 0, 8)]), ERROR),
            (scene.hostile.data(0, WRITE, 0, &[(buffer.gref, 5, 4)]), ERROR),
            (
                scene.hostile.data(0, WRITE, 0, &[whole, (buffer.gref, 255, 255)]),
                ERROR,
            ),
            (scene.hostile.data(0, WRITE, 0, &[]), ERROR),
            // Operations that are none.
            (scene.hostile.data(0, 4, 0, &[whole]), UNSUPPORTED),
            (scene.hostile.data(0, 7, 0, &[whole]), UNSUPPORTED),
            (scene.hostile.data(0, 255, 0, &[whole]), UNSUPPORTED),
            (scene.hostile.indirect(0, 2, 0, &[whole], &page), UNSUPPORTED),
            (
                scene.hostile.indirect(0, INDIRECT, 0, &[whole], &page),
                UNSUPPORTED,
            ),
            (scene.hostile.indirect_raw(0, WRITE, 0, 0, page.gref, &[]), ERROR),
            (
                scene.hostile.indirect_raw(0, WRITE, 0, u16::MAX, page.gref, &[]),
                ERROR,
            ),
            (
                scene.hostile.indirect_raw(0, WRITE, 0, 257, page.gref, &[]),
                ERROR,
            ),
        ];
        scene.hostile.run(&scene.world);
        // A page of segments with one bad entry, at each end.
        for bad in [0, 255] {
            for (i, word) in segment(&whole).iter().enumerate() {
                for entry in 0..256 {
                    page.page.store_u32(8 * entry + 4 * i, *word);
                }
            }
            page.page.store_u32(8 * bad + 4, 0x0000_0907);
            let id = scene.hostile.indirect_raw(0, WRITE, 0, 256, page.gref, &[whole]);
            cases.push((id, ERROR));
            scene.hostile.run(&scene.world);
        }
        for (n, (id, status)) in cases.iter().enumerate() {
            assert_eq!(scene.hostile.answer(*id), Some(*status), "case {n}");
        }
        assert!(
            scene.world.disks[0].borrow().data == image,
            "nothing reached the device"
        );
        assert_eq!(scene.world.disks[0].borrow().seen.len(), 0);
        scene.end();
    }
}

#[test]
fn xsa_331_a_storm_of_notifications_costs_a_turn_each() {
    let mut scene = Scene::new(Options::default());
    for _ in 0..1000 {
        scene.hostile.dom.notify(scene.hostile.ports[0]);
    }
    let before = scene.world.turns();
    scene.world.settle();
    assert!(
        scene.world.turns() - before <= 3,
        "however many, they are one event"
    );
    scene.victim_works();
    // The guest closes its port under traffic.
    let buffer = scene.hostile.buffer();
    scene.hostile.data(0, READ, 0, &[buffer.whole()]);
    scene.hostile.kick(0);
    scene.hostile.dom.close(scene.hostile.ports[0]);
    scene.world.settle();
    scene.end_closed();
}

#[test]
fn a_frontend_that_rewrites_its_indices_backwards_is_not_served_twice() {
    let mut scene = Scene::new(Options::default());
    let buffer = scene.hostile.buffer();
    let seen = Rc::new(RefCell::new(0));
    for _ in 0..10 {
        scene.hostile.data(0, READ, 0, &[buffer.whole()]);
    }
    scene.hostile.run(&scene.world);
    *seen.borrow_mut() = scene.world.disks[0].borrow().seen.len();
    // rsp_prod is the backend's own; what a guest writes there is not believed.
    scene.hostile.ring_pages[0].store_u32(8, 0);
    scene.hostile.dom.notify(scene.hostile.ports[0]);
    scene.world.settle();
    assert_eq!(scene.world.disks[0].borrow().seen.len(), *seen.borrow());
    scene.victim_works();
}
