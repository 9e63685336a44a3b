//! A controller that is broken, or lies.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::time::Duration;

use outrigger_devices::{Clock, Device, DeviceFault, NetDevice, QueueFull};
use outrigger_genet::Options;
use outrigger_genet_model::{Fault, Offer, Partner, Side, udp4};
use proptest::prelude::*;
use rig::{INCOHERENT, Rig, STATION};

const OV: u32 = 1 << 0;
const CRC: u32 = 1 << 1;
const RXER: u32 = 1 << 2;
const NO: u32 = 1 << 3;
const LG: u32 = 1 << 4;

/// The fault was reported, nothing is touched any more, and it comes up again.
fn assert_out_of_service(rig: &mut Rig, fault: DeviceFault) {
    assert!(!rig.model.has_dma(), "it leaves memory alone");
    assert!(!rig.model.interrupts() && !rig.model.second_line());
    rig.bus.take_all_back();
    rig.model.arrive(udp4(STATION, 100, true));
    assert_eq!(rig.reap_tx(), Err(fault));
    assert_eq!(rig.reap_rx(16), Err(fault));
    assert!(!rig.net.arm(0, true));
    assert_eq!(rig.net.acknowledge(), Default::default());
    assert_eq!(rig.net.tick(rig.model.now()).again, None);
    rig.forget();
    assert_eq!(rig.post_one(4096), Err(QueueFull));
    assert_eq!(rig.submit(&[1; 60], &[(0, 60)], None), Err(QueueFull));
    rig.model.take_sent();
    rig.restart();
    rig.live(Duration::from_secs(3));
    rig.post(200);
    rig.assert_works();
}

#[test]
fn bad_frames_are_counted_and_their_buffers_used_again() {
    let mut rig = Rig::up();
    let frame = udp4(STATION, 100, true);
    for bits in [CRC, CRC | RXER, OV, NO, LG, RXER] {
        rig.model.inject(Fault::Status(bits));
        rig.model.arrive(frame.clone());
        assert_eq!(rig.reap_rx(16).unwrap(), [], "{bits:#x}");
        assert_eq!((rig.posted(), rig.model.buffers()), (256, 256));
    }
    let counters = rig.net.faults();
    assert_eq!((counters.crc, counters.overruns, counters.alignment), (2, 1, 1));
    assert_eq!((counters.too_long, counters.phy), (1, 1));
    let mut told = Vec::new();
    rig.net.counters(&mut |name, count| told.push((name, count)));
    assert!(told.contains(&("rx-crc", 2)) && told.contains(&("rx-overrun", 1)));
    rig.assert_works();
}

#[test]
fn a_status_that_makes_no_frame_is_none() {
    let mut rig = Rig::up();
    let frame = udp4(STATION, 100, true);
    for (fault, name) in [
        (Fault::NoStatus, "rx-no-status"),
        // Only the status block, or less.
        (Fault::Length(64), "rx-no-status"),
        (Fault::Length(77), "rx-no-status"),
        (Fault::Length(0), "rx-no-status"),
        (Fault::OnlyStatus(1 << 14), "rx-in-parts"),
        (Fault::OnlyStatus(1 << 13), "rx-in-parts"),
        (Fault::OnlyStatus(0x9f80), "rx-in-parts"),
    ] {
        let count = |rig: &Rig| {
            let mut found = 0;
            rig.net.counters(&mut |other, count| {
                if other == name {
                    found = count;
                }
            });
            found
        };
        let before = count(&rig);
        rig.model.inject(fault);
        rig.model.arrive(frame.clone());
        assert_eq!(rig.reap_rx(16).unwrap(), [], "{fault:?}");
        assert_eq!(count(&rig), before + 1, "{fault:?}");
        assert_eq!(rig.model.buffers(), 256);
        rig.assert_works();
        rig.post(1);
    }
}

#[test]
fn a_length_past_the_buffer_is_a_lie() {
    for length in [2049, 4000, 0xfff] {
        let mut rig = Rig::up();
        rig.model.inject(Fault::Length(length));
        rig.model.arrive(udp4(STATION, 100, true));
        let fault = DeviceFault("more bytes received than a buffer has room for");
        assert_eq!(rig.reap_rx(16), Err(fault), "{length}");
        assert_out_of_service(&mut rig, fault);
    }
}

#[test]
fn an_index_past_what_it_was_given_is_a_lie() {
    for by in [256, 300, 0x7fff, 0xfff0] {
        let mut rig = Rig::up();
        rig.model.inject(Fault::IndexJump(Side::Receive, by));
        rig.model.arrive(udp4(STATION, 100, true));
        assert!(rig.net.arm(0, false), "a lie is something to reap");
        let fault = DeviceFault("more buffers filled than it was given");
        assert_eq!(rig.reap_rx(16), Err(fault), "{by}");
        assert_out_of_service(&mut rig, fault);

        // Less than a lap back it would only send old frames again.
        let by = by.min(0x7fff);
        let mut rig = Rig::up();
        rig.model.inject(Fault::IndexJump(Side::Transmit, by));
        rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
        rig.net.commit(0);
        let fault = DeviceFault("more descriptors sent than it was given");
        assert_eq!(rig.reap_tx(), Err(fault), "{by}");
        assert_out_of_service(&mut rig, fault);
    }
}

/// Within what it was given an index is all there is: buffers that were skipped have no status.
#[test]
fn skipped_buffers_have_no_status() {
    let mut rig = Rig::up();
    rig.model.inject(Fault::IndexJump(Side::Receive, 20));
    rig.model.arrive(udp4(STATION, 100, true));
    assert_eq!(rig.reap_rx(64).unwrap().len(), 1);
    assert_eq!(rig.net.faults().no_status, 20);
    rig.post(1);
    rig.assert_works();
}

#[test]
fn a_transmitter_that_is_stuck_is_found_out() {
    let mut rig = Rig::up();
    rig.model.inject(Fault::Stuck);
    rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
    rig.net.commit(0);
    rig.live(Duration::from_secs(4));
    assert_eq!(rig.reap_tx(), Ok(()));
    rig.live(Duration::from_secs(3));
    let fault = DeviceFault("its transmitter is stuck");
    assert_eq!(rig.reap_tx(), Err(fault));
}

#[test]
fn without_a_link_a_transmitter_may_take_its_time() {
    let mut rig = Rig::up();
    rig.model.inject(Fault::Stuck);
    rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
    rig.net.commit(0);
    rig.model.connect(None);
    rig.live(Duration::from_secs(60));
    assert_eq!(rig.reap_tx(), Ok(()));
    assert!(!rig.net.limits().link);
}

#[test]
fn interrupts_that_never_come_are_done_without() {
    let mut rig = Rig::up();
    rig.model.inject(Fault::Deaf);
    let frame = udp4(STATION, 100, true);
    let mut seconds = 0;
    while rig.net.tick(rig.model.now()).again.unwrap() > rig.model.now().after(Duration::from_millis(2)) {
        assert!(!rig.net.arm(0, false));
        rig.model.arrive(frame.clone());
        rig.live(Duration::from_secs(1));
        assert_eq!(rig.reap_rx(16).unwrap().len(), 1);
        rig.post(1);
        seconds += 1;
        assert!(seconds < 10, "it notices at last");
    }
    assert!(rig.net.faults().lost_interrupts >= 3);
    // And when they come again, it goes back to them.
    rig.model.inject(Fault::Hearing);
    assert!(!rig.net.arm(0, false));
    rig.model.arrive(frame);
    assert!(rig.model.interrupts());
    assert!(rig.net.acknowledge().completions);
    rig.reap_rx(16).unwrap();
    rig.post(1);
    rig.live(Duration::from_millis(100));
    let now = rig.model.now();
    assert!(rig.net.tick(now).again.unwrap() > now.after(Duration::from_millis(2)));
    rig.assert_works();
}

/// A busy controller whose interrupts come is never taken for one whose interrupts do not.
#[test]
fn interrupts_that_come_are_believed() {
    let mut rig = Rig::up();
    let frame = udp4(STATION, 100, true);
    for round in 0..5000u64 {
        rig.model.arrive(frame.clone());
        if !rig.net.arm(0, false) {
            rig.live(Duration::from_micros(300 + round % 700));
        }
        rig.reap_rx(16).unwrap();
        let room = 256 - rig.posted();
        rig.post(room);
    }
    assert_eq!(rig.net.faults().lost_interrupts, 0);
}

#[test]
fn an_engine_that_goes_on_touches_nobodys_memory() {
    for side in [Side::Receive, Side::Transmit] {
        for for_good in [false, true] {
            let mut rig = Rig::up();
            rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
            rig.model.inject(Fault::GoesOn(side, for_good));
            rig.net.quiesce();
            assert_eq!(rig.model.has_dma(), for_good);
            // Whatever it does now, it does to the driver's own page: the bus would panic.
            rig.bus.take_all_back();
            for _ in 0..600 {
                rig.model.arrive(udp4(STATION, 1000, true));
            }
            rig.model.run();
            assert!(!rig.model.interrupts());
            assert_eq!((rig.reap_tx(), rig.reap_rx(16)), (Ok(()), Ok(Vec::new())));
        }
    }
}

#[test]
fn an_engine_that_goes_on_for_good_is_not_brought_up_again() {
    let mut rig = Rig::up();
    rig.model.inject(Fault::GoesOn(Side::Receive, true));
    rig.net.quiesce();
    rig.forget();
    for _ in 0..2 {
        assert!(rig.net.restart().is_err());
        assert_eq!(rig.reap_rx(16), Ok(Vec::new()), "it stays quiesced");
    }
    // And is asked again later.
    rig.model.inject(Fault::GoesOn(Side::Receive, false));
    rig.restart();
    rig.connect(Partner::FAST);
    rig.post(256);
    rig.assert_works();
}

#[test]
fn quiet_means_quiet() {
    let mut rig = Rig::up();
    rig.net.arm(0, true);
    rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
    rig.net.quiesce();
    assert!(!rig.model.has_dma() && !rig.model.interrupts());
    rig.bus.take_all_back();
    rig.model.arrive(udp4(STATION, 1000, true));
    rig.net.commit(0);
    rig.model.run();
    rig.model.connect(None);
    assert!(!rig.model.interrupts() && !rig.net.arm(0, true));
    // As often as anybody likes.
    rig.net.quiesce();
    rig.restart();
    rig.connect(Partner::FAST);
    rig.post(256);
    rig.assert_works();
}

/// A page of the pool that is the device's stays so: nothing in its slots is older than what it was told of.
#[test]
fn thousands_of_frames_after_each_other() {
    let mut rig = Rig::up();
    for n in 0..3000usize {
        let frame = udp4(STATION, n % 1400, true);
        assert_eq!(rig.receive(&frame).0, frame);
        rig.post(1);
        let mut padded = frame.clone();
        padded.resize(frame.len().max(60), 0);
        assert_eq!(rig.send(&frame, &[(64, frame.len() as u32)], None), padded);
    }
    let mac = rig.net.mac_counters();
    assert_eq!((mac.rx_good, mac.tx_good), (3000, 3000));
    assert_eq!(
        rig.net.faults(),
        outrigger_genet::Counters {
            link_changes: 1,
            ..Default::default()
        }
    );
    rig.model.assert_clean();
}

#[derive(Clone, Debug)]
enum Step {
    Inject(Fault),
    Cable(Option<Partner>),
    Send(usize),
    Arrive(usize),
    Commit,
    Run,
    Reap,
    Post(usize),
    Arm(bool),
    Live(u64),
    Quiesce,
}

fn fault() -> impl Strategy<Value = Fault> {
    let side = || prop_oneof![Just(Side::Receive), Just(Side::Transmit)];
    prop_oneof![
        any::<u16>().prop_map(|length| Fault::Length(length & 0xfff)),
        any::<u16>().prop_map(|bits| Fault::Status(bits.into())),
        any::<u16>().prop_map(|bits| Fault::OnlyStatus(bits.into())),
        Just(Fault::NoStatus),
        (side(), 0..0x8000u16).prop_map(|(side, by)| Fault::IndexJump(side, by)),
        Just(Fault::Deaf),
        Just(Fault::Hearing),
        Just(Fault::MdioHangs),
        Just(Fault::MdioSilent),
        Just(Fault::MdioWell),
        side().prop_map(|side| Fault::GoesOn(side, false)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let partner = prop_oneof![
        Just(None),
        Just(Some(Partner::SLOW)),
        Just(Some(Partner::FAST)),
        Just(Some(Partner::GIGABIT)),
    ];
    prop_oneof![
        3 => fault().prop_map(Step::Inject),
        1 => partner.prop_map(Step::Cable),
        4 => (60..1514usize).prop_map(Step::Send),
        4 => (14..9000usize).prop_map(Step::Arrive),
        3 => Just(Step::Commit),
        3 => Just(Step::Run),
        4 => Just(Step::Reap),
        3 => (1..100usize).prop_map(Step::Post),
        2 => any::<bool>().prop_map(Step::Arm),
        1 => (1..3_000u64).prop_map(Step::Live),
        1 => Just(Step::Quiesce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever it does: nothing but lent memory is touched, no tag comes back twice, what is out of service is quiet, and in
    /// the end it comes up again and works.
    #[test]
    fn any_faults_in_any_order(steps in prop::collection::vec(step(), 1..120)) {
        let offer = Offer { eager: false, ..Offer::default() };
        let mut rig = Rig::with(INCOHERENT, offer, Options::default());
        rig.connect(Partner::GIGABIT);
        for step in steps {
            match step {
                Step::Inject(fault) => rig.model.inject(fault),
                Step::Cable(partner) => rig.model.connect(partner),
                Step::Send(len) => {
                    let _ = rig.submit(&vec![1; len], &[(64, len as u32)], None);
                }
                Step::Arrive(len) => rig.model.arrive(vec![0xa5; len]),
                Step::Commit => rig.net.commit(0),
                Step::Run => rig.model.run(),
                Step::Post(count) => {
                    while rig.posted() < count && rig.post_one(4096).is_ok() {}
                }
                Step::Arm(sent) => {
                    rig.net.arm(0, sent);
                }
                Step::Live(ms) => {
                    rig.live(Duration::from_millis(ms));
                }
                Step::Quiesce => rig.net.quiesce(),
                Step::Reap => {
                    if rig.reap_tx().is_err() || rig.reap_rx(64).is_err() {
                        prop_assert!(!rig.model.has_dma() && !rig.model.interrupts());
                    }
                }
            }
            // Everything stays its own only while it serves.
            if !rig.model.has_dma() {
                rig.bus.take_all_back();
                rig.net.quiesce();
                rig.model.inject(Fault::MdioWell);
                rig.restart();
            }
        }
        rig.net.quiesce();
        rig.model.inject(Fault::MdioWell);
        rig.model.inject(Fault::Hearing);
        rig.model.inject(Fault::Status(0));
        rig.model.inject(Fault::IndexJump(Side::Receive, 0));
        rig.model.inject(Fault::IndexJump(Side::Transmit, 0));
        rig.restart();
        rig.connect(Partner::GIGABIT);
        rig.post(200);
        rig.model.arrive(udp4(STATION, 300, true));
        prop_assert_eq!(rig.reap_rx(16).unwrap().len(), 1);
        rig.submit(&[1; 60], &[(0, 60)], None).unwrap();
        rig.net.commit(0);
        rig.model.take_sent();
        rig.model.run();
        rig.reap_tx().unwrap();
        prop_assert_eq!(rig.model.take_sent(), vec![vec![1; 60]]);
    }
}
