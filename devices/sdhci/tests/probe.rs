//! Controllers and cards of every kind, and those that are none.

mod rig;

use outrigger_devices::{BlockDevice, BlockOp, DmaReach, Status};
use outrigger_sdhci::{Chip, CommandError, Options, ProbeError};
use outrigger_sdhci_model::{CardOffer, Family, Fault, Slot};
use rig::{Rig, Setup, pages};

/// Writes, reads, flushes and discards a little of everything.
fn works(rig: &mut Rig) {
    let sectors = rig.disk.limits().sectors;
    for (sector, pieces) in [
        (0, pages(1)),
        (5, vec![(3, 1)]),
        (8, vec![(7, 1), (0, 8), (1, 2)]),
        (sectors - 24, pages(3)),
    ] {
        rig.transfer(BlockOp::Write, sector, &pieces).expect("room");
        rig.transfer(BlockOp::Read, sector, &pieces).expect("room");
        rig.dataless(BlockOp::Flush, 0, 0).expect("room");
    }
    rig.flush();
    if rig.disk.limits().max_discard_sectors > 0 {
        rig.dataless(BlockOp::Discard, 9, 40).expect("room");
        rig.transfer(BlockOp::Read, 8, &pages(6)).expect("room");
    }
    rig.settle();
    assert!(
        rig.ended.iter().all(|(_, status)| *status == Status::Ok),
        "{:?}",
        rig.ended
    );
}

#[test]
fn every_card_in_every_controller() {
    let slots = [
        Slot::BCM2711,
        Slot::QEMU,
        Slot::VERSION_2,
        Slot::VERSION_3,
        Slot::VERSION_4,
    ];
    let small = CardOffer {
        by_sector: false,
        ..CardOffer::SD
    };
    let cards = [
        CardOffer::SD,
        small,
        CardOffer {
            family: Family::SdVersion1,
            high_speed: false,
            erase_sectors: 32,
            discard: false,
            ..small
        },
        CardOffer {
            high_speed: false,
            set_block_count: false,
            discard: false,
            busy: 3,
            ..CardOffer::SD
        },
        CardOffer::EMMC,
        CardOffer {
            cache: false,
            discard: false,
            ..CardOffer::EMMC
        },
        CardOffer {
            cache: false,
            discard: false,
            trim: false,
            erase_sectors: 16,
            by_sector: false,
            busy: 2,
            ..CardOffer::EMMC
        },
    ];
    for slot in slots {
        for card in cards {
            for latency in [0, 3] {
                let slot = Slot { latency, ..slot };
                let setup = match slot.card_detect {
                    true => Setup::generic(slot, card),
                    false => Setup {
                        slot,
                        card,
                        ..Setup::default()
                    },
                };
                let mut rig = setup.rig();
                let limits = rig.disk.limits();
                assert_eq!(
                    (limits.sectors, limits.flush),
                    (card.sectors, false),
                    "{slot:?} {card:?}"
                );
                works(&mut rig);
            }
        }
    }
}

#[test]
fn the_fastest_that_both_can() {
    let speed = |slot, card| {
        let rig = match slot {
            Slot {
                card_detect: false, ..
            } => Setup {
                slot,
                card,
                ..Setup::default()
            }
            .rig(),
            _ => Setup::generic(slot, card).rig(),
        };
        rig.model.bus_speed()
    };
    assert_eq!(speed(Slot::BCM2711, CardOffer::SD), (50_000_000, 4, true));
    assert_eq!(speed(Slot::QEMU, CardOffer::SD), (26_000_000, 4, true));
    assert_eq!(speed(Slot::VERSION_3, CardOffer::EMMC), (50_000_000, 8, true));
    assert_eq!(speed(Slot::BCM2711, CardOffer::EMMC), (50_000_000, 4, true));
    assert_eq!(speed(Slot::VERSION_2, CardOffer::SD), (24_000_000, 4, false));
    let slow = CardOffer {
        high_speed: false,
        ..CardOffer::SD
    };
    assert_eq!(speed(Slot::VERSION_3, slow), (25_000_000, 4, false));
}

#[test]
fn protected_cards_and_slots() {
    for write_protect in 1..4 {
        let mut rig = Setup {
            card: CardOffer {
                write_protect,
                ..CardOffer::SD
            },
            ..Setup::default()
        }
        .rig();
        assert!(rig.disk.limits().read_only);
        assert_eq!(rig.disk.limits().max_discard_sectors, 0);
        rig.transfer(BlockOp::Write, 0, &pages(1)).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::IoError));
        rig.dataless(BlockOp::Discard, 0, 8).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::Unsupported));
        rig.transfer(BlockOp::Read, 0, &pages(1)).expect("room");
        assert_eq!(rig.outcome(), Ok(Status::Ok));
        rig.settle();
    }
    let slot = Slot {
        protected: true,
        ..Slot::VERSION_3
    };
    assert!(Setup::generic(slot, CardOffer::SD).rig().disk.limits().read_only);
    // The BCM2711's pin is not wired, and reads as protected.
    assert!(!Setup::default().rig().disk.limits().read_only);
}

fn refused(setup: Setup, prepare: impl Fn(&outrigger_sdhci_model::SdhciModel)) -> ProbeError {
    let (bus, model) = setup.model();
    prepare(&model);
    let clock = model.clock();
    let error = setup.probe(&bus, &model, &clock).err().expect("no disk");
    assert!(model.is_quiet(), "a controller that is not used is left reset");
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn an_empty_slot() {
    let generic = Setup::generic(Slot::VERSION_3, CardOffer::SD);
    assert_eq!(refused(generic, |model| model.pull()), ProbeError::NoCard);
    // Without a card detect pin nobody answers.
    let timeout = CommandError::Failed(1 << 16);
    assert_eq!(
        refused(Setup::default(), |model| model.pull()),
        ProbeError::Command(1, timeout)
    );
}

#[test]
fn cards_that_never_get_ready() {
    for card in [CardOffer::SD, CardOffer::EMMC] {
        let card = CardOffer {
            powering_up: u32::MAX,
            ..card
        };
        assert_eq!(
            refused(
                Setup {
                    card,
                    ..Setup::default()
                },
                |_| ()
            ),
            ProbeError::NeverReady
        );
    }
}

#[test]
fn controllers_that_are_none() {
    let with = |slot| Setup::generic(slot, CardOffer::SD);
    assert_eq!(
        refused(
            with(Slot {
                capabilities: [0, 0],
                ..Slot::VERSION_3
            }),
            |_| ()
        ),
        ProbeError::NotThere
    );
    assert_eq!(
        refused(
            with(Slot {
                version: 6,
                ..Slot::VERSION_3
            }),
            |_| ()
        ),
        ProbeError::NotThere
    );
    let volts = Slot {
        capabilities: [0x0060_6432, 0],
        ..Slot::VERSION_3
    };
    assert_eq!(refused(with(volts), |_| ()), ProbeError::NoVoltage);
    let clock = Slot {
        capabilities: [0x0120_0032, 0],
        ..Slot::VERSION_3
    };
    assert_eq!(refused(with(clock), |_| ()), ProbeError::NoClock);
    let mut told = with(clock);
    told.chip = Chip {
        base_clock: Some(50_000_000),
        ..told.chip
    };
    assert!(
        matches!(refused(told, |model| model.pull()), ProbeError::NoCard),
        "a board may know the clock"
    );
}

#[test]
fn a_command_that_fails_at_start_up_says_which() {
    for (index, name) in [(2, "CMD2"), (3, "CMD3"), (9, "CMD9"), (7, "CMD7"), (51, "CMD51")] {
        for fault in [Fault::Command(1 << 16), Fault::Command(1 << 17), Fault::Silence] {
            let error = refused(Setup::default(), |model| model.inject(Some(index), fault));
            assert!(
                matches!(error, ProbeError::Command(at, _) if at == index),
                "{error:?}"
            );
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
    let garbage = refused(Setup::default(), |model| model.inject(Some(9), Fault::Ones));
    assert!(matches!(garbage, ProbeError::Command(9, _)), "{garbage:?}");
}

#[test]
fn memory_that_the_controller_does_not_reach() {
    let beyond = Setup {
        pool_at: 0x8000_0000,
        ..Setup::default()
    };
    let (bus, model) = beyond.model();
    let clock = model.clock();
    assert_eq!(
        beyond.probe(&bus, &model, &clock).err(),
        Some(ProbeError::NoMemory)
    );
    // By hand it needs none.
    let by_hand = Setup {
        options: Options {
            by_hand: true,
            ..Options::default()
        },
        ..beyond
    };
    works(&mut by_hand.rig());
}

#[test]
fn addresses_of_32_bits_without_anything_in_the_device_tree() {
    let setup = Setup {
        slot: Slot {
            capabilities: [0x056c_6432, 0],
            ..Slot::VERSION_3
        },
        chip: Chip::GENERIC,
        reach: DmaReach::ALL,
        data_at: 0x2_0000_0000,
        ..Setup::default()
    };
    let mut rig = setup.rig();
    works(&mut rig);
    assert!(rig.counter("bounced") > 0, "what is above 4 GiB bounces");
}
