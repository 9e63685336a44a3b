//! What a controller says of itself, believed or not.

mod rig;

use outrigger_bus_model::Bus;
use outrigger_devices::{BlockDevice, BlockOp, Device, DmaReach};
use outrigger_nvme::{Options, ProbeError, Signal, probe};
use outrigger_nvme_model::{Fault, NamespaceOffer, NvmeModel, Offer};
use outrigger_pci::{BusWindow, Ecam, Function, PciError};
use outrigger_pci_model::{self as pci, TestClock, WINDOW_BUS, WINDOW_BYTES};
use rig::{MESSAGE, Rig, SIGNAL, bring_up, pages};

fn refusal_with(offer: Offer, pages: usize, faults: &[Fault]) -> ProbeError {
    let (bus, clock) = (Bus::default(), TestClock::default());
    let model = NvmeModel::new(offer, &bus, &clock);
    faults.iter().for_each(|fault| model.inject(*fault));
    let error = bring_up(&model, &bus.pool(pages), SIGNAL, Options::default()).err();
    model.assert_clean();
    assert!(
        !model.is_live(),
        "a controller that is not used touches no memory"
    );
    assert!(!model.function().is_bus_master() && !model.function().sends_messages());
    let error = error.expect("no disk");
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains('\n'), "one line: {line}");
    error
}

fn refusal(offer: Offer) -> ProbeError {
    refusal_with(offer, 1024, &[])
}

fn with(namespace: NamespaceOffer) -> Offer {
    Offer {
        namespaces: vec![namespace],
        ..Offer::default()
    }
}

#[test]
fn limits_are_the_namespaces() {
    let rig = Rig::new(Offer::default(), Options::default());
    let limits = rig.disk.limits();
    assert_eq!(
        (
            limits.sectors,
            limits.logical_block_size,
            limits.physical_block_size
        ),
        (2048, 512, 512)
    );
    assert!(limits.flush && !limits.read_only);
    assert_eq!((limits.max_segments, limits.queues), (63, 8));
    assert_eq!(
        (limits.max_discard_sectors, limits.discard_alignment),
        (u32::MAX, 1)
    );
    // MDTS 7: 512 KiB.
    assert_eq!(limits.max_write_zeroes_sectors, 1024);
    assert_eq!(rig.model.queue_sizes(), [64; 8]);
    assert!(rig.model.function().has_msix_on());
    // Ten pages a queue, two for admin, one for Identify.
    assert_eq!(1024 - rig.pool.left(), 83);

    let large = NamespaceOffer {
        shift: 12,
        blocks: 300,
        hints: Some((4, 8)),
        read_only: false,
        format: (20, 40),
        ..NamespaceOffer::default()
    };
    let offer = Offer {
        mdts: 0,
        cache: false,
        queues: 3,
        entries: 16,
        version: 0x0001_0000,
        nn: Some(1),
        ..with(large)
    };
    let rig = Rig::new(offer, Options::default());
    let limits = rig.disk.limits();
    assert_eq!(
        (
            limits.sectors,
            limits.logical_block_size,
            limits.physical_block_size
        ),
        (2400, 4096, 16384)
    );
    assert!(!limits.flush);
    assert_eq!((limits.max_segments, limits.queues), (15, 3));
    assert_eq!(
        (limits.max_discard_sectors, limits.discard_alignment),
        (u32::MAX - 7, 64)
    );
    assert_eq!(limits.max_write_zeroes_sectors, 8 << 16);
    assert_eq!(rig.model.queue_sizes(), [16; 3]);
}

#[test]
fn a_read_only_namespace_has_no_discards() {
    let mut rig = Rig::new(
        with(NamespaceOffer {
            read_only: true,
            ..NamespaceOffer::default()
        }),
        Options::default(),
    );
    let limits = rig.disk.limits();
    assert!(limits.read_only);
    assert_eq!(
        (limits.max_discard_sectors, limits.max_write_zeroes_sectors),
        (0, 0)
    );
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.transfer(0, BlockOp::Read, 0, &pages(1)).expect("room");
    rig.drain();
    assert_eq!(rig.model.counters().completed, 1);
}

#[test]
fn namespaces_share_a_controller() {
    let namespaces = [1, 5, 200].map(|nsid| NamespaceOffer {
        nsid,
        unique: nsid.into(),
        blocks: 1000 + u64::from(nsid),
        ..NamespaceOffer::default()
    });
    let offer = Offer {
        namespaces: namespaces.to_vec(),
        ..Offer::default()
    };
    let mut rig = Rig::new(offer, Options::default());
    let ids: Vec<_> = rig
        .others
        .iter()
        .map(|disk| (disk.nsid(), disk.limits().sectors))
        .collect();
    assert_eq!((rig.disk.nsid(), rig.disk.limits().sectors), (1, 1001));
    assert_eq!(ids, [(5, 1005), (200, 1200)]);
    // Eight queues for three: two each.
    assert_eq!(rig.disk.limits().queues, 2);
    std::mem::swap(&mut rig.disk, &mut rig.others[1]);
    (rig.nsid, rig.oracle) = (200, rig.model.contents(200));
    rig.transfer(1, BlockOp::Write, 1192, &pages(1)).expect("room");
    rig.drain();
    assert!(rig.model.contents(1).iter().all(|byte| *byte == 0));

    // Fewer queues than namespaces: the first ones are served.
    let offer = Offer {
        queues: 2,
        namespaces: namespaces.to_vec(),
        ..Offer::default()
    };
    let rig = Rig::new(offer, Options::default());
    assert_eq!((rig.others.len(), rig.disk.limits().queues), (1, 1));
    // No more than are wanted.
    let offer = Offer {
        namespaces: namespaces.to_vec(),
        ..Offer::default()
    };
    let options = Options {
        namespaces: 1,
        ..Options::default()
    };
    assert!(Rig::new(offer, options).others.is_empty());
}

#[test]
fn formats_that_cannot_be_used() {
    let good = NamespaceOffer::default;
    for bad in [
        NamespaceOffer {
            metadata: 8,
            ..good()
        },
        NamespaceOffer {
            protection: 1,
            ..good()
        },
        NamespaceOffer { shift: 8, ..good() },
        NamespaceOffer { shift: 17, ..good() },
        NamespaceOffer { shift: 255, ..good() },
        NamespaceOffer {
            format: (3, 2),
            ..good()
        },
        NamespaceOffer {
            blocks: u64::MAX,
            shift: 10,
            ..good()
        },
        NamespaceOffer { blocks: 0, ..good() },
    ] {
        assert_eq!(refusal(with(bad.clone())), ProbeError::NoNamespace, "{bad:?}");
        // A good one beside it is served.
        let beside = NamespaceOffer { nsid: 2, ..good() };
        let rig = Rig::new(
            Offer {
                namespaces: vec![beside, NamespaceOffer { nsid: 3, ..bad }],
                ..Offer::default()
            },
            Options::default(),
        );
        assert_eq!(rig.disk.nsid(), 2);
        assert!(rig.others.is_empty());
    }
    // Blocks larger than a transfer.
    let large = NamespaceOffer { shift: 16, ..good() };
    assert_eq!(
        refusal(Offer {
            mdts: 2,
            ..with(large)
        }),
        ProbeError::NoNamespace
    );
}

#[test]
fn controllers_that_cannot_be_used() {
    let offer = Offer::default;
    let function = pci::Offer::default;
    assert!(matches!(
        refusal(Offer {
            nvm: false,
            ..offer()
        }),
        ProbeError::CommandSet(_)
    ));
    assert_eq!(
        refusal(Offer {
            page_min: 1,
            ..offer()
        }),
        ProbeError::PageSize(8192)
    );
    assert_eq!(
        refusal(Offer {
            entries: 1,
            ..offer()
        }),
        ProbeError::QueueSize(1)
    );
    for kind in [2, 3, 255] {
        assert_eq!(
            refusal(Offer { kind, ..offer() }),
            ProbeError::ControllerType(kind)
        );
    }
    for entry_sizes in [(0x67, 0x44), (0x55, 0x44), (0x66, 0x55), (0, 0)] {
        let expected = ProbeError::EntrySizes(entry_sizes.0, entry_sizes.1);
        assert_eq!(
            refusal(Offer {
                entry_sizes,
                ..offer()
            }),
            expected
        );
    }
    let ahci = pci::Offer {
        class: 0x01_0601,
        ..function()
    };
    assert_eq!(
        refusal(Offer {
            function: ahci,
            ..offer()
        }),
        ProbeError::Class(0x01_0601)
    );
    let small = pci::Offer {
        bars: vec![(0, 0x800, true)],
        msix: None,
        ..function()
    };
    assert_eq!(
        refusal(Offer {
            function: small,
            ..offer()
        }),
        ProbeError::Pci(PciError::NoBar(0))
    );
    // No room for the first I/O queue's doorbells.
    assert_eq!(
        refusal(Offer {
            stride: 12,
            ..offer()
        }),
        ProbeError::Pci(PciError::NoBar(0))
    );
    assert_eq!(
        refusal(Offer {
            namespaces: Vec::new(),
            ..offer()
        }),
        ProbeError::NoNamespace
    );
    // However far the pages reach, a failure leaves nothing live behind.
    for pages in 0..83 {
        assert_eq!(refusal_with(offer(), pages, &[]), ProbeError::NoMemory);
    }
}

#[test]
fn controllers_that_do_not_answer() {
    let offer = Offer::default;
    assert_eq!(
        refusal_with(offer(), 1024, &[Fault::NeverReady]),
        ProbeError::NotReady
    );
    assert_eq!(
        refusal_with(offer(), 1024, &[Fault::AdminSilence]),
        ProbeError::Silent(6)
    );
    for opcode in [1, 5, 6, 9] {
        let fault = Fault::AdminStatus(opcode, 0x2002);
        assert_eq!(
            refusal_with(offer(), 1024, &[fault]),
            ProbeError::Refused(opcode, 0x2002)
        );
    }
    // A list of 1,024 namespaces, all but the first of which are empty.
    let (bus, clock) = (Bus::default(), TestClock::default());
    let model = NvmeModel::new(offer(), &bus, &clock);
    model.inject(Fault::EndlessList);
    let error = bring_up(&model, &bus.pool(1024), SIGNAL, Options::default()).err();
    assert_eq!(error, Some(ProbeError::Refused(6, 0x00b)), "beyond NN");
    model.assert_clean();

    let model = NvmeModel::new(offer(), &bus, &clock);
    model.function().inject(pci::Fault::Gone);
    let error = bring_up(&model, &bus.pool(1024), SIGNAL, Options::default()).err();
    assert_eq!(error, Some(ProbeError::Pci(PciError::Absent)));
}

#[test]
fn memory_out_of_reach_is_refused() {
    let (bus, clock) = (Bus::default(), TestClock::default());
    let model = NvmeModel::new(Offer::default(), &bus, &clock);
    for reach in [
        DmaReach {
            coherent: false,
            ..DmaReach::ALL
        },
        DmaReach {
            end: 1 << 32,
            ..DmaReach::ALL
        },
        DmaReach {
            offset: 1,
            ..DmaReach::ALL
        },
    ] {
        let function = model.function();
        let place = BusWindow {
            start: WINDOW_BUS,
            size: WINDOW_BYTES,
        };
        let found = Function::find(Ecam(function.ecam()), function.window(), place).expect("a function");
        let refused = probe(
            found,
            &bus.pool(1024),
            clock.clone(),
            reach,
            SIGNAL,
            Options::default(),
        );
        assert_eq!(refused.err(), Some(ProbeError::Reach));
    }
    model.assert_clean();
}

#[test]
fn it_interrupts_as_it_can() {
    let msi = pci::Offer {
        msix: None,
        msi: Some(false),
        ..pci::Offer::default()
    };
    let line = pci::Offer {
        msix: None,
        ..pci::Offer::default()
    };
    for (function, signal, is_message) in [
        (pci::Offer::default(), SIGNAL, true),
        (msi.clone(), SIGNAL, true),
        (msi, Signal::Line, false),
        (line, Signal::Line, false),
    ] {
        let mut rig = Rig::signalled(
            Offer {
                function,
                ..Offer::default()
            },
            Options::default(),
            signal,
        );
        for _ in 0..20 {
            rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
            assert!(!rig.disk.arm(0));
            rig.disk.commit(0);
            let function = rig.model.function();
            assert_eq!(function.is_line_up(), !is_message);
            let messages = function.take_messages();
            assert_eq!(messages.is_empty(), !is_message);
            assert!(
                messages
                    .iter()
                    .all(|message| *message == (MESSAGE.address, MESSAGE.data))
            );
            assert!(rig.disk.acknowledge().completions);
            assert!(
                !rig.model.function().is_line_up(),
                "it is quiet until it is armed"
            );
            assert_eq!(rig.reap(0), Ok(1));
            assert!(!rig.disk.arm(0));
            assert!(!rig.model.function().is_line_up(), "nothing is left to say");
        }
        rig.drain();
    }
    // No way at all: the deadline is all there is.
    let mut rig = Rig::signalled(Offer::default(), Options::default(), Signal::None);
    assert_eq!(rig.disk.deadline(), None);
    rig.transfer(0, BlockOp::Write, 0, &pages(1)).expect("room");
    rig.disk.commit(0);
    assert!(rig.model.function().take_messages().is_empty());
    assert!(rig.disk.deadline().is_some());
    rig.drain();
    assert_eq!(rig.disk.deadline(), None);
}
