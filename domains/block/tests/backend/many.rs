//! Many disks at once: a late guest gets less, not nothing.

use outrigger_xen::DomId;
use outrigger_xen::fake::Device;

use crate::guest::{Guest, OKAY, Options, READ};
use crate::world::{DD, FE, OTHER, World, vbd};

/// As many queues as a frontend with that many processors makes of the offer.
fn queues(world: &World, device: Device, processors: u32) -> u32 {
    let offered = world.node(device, "multi-queue-max-queues");
    let offered = offered.unwrap_or_else(|| panic!("{device:?}: {}", world.error(device)));
    let offered: u32 = offered.parse().unwrap();
    processors.min(offered)
}

fn boot(world: &World, device: Device, processors: u32, persistent: bool) -> Guest {
    world.attach(device, "virtio0", "r");
    let options = Options {
        queues: queues(world, device, processors),
        persistent,
        ..Options::default()
    };
    Guest::connect(world, device, options)
}

/// 16 guests with four processors and four disks each.
#[test]
fn sixty_four_disks_of_guests_with_four_processors() {
    for persistent in [true, false] {
        let world = World::new();
        world.xs.set_node_quota(4000);
        let mut guests = Vec::new();
        for domain in 0..16 {
            let frontend = DomId(20 + domain);
            world.xen.domain(frontend);
            world.ts.create_domain(frontend);
            for disk in 0..4 {
                guests.push(boot(&world, vbd(frontend, 51712 + 16 * disk), 4, persistent));
            }
        }
        let queues: Vec<u32> = guests.iter().map(|guest| guest.options.queues).collect();
        assert_eq!(queues[..8], [4; 8], "the first ones have all that they want");
        assert!(queues.is_sorted_by(|a, b| a >= b), "{queues:?}");
        // All work at once: requests as large as a stock frontend makes them.
        for round in 0..2 {
            let mut asked = Vec::new();
            for guest in &mut guests {
                let (buffers, page) = (guest.buffers(32), guest.buffer());
                let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
                for ring in 0..guest.rings.len() {
                    asked.push(guest.indirect(ring, READ, 0, &segs, &page));
                    guest.kick(ring);
                }
            }
            world.settle();
            for guest in &mut guests {
                guest.collect();
                assert_eq!(guest.unanswered(), 0, "round {round}");
            }
            let answers = guests
                .iter()
                .flat_map(|guest| asked.iter().filter_map(|id| guest.answer(*id)));
            assert!(answers.into_iter().all(|answer| answer == OKAY));
        }
        // One more is refused, in words; and one that leaves makes room.
        let late = vbd(OTHER, 51712);
        world.attach(late, "virtio0", "r");
        assert!(
            world.error(late).contains("no more than 64 vbds"),
            "{}",
            world.error(late)
        );
        for guest in guests.drain(..8) {
            guest.close(&world);
            world.ts.begin_detach(guest.device);
            world.advance(2500);
            assert!(world.ts.finish_detach(guest.device));
        }
        let device = vbd(FE, 51712);
        let next = boot(&world, device, 4, persistent);
        assert_eq!(next.options.queues, 4, "there is room again");
        next.close(&world);
        for guest in guests {
            guest.close(&world);
        }
        world.xen.assert_nothing_held(DD);
    }
}

/// Guests that kept all they could, and are idle, give back when others come.
#[test]
fn idle_rings_give_back_what_they_keep() {
    let world = World::new();
    let options = Options {
        order: 4,
        ..Options::default()
    };
    let mut early = Vec::new();
    for disk in 0..6 {
        let device = vbd(FE, 51712 + 16 * disk);
        world.attach(device, "virtio0", "r");
        let order: u32 = world
            .node(device, "max-ring-page-order")
            .unwrap()
            .parse()
            .unwrap();
        let mut guest = Guest::connect(
            &world,
            device,
            Options {
                order: order.min(options.order),
                ..options
            },
        );
        let page = guest.buffer();
        for _ in 0..16 {
            let buffers = guest.buffers(256);
            let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
            let id = guest.indirect(0, READ, 0, &segs, &page);
            assert_eq!(guest.one(&world, id), OKAY);
        }
        early.push(guest);
    }
    let kept = world.dd.mapped_pages();
    assert!(kept > 12_000, "{kept} pages stay mapped");
    let mut late = Vec::new();
    for disk in 0..24 {
        late.push(boot(&world, vbd(OTHER, 51712 + 16 * disk), 4, true));
    }
    let fewer = world.dd.mapped_pages();
    assert!(fewer < kept * 2 / 3, "{fewer} of {kept}");
    // The last one keeps its grants, too: its second request maps nothing.
    let last = late.last_mut().unwrap();
    let buffers = last.buffers(11);
    let segs: Vec<_> = buffers.iter().map(|buffer| buffer.whole()).collect();
    for round in 0..2 {
        let before = world.dd.counts();
        let id = last.data(0, READ, 0, &segs);
        assert_eq!(last.one(&world, id), OKAY);
        let maps = (world.dd.counts() - before).maps;
        assert_eq!(maps, if round == 0 { 11 } else { 0 });
    }
    // Those who gave back are served on.
    for guest in &mut early {
        let buffer = guest.buffer();
        let id = guest.data(0, READ, 0, &[buffer.whole()]);
        assert_eq!(guest.one(&world, id), OKAY);
        guest.close(&world);
    }
}
