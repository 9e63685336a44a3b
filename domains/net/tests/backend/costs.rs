//! What a batch costs, exactly: golden numbers.

use outrigger_xen::Wake;
use outrigger_xen::fake::Counts;

use crate::frames::{PEER, blank, mac, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::World;

/// What the backend did for frames that were all there before it woke.
fn batch(world: &World, fill: impl FnOnce()) -> Counts {
    let before = world.dd.counts();
    fill();
    world.settle();
    world.dd.counts() - before
}

fn counts(hypercalls: u64, copies: u64, notifications: u64) -> Counts {
    Counts {
        hypercalls,
        maps: 0,
        unmaps: 0,
        copies,
        notifications,
    }
}

#[test]
fn thirty_two_frames_from_guest_to_guest() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    for len in [60, 1000] {
        for _ in 0..3 {
            let cost = batch(&world, || {
                for seed in 0..32 {
                    a.put(0, &udp(mac(1), mac(2), len, seed), 0, None, &[]);
                }
                a.kick(0);
            });
            // First slots in, all out, and one notification for each of the two guests.
            assert_eq!(cost, counts(4, 32 * 2, 2), "{len}");
            a.collect();
            assert_eq!(b.collect().len(), 32);
        }
    }
}

#[test]
fn a_large_frame_from_guest_to_guest_is_copied_once() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let frame = blank(&tcp(mac(1), mac(2), true, 60_000, 1));
    let gso = outrigger_netif::Gso {
        kind: outrigger_devices::GsoKind::TcpV4,
        size: 1448,
    };
    let cost = batch(&world, || {
        a.put(0, &frame, 1, Some(gso), &[]);
        a.kick(0);
    });
    // Head in, head out, and the rest where pages of both ends begin.
    assert_eq!((cost.hypercalls, cost.notifications), (4, 2));
    assert!(cost.copies <= 2 + 15 + 15, "{} copies", cost.copies);
    assert_eq!(b.collect()[0].bytes, frame);
}

#[test]
fn thirty_two_frames_from_guest_to_wire() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    for (len, copies, hypercalls) in [(60, 1, 2), (1400, 1, 2)] {
        for _ in 0..3 {
            let commits = world.card.borrow().commits;
            let cost = batch(&world, || {
                for seed in 0..32 {
                    a.put(0, &udp(mac(1), PEER, len, seed), 0, None, &[]);
                }
                a.kick(0);
            });
            // Whoever sends to the wire once will do so again: one copy a frame, all in one go.
            assert_eq!(cost, counts(hypercalls, 32 * copies, 1), "{len}");
            assert_eq!(world.card.borrow().commits - commits, 1, "one doorbell");
            assert_eq!(world.card.borrow_mut().take_sent().len(), 32);
            a.collect();
        }
    }
}

#[test]
fn thirty_two_frames_from_wire_to_guest() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    for _ in 0..3 {
        let cost = batch(&world, || {
            for seed in 0..32 {
                world.card.borrow_mut().arrive(&udp(PEER, mac(1), 1400, seed));
            }
            world.card.borrow().interrupt();
        });
        assert_eq!(cost, counts(2, 32, 1));
        assert_eq!(a.collect().len(), 32);
    }
}

#[test]
fn the_eighth_guest_costs_what_the_second_does() {
    let world = World::new();
    let mut guests: Vec<Guest> = (1..=8)
        .map(|number| world.guest(number, Options::default()))
        .collect();
    let cost = batch(&world, || {
        for number in 1..=8u8 {
            let guest = &mut guests[usize::from(number) - 1];
            for seed in 0..4 {
                guest.put(
                    0,
                    &udp(mac(number), mac(number % 8 + 1), 1000, seed),
                    0,
                    None,
                    &[],
                );
            }
            guest.kick(0);
        }
    });
    // Two copies whatever the number of guests; each is told of what it has got and of what it has sent.
    assert_eq!(cost, counts(2 + 16, 32 * 2, 16));
}

/// A frontend's second such frame is known for what it is.
#[test]
fn headers_behind_the_first_slot_are_looked_for_once() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    let mut send = || {
        let cost = batch(&world, || {
            a.put(0, &tcp(mac(1), mac(2), false, 1000, 1), 0, None, &[60]);
            a.kick(0);
        });
        assert_eq!(b.collect().len(), 1);
        a.collect();
        cost
    };
    // The first slot, more of the second, all out.
    assert_eq!(send(), counts(3 + 2, 2 + 2, 2));
    assert_eq!(send(), counts(2 + 2, 2 + 2, 2));
}

#[test]
fn a_turn_allocates_nothing() {
    let world = World::new();
    let mut guests: Vec<Guest> = (1..=3)
        .map(|number| world.guest(number, Options::default()))
        .collect();
    let awake = Wake {
        events: true,
        devices: outrigger_xen::IrqSet::of(0),
        timer: false,
    };
    let mut cut = world.guest(
        4,
        Options {
            gso: false,
            csum: false,
            ..Options::default()
        },
    );
    for round in 0..5 {
        for seed in 0..20 {
            guests[0].put(0, &udp(mac(1), mac(2), 1000, seed), 0, None, &[]);
            guests[0].put(0, &udp(mac(1), PEER, 1000, seed), 0, None, &[]);
            guests[1].put(0, &udp(mac(2), [0xff; 6], 500, seed), 0, None, &[]);
            guests[2].put(0, &udp(mac(9), PEER, 500, seed), 0, None, &[]);
            world.card.borrow_mut().arrive(&udp(PEER, mac(3), 1200, seed));
        }
        let gso = outrigger_netif::Gso {
            kind: outrigger_devices::GsoKind::TcpV4,
            size: 1448,
        };
        guests[2].put(
            0,
            &blank(&tcp(mac(3), mac(4), true, 20_000, 1)),
            1,
            Some(gso),
            &[],
        );
        guests.iter_mut().for_each(|guest| guest.kick(0));
        for _ in 0..4 {
            let allocated = allocation_counter::measure(|| {
                world.net.turn(awake);
            });
            assert_eq!(allocated.count_total, 0, "in round {round}");
        }
        let got: Vec<usize> = guests.iter_mut().map(|guest| guest.collect().len()).collect();
        assert_eq!(got, [20, 20, 20 + 20]);
        assert_eq!(cut.collect().len(), 20 + 14);
        world.card.borrow_mut().take_sent();
    }
}
