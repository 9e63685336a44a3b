//! What a card says of itself, believed or not.

mod rig;

use outrigger_devices::NetDevice;
use outrigger_virtio::{DeviceId, TransportError};
use outrigger_virtio_model::{Bus, Fault, Identity, NetHeader, NetOffer, TestPage, VirtioModel};
use outrigger_virtio_net::{Options, ProbeError, VirtioNet};
use rig::{Offload, Rig};

const TWO: Options = Options {
    queues: 2,
    queue_size: 256,
    max_segments: 30,
    mac: [2, 0, 0, 0, 0, 9],
};

fn refusal_after(offer: NetOffer, pages: usize, fault: Option<Fault>) -> ProbeError {
    let bus = Bus::default();
    let model = VirtioModel::network(offer, &bus);
    if let Some(fault) = fault {
        model.inject(fault);
    }
    let card: Result<VirtioNet<_, TestPage>, _> = VirtioNet::probe(model.clone(), &bus.pool(pages), [], TWO);
    model.assert_clean();
    assert!(!model.is_live(), "a card that is not used is off");
    assert!(model.ready_queues().is_empty(), "and knows none of our memory");
    let error = card.expect_err("no card");
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains('\n'), "one line: {line}");
    error
}

fn refusal(offer: NetOffer) -> ProbeError {
    refusal_after(offer, 1024, None)
}

#[test]
fn limits_are_the_cards() {
    let offer = NetOffer {
        mtu: Some(9000),
        pairs: Some(4),
        ..NetOffer::default()
    };
    let rig = Rig::new(offer, TWO);
    let limits = rig.net.limits();
    assert_eq!(limits.mac, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    assert_eq!(limits.mtu, 9000);
    assert!(
        limits.tx_checksum && limits.tso4 && limits.tso6 && limits.rx_gso && limits.mergeable && limits.link
    );
    assert_eq!(
        (limits.rx_headroom, limits.max_segments, limits.queues),
        (12, 30, 2)
    );
    // Two pairs, and the control queue behind all four.
    assert_eq!(rig.model.ready_queues(), [256, 256, 256, 256, 2]);
    assert_eq!(rig.model.pairs(), 2);
    // A slot of 512 bytes a frame to send, two pages a queue, and one for commands.
    assert_eq!(1024 - rig.pool.left(), 2 * (32 + 2 + 2) + 3);
}

#[test]
fn nothing_is_assumed_that_is_not_offered() {
    let offer = NetOffer {
        mac: None,
        status: false,
        mergeable: false,
        csum: false,
        guest_csum: false,
        host_tso: [false; 2],
        guest_tso: [false; 2],
        control: false,
        control_rx: false,
        indirect: false,
        event_idx: false,
        ..NetOffer::default()
    };
    let rig = Rig::new(offer, TWO);
    let limits = rig.net.limits();
    assert_eq!((limits.mac, limits.mtu), (TWO.mac, 1500));
    assert!(!limits.tx_checksum && !limits.tso4 && !limits.tso6 && !limits.rx_gso && !limits.mergeable);
    assert!(limits.link, "a link that nothing is said of is up");
    assert_eq!((limits.max_segments, limits.queues), (7, 1));
    assert_eq!(rig.model.features(), 1 << 32);
}

#[test]
fn a_feature_is_taken_only_with_those_it_needs() {
    let offer = NetOffer::default;
    let limits = |offer| Rig::new(offer, TWO).net.limits();
    let no_csum = limits(NetOffer {
        csum: false,
        ..offer()
    });
    assert!(!no_csum.tso4 && !no_csum.tso6 && no_csum.rx_gso);
    let no_guest_csum = limits(NetOffer {
        guest_csum: false,
        ..offer()
    });
    assert!(no_guest_csum.tso4 && !no_guest_csum.rx_gso);
    let no_merging = limits(NetOffer {
        mergeable: false,
        mtu: Some(9000),
        ..offer()
    });
    assert!(!no_merging.rx_gso && no_merging.tso6);
    assert_eq!(no_merging.mtu, 1500, "what fits in a buffer");
    let no_control = limits(NetOffer {
        control: false,
        control_rx: true,
        pairs: Some(2),
        ..offer()
    });
    assert_eq!(no_control.queues, 1);
    for (v4, v6) in [(true, false), (false, true)] {
        let one = limits(NetOffer {
            host_tso: [v4, v6],
            guest_tso: [v6, v4],
            ..offer()
        });
        assert_eq!((one.tso4, one.tso6, one.rx_gso), (v4, v6, true));
    }
}

#[test]
fn frames_for_anybody_are_received() {
    for control_rx in [true, false] {
        let mut rig = Rig::new(
            NetOffer {
                control_rx,
                ..NetOffer::default()
            },
            Options::default(),
        );
        assert!(rig.model.is_promiscuous());
        rig.wire(0, 60, Offload::None);
        rig.model.receive(0, NetHeader::default(), &[0; 0x3c]);
        assert_eq!(rig.model.dropped(), 0);
        rig.post_pages(0, 2);
        let (frames, _, _) = rig.reap_rx_raw(0, 9);
        assert_eq!(frames.len(), 2);
    }
}

#[test]
fn small_queues() {
    for (queue_size, expected) in [(2, 1), (4, 3), (8, 7), (32, 30)] {
        let offer = NetOffer {
            queue_size,
            ..NetOffer::default()
        };
        let mut rig = Rig::new(offer, Options::default());
        assert_eq!(rig.net.limits().max_segments, expected);
        rig.send(0, &vec![(0, 60); expected], Offload::None)
            .expect("room");
        rig.post(0, 0, 4096).expect("room");
        rig.wire(0, 1000, Offload::None);
        rig.drain();
    }
    assert_eq!(
        refusal(NetOffer {
            queue_size: 1,
            ..NetOffer::default()
        }),
        ProbeError::QueueSize(1)
    );
}

#[test]
fn transports_that_are_none() {
    let identity = NetOffer::default().identity;
    for (identity, expected) in [
        (Identity { magic: 0, ..identity }, TransportError::NotVirtio(0)),
        (
            Identity {
                version: 1,
                ..identity
            },
            TransportError::Legacy,
        ),
        (
            Identity {
                device_id: 0,
                ..identity
            },
            TransportError::NoDevice,
        ),
        (
            Identity {
                device_id: 2,
                ..identity
            },
            TransportError::WrongDevice(DeviceId::BLOCK),
        ),
    ] {
        let offer = NetOffer {
            identity,
            ..NetOffer::default()
        };
        assert_eq!(refusal(offer), ProbeError::Transport(expected));
    }
}

#[test]
fn cards_that_cannot_be_used() {
    let offer = NetOffer::default;
    assert_eq!(
        refusal(NetOffer {
            version_1: false,
            ..offer()
        }),
        ProbeError::Transport(TransportError::NotModern)
    );
    assert_eq!(
        refusal(NetOffer {
            queue_size: 0,
            ..offer()
        }),
        ProbeError::Transport(TransportError::NoQueue(0))
    );
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        assert_eq!(
            refusal(NetOffer {
                mac: Some(mac),
                ..offer()
            }),
            ProbeError::Mac(mac)
        );
    }
    for mtu in [0, 67] {
        assert_eq!(
            refusal(NetOffer {
                mtu: Some(mtu),
                ..offer()
            }),
            ProbeError::Mtu(mtu)
        );
    }
    assert_eq!(
        refusal(NetOffer {
            pairs: Some(0),
            ..offer()
        }),
        ProbeError::Pairs(0)
    );
    let two = NetOffer {
        pairs: Some(2),
        ..offer()
    };
    // However far the pages reach, a failure leaves nothing live behind.
    for pages in 0..75 {
        assert_eq!(refusal_after(two.clone(), pages, None), ProbeError::NoMemory);
    }
    // Commands.
    for ack in [1, 2, 0xfe] {
        assert_eq!(
            refusal_after(two.clone(), 1024, Some(Fault::Status(ack))),
            ProbeError::Refused(0, 0)
        );
    }
    for fault in [
        Fault::NoStatus,
        Fault::Status(0xff),
        Fault::UsedId(1),
        Fault::UsedId(u32::MAX),
        Fault::IndexJump(1),
    ] {
        assert_eq!(
            refusal_after(two.clone(), 1024, Some(fault)),
            ProbeError::NoAnswer
        );
    }
    // The second one, for the pairs.
    let bus = Bus::default();
    let model = VirtioModel::network(two, &bus);
    model.inject(Fault::UsedLenOff(0));
    model.inject(Fault::Status(1));
    let card: Result<VirtioNet<_, TestPage>, _> = VirtioNet::probe(model.clone(), &bus.pool(1024), [], TWO);
    assert_eq!(card.err(), Some(ProbeError::Refused(4, 0)));
}

#[test]
fn a_card_that_keeps_silent_is_waited_for_no_longer_than_that() {
    let bus = Bus::default();
    let model = VirtioModel::network(NetOffer::default(), &bus);
    model.hold();
    let card: Result<VirtioNet<_, TestPage>, _> = VirtioNet::probe(model.clone(), &bus.pool(1024), [], TWO);
    assert_eq!(card.err(), Some(ProbeError::NoAnswer));
    assert!(model.counters().register_reads < 200_000);
    assert!(!model.is_live());
}

#[test]
fn registers_of_ones_and_resets_without_end() {
    let probe = |model: &VirtioModel<_>, bus: &Bus| {
        let card: Result<VirtioNet<_, TestPage>, _> =
            VirtioNet::probe(model.clone(), &bus.pool(1024), [], TWO);
        card.err()
    };
    let bus = Bus::default();
    let model = VirtioModel::network(NetOffer::default(), &bus);
    model.stick();
    assert_eq!(
        probe(&model, &bus),
        Some(ProbeError::Transport(TransportError::Reset))
    );
    let model = VirtioModel::network(NetOffer::default(), &bus);
    model.unsettle();
    assert_eq!(
        probe(&model, &bus),
        Some(ProbeError::Transport(TransportError::ConfigUnstable))
    );
    model.vanish();
    assert_eq!(
        probe(&model, &bus),
        Some(ProbeError::Transport(TransportError::NotVirtio(u32::MAX)))
    );
}
