//! A card that lies, fails or goes away.

mod rig;

use outrigger_devices::{Device, DeviceFault, Interrupt, NetDevice, QueueFull, RxChecksum};
use outrigger_virtio_model::{Fault, NetHeader, NetOffer, Order};
use outrigger_virtio_net::Options;
use rig::{Offload, Rig};

/// Three frames to send, of which the card treats the first that ends with `fault`.
fn three_sent(fault: Fault, order: Order) -> Rig {
    let offer = NetOffer {
        order,
        ..NetOffer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    rig.model.inject(fault);
    for _ in 0..3 {
        rig.send(0, &[(0, 60), (8, 9)], Offload::None).expect("room");
    }
    rig.net.commit(0);
    rig
}

/// Three frames received, of `len` bytes in buffers of 1024, of which the card treats the first with `fault`.
fn three_received(fault: Fault, len: usize, offer: NetOffer) -> Rig {
    let mut rig = Rig::new(offer, Options::default());
    for _ in 0..12 {
        let room = if rig.net.limits().mergeable { 1024 } else { 4096 };
        rig.post(0, 0, room).expect("room");
    }
    rig.net.commit(0);
    rig.model.inject(fault);
    for _ in 0..3 {
        rig.wire(0, len, Offload::Blank);
    }
    rig
}

/// The card is faulty, off, and takes nothing more; and comes back by a restart.
fn dead_and_back(mut rig: Rig, fault: DeviceFault) {
    assert!(
        !rig.model.is_live(),
        "a faulty card is reset before anyone is told"
    );
    let (frames, buffers, again) = rig.reap_rx_raw(0, 9);
    assert_eq!(
        (frames.len(), buffers, again),
        (0, 0, Err(fault)),
        "a fault stays"
    );
    assert_eq!(rig.net.reap_tx(0, &mut |_| panic!("a tag")), Err(fault));
    rig.forget();
    assert_eq!(rig.send(0, &[(0, 60)], Offload::None), Err(QueueFull));
    assert_eq!(rig.send(0, &[], Offload::None), Err(QueueFull));
    assert_eq!(rig.post(0, 0, 4096), Err(QueueFull));
    let doorbells = rig.model.counters().doorbells;
    rig.net.commit(0);
    assert_eq!(rig.model.counters().doorbells, doorbells);
    assert!(!rig.net.arm(0, true));
    rig.model.assert_clean();

    let left = rig.pool.left();
    let mut rig = rig.restart().expect("a card that was reset");
    assert_eq!(rig.pool.left(), left, "a restart takes no memory");
    assert!(rig.model.is_promiscuous());
    let most = if rig.net.limits().mergeable { 9014 } else { 1514 };
    for round in 0..300 {
        rig.send(0, &[(0, 60), (5, 200)], Offload::Blank).expect("room");
        rig.wire(0, most.min(60 + 20 * round), Offload::Valid);
        if round % 50 == 0 {
            rig.drain();
        }
        rig.net.commit(0);
        rig.reap_tx(0).expect("an honest card");
    }
    rig.drain();
}

fn lies_about_sent(fault: Fault) {
    for order in [Order::InOrder, Order::Reversed] {
        let mut rig = three_sent(fault, order);
        let found = rig.reap_tx(0).expect_err("a lie is found out");
        dead_and_back(rig, found);
    }
}

/// The lie is found out before the first frame that it is about is whole.
fn lies_about_received(fault: Fault, len: usize) {
    for mergeable in [true, false] {
        let offer = NetOffer {
            mergeable,
            ..NetOffer::default()
        };
        let mut rig = three_received(fault, len.min(if mergeable { len } else { 1000 }), offer);
        let (frames, _, result) = rig.reap_rx_raw(0, 9);
        assert!(frames.len() < 4);
        dead_and_back(rig, result.expect_err("a lie is found out"));
    }
}

#[test]
fn used_ids_that_are_not_in_flight() {
    for id in [3, 255, 256, 65535, 65536, u32::MAX, 0x8000_0000] {
        lies_about_sent(Fault::UsedId(id));
    }
    for id in [12, 255, 256, 65535, 65536, u32::MAX, 0x8000_0000] {
        lies_about_received(Fault::UsedId(id), 500);
        lies_about_received(Fault::UsedId(id), 2500);
    }
}

#[test]
fn one_id_instead_of_another() {
    // In flight, so it is taken for what it says it is; what it says of the other is a completion of nothing.
    for id in [1, 2] {
        let mut rig = three_sent(Fault::UsedId(id), Order::InOrder);
        let fault = rig.reap_tx(0).expect_err("the second completion of one frame");
        dead_and_back(rig, fault);
    }
    // Nothing was written there: a header of zeroes says "no buffer".
    let mut rig = three_received(Fault::UsedId(7), 500, NetOffer::default());
    let (frames, _, result) = rig.reap_rx_raw(0, 9);
    assert!(frames.is_empty());
    dead_and_back(rig, result.expect_err("a frame of no buffer"));
}

#[test]
fn completions_twice_and_indices_that_jump() {
    lies_about_sent(Fault::Twice);
    lies_about_received(Fault::Twice, 500);
    lies_about_received(Fault::Twice, 2500);
    for by in [1, 100, 255, 256, 32767, 65000] {
        lies_about_sent(Fault::IndexJump(by));
        lies_about_received(Fault::IndexJump(by), 500);
    }
}

#[test]
fn lengths_that_cannot_be() {
    for by in [525, 4096, i32::MAX, -501 - 11, -501, i32::MIN] {
        let mut rig = three_received(Fault::UsedLenOff(by), 500, NetOffer::default());
        let (frames, _, result) = rig.reap_rx_raw(0, 9);
        assert!(frames.is_empty(), "length off by {by}");
        dead_and_back(rig, result.expect_err("a length that cannot be"));
    }
    // As long as it has a header and fits, a frame is as long as the card says.
    for (by, len) in [(-500, 0), (-1, 499), (512, 1012)] {
        let mut rig = three_received(Fault::UsedLenOff(by), 500, NetOffer::default());
        let (frames, buffers, result) = rig.reap_rx_raw(0, 9);
        assert_eq!((frames[0].bytes.len(), buffers, result), (len, 3, Ok(())));
    }
    // The last of several: 2500 + 12 - 2048 bytes.
    let mut rig = three_received(Fault::UsedLenOff(561), 2500, NetOffer::default());
    let (frames, buffers, result) = rig.reap_rx_raw(0, 9);
    assert_eq!((frames.len(), buffers), (0, 2));
    dead_and_back(rig, result.expect_err("more than there was room for"));
    // What the card read of a frame to send says nothing.
    let mut rig = three_sent(Fault::UsedLenOff(1 << 30), Order::InOrder);
    assert_eq!(rig.reap_tx(0), Ok(3));
    rig.drain();
}

#[test]
fn numbers_of_buffers_that_cannot_be() {
    for number in [0, 4, 13, 256, 257, 32768, 65535] {
        let mut rig = three_received(Fault::NumBuffers(number), 500, NetOffer::default());
        let (frames, buffers, result) = rig.reap_rx_raw(0, 9);
        assert_eq!((frames.len(), buffers), (0, 0), "{number} buffers");
        dead_and_back(rig, result.expect_err("no buffer, or more than were used"));
    }
    // More than it is, and no more than were used: then it is the neighbour's frame that is swallowed.
    let mut rig = three_received(Fault::NumBuffers(2), 500, NetOffer::default());
    let (frames, buffers, result) = rig.reap_rx_raw(0, 9);
    assert_eq!((frames.len(), buffers, result), (2, 3, Ok(())));
    assert_eq!(frames[0].bytes.len(), 500 + 512);
    // Without mergeable buffers the number means nothing.
    for number in [0, 2, 65535] {
        let offer = NetOffer {
            mergeable: false,
            ..NetOffer::default()
        };
        let mut rig = three_received(Fault::NumBuffers(number), 500, offer);
        assert_eq!(rig.reap_rx(0, 9), Ok((3, 3)));
        rig.drain();
    }
}

#[test]
fn headers_that_cannot_be_are_not_the_cards_fault() {
    let blank = NetHeader {
        flags: 1,
        csum_start: 34,
        csum_offset: 16,
        ..NetHeader::default()
    };
    let nonsense = [
        NetHeader {
            csum_start: 499,
            ..blank
        },
        NetHeader {
            csum_start: 65535,
            csum_offset: 65535,
            ..blank
        },
        NetHeader {
            csum_start: 0,
            ..blank
        },
        NetHeader { gso_type: 1, ..blank },
        NetHeader {
            gso_type: 3,
            gso_size: 1448,
            ..blank
        },
        NetHeader {
            gso_type: 0xff,
            gso_size: 1448,
            ..blank
        },
        NetHeader {
            gso_type: 1,
            gso_size: 1448,
            ..NetHeader::default()
        },
    ];
    for header in nonsense {
        let mut rig = three_received(Fault::Header(header), 500, NetOffer::default());
        let (frames, _, result) = rig.reap_rx_raw(0, 1);
        assert_eq!(result, Ok(()));
        assert_eq!(
            (frames[0].checksum, frames[0].gso),
            (RxChecksum::Unknown, None),
            "{header:?}"
        );
        assert_eq!(frames[0].bytes.len(), 500);
    }
    // What was not agreed on means nothing either.
    let offer = NetOffer {
        guest_csum: false,
        ..NetOffer::default()
    };
    let mut rig = three_received(Fault::Header(blank), 500, offer);
    let (frames, _, _) = rig.reap_rx_raw(0, 1);
    assert_eq!(frames[0].checksum, RxChecksum::Unknown);
}

/// Rings of a card that writes whatever it likes, whenever it likes: never a panic, never more than was posted.
#[test]
fn a_card_that_raves() {
    let mut x = 88_172_645_463_325_252u64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let (mut faults, mut good) = (0, 0);
    for _ in 0..400 {
        let mut rig = Rig::new(NetOffer::default(), Options::default());
        rig.open = true;
        rig.model.hold();
        rig.post_pages(0, 20);
        for _ in 0..30 {
            let r = random();
            let small = (r >> 32) as u32 % 24;
            rig.model.inject(match r % 8 {
                0 => Fault::UsedId(small),
                1 => Fault::UsedLenOff(small as i32 * 300 - 2000),
                2 => Fault::IndexJump(small as u16 / 4),
                3 => Fault::NumBuffers(small as u16 / 4),
                _ => Fault::Header(NetHeader {
                    flags: (r >> 8) as u8,
                    gso_type: (r >> 16) as u8 % 6,
                    hdr_len: (r >> 24) as u16,
                    gso_size: (r >> 40) as u16,
                    csum_start: small as u16 * 90,
                    csum_offset: (r >> 20) as u16 % 900,
                    num_buffers: 0,
                }),
            });
            rig.wire(0, 60 + small as usize * 250, Offload::None);
        }
        for _ in 0..10 {
            rig.model.fetch();
            rig.model.complete(1 + random() as usize % 4);
            let (frames, buffers, result) = rig.reap_rx_raw(0, 1 + random() as usize % 3);
            assert!(frames.len() <= buffers && buffers <= 20);
            good += frames.len();
            if result.is_err() {
                faults += 1;
                assert!(!rig.model.is_live());
                break;
            }
        }
    }
    assert!(faults > 100 && good > 100, "{faults} faults, {good} frames");
}

#[test]
fn a_card_that_asks_for_a_reset() {
    let mut rig = three_sent(Fault::UsedLenOff(0), Order::InOrder);
    rig.model.need_reset();
    assert!(rig.model.interrupt_line());
    let told = rig.net.acknowledge();
    assert!(
        told.completions && !told.config,
        "the caller is made to look: {told:?}"
    );
    let (_, _, result) = rig.reap_rx_raw(0, 9);
    dead_and_back(rig, result.expect_err("it asked for a reset"));
}

#[test]
fn a_card_that_is_gone() {
    let mut rig = three_sent(Fault::UsedLenOff(0), Order::InOrder);
    rig.model.vanish();
    assert!(rig.net.acknowledge().completions);
    assert!(rig.net.reap_tx(0, &mut |_| panic!("a tag")).is_err());
    rig.forget();
    assert_eq!(rig.send(0, &[(0, 60)], Offload::None), Err(QueueFull));
    assert!(!rig.net.arm(0, true));
    // Its interrupt line may stay up; that costs no more than to read it.
    let before = rig.model.counters();
    for _ in 0..100 {
        assert!(!rig.net.acknowledge().config);
    }
    let after = rig.model.counters();
    assert_eq!(after.register_reads - before.register_reads, 100);
    rig.net.quiesce();
    assert_eq!(rig.reap_rx(0, 9), Ok((0, 0)), "quiesced is quiesced");
    assert!(rig.restart().is_err());
}

#[test]
fn a_card_that_never_interrupts_is_still_served_by_polling() {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    rig.model.silence();
    rig.model.hold();
    rig.post_pages(0, 60);
    for _ in 0..50 {
        rig.wire(0, 60, Offload::None);
        assert!(!rig.net.arm(0, false));
        rig.model.run();
        assert!(!rig.model.interrupt_line());
        assert!(rig.net.arm(0, false), "arming looks again");
        assert_eq!(rig.reap_rx(0, 9), Ok((1, 1)));
    }
    rig.drain();
}

#[test]
fn an_interrupt_for_nothing() {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    let before = rig.model.counters();
    assert_eq!(rig.net.acknowledge(), Interrupt::default());
    let after = rig.model.counters();
    assert_eq!(
        after.register_writes, before.register_writes,
        "nothing to acknowledge"
    );
    assert_eq!(rig.reap_rx(0, 9), Ok((0, 0)));
}

#[test]
fn quiesced_means_quiet() {
    let mut rig = three_sent(Fault::UsedLenOff(0), Order::InOrder);
    rig.model.hold();
    rig.post_pages(0, 4);
    rig.send(0, &[(0, 60)], Offload::None).expect("room");
    rig.net.quiesce();
    rig.forget();
    rig.net.commit(0);
    rig.model.receive(0, NetHeader::default(), &[0xff; 60]);
    rig.model.run();
    assert!(!rig.model.is_live() && !rig.model.interrupt_line());
    assert_eq!(rig.reap_tx(0), Ok(0), "everything in flight is forgotten");
    assert_eq!(rig.reap_rx(0, 9), Ok((0, 0)));
    assert!(!rig.net.arm(0, true));
    assert_eq!(rig.send(0, &[(0, 60)], Offload::None), Err(QueueFull));
    rig.model.assert_clean();
    rig.model.release();
    let mut rig = rig.restart().expect("a good card");
    rig.send(0, &[(0, 60)], Offload::None).expect("room");
    rig.drain();
}

#[test]
fn a_quiesce_that_the_card_ignores_is_bounded() {
    let mut rig = three_sent(Fault::UsedLenOff(0), Order::InOrder);
    rig.model.stick();
    rig.net.quiesce();
    assert_eq!(rig.reap_rx(0, 9), Ok((0, 0)));
    assert!(rig.model.counters().register_reads < 200_000);
}

#[test]
fn the_link_follows_the_card() {
    let mut rig = Rig::new(NetOffer::default(), Options::default());
    assert!(rig.net.limits().link);
    for up in [false, true] {
        rig.model.set_link(up);
        assert!(rig.model.interrupt_line());
        let told = rig.net.acknowledge();
        assert_eq!((told.completions, told.config), (false, true));
        assert_eq!(rig.net.limits().link, up);
        rig.model.set_link(up);
        assert!(!rig.net.acknowledge().config, "nothing changed");
    }
    rig.model.unsettle();
    rig.model.set_link(false);
    assert!(rig.net.acknowledge().completions);
    assert!(
        rig.reap_rx_raw(0, 9).2.is_err(),
        "a configuration that never settles"
    );
}
