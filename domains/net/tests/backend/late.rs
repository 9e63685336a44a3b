//! Interrupts and events that are lost on their way, and guests that do not run for a while.

use outrigger_devices::GsoKind;
use outrigger_netif::Gso;

use crate::frames::{PEER, blank, mac, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::World;

/// A world whose loop looks at what nobody has announced, and two guests that were just served.
fn begin(pages: usize, options: Options) -> (World, Guest, Guest) {
    let world = World::with(crate::card::limits(), pages);
    world.life.look_late();
    let mut a = world.guest(1, Options::default());
    let mut b = world.guest(2, options);
    a.send(&udp(mac(1), mac(2), 10, 0));
    world.settle();
    assert_eq!(b.collect().len(), 1);
    a.collect();
    world.settle();
    assert_eq!(world.life.late_looks(), 0, "all of that was announced");
    (world, a, b)
}

/// How many ms pass, in steps of one, until the guest has a frame.
fn waits(world: &World, guest: &mut Guest) -> Option<u64> {
    (0..1000).find(|_| {
        world.life.pass_ms();
        !guest.collect().is_empty()
    })
}

#[test]
fn a_lost_event_costs_four_ms() {
    let (world, mut a, mut b) = begin(600, Options::default());
    for looks in 1..=20 {
        a.send(&udp(mac(1), mac(2), 100, 1));
        world.life.lose_announcements();
        assert!(waits(&world, &mut b) <= Some(4));
        a.collect();
        world.settle();
        assert_eq!(world.life.late_looks(), looks);
    }
}

#[test]
fn a_lost_interrupt_of_a_card_costs_four_ms() {
    let (world, mut a, _b) = begin(600, Options::default());
    for looks in 1..=20 {
        world.card.borrow_mut().arrive(&udp(PEER, mac(1), 100, 1));
        world.life.lose_announcements();
        assert!(waits(&world, &mut a) <= Some(4));
        world.settle();
        assert_eq!(world.life.late_looks(), looks);
    }
}

#[test]
fn pages_whose_event_was_lost_are_found() {
    let options = Options {
        posted: 1,
        ..Options::default()
    };
    let (world, mut a, mut b) = begin(600, options);
    // The second one finds no page and waits.
    a.send(&udp(mac(1), mac(2), 100, 1));
    a.send(&udp(mac(1), mac(2), 100, 2));
    world.settle();
    assert_eq!(b.collect().len(), 1);
    world.life.lose_announcements();
    assert!(waits(&world, &mut b) <= Some(4));
}

/// A sender has as much under way as Linux lets a connection have whose receiver has 128 MiB (`tcp_rmem`: a 128th), in frames of 64 KiB
/// and of two segments. The receiver does not run for 400 ms. None of it is lost.
#[test]
fn a_window_waits_for_a_receiver_that_does_not_run() {
    for len in [64_000, 2 * 1448] {
        let options = Options {
            posted: 256,
            ..Options::default()
        };
        let (world, mut a, mut b) = begin(960, options);
        let gso = Gso {
            kind: GsoKind::TcpV4,
            size: 1448,
        };
        let frames = 900_000 / len;
        for frame in 0..frames {
            a.put(
                0,
                &blank(&tcp(mac(1), mac(2), true, len, frame as u8)),
                3,
                Some(gso),
                &[],
            );
            a.kick(0);
            world.settle();
            a.collect();
        }
        for _ in 0..40 {
            world.advance(10);
            a.collect();
        }
        let mut got = 0;
        for _ in 0..20 {
            got += b.collect().len();
            world.settle();
        }
        let lost: u64 = world.counters(2).rx_dropped.iter().sum();
        assert_eq!((got, lost), (frames, 0), "frames of {len} bytes");
    }
}
