//! Interrupts and events that are lost on their way: each costs some milliseconds.

use crate::guest::{Guest, OKAY, Options, READ};
use crate::world::{FE, World, vbd};

/// A world whose loop looks at what nobody has announced, and a guest that was just served.
fn begin(options: Options) -> (World, Guest) {
    let world = World::new();
    world.life.look_late();
    let mut guest = Guest::boot(&world, vbd(FE, 51712), "virtio0", "w", options);
    let id = guest.flush(0);
    assert_eq!(guest.one(&world, id), OKAY);
    assert_eq!(world.life.late_looks(), 0, "all of that was announced");
    (world, guest)
}

/// How many ms pass, in steps of one, until the guest has that answer.
fn waits(world: &World, guest: &mut Guest, id: u64) -> Option<u64> {
    (0..1000).find(|_| {
        world.life.pass_ms();
        guest.collect();
        guest.answer(id).is_some()
    })
}

#[test]
fn a_lost_event_costs_four_ms() {
    let (world, mut guest) = begin(Options::default());
    for looks in 1..=20 {
        let buffer = guest.buffer();
        let id = guest.data(0, READ, 0, &[buffer.whole()]);
        guest.kick(0);
        world.life.lose_announcements();
        assert!(waits(&world, &mut guest, id) <= Some(4));
        assert_eq!(guest.answer(id), Some(OKAY));
        assert_eq!(world.life.late_looks(), looks);
    }
    guest.close(&world);
}

#[test]
fn a_lost_interrupt_costs_four_ms_or_a_quarter_of_the_work() {
    let (world, mut guest) = begin(Options::default());
    for work in [0, 1, 3, 20, 100, 2000] {
        world.disk().held = true;
        let buffer = guest.buffer();
        let id = guest.data(0, READ, 0, &[buffer.whole()]);
        guest.run(&world);
        (0..work).for_each(|_| world.life.pass_ms());
        let before = world.life.late_looks();
        world.disk().let_go();
        world.life.lose_announcements();
        let waited = waits(&world, &mut guest, id).expect("it is found");
        assert!(waited <= 5 + work / 4, "{waited} ms after {work}");
        assert_eq!(world.life.late_looks(), before + 1);
    }
    guest.close(&world);
}

#[test]
fn a_domain_without_work_takes_no_turns() {
    let (world, guest) = begin(Options::default());
    (0..1_500).for_each(|_| world.life.pass_ms());
    let turns = world.turns();
    // The control plane's counters are written every five seconds.
    (0..10_000).for_each(|_| world.life.pass_ms());
    assert!(world.turns() - turns < 20, "{} turns", world.turns() - turns);
    assert_eq!(world.life.late_looks(), 0);
    guest.close(&world);
}
