//! Controllers and cards that fail, lie, go away or fall silent.

mod rig;

use core::time::Duration;

use outrigger_devices::{BlockDevice, BlockOp, Device, DeviceFault, DmaReach, QueueFull, Status};
use outrigger_sdhci::Options;
use outrigger_sdhci_model::{CardOffer, Fault, Slot};
use rig::{PI, Rig, Setup, pages};

const COMMAND_TIMEOUT: u32 = 1 << 16;
const COMMAND_CRC: u32 = 1 << 17;
const COMMAND_END_BIT: u32 = 1 << 18;
const COMMAND_INDEX: u32 = 1 << 19;
const DATA_TIMEOUT: u32 = 1 << 20;
const DATA_CRC: u32 = 1 << 21;
const DATA_END_BIT: u32 = 1 << 22;
const AUTO_COMMAND: u32 = 1 << 24;
const ADMA: u32 = 1 << 25;

const READ_MULTIPLE: u8 = 18;
const WRITE_MULTIPLE: u8 = 25;

/// By ADMA with and without what the firmware's device tree says, by hand, and an eMMC.
fn setups() -> Vec<Setup> {
    let card = CardOffer {
        sectors: 1024,
        ..CardOffer::SD
    };
    let emmc = CardOffer {
        busy: 2,
        sectors: 1024,
        ..CardOffer::EMMC
    };
    let pi = Setup {
        card,
        ..Setup::default()
    };
    vec![
        pi,
        Setup {
            data_at: 0x5000_0000,
            ..pi
        },
        Setup::generic(Slot::QEMU, card),
        Setup::generic(
            Slot {
                latency: 2,
                ..Slot::VERSION_4
            },
            emmc,
        ),
        Setup {
            options: Options {
                by_hand: true,
                ..Options::default()
            },
            ..pi
        },
    ]
}

/// Something was there before.
fn filled(setup: Setup) -> Rig {
    let mut rig = setup.rig();
    let contents: Vec<u8> = (0..rig.oracle.len())
        .map(|i| (i / 511) as u8 ^ (i as u8))
        .collect();
    rig.model.fill(&contents);
    rig.oracle = contents;
    rig
}

fn small(op: BlockOp) -> u8 {
    if op == BlockOp::Read {
        READ_MULTIPLE
    } else {
        WRITE_MULTIPLE
    }
}

/// The card goes on serving.
fn serves(rig: &mut Rig) {
    rig.transfer(BlockOp::Write, 16, &pages(2)).expect("room");
    rig.transfer(BlockOp::Read, 0, &pages(5)).expect("room");
    rig.settle();
    assert_eq!(rig.ended.last(), Some(&(BlockOp::Read, Status::Ok)));
}

#[test]
fn what_fails_once_or_twice_is_done_in_the_end() {
    let faults = [
        Fault::Command(COMMAND_TIMEOUT),
        Fault::Command(COMMAND_CRC),
        Fault::Command(COMMAND_END_BIT | COMMAND_CRC),
        Fault::Command(COMMAND_INDEX),
        Fault::Data(DATA_TIMEOUT, 0),
        Fault::Data(DATA_CRC, 1),
        Fault::Data(DATA_CRC, 23),
        Fault::Data(DATA_END_BIT, 7),
        Fault::Data(AUTO_COMMAND, 8),
        Fault::Data(ADMA, 3),
        Fault::Silence,
        Fault::NoEnd,
        Fault::NoInterrupt,
        Fault::Garbage(0x0040),
        Fault::Garbage(0x7000_0000),
        Fault::Garbage(DATA_CRC),
        Fault::Garbage(0x0003),
        Fault::Status(1 << 19),
        Fault::Status(1 << 21),
    ];
    for setup in setups() {
        for fault in faults {
            for op in [BlockOp::Read, BlockOp::Write] {
                for times in 1..3 {
                    let mut rig = filled(setup);
                    for _ in 0..times {
                        rig.model.inject(Some(small(op)), fault);
                    }
                    rig.transfer(op, 8, &pages(3)).expect("room");
                    assert_eq!(rig.outcome(), Ok(Status::Ok), "{op:?} {fault:?} {times}");
                    let unmet = rig.model.faults_left();
                    // What is no failure needs no second try.
                    let harmless = matches!(fault, Fault::NoInterrupt | Fault::Garbage(_));
                    assert!(unmet == 0 || harmless, "{op:?} {fault:?}: {unmet} left");
                    rig.model.mend();
                    rig.believe_the_card_where_it_lied(fault);
                    serves(&mut rig);
                }
            }
        }
    }
}

#[test]
fn what_goes_on_failing_fails_and_the_card_serves_on() {
    for setup in setups() {
        for fault in [
            Fault::Data(DATA_CRC, 2),
            Fault::Data(DATA_TIMEOUT, 0),
            Fault::Command(COMMAND_CRC),
            Fault::NoEnd,
        ] {
            for op in [BlockOp::Read, BlockOp::Write] {
                let mut rig = filled(setup);
                for _ in 0..3 {
                    rig.model.inject(Some(small(op)), fault);
                }
                rig.transfer(op, 8, &pages(3)).expect("room");
                assert_eq!(rig.outcome(), Ok(Status::IoError), "{op:?} {fault:?}");
                assert_eq!(rig.model.faults_left(), 0, "three tries");
                rig.believe_the_card();
                serves(&mut rig);
            }
        }
    }
}

#[test]
fn what_another_try_does_not_mend_is_not_tried_again() {
    // Out of range, misaddressed, block length, erase sequence, erase parameters, protected.
    for bit in 26..32 {
        for setup in setups() {
            let mut rig = filled(setup);
            rig.model.inject(Some(READ_MULTIPLE), Fault::Status(1 << bit));
            rig.transfer(BlockOp::Read, 8, &pages(3)).expect("room");
            rig.model.take_commands();
            assert_eq!(rig.outcome(), Ok(Status::IoError));
            let reads = rig
                .model
                .take_commands()
                .iter()
                .filter(|index| **index == READ_MULTIPLE)
                .count();
            assert_eq!(reads, 1);
            serves(&mut rig);
        }
    }
}

#[test]
fn adma_that_fails_is_done_by_hand() {
    for op in [BlockOp::Read, BlockOp::Write] {
        let mut rig = filled(Setup::default());
        rig.model.inject(Some(small(op)), Fault::Data(ADMA, 5));
        rig.transfer(op, 8, &pages(3)).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::Ok));
        assert_eq!(rig.counter("by-hand"), 3, "three segments");
        serves(&mut rig);
        assert_eq!(rig.counter("by-hand"), 3, "what comes after is not");
    }
}

/// A write is done only when the card says so.
#[test]
fn a_write_that_the_card_could_not_program_has_failed() {
    for setup in setups() {
        let card = CardOffer {
            busy: 0,
            ..setup.card
        };
        let mut rig = filled(Setup { card, ..setup });
        for _ in 0..3 {
            rig.model.inject(Some(13), Fault::Status(1 << 19));
            // Asked again after the stop, it says nothing of it.
            rig.model.inject(Some(13), Fault::Garbage(0));
        }
        rig.transfer(BlockOp::Write, 8, &pages(1)).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::IoError));
        rig.model.mend();
        rig.believe_the_card();
        serves(&mut rig);
    }
}

fn is_fault(rig: &mut Rig, fault: DeviceFault) {
    rig.forget();
    assert!(
        rig.model.is_quiet(),
        "a controller at fault is reset before anyone is told"
    );
    let again = rig
        .disk
        .reap(0, &mut |completion| panic!("{completion:?} after a fault"));
    assert_eq!(again, Err(fault), "a fault stays");
    assert_eq!(rig.transfer(BlockOp::Read, 0, &pages(1)), Err(QueueFull));
    assert_eq!(rig.dataless(BlockOp::Flush, 0, 0), Err(QueueFull));
    rig.model.take_commands();
    rig.disk.commit(0);
    assert!(!rig.disk.arm(0));
    assert!(rig.disk.deadline().is_none());
    assert!(rig.model.take_commands().is_empty(), "nothing is sent any more");
    assert!(rig.model.is_quiet());
}

/// Off, and no requests.
fn is_quiesced(rig: &mut Rig) {
    assert!(rig.model.is_quiet());
    assert_eq!(
        rig.disk.reap(0, &mut |completion| panic!("{completion:?}")),
        Ok(())
    );
    assert_eq!(rig.transfer(BlockOp::Read, 0, &pages(1)), Err(QueueFull));
}

/// What ends in a fault when it happens at a read of three pages with five more waiting.
fn dies(setup: Setup, fault: Fault) -> (Rig, DeviceFault) {
    let mut rig = filled(setup);
    rig.model.inject(Some(READ_MULTIPLE), fault);
    for i in 0..6 {
        rig.transfer(BlockOp::Read, 8 * i, &pages(3)).expect("room");
    }
    let found = rig.drain().expect_err("a fault");
    assert!(
        rig.ended.iter().all(|(_, status)| *status != Status::Ok),
        "{:?}",
        rig.ended
    );
    is_fault(&mut rig, found);
    (rig, found)
}

#[test]
fn a_card_that_is_pulled() {
    for setup in setups() {
        for after in [0, 1, 13, 23] {
            let (mut rig, fault) = dies(setup, Fault::Pull(after));
            let expected = if setup.slot.card_detect {
                "the card was removed"
            } else {
                "the card does not answer any more"
            };
            assert_eq!(fault, DeviceFault(expected));
            // Another one is put in.
            rig.model.insert(CardOffer {
                sectors: 4096,
                ..setup.card
            });
            // What was on its way to the first one is not for it.
            assert_eq!(rig.restart(), Err(DeviceFault("another card is in the slot")));
            is_quiesced(&mut rig);
        }
    }
}

#[test]
fn a_card_that_is_pulled_while_nothing_is_under_way() {
    for setup in setups() {
        let mut rig = filled(setup);
        rig.model.pull();
        rig.transfer(BlockOp::Write, 0, &pages(1)).expect("room");
        let fault = rig.drain().expect_err("a fault");
        is_fault(&mut rig, fault);
        assert!(rig.restart().is_err(), "there is no card");
    }
}

#[test]
fn parts_that_are_broken_for_good() {
    for setup in setups() {
        for (fault, what) in [
            (Fault::Deaf, "the card does not answer any more"),
            (Fault::Busy, "the card stays busy"),
            (Fault::Ones, "the controller's registers read as ones"),
        ] {
            let (mut rig, found) = dies(setup, fault);
            assert_eq!(found, DeviceFault(what));
            assert_eq!(
                rig.restart(),
                Err(DeviceFault("it does not come back from a reset"))
            );
            is_quiesced(&mut rig);
            rig.model.mend();
            rig.restart().expect("the card again");
            serves(&mut rig);
        }
        let mut rig = filled(setup);
        rig.model.inject(Some(READ_MULTIPLE), Fault::NoReset);
        rig.model.inject(Some(READ_MULTIPLE), Fault::Data(DATA_CRC, 0));
        rig.transfer(BlockOp::Read, 0, &pages(1)).expect("room");
        rig.transfer(BlockOp::Read, 8, &pages(1)).expect("room");
        assert_eq!(
            rig.drain(),
            Err(DeviceFault("the controller's lines do not come back"))
        );
        rig.forget();
        assert!(rig.restart().is_err());
        is_quiesced(&mut rig);
    }
}

#[test]
fn a_card_that_stays_busy_after_a_write() {
    let mut rig = filled(Setup::default());
    rig.model.inject(Some(WRITE_MULTIPLE), Fault::Busy);
    rig.transfer(BlockOp::Write, 0, &pages(1)).expect("room");
    assert_eq!(rig.drain(), Err(DeviceFault("the card stays busy")));
    rig.forget();
    is_fault(&mut rig, DeviceFault("the card stays busy"));
}

/// The domain is paused for longer than any card may take, wherever it is; the card goes on meanwhile.
/// Nothing has failed.
#[test]
fn a_pause_at_any_moment_is_no_fault() {
    let setup = Setup::generic(
        Slot::VERSION_4,
        CardOffer {
            busy: 2,
            ..CardOffer::EMMC
        },
    );
    for moment in 0..40 {
        let mut rig = filled(setup);
        rig.transfer(BlockOp::Write, 0, &pages(1)).expect("room");
        rig.dataless(BlockOp::Discard, 64, 8).expect("room");
        for _ in 0..moment {
            rig.turn().expect("no fault");
        }
        while rig.model.run() {}
        rig.clock.advance(Duration::from_secs(40));
        assert_eq!(rig.drain(), Ok(()), "paused after {moment} turns");
        serves(&mut rig);
    }
}

#[test]
fn discards_that_fail() {
    let setup = Setup::generic(
        Slot::VERSION_4,
        CardOffer {
            busy: 2,
            ..CardOffer::EMMC
        },
    );
    let cases = [
        (35, Fault::Command(COMMAND_CRC)),
        (36, Fault::Status(1 << 19)),
        (38, Fault::Silence),
        (38, Fault::Command(DATA_TIMEOUT)),
    ];
    for (index, fault) in cases {
        let mut rig = filled(setup);
        rig.model.inject(Some(index), fault);
        rig.dataless(BlockOp::Discard, 8, 8).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::Ok), "{fault:?}");
        rig.flush();
        serves(&mut rig);
        // And for good.
        for _ in 0..40 {
            rig.model.inject(Some(index), fault);
        }
        rig.dataless(BlockOp::Discard, 8, 8).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::IoError), "{fault:?}");
        rig.model.mend();
        rig.believe_the_card();
        serves(&mut rig);
    }
}

#[test]
fn quiet_is_quiet() {
    for setup in setups() {
        let mut rig = filled(setup);
        rig.transfer(BlockOp::Read, 0, &pages(4)).expect("room");
        rig.transfer(BlockOp::Write, 64, &pages(4)).expect("room");
        rig.disk.commit(0);
        rig.disk.arm(0);
        rig.disk.quiesce();
        assert!(rig.model.is_quiet());
        rig.forget();
        is_quiesced(&mut rig);
        rig.restart().expect("the card again");
        serves(&mut rig);
    }
}

/// A card in the midst of everything is reset and serves on: what had ended is there, what had not is forgotten, and nothing
/// is lost or used up however often it happens.
#[test]
fn a_reset_costs_nothing_that_has_ended() {
    for setup in setups() {
        let mut rig = filled(setup);
        for round in 0..20 {
            rig.transfer(BlockOp::Write, 64 + 8 * round, &pages(1))
                .expect("room");
            assert_eq!(rig.outcome(), Ok(Status::Ok));
            for _ in 0..3 {
                rig.transfer(BlockOp::Read, 0, &pages(4)).expect("room");
            }
            rig.disk.commit(0);
            if round % 2 == 0 {
                rig.model.run();
            }
            rig.restart().expect("the card again");
            assert!(rig.disk.deadline().is_none());
            rig.forget();
            assert!(*rig.model.durable() == rig.oracle, "a reset is no loss");
        }
        serves(&mut rig);
    }
}

#[test]
fn what_does_not_fit_never_reaches_the_card() {
    for setup in setups() {
        let mut rig = filled(setup);
        let end = rig.disk.limits().sectors;
        rig.model.take_commands();
        for (sector, len) in [
            (end - 7, 8),
            (end, 1),
            (end + 1, 1),
            (u64::MAX, 1),
            (u64::MAX - 7, 8),
            (0, 0),
        ] {
            let pieces: Vec<_> = (len > 0).then_some((0, len)).into_iter().collect();
            for op in [BlockOp::Read, BlockOp::Write] {
                rig.transfer(op, sector, &pieces).expect("room");
                assert_eq!(rig.outcome(), Ok(Status::IoError), "{op:?} at {sector}");
            }
            rig.dataless(BlockOp::Discard, sector, len.into()).expect("room");
            assert_eq!(rig.outcome(), Ok(Status::IoError), "a discard at {sector}");
        }
        let most = rig.disk.limits().max_discard_sectors;
        rig.dataless(BlockOp::Discard, 0, u64::from(most) + 1)
            .expect("room");
        assert_eq!(rig.outcome(), Ok(Status::IoError));
        rig.transfer(BlockOp::Read, 0, &[(0, 1); 65]).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::IoError), "more segments than it takes");
        assert_eq!(rig.model.take_commands(), [], "none of it was sent");
        serves(&mut rig);
    }
}

/// A life of the domain that ended without a word: the controller is stopped by its registers alone.
#[test]
fn what_an_earlier_life_has_left_at_work_is_stopped() {
    for setup in setups() {
        let mut rig = filled(Setup {
            slot: Slot {
                latency: 100,
                ..setup.slot
            },
            ..setup
        });
        for op in [BlockOp::Read, BlockOp::Write] {
            rig.transfer(op, 8, &pages(4)).expect("room");
        }
        rig.disk.commit(0);
        rig.disk.arm(0);
        rig.model.run();
        assert!(!rig.model.is_quiet());
        outrigger_sdhci::stop(&rig.model);
        assert!(rig.model.is_quiet());
        rig.forget();
        rig.model.set_latency(1);
        rig.restart().expect("the card again");
        serves(&mut rig);
    }
}

/// The failed attempts' pages are lent again for the next ones, so none may be lost on the way.
#[test]
fn failures_lose_no_page_to_bounce_through() {
    let setup = Setup {
        data_at: 0x5000_0000,
        reach: DmaReach { coherent: true, ..PI },
        ..Setup::default()
    };
    let mut rig = filled(setup);
    for round in 0..40 {
        rig.model
            .inject(Some(READ_MULTIPLE), Fault::Data(DATA_CRC, round % 24));
        rig.transfer(BlockOp::Read, 0, &pages(60)).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::Ok));
    }
    assert_eq!(rig.counter("bounced"), 2 * 40 * 60);
    assert_eq!(rig.counter("by-hand"), 0);
    rig.settle();
}
