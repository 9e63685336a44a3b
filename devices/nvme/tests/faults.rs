//! A controller that lies, fails or goes away.

mod rig;

use std::time::Duration;

use outrigger_devices::{BlockDevice, BlockOp, Device, DeviceFault, Status};
use outrigger_nvme::{Options, ProbeError};
use outrigger_nvme_model::{Fault, NamespaceOffer, Offer, Order};
use outrigger_pci_model as pci;
use rig::{Rig, SIGNAL, bring_up, pages};

/// Three reads, of which the controller treats the first that ends with `fault`.
fn three_reads(fault: Option<Fault>, order: Order) -> Rig {
    let mut rig = Rig::new(
        Offer {
            order,
            ..Offer::default()
        },
        Options::default(),
    );
    rig.model.hold();
    for i in 0..3 {
        rig.transfer(0, BlockOp::Read, 8 * i, &pages(1)).expect("room");
    }
    rig.disk.commit(0);
    rig.model.fetch();
    if let Some(fault) = fault {
        rig.model.inject(fault);
    }
    rig.model.run();
    rig
}

/// It is off, touches nothing, and comes back by a restart.
fn dead_and_back(mut rig: Rig, fault: DeviceFault) {
    assert!(
        !rig.model.is_live(),
        "a faulty controller is off before anyone is told"
    );
    assert!(!rig.model.function().is_bus_master() && !rig.model.function().sends_messages());
    let (completions, again) = rig.reap_raw(0);
    assert_eq!((completions.len(), again), (0, Err(fault)), "a fault stays");
    rig.forget();
    let tails = rig.model.counters().tails;
    // What is submitted now is taken, so that the next reap says why nothing comes of it.
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    assert_eq!(rig.model.counters().tails, tails);
    assert!(!rig.disk.arm(0));
    assert_eq!(rig.reap_raw(0), (Vec::new(), Err(fault)));
    rig.forget();
    rig.model.assert_clean();
    back(rig);
}

fn back(rig: Rig) {
    let left = rig.pool.left();
    let mut rig = rig.restart().expect("a controller that was reset");
    assert_eq!(rig.pool.left(), left, "a restart takes no memory");
    for round in 0..300 {
        let op = if round % 2 == 0 {
            BlockOp::Write
        } else {
            BlockOp::Read
        };
        rig.transfer(0, op, 3 * (round / 2), &[(0, 1), (5, 2)])
            .expect("room");
        if round % 20 == 0 {
            rig.drain();
        }
        rig.disk.commit(0);
        rig.model.run();
        rig.reap(0).expect("an honest controller");
    }
    rig.drain();
}

fn is_faulty(fault: Fault) {
    for order in [Order::InOrder, Order::Reversed] {
        let mut rig = three_reads(Some(fault), order);
        let (completions, result) = rig.reap_raw(0);
        let found = result.expect_err("a lie is found out");
        assert!(
            completions
                .iter()
                .all(|completion| completion.status == Status::Ok)
        );
        dead_and_back(rig, found);
    }
}

#[test]
fn completions_of_nothing() {
    for cid in [0, 3, 59, 63, 64, 0x8000, 0xffff] {
        is_faulty(Fault::Cid(cid));
    }
    is_faulty(Fault::Twice);
}

#[test]
fn completions_for_other_queues() {
    for id in [0, 2, 0xffff] {
        is_faulty(Fault::SqId(id));
    }
}

#[test]
fn errors_of_one_request_are_its_own() {
    // Generic: invalid opcode, internal error, LBA out of range; media: unrecovered read error; with "do not retry".
    for (status, expected) in [
        (0x001, Status::Unsupported),
        (0x006, Status::IoError),
        (0x080, Status::IoError),
        (0x281, Status::IoError),
        (0x4281, Status::IoError),
        (0x4001, Status::Unsupported),
    ] {
        let mut rig = three_reads(Some(Fault::Status(status)), Order::InOrder);
        let (completions, result) = rig.reap_raw(0);
        assert_eq!(result, Ok(()));
        let statuses: Vec<_> = completions.iter().map(|completion| completion.status).collect();
        assert_eq!(statuses, [expected, Status::Ok, Status::Ok]);
        let mut failed = 0;
        rig.disk.counters(&mut |name, count| {
            assert_eq!(name, "failed-commands");
            failed += count;
        });
        assert_eq!(failed, 1);
        rig.drain();
    }
}

#[test]
fn a_request_of_several_commands_fails_if_one_does() {
    for order in [Order::InOrder, Order::Reversed] {
        let mut rig = Rig::new(
            Offer {
                order,
                ..Offer::default()
            },
            Options::default(),
        );
        rig.model.hold();
        rig.transfer(0, BlockOp::Read, 0, &[(2, 2); 5]).expect("room");
        rig.disk.commit(0);
        rig.model.fetch();
        rig.model.inject(Fault::Status(0x281));
        rig.model.complete(4);
        assert_eq!(
            rig.reap_raw(0),
            (Vec::new(), Ok(())),
            "it has not ended before all have"
        );
        rig.model.run();
        let (completions, _) = rig.reap_raw(0);
        assert_eq!(completions.len(), 1);
        assert_eq!(completions[0].status, Status::IoError);
        rig.drain();
    }
}

/// Time passes without a completion.
fn wait(rig: &mut Rig) -> Result<usize, DeviceFault> {
    let at = rig.disk.deadline().expect("something is in flight");
    assert!(at.since(rig.clock.peek()) <= Duration::from_millis(100));
    rig.clock.advance_to(at);
    rig.reap(0)
}

#[test]
fn a_controller_that_has_stopped_is_found_out() {
    let mut rig = three_reads(Some(Fault::Fatal), Order::InOrder);
    assert_eq!(rig.reap(0), Ok(0), "not yet");
    let fault = wait(&mut rig).expect_err("CSTS.CFS");
    dead_and_back(rig, fault);
}

#[test]
fn a_controller_that_is_gone_is_found_out() {
    let mut rig = three_reads(None, Order::InOrder);
    rig.reap(0).expect("three reads");
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    rig.model.function().inject(pci::Fault::Gone);
    assert_eq!(wait(&mut rig), Ok(0), "something had completed until then");
    assert!(wait(&mut rig).is_err());
    rig.forget();
    assert!(rig.disk.restart().is_err(), "it does not come back");
    assert!(rig.disk.restart().is_err(), "and may be asked again");
    rig.model.mend();
    back(rig);
}

#[test]
fn a_lost_command_is_waited_for() {
    // It is for the backend's patience to decide: the controller is well, and some commands take long.
    let mut rig = three_reads(Some(Fault::Lost), Order::InOrder);
    assert_eq!(rig.reap(0), Ok(2));
    for _ in 0..50 {
        assert_eq!(wait(&mut rig), Ok(0));
    }
    rig.forget();
    back(rig);
}

#[test]
fn a_lost_interrupt_costs_a_moment() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.hold();
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    rig.model.fetch();
    rig.model.inject(Fault::NoInterrupt);
    assert!(!rig.disk.arm(0));
    rig.model.run();
    assert!(rig.model.function().take_messages().is_empty());
    assert_eq!(wait(&mut rig), Ok(1));
    assert_eq!(rig.disk.deadline(), None);
    rig.drain();
}

#[test]
fn a_spurious_interrupt_does_no_harm() {
    for signal in [SIGNAL, outrigger_nvme::Signal::Line] {
        let mut rig = Rig::signalled(Offer::default(), Options::default(), signal);
        for _ in 0..10 {
            rig.disk.acknowledge();
            assert_eq!(rig.reap(0), Ok(0));
            assert!(!rig.disk.arm(0));
        }
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.drain();
    }
}

/// The heart of it: what was in flight at a restart is not carried out behind its back.
#[test]
fn nothing_from_before_a_restart_is_carried_out_after_it() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.hold();
    // One is fetched, one is in the queue, one was not published.
    for (sector, fetch) in [(0, true), (8, false)] {
        rig.transfer(0, BlockOp::Write, sector, &pages(1)).expect("room");
        rig.disk.commit(0);
        if fetch {
            rig.model.fetch();
        }
    }
    rig.transfer(0, BlockOp::Write, 16, &pages(1)).expect("room");
    rig.forget();
    let mut rig = rig.restart().expect("a live controller");
    assert_eq!(rig.model.in_flight(), 0);
    rig.model.run();
    assert_eq!(rig.reap(0), Ok(0));
    assert!(
        rig.model.contents(1).iter().all(|byte| *byte == 0),
        "none was carried out"
    );
    back(rig);
}

/// A new life of the domain finds the controller as the last one left it.
#[test]
fn a_live_controller_is_taken_over() {
    for faults in [&[][..], &[Fault::NeverStops]] {
        let mut rig = Rig::new(Offer::default(), Options::default());
        rig.model.hold();
        rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
        rig.disk.commit(0);
        rig.model.fetch();
        faults.iter().for_each(|fault| rig.model.inject(*fault));
        rig.forget();
        let pool = rig.bus.pool(100);
        let mut next = bring_up(&rig.model, &pool, SIGNAL, Options::default()).expect("a disk");
        rig.model.assert_clean();
        assert_eq!(rig.model.in_flight(), 0);
        assert_eq!(
            rig.model.function().resets(),
            faults.len() as u32,
            "only if it does not stop otherwise"
        );
        std::mem::swap(&mut rig.disk, &mut next[0]);
        rig.transfer(0, BlockOp::Write, 8, &pages(1)).expect("room");
        rig.drain();
    }
}

#[test]
fn one_that_stops_by_no_means_is_not_used() {
    let offer = Offer {
        function: pci::Offer {
            flr: false,
            ..pci::Offer::default()
        },
        ..Offer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.model.inject(Fault::NeverStops);
    assert!(rig.disk.restart().is_err());
    assert!(
        !rig.model.function().is_bus_master(),
        "it reaches no memory all the same"
    );
    let error = bring_up(&rig.model, &rig.bus.pool(100), SIGNAL, Options::default()).err();
    assert_eq!(error, Some(ProbeError::NotReady));
}

#[test]
fn the_end_is_announced() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    rig.model.hold();
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.drain();
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    rig.disk.quiesce();
    rig.forget();
    assert_eq!(rig.model.counters().shutdowns, 1);
    assert!(rig.model.durable(1) == rig.oracle, "what its cache held is safe");
    assert!(!rig.model.is_live() && !rig.model.function().is_line_up());
    rig.model.run();
    assert_eq!(rig.reap(0), Ok(0), "everything in flight is forgotten");
    assert!(!rig.disk.arm(0));
    assert!(rig.transfer(0, BlockOp::Read, 0, &pages(1)).is_err());
    rig.model.assert_clean();
    rig.disk.quiesce();
    assert_eq!(rig.model.counters().shutdowns, 1, "once");
    back(rig);
}

fn two() -> Rig {
    let namespaces = [1, 2].map(|nsid| NamespaceOffer {
        nsid,
        unique: nsid.into(),
        ..NamespaceOffer::default()
    });
    let rig = Rig::new(
        Offer {
            namespaces: namespaces.to_vec(),
            ..Offer::default()
        },
        Options::default(),
    );
    rig.model.hold();
    rig
}

/// The second namespace has a request in flight.
fn other_in_flight(rig: &mut Rig) {
    std::mem::swap(&mut rig.disk, &mut rig.others[0]);
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    std::mem::swap(&mut rig.disk, &mut rig.others[0]);
}

#[test]
fn one_namespaces_reset_is_told_to_the_other() {
    // One that had something in flight.
    let mut rig = two();
    other_in_flight(&mut rig);
    rig.disk.restart().expect("a good controller");
    rig.forget();
    let enabled = rig.model.counters().enabled;
    let mut none = |_| unreachable!("nothing has completed");
    let told = rig.others[0].reap(0, &mut none);
    assert!(told.is_err());
    rig.others[0].restart().expect("a good controller");
    assert_eq!(rig.model.counters().enabled, enabled, "it was reset already");
    assert_eq!(rig.others[0].reap(0, &mut none), Ok(()));
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.drain();
    // One that had nothing goes on.
    rig.disk.restart().expect("a good controller");
    assert_eq!(rig.others[0].reap(0, &mut none), Ok(()));
    other_in_flight(&mut rig);
    rig.model.run();
    let mut done = 0;
    assert_eq!(rig.others[0].reap(0, &mut |_| done += 1), Ok(()));
    assert_eq!(done, 1);
    rig.model.assert_clean();
}

#[test]
fn a_namespace_that_ends_leaves_the_other_alone() {
    let mut none = |_| unreachable!("nothing has completed");
    // Idle: the controller goes on.
    let mut rig = two();
    rig.others[0].quiesce();
    assert_eq!(rig.model.counters().shutdowns, 0);
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.drain();
    rig.disk.quiesce();
    assert_eq!(rig.model.counters().shutdowns, 1, "the last one closes the door");
    assert!(!rig.model.is_live());
    // With requests in flight: it stops, and is up again for the other, which had some too.
    let mut rig = two();
    other_in_flight(&mut rig);
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    rig.disk.quiesce();
    rig.forget();
    rig.model.run();
    assert!(rig.others[0].reap(0, &mut none).is_err());
    rig.others[0].restart().expect("a good controller");
    other_in_flight(&mut rig);
    rig.model.run();
    let mut done = 0;
    assert_eq!(rig.others[0].reap(0, &mut |_| done += 1), Ok(()));
    assert_eq!(done, 1);
    rig.model.assert_clean();
}

#[test]
fn a_fault_of_one_queue_is_everybodys() {
    let mut rig = two();
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    rig.model.fetch();
    rig.model.inject(Fault::Cid(9));
    rig.model.run();
    assert!(rig.reap_raw(0).1.is_err());
    rig.forget();
    // The other had nothing in flight; what it submits now is answered by the fault.
    other_in_flight(&mut rig);
    let mut none = |_| unreachable!("nothing has completed");
    assert!(rig.others[0].reap(0, &mut none).is_err());
    rig.forget();
    rig.others[0].restart().expect("a good controller");
    let enabled = rig.model.counters().enabled;
    rig.disk.restart().expect("a good controller");
    assert_eq!(rig.model.counters().enabled, enabled, "once is enough");
    other_in_flight(&mut rig);
    rig.model.run();
    let mut done = 0;
    assert_eq!(rig.others[0].reap(0, &mut |_| done += 1), Ok(()));
    assert_eq!(done, 1, "and nothing that was answered before");
    rig.forget();
    back(rig);
}

#[test]
fn requests_that_the_controller_never_sees() {
    let offer = Offer {
        cache: false,
        deallocate: false,
        ..Offer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    let most = rig.disk.limits().max_segments;
    rig.dataless(0, BlockOp::Flush, 0, 0).expect("room");
    rig.dataless(0, BlockOp::Discard, 0, 8).expect("room");
    for (sector, sectors) in [(0, 1025), (0, 0), (0, 1 << 33)] {
        rig.dataless(0, BlockOp::WriteZeroes { may_unmap: true }, sector, sectors)
            .expect("room");
    }
    rig.transfer(0, BlockOp::Read, 0, &[]).expect("room");
    rig.transfer(0, BlockOp::Write, 0, &pages(most + 1))
        .expect("room");
    rig.transfer(0, BlockOp::Write, 2041, &pages(1)).expect("room");
    rig.transfer(0, BlockOp::Write, 2040, &[(2, 2); 5]).expect("room");
    rig.transfer(0, BlockOp::Read, 1 << 40, &pages(1)).expect("room");
    assert!(rig.disk.arm(0), "they have ended already");
    rig.disk.commit(0);
    assert_eq!(rig.model.counters().completed, 0);
    assert_eq!(rig.reap(0), Ok(10));
    assert!(!rig.disk.arm(0));
    // Their number is bounded too.
    let room = (0..1000)
        .take_while(|_| rig.dataless(0, BlockOp::Flush, 0, 0).is_ok())
        .count();
    assert_eq!(room, 64);
    assert_eq!(rig.reap(0), Ok(64));
    rig.drain();
}

/// A controller may ignore a range that it does not have, and say that all is well.
#[test]
fn ranges_past_the_end_never_reach_the_controller() {
    let mut rig = Rig::new(Offer::default(), Options::default());
    for (sector, sectors) in [(2048, 8), (2044, 8), (1 << 40, 8), (0, 2049)] {
        rig.dataless(0, BlockOp::Discard, sector, sectors).expect("room");
    }
    rig.dataless(0, BlockOp::WriteZeroes { may_unmap: true }, 2041, 8)
        .expect("room");
    rig.disk.commit(0);
    assert_eq!(rig.reap(0), Ok(5));
    assert_eq!(rig.model.counters().completed, 0);
    rig.dataless(0, BlockOp::Discard, 2040, 8).expect("room");
    rig.drain();
    assert_eq!(rig.model.counters().completed, 1);
}

#[test]
fn another_controller_in_its_place_is_not_taken_for_it() {
    // The same controller, whose namespace was replaced meanwhile.
    let bus = outrigger_bus_model::Bus::default();
    let clock = pci::TestClock::default();
    let model = outrigger_nvme_model::NvmeModel::new(Offer::default(), &bus, &clock);
    let mut disks = bring_up(&model, &bus.pool(100), SIGNAL, Options::default()).expect("a disk");
    model.replace_namespace(77);
    assert!(disks[0].restart().is_err());
    assert!(!model.is_live());
    model.replace_namespace(0x1234);
    disks[0].restart().expect("the right one again");
    model.assert_clean();
}
