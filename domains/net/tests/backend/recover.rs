//! Cards that fault, fall silent, or do not come back from a reset.

use outrigger_net::Drop;

use crate::frames::{PEER, mac, udp};
use crate::guest::{Guest, Options};
use crate::world::World;

/// Frames go to the wire and come from it, whole.
fn talks(world: &World, guest: &mut Guest, seed: u8) {
    let (out, back) = (udp(mac(1), PEER, 300, seed), udp(PEER, mac(1), 700, seed));
    guest.send(&out);
    world.settle();
    let sent = world.card.borrow_mut().take_sent();
    assert_eq!(sent.last().map(|sent| &sent.bytes), Some(&out));
    world.card.borrow_mut().arrive(&back);
    world.settle();
    assert_eq!(guest.collect().last().map(|got| &got.bytes), Some(&back));
    guest.take_statuses();
}

fn words(world: &World) -> String {
    use outrigger_xenbus::DeviceClass;
    world.net.totals()[0].1.clone()
}

fn lie(world: &World) {
    world.card.borrow_mut().lie = Some("used index out of range");
    world.card.borrow().interrupt();
    world.settle();
}

#[test]
fn a_card_that_lies_is_reset_and_goes_on() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    talks(&world, &mut a, 1);
    let posted = world.card.borrow().posted();
    assert!(!words(&world).contains("resets="));
    // Frames in flight are given back: the guest has its answers, and they are lost.
    world.card.borrow_mut().stalled = true;
    a.send(&udp(mac(1), PEER, 300, 2));
    world.settle();
    lie(&world);
    world.card.borrow_mut().stalled = false;
    assert_eq!(world.card.borrow().resets, 1);
    assert!(!world.card.borrow().quiesced);
    assert_eq!(world.card.borrow().posted(), posted, "it has its buffers again");
    a.collect();
    assert_eq!(a.take_statuses(), [0]);
    assert!(words(&world).starts_with("link=up ") && words(&world).contains(" resets=1"));
    for seed in 3..100 {
        talks(&world, &mut a, seed);
    }
}

#[test]
fn resets_in_a_row_are_farther_and_farther_apart() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, Options::default());
    // At once, after a second, after ten, and then once a minute.
    for (before, after) in [
        (0, 0),
        (0, 1_100),
        (900, 10_100),
        (9_900, 60_100),
        (59_000, 61_100),
        (59_000, 61_100),
    ] {
        let resets = world.card.borrow().resets;
        lie(&world);
        world.advance(before);
        if before > 0 {
            assert_eq!(world.card.borrow().resets, resets, "not yet");
            // Meanwhile guests go on among themselves, and are told that there is no carrier.
            assert!(words(&world).starts_with("link=down "));
            let frame = udp(mac(1), mac(2), 300, 1);
            a.send(&frame);
            a.send(&udp(mac(1), PEER, 300, 1));
            world.settle();
            assert_eq!(b.collect()[0].bytes, frame);
            a.collect();
            assert_eq!(a.take_statuses(), [0, -2]);
        }
        world.advance(after - before);
        assert_eq!(world.card.borrow().resets, resets + 1);
        talks(&world, &mut a, 1);
    }
    // What was well for two minutes is reset at once again.
    world.advance(121_000);
    lie(&world);
    talks(&world, &mut a, 2);
    assert_eq!(world.card.borrow().resets, 7);
    assert!(world.counters(1).tx_dropped[Drop::NoCarrier as usize] >= 4);
}

#[test]
fn a_silent_card_is_reset_if_its_link_is_up() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    talks(&world, &mut a, 1);
    world.card.borrow_mut().stalled = true;
    a.send(&udp(mac(1), PEER, 300, 2));
    world.settle();
    world.advance(4_900);
    assert_eq!(world.card.borrow().resets, 0);
    world.advance(300);
    assert_eq!(world.card.borrow().resets, 1);
    world.card.borrow_mut().stalled = false;
    talks(&world, &mut a, 3);
    // What it has sent without an interrupt is looked for before it is called silent.
    world.advance(20_000);
    assert_eq!(world.card.borrow().resets, 1);
    // Without a link nothing can be sent.
    world.card.borrow_mut().stalled = true;
    a.send(&udp(mac(1), PEER, 300, 4));
    world.settle();
    world.card.borrow_mut().limits.link = false;
    world.card.borrow().interrupt();
    world.settle();
    world.advance(20_000);
    assert_eq!(world.card.borrow().resets, 1);
}

#[test]
fn a_card_that_does_not_come_back_is_asked_again() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    world.card.borrow_mut().restarts = 0;
    lie(&world);
    world.advance(12_000);
    assert_eq!(world.card.borrow().resets, 3);
    world.advance(600_000);
    assert_eq!(world.card.borrow().resets, 13, "once a minute");
    world.card.borrow_mut().restarts = u32::MAX;
    world.advance(61_000);
    talks(&world, &mut a, 1);
}

#[test]
fn another_card_in_its_place_is_none_of_ours() {
    let world = World::new();
    let mut a = world.guest(1, Options::default());
    let limits = world.card.borrow().limits;
    world.card.borrow_mut().returns_as = Some(outrigger_devices::NetLimits {
        mac: [2, 0, 0, 0, 0, 9],
        ..limits
    });
    lie(&world);
    assert!(words(&world).starts_with("link=down ") && world.card.borrow().quiesced);
    world.card.borrow_mut().returns_as = Some(limits);
    world.advance(1_100);
    talks(&world, &mut a, 1);
}
