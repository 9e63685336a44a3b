//! Bringing it up.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::time::Duration;

use outrigger_bus_model::{TestPage, TestPool};
use outrigger_devices::{Clock, DmaMemory, DmaPath, DmaPool, DmaSegment, DmaView, NetDevice};
use outrigger_genet::{Genet, Options, ProbeError};
use outrigger_genet_model::{GenetModel, Offer, Partner, Side};
use rig::{INCOHERENT, Rig, bus, probe};

fn error(offer: Offer, options: Options) -> ProbeError {
    let bus = bus(INCOHERENT);
    let (model, net) = probe(&bus, INCOHERENT, offer, options);
    assert!(!model.interrupts());
    net.err().expect("it cannot be used")
}

#[test]
fn what_it_is() {
    let rig = Rig::new();
    let limits = rig.net.limits();
    assert_eq!(
        limits.mac,
        [0xdc, 0xa6, 0x32, 1, 2, 3],
        "as a boot loader left it"
    );
    assert_eq!((limits.mtu, limits.rx_headroom, limits.queues), (1500, 64, 1));
    assert!(limits.tx_checksum && !limits.tso4 && !limits.tso6 && !limits.rx_gso);
    assert!(!limits.mergeable && !limits.link);
}

#[test]
fn the_device_trees_address_counts() {
    let options = Options {
        mac: Some([2, 1, 2, 3, 4, 5]),
        ..Options::default()
    };
    let mut rig = Rig::with(INCOHERENT, Offer::default(), options);
    assert_eq!(rig.net.limits().mac, [2, 1, 2, 3, 4, 5]);
    assert_eq!(rig.model.register(0x80c), 0x0201_0203);
    assert_eq!(rig.model.register(0x810), 0x0405);
    rig.restart();
    assert_eq!(rig.net.limits().mac, [2, 1, 2, 3, 4, 5]);
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    let offer = Offer::default();
    let options = Options::default();
    assert_eq!(
        error(
            Offer {
                revision: 0x0500_0000,
                ..offer
            },
            options
        ),
        ProbeError::Revision(0x0500_0000)
    );
    assert_eq!(
        error(
            Offer {
                revision: !0,
                ..offer
            },
            options
        ),
        ProbeError::Revision(!0)
    );
    assert_eq!(
        error(Offer { mac: [0; 6], ..offer }, options),
        ProbeError::Mac([0; 6])
    );
    let multicast = [1, 0, 0x5e, 0, 0, 1];
    assert_eq!(
        error(
            offer,
            Options {
                mac: Some(multicast),
                ..options
            }
        ),
        ProbeError::Mac(multicast)
    );
    for mtu in [0, 1499, 3821, 9000] {
        assert_eq!(error(offer, Options { mtu, ..options }), ProbeError::Mtu(mtu));
    }
    assert_eq!(error(Offer { phy: 77, ..offer }, options), ProbeError::NoPhy);
    for (error, text) in [
        (
            ProbeError::Revision(0x0500_0000),
            "revision 0x05000000 is no GENET v5's",
        ),
        (
            ProbeError::Mtu(9000),
            "its MTU cannot be 9000 bytes, only 1500 to 3820",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_bus_that_hangs_ends_the_attempt() {
    let bus = bus(INCOHERENT);
    let model = GenetModel::new(&bus, Offer::default());
    model.inject(outrigger_genet_model::Fault::MdioHangs);
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let before = clock.now();
    let path = DmaPath::new(bus.pool(64), INCOHERENT, 0);
    let net = Genet::probe(model.clone(), clock, path, Options::default());
    assert_eq!(net.err(), Some(ProbeError::MdioTimeout));
    assert!(clock.now().since(before) < Duration::from_millis(100));
    assert!(!model.has_dma());
}

#[test]
fn a_pool_without_pages_is_no_place_to_be() {
    for pages in 0..17 {
        let bus = bus(INCOHERENT);
        let model = GenetModel::new(&bus, Offer::default());
        let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
        let path = DmaPath::new(bus.pool(pages), INCOHERENT, 0);
        let net = Genet::probe(model.clone(), clock, path, Options::default());
        assert_eq!(net.err(), Some(ProbeError::NoMemory), "{pages} pages");
    }
}

/// A boot loader that fetched its files over the network.
#[test]
fn what_was_left_running_is_stopped_first() {
    let offer = Offer {
        left_running: true,
        ..Offer::default()
    };
    let mut rig = Rig::with(INCOHERENT, offer, Options::default());
    rig.connect(Partner::GIGABIT);
    rig.post(256);
    rig.assert_works();
}

#[test]
fn what_was_left_running_and_will_not_stop_is_not_used() {
    let bus = bus(INCOHERENT);
    let model = GenetModel::new(
        &bus,
        Offer {
            left_running: true,
            ..Offer::default()
        },
    );
    model.inject(outrigger_genet_model::Fault::GoesOn(Side::Receive, true));
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let path = DmaPath::new(bus.pool(64), INCOHERENT, 0);
    let net = Genet::probe(model.clone(), clock, path, Options::default());
    assert_eq!(net.err(), Some(ProbeError::DmaStuck));
    // It writes where nobody is.
    for _ in 0..300 {
        model.arrive(vec![1; 60]);
    }
}

#[test]
fn a_mac_in_reset_is_not_asked_for_its_address() {
    let bus = bus(INCOHERENT);
    let model = GenetModel::new(&bus, Offer::default());
    use outrigger_devices::RegisterIo;
    model.write_u32(0x8, 2);
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let path = DmaPath::new(bus.pool(64), INCOHERENT, 0);
    let net = Genet::probe(model.clone(), clock, path, Options::default());
    assert_eq!(net.err(), Some(ProbeError::Mac([0; 6])));
    model.assert_clean();
}

/// Memory that the controller does not reach is not given to it.
#[test]
fn it_lives_within_forty_bits() {
    let bus = bus(INCOHERENT);
    bus.place_at(1 << 41, 1 << 10);
    let model = GenetModel::new(&bus, Offer::default());
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let path = DmaPath::new(bus.pool(64), INCOHERENT, 0);
    let net = Genet::probe(model.clone(), clock, path, Options::default());
    assert_eq!(net.err(), Some(ProbeError::NoMemory));
}

/// A pool that gives nothing out while the controller may write to it.
struct Careful(TestPool, GenetModel);

impl DmaPool for Careful {
    type Memory = TestPage;
    fn page(&self) -> Option<DmaMemory<TestPage>> {
        assert!(!self.1.has_dma(), "memory is given out while the controller runs");
        self.0.page()
    }
}

impl DmaView for Careful {
    fn copy_out(&self, segment: DmaSegment, at: u32, words: &mut [u32]) {
        self.0.copy_out(segment, at, words);
    }
    fn copy_in(&self, segment: DmaSegment, at: u32, words: &[u32]) {
        self.0.copy_in(segment, at, words);
    }
    fn clean(&self, segment: DmaSegment) {
        self.0.clean(segment);
    }
    fn clean_and_invalidate(&self, segment: DmaSegment) {
        self.0.clean_and_invalidate(segment);
    }
}

#[test]
fn memory_is_taken_only_when_it_has_stopped() {
    let bus = bus(INCOHERENT);
    let offer = Offer {
        left_running: true,
        ..Offer::default()
    };
    let model = GenetModel::new(&bus, offer);
    let clock: &'static GenetModel = Box::leak(Box::new(model.clone()));
    let path = DmaPath::new(Careful(bus.pool(64), model.clone()), INCOHERENT, 0);
    Genet::probe(model.clone(), clock, path, Options::default()).expect("a controller");
    model.assert_clean();
}

#[test]
fn it_can_be_stopped_without_being_probed() {
    let mut rig = Rig::up();
    rig.net.arm(0, true);
    outrigger_genet::stop(&rig.model, &rig.model);
    assert!(!rig.model.has_dma() && !rig.model.interrupts());
    assert_eq!(rig.model.register(0x80c), 0xdca6_3201, "its address is not lost");
    // Something else is left alone.
    let bus = bus(INCOHERENT);
    let offer = Offer {
        revision: 0x0500_0000,
        ..Offer::default()
    };
    let other = GenetModel::new(&bus, offer);
    outrigger_genet::stop(&other, &other);
    assert_eq!(other.accesses(), (1, 0));
}
