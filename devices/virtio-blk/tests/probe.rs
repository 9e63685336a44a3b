//! What a device says of itself, believed or not.

mod rig;

use outrigger_devices::BlockDevice;
use outrigger_virtio::TransportError;
use outrigger_virtio_blk::{Options, ProbeError, VirtioBlk};
use outrigger_virtio_model::{Bus, Identity, Offer, VirtioModel};
use rig::Rig;

fn refusal(offer: Offer, pages: usize) -> ProbeError {
    let bus = Bus::default();
    let model = VirtioModel::new(offer, &bus);
    let error = VirtioBlk::probe(model.clone(), &bus.pool(pages), Options::default()).err();
    model.assert_clean();
    assert!(!model.is_live(), "a device that is not used is off");
    assert!(model.ready_queues().is_empty(), "and knows none of our memory");
    let error = error.expect("no disk");
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains('\n'), "one line: {line}");
    error
}

#[test]
fn limits_are_the_devices() {
    let offer = Offer {
        queues: Some(3),
        sectors: 4096,
        blk_size: Some(4096),
        physical_block_exp: Some(2),
        discard: Some((1000, 16)),
        write_zeroes: Some(2000),
        ..Offer::default()
    };
    let rig = Rig::new(offer, Options::default());
    let limits = rig.disk.limits();
    assert_eq!(limits.sectors, 4096);
    assert_eq!(
        (limits.logical_block_size, limits.physical_block_size),
        (4096, 16384)
    );
    assert!(limits.flush && !limits.read_only);
    assert_eq!(limits.max_segments, 58);
    assert_eq!((limits.max_discard_sectors, limits.discard_alignment), (1000, 16));
    assert_eq!(limits.max_write_zeroes_sectors, 2000);
    assert_eq!(limits.queues, 3);
    assert_eq!(rig.model.ready_queues(), [128, 128, 128]);
}

#[test]
fn nothing_is_assumed_that_is_not_offered() {
    let offer = Offer {
        read_only: true,
        flush: false,
        seg_max: None,
        blk_size: None,
        physical_block_exp: None,
        indirect: false,
        event_idx: false,
        ..Offer::default()
    };
    let rig = Rig::new(offer, Options::default());
    let limits = rig.disk.limits();
    assert!(limits.read_only && !limits.flush);
    assert_eq!(
        (limits.logical_block_size, limits.physical_block_size),
        (512, 512)
    );
    assert_eq!(
        (limits.max_discard_sectors, limits.max_write_zeroes_sectors),
        (0, 0),
        "read-only"
    );
    assert_eq!(limits.max_segments, 14);
    assert_eq!(limits.queues, 1);
    assert_eq!(rig.model.ready_queues(), [256], "chains need the room");
}

#[test]
fn options_bound_what_is_used() {
    let offer = Offer {
        queues: Some(8),
        ..Offer::default()
    };
    let options = Options {
        queues: 2,
        queue_size: 64,
        max_segments: 1000,
    };
    let rig = Rig::new(offer, options);
    assert_eq!(rig.model.ready_queues(), [64, 64]);
    assert_eq!(
        rig.disk.limits().max_segments,
        62,
        "a chain is never longer than its queue"
    );
    // A slot of 2 KiB each, and two pages of rings.
    assert_eq!(1024 - rig.pool.left(), 2 * (32 + 2));
}

#[test]
fn small_queues_and_segment_limits() {
    for (queue_size, seg_max, expected) in [
        (4, None, 2),
        (8, Some(254), 6),
        (256, Some(3), 3),
        (256, Some(0), 1),
    ] {
        for indirect in [true, false] {
            let offer = Offer {
                queue_size,
                seg_max,
                indirect,
                ..Offer::default()
            };
            let mut rig = Rig::new(offer.clone(), Options::default());
            assert_eq!(rig.disk.limits().max_segments, expected, "{offer:?}");
            if seg_max != Some(0) {
                let read = rig.transfer(0, outrigger_devices::BlockOp::Read, 0, &rig::pages(expected));
                assert!(read.is_ok());
                rig.drain();
            }
        }
    }
}

#[test]
fn a_platform_with_an_iommu_is_fine() {
    let rig = Rig::new(
        Offer {
            access_platform: true,
            reset_reads: 50,
            ..Offer::default()
        },
        Options::default(),
    );
    assert_eq!(rig.model.features() >> 32 & 3, 3);
}

#[test]
fn transports_that_are_none() {
    let identity = Offer::default().identity;
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
                version: 3,
                ..identity
            },
            TransportError::Version(3),
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
                device_id: 1,
                ..identity
            },
            TransportError::WrongDevice(outrigger_virtio::DeviceId::NETWORK),
        ),
    ] {
        let offer = Offer {
            identity,
            ..Offer::default()
        };
        assert_eq!(refusal(offer, 1024), ProbeError::Transport(expected));
    }
    let legacy = ProbeError::Transport(TransportError::Legacy).to_string();
    assert!(
        legacy.contains("-global virtio-mmio.force-legacy=false"),
        "{legacy}"
    );
}

#[test]
fn devices_that_cannot_be_used() {
    let offer = Offer::default;
    let refused = |error| matches!(error, ProbeError::Transport(TransportError::FeaturesRefused(_)));
    assert_eq!(
        refusal(
            Offer {
                version_1: false,
                ..offer()
            },
            1024
        ),
        ProbeError::Transport(TransportError::NotModern)
    );
    assert!(refused(refusal(
        Offer {
            refuses_features: true,
            ..offer()
        },
        1024
    )));
    assert_eq!(
        refusal(
            Offer {
                queue_size: 0,
                ..offer()
            },
            1024
        ),
        ProbeError::Transport(TransportError::NoQueue(0))
    );
    assert_eq!(
        refusal(
            Offer {
                queue_size: 2,
                ..offer()
            },
            1024
        ),
        ProbeError::QueueSize(2)
    );
    assert_eq!(
        refusal(
            Offer {
                queues: Some(0),
                ..offer()
            },
            1024
        ),
        ProbeError::NoQueues
    );
    for bad in [0, 1, 256, 513, 1 << 21, u32::MAX] {
        assert_eq!(
            refusal(
                Offer {
                    blk_size: Some(bad),
                    ..offer()
                },
                1024
            ),
            ProbeError::BlockSize(bad)
        );
    }
    for bad in [0, 512, 4095] {
        assert_eq!(
            refusal(
                Offer {
                    size_max: Some(bad),
                    ..offer()
                },
                1024
            ),
            ProbeError::SizeMax(bad)
        );
    }
    // However far the pages reach, a failure leaves nothing live behind.
    let two = Offer {
        queues: Some(2),
        ..offer()
    };
    for pages in 0..68 {
        assert_eq!(refusal(two.clone(), pages), ProbeError::NoMemory);
    }
}

#[test]
fn a_hint_beyond_belief_is_no_hint() {
    for exponent in [12, 31, 32, 255] {
        let offer = Offer {
            physical_block_exp: Some(exponent),
            ..Offer::default()
        };
        let rig = Rig::new(offer, Options::default());
        assert_eq!(rig.disk.limits().physical_block_size, 512);
    }
}

#[test]
fn registers_of_ones_and_resets_without_end() {
    let bus = Bus::default();
    let model = VirtioModel::new(Offer::default(), &bus);
    model.stick();
    let error = VirtioBlk::probe(model.clone(), &bus.pool(1024), Options::default()).err();
    assert_eq!(error, Some(ProbeError::Transport(TransportError::Reset)));

    let model = VirtioModel::new(Offer::default(), &bus);
    model.unsettle();
    let error = VirtioBlk::probe(model.clone(), &bus.pool(1024), Options::default()).err();
    assert_eq!(error, Some(ProbeError::Transport(TransportError::ConfigUnstable)));

    model.vanish();
    let error = VirtioBlk::probe(model.clone(), &bus.pool(1024), Options::default()).err();
    assert_eq!(
        error,
        Some(ProbeError::Transport(TransportError::NotVirtio(u32::MAX)))
    );
}
