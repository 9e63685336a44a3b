//! The handshake, step by step, on the model.

use outrigger_devices::{DmaPool, RegisterIo};
use outrigger_virtio::{DeviceId, SplitQueue, Transport, TransportError, feature};
use outrigger_virtio_model::{Bus, Offer, TestPage, VirtioModel};

fn transport(offer: Offer) -> (Bus, VirtioModel, Transport<VirtioModel>) {
    let bus = Bus::default();
    let model = VirtioModel::new(offer, &bus);
    let transport = Transport::probe(model.clone(), DeviceId::BLOCK).expect("a block device");
    (bus, model, transport)
}

#[test]
fn up_and_down_and_up_again() {
    let offer = Offer {
        reset_reads: 3,
        queues: Some(2),
        ..Offer::default()
    };
    let (bus, model, transport) = transport(offer);
    for _ in 0..3 {
        transport.reset().expect("an honest device");
        let wanted = feature::EVENT_IDX | feature::INDIRECT_DESC | 1 << 12;
        let features = transport.negotiate(wanted).expect("an honest device");
        assert_eq!(
            features,
            wanted | feature::VERSION_1,
            "what was not wanted is not taken"
        );
        assert_eq!(model.features(), features);
        let pool = bus.pool(4);
        for index in 0..2 {
            assert_eq!(transport.queue_size_max(index), Ok(256));
            let queue = SplitQueue::<TestPage, ()>::new(&pool, 64, 1, true).expect("pages");
            transport
                .install_queue(index, &queue.addresses())
                .expect("an honest device");
            assert_eq!(
                transport.queue_size_max(index),
                Err(TransportError::QueueState(index))
            );
        }
        assert_eq!(transport.queue_size_max(2), Err(TransportError::NoQueue(2)));
        assert!(!model.is_live());
        transport.driver_ok().expect("an honest device");
        assert!(model.is_live() && !transport.needs_reset());
        assert_eq!(model.ready_queues(), [64, 64]);
    }
    model.need_reset();
    assert!(transport.needs_reset());
    transport.reset().expect("an honest device");
    assert!(!model.is_live());
    model.assert_clean();
}

#[test]
fn causes_are_acknowledged_one_by_one() {
    let (bus, model, transport) = transport(Offer::default());
    transport.reset().expect("an honest device");
    transport.negotiate(0).expect("an honest device");
    let queue = SplitQueue::<TestPage, ()>::new(&bus.pool(2), 16, 1, false).expect("pages");
    transport
        .install_queue(0, &queue.addresses())
        .expect("an honest device");
    transport.driver_ok().expect("an honest device");
    let none = transport.acknowledge();
    assert!(!none.used() && !none.config());
    model.resize(1);
    assert!(model.interrupt_line());
    let cause = transport.acknowledge();
    assert!(cause.config() && !cause.used() && !model.interrupt_line());
    model.assert_clean();
}

#[test]
fn a_configuration_that_changes_in_the_middle_is_read_again() {
    let (_bus, model, transport) = transport(Offer::default());
    let capacity = |t: &Transport<VirtioModel>| t.config_u64(0);
    assert_eq!(transport.config(capacity), Ok(2048));
    model.resize_torn(5);
    assert_eq!(transport.config(capacity), Ok(5));
    model.unsettle();
    assert_eq!(transport.config(capacity), Err(TransportError::ConfigUnstable));
    model.assert_clean();
}

#[test]
fn errors_are_one_line_each() {
    for error in [
        TransportError::NotVirtio(1),
        TransportError::Legacy,
        TransportError::Version(9),
        TransportError::NoDevice,
        TransportError::WrongDevice(DeviceId::NETWORK),
        TransportError::Reset,
        TransportError::NotModern,
        TransportError::FeaturesRefused(3),
        TransportError::NoQueue(1),
        TransportError::QueueState(1),
        TransportError::ConfigUnstable,
        TransportError::Failed,
    ] {
        let line = error.to_string();
        assert!(line.len() > 20 && !line.contains('\n'), "{line}");
    }
}

/// The model is no rubber stamp: a driver that cuts corners is noticed.
#[test]
fn the_model_notices_corners_cut() {
    type Corner = (&'static str, fn(&VirtioModel));
    let corners: [Corner; 6] = [
        ("DRIVER_OK at once", |io| io.write_u32(0x70, 4)),
        ("a doorbell too early", |io| io.write_u32(0x50, 0)),
        ("a queue too early", |io| io.write_u32(0x38, 16)),
        ("narrow access", |io| {
            io.read_u8(0x70);
        }),
        ("features too early", |io| io.write_u32(0x20, 1)),
        ("half a configuration field", |io| {
            io.read_u16(0x100);
        }),
    ];
    for (what, corner) in corners {
        let model = VirtioModel::new(Offer::default(), &Bus::default());
        corner(&model);
        assert!(!model.violations().is_empty(), "{what}");
    }
}

#[test]
#[should_panic(expected = "not lent to it")]
fn the_bus_stops_what_is_not_lent() {
    let bus = Bus::default();
    let (model, data) = (VirtioModel::new(Offer::default(), &bus), bus.data_page());
    let transport = Transport::probe(model, DeviceId::BLOCK).expect("a block device");
    transport.reset().expect("an honest device");
    transport.negotiate(0).expect("an honest device");
    let queue = SplitQueue::<TestPage, ()>::new(&bus.pool(2), 16, 1, false).expect("pages");
    let mut at = queue.addresses();
    at.driver = data.page.at(0);
    transport.install_queue(0, &at).expect("an honest device");
    transport.driver_ok().expect("an honest device");
    transport.notify(0);
}

#[test]
fn pool_pages_are_scattered() {
    let bus = Bus::default();
    let pool = bus.pool(3);
    let pages: Vec<_> = (0..3)
        .map(|_| pool.page().expect("a page").page.at(0).bits())
        .collect();
    assert!(pool.page().is_none());
    assert!(
        pages
            .windows(2)
            .all(|pair| pair[1] != pair[0] + 4096 && pair[1] != pair[0])
    );
}
