//! Any mix of requests, on any card, in any memory, with whatever goes wrong on the way.

mod rig;

use outrigger_devices::{BlockDevice, BlockOp, DmaReach, Status};
use outrigger_sdhci::Options;
use outrigger_sdhci_model::{CardOffer, Family, Fault, Slot};
use proptest::prelude::*;
use rig::{PI, Piece, Rig, Setup, pages};

#[derive(Clone, Debug)]
enum Act {
    Transfer(BlockOp, u64, Vec<Piece>),
    Discard(u64, u64),
    Flush,
    Turn,
    Fault(u8, Fault),
}

const SECTORS: u64 = 1024;

fn piece() -> impl Strategy<Value = Piece> {
    (0u32..8).prop_flat_map(|offset| (Just(offset), 1..=8 - offset))
}

fn act() -> impl Strategy<Value = Act> {
    let op = prop_oneof![Just(BlockOp::Read), Just(BlockOp::Write)];
    let transfer = (op, 0..SECTORS + 8, prop::collection::vec(piece(), 0..20));
    let indices = prop::sample::select(vec![13u8, 17, 18, 24, 25, 38, 6]);
    let faults = prop_oneof![
        (16u32..26).prop_map(|bit| Fault::Command(1 << bit)),
        (prop::sample::select(vec![20u32, 21, 22, 24, 25]), 0u32..12)
            .prop_map(|(bit, after)| Fault::Data(1 << bit, after)),
        Just(Fault::Silence),
        Just(Fault::NoEnd),
        Just(Fault::NoInterrupt),
    ];
    prop_oneof![
        12 => transfer.prop_map(|(op, sector, pieces)| Act::Transfer(op, sector, pieces)),
        2 => (0..SECTORS, 0..SECTORS).prop_map(|(sector, sectors)| Act::Discard(sector, sectors)),
        1 => Just(Act::Flush),
        6 => Just(Act::Turn),
        2 => (indices, faults).prop_map(|(index, fault)| Act::Fault(index, fault)),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let slots = [
        Slot::BCM2711,
        Slot::QEMU,
        Slot::VERSION_2,
        Slot::VERSION_3,
        Slot::VERSION_4,
    ];
    let card = (
        prop::sample::select(vec![Family::Sd, Family::Emmc]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0u32..3,
        prop::sample::select(vec![1u32, 8]),
    );
    let memory = (
        prop::sample::select(vec![0x2000_0000u64, 0x5000_0000, 0x3fff_f000]),
        any::<bool>(),
    );
    (
        prop::sample::select(slots.to_vec()),
        card,
        memory,
        0u32..4,
        any::<bool>(),
    )
        .prop_map(
            |(
                slot,
                (family, by_sector, set_block_count, features, busy, erase_sectors),
                (data_at, coherent),
                latency,
                by_hand,
            )| {
                let card = CardOffer {
                    family,
                    sectors: SECTORS,
                    by_sector,
                    // All that this driver meets know it.
                    set_block_count: set_block_count || family == Family::Emmc,
                    discard: features,
                    cache: features && family == Family::Emmc,
                    trim: false,
                    // SDHC cards erase single sectors, always.
                    erase_sectors: if by_sector && family == Family::Sd {
                        1
                    } else {
                        erase_sectors
                    },
                    busy,
                    ..CardOffer::SD
                };
                let probing = Slot {
                    latency: latency % 3,
                    ..slot
                };
                let generic = Setup::generic(probing, card);
                let base = if slot.card_detect {
                    generic
                } else {
                    Setup {
                        slot: probing,
                        card,
                        ..Setup::default()
                    }
                };
                Setup {
                    reach: DmaReach { coherent, ..PI },
                    data_at,
                    options: Options {
                        by_hand,
                        ..Options::default()
                    },
                    ..base
                }
            },
        )
}

fn run(rig: &mut Rig, acts: &[Act]) {
    for act in acts {
        match act.clone() {
            // A full queue is an answer.
            Act::Transfer(op, sector, pieces) => drop(rig.transfer(op, sector, &pieces)),
            Act::Discard(sector, sectors) => drop(rig.dataless(BlockOp::Discard, sector, sectors)),
            Act::Flush => drop(rig.dataless(BlockOp::Flush, 0, 0)),
            Act::Turn => drop(rig.turn().expect("no fault")),
            Act::Fault(index, fault) => {
                // One at a time: several on one request are for the tests of faults.
                rig.drain().expect("no fault");
                rig.model.mend();
                rig.model.inject(Some(index), fault);
            }
        }
    }
    rig.drain().expect("no fault");
    rig.model.mend();
    rig.settle();
    rig.flush();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_is_written_is_what_is_read(setup in setup(), acts in prop::collection::vec(act(), 1..60)) {
        let mut rig = setup.rig();
        let limits = rig.disk.limits();
        let possible = |sector: u64, sectors: u64| sectors > 0 && sector + sectors <= limits.sectors;
        run(&mut rig, &acts);
        // Every request that could be done was: one fault each is no reason to fail.
        let refusable = acts.iter().filter(|act| match act {
            Act::Transfer(_, sector, pieces) => {
                let sectors = pieces.iter().map(|(_, len)| u64::from(*len)).sum();
                !possible(*sector, sectors)
            }
            Act::Discard(sector, sectors) => limits.max_discard_sectors == 0 || !possible(*sector, *sectors),
            _ => false,
        });
        let failed = rig.ended.iter().filter(|(_, status)| *status != Status::Ok).count();
        prop_assert!(failed <= refusable.count(), "{:?}", rig.ended);
    }
}

/// Every turn the card is asked for, and none that it is not.
#[test]
fn a_queue_is_served_in_order_and_to_its_end() {
    let mut rig = Setup::default().rig();
    for round in 0..40 {
        while rig.transfer(BlockOp::Write, 8 * (round % 64), &pages(1)).is_ok() {}
        assert_eq!(rig.pending.len(), Options::default().queue_size);
        let _full = rig.transfer(BlockOp::Read, 0, &pages(1)).expect_err("it is full");
        rig.drain().expect("no fault");
    }
    rig.settle();
    assert_eq!(rig.ended.len(), 40 * Options::default().queue_size);
}
