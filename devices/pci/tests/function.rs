//! A function on its model: found, placed, silenced, reset; and what a broken one is told.

use std::time::Duration;

use outrigger_hal::RegisterIo as _;
use outrigger_pci::{BarKind, BusWindow, Ecam, Function, Message, PciError};
use outrigger_pci_model::{
    EcamPage, Fault, FunctionModel, Offer, TestClock, WINDOW_BUS, WINDOW_BYTES, WindowModel,
};

const WINDOW: BusWindow = BusWindow {
    start: WINDOW_BUS,
    size: WINDOW_BYTES,
};

type Found = Function<Ecam<EcamPage>, WindowModel>;

fn model(offer: Offer) -> (FunctionModel, TestClock) {
    let clock = TestClock::default();
    (FunctionModel::new(offer, &clock), clock)
}

fn find(model: &FunctionModel, window: BusWindow) -> Result<Found, PciError> {
    Function::find(Ecam(model.ecam()), model.window(), window)
}

fn placed(offer: Offer, window: BusWindow) -> (FunctionModel, Result<Found, PciError>) {
    let (model, _) = model(offer);
    let found = find(&model, window).and_then(|mut function| {
        function.place()?;
        Ok(function)
    });
    (model, found)
}

/// QEMU's e1000e, with a BAR of 64 bits besides.
fn many() -> Offer {
    Offer {
        bars: vec![(0, 0x2_0000, false), (1, 0x1000, false), (3, 0x4000, true)],
        io: Some((2, 32)),
        msi: Some(true),
        msix: Some((3, 0, 5)),
        ..Offer::default()
    }
}

#[test]
fn it_is_what_it_says() {
    let (model, _) = model(Offer::default());
    let function = find(&model, WINDOW).unwrap();
    let id = function.id();
    assert_eq!(
        (id.vendor, id.device, id.class, id.revision),
        (0x1b36, 0x0010, 0x01_0802, 2)
    );
    assert!(function.has_msix() && !function.has_msi() && function.has_intx() && function.has_flr());
    assert_eq!(model.command(), 0x400, "silent until it is wanted");
    model.assert_clean();
}

#[test]
fn bars_are_sized_and_placed_the_largest_first() {
    let (model, function) = placed(many(), WINDOW);
    let function = function.unwrap();
    let kinds: Vec<_> = function
        .bars()
        .iter()
        .flatten()
        .map(|bar| (bar.index, bar.kind, bar.size))
        .collect();
    assert_eq!(
        kinds,
        [
            (0, BarKind::Memory32, 0x2_0000),
            (1, BarKind::Memory32, 0x1000),
            (2, BarKind::Io, 32),
            (3, BarKind::Memory64, 0x4000)
        ]
    );
    assert_eq!(
        model.bars(),
        [
            (0, WINDOW_BUS, 0x2_0000),
            (1, WINDOW_BUS + 0x2_4000, 0x1000),
            (3, WINDOW_BUS + 0x2_0000, 0x4000)
        ]
    );
    assert_eq!(model.command() & 7, 2, "memory is decoded; no I/O, no bus master");
    function.set_bus_master(true);
    assert!(model.is_bus_master());
    model.assert_clean();
}

#[test]
fn bars_that_lie_in_the_window_stay() {
    let (model, first) = placed(many(), WINDOW);
    drop(first);
    // Somebody has put the small one at the window's very end, and the 64-bit one far above 4 GiB.
    let ecam = model.ecam();
    ecam.write_u32(4, 0);
    ecam.write_u32(0x14, (WINDOW_BUS + WINDOW_BYTES - 0x1000) as u32);
    ecam.write_u32(0x20, 0x80);
    let mut function = find(&model, WINDOW).unwrap();
    function.place().unwrap();
    assert_eq!(
        model.bars(),
        [
            (0, WINDOW_BUS, 0x2_0000),
            (1, WINDOW_BUS + WINDOW_BYTES - 0x1000, 0x1000),
            (3, WINDOW_BUS + 0x2_0000, 0x4000)
        ]
    );
    // Two at one place: the second moves.
    ecam.write_u32(4, 0);
    ecam.write_u32(0x14, WINDOW_BUS as u32);
    let mut function = find(&model, WINDOW).unwrap();
    function.place().unwrap();
    assert_eq!(model.bars()[1].1, WINDOW_BUS + 0x2_4000);
    model.assert_clean();
}

#[test]
fn a_window_that_is_too_small_is_refused() {
    let small = BusWindow {
        start: WINDOW_BUS,
        size: 0x2_4000,
    };
    let (model, function) = placed(many(), small);
    let error = function.err();
    assert_eq!(
        error,
        Some(PciError::NoRoom {
            bar: 1,
            size: 0x1000,
            window: 0x2_4000
        })
    );
    assert_eq!(model.command() & 7, 0, "it decodes nothing");
    // Room enough, but no aligned place.
    let crooked = BusWindow {
        start: WINDOW_BUS + 0x1000,
        size: 0x2_0000,
    };
    let (_, function) = placed(many(), crooked);
    assert!(matches!(function.err(), Some(PciError::NoRoom { bar: 0, .. })));
    // A BAR of 32 bits has no place above 4 GiB.
    let high = BusWindow {
        start: 0x80_0000_0000,
        size: WINDOW_BYTES,
    };
    assert!(matches!(
        placed(many(), high).1.err(),
        Some(PciError::NoRoom { bar: 0, .. })
    ));
    let wide = Offer::default();
    assert!(placed(wide, high).1.is_ok(), "one of 64 bits has");
    // The end of all addresses.
    let last = BusWindow {
        start: u64::MAX - 0x1fff,
        size: 0x1fff,
    };
    assert!(placed(Offer::default(), last).1.is_err());
}

#[test]
fn functions_that_lie() {
    let broken = |fault: Fault| {
        let (model, _) = model(many());
        model.inject(fault);
        let error = find(&model, WINDOW)
            .and_then(|mut function| function.place().map(|_| ()))
            .err();
        assert_eq!(model.command() & 7, 0, "{fault:?}: it decodes nothing");
        let line = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(!line.contains('\n'), "one line: {line}");
        error
    };
    assert_eq!(broken(Fault::Gone), Some(PciError::Absent));
    assert!(matches!(
        broken(Fault::CapabilityLoop),
        Some(PciError::Capability(_))
    ));
    assert_eq!(
        broken(Fault::CapabilityAt(0x3c)),
        Some(PciError::Capability(0x3c))
    );
    for mask in [0xff0f_fff0, 0x8000_0010, 0x0001_0000] {
        assert!(
            matches!(
                broken(Fault::BarMask(0, mask)),
                Some(PciError::BarSize { bar: 0, .. })
            ),
            "{mask:#x}"
        );
    }
    for bar in [0, 3] {
        assert_eq!(
            broken(Fault::BarStuck(bar)),
            Some(PciError::BarRefused(bar as u8))
        );
    }
}

#[test]
fn only_endpoints_are_driven() {
    for (kind, expected) in [
        (1, Some(PciError::HeaderType(1))),
        (0x80, None),
        (0x82, Some(PciError::HeaderType(2))),
    ] {
        let (model, _) = model(Offer {
            header_type: kind,
            ..Offer::default()
        });
        assert_eq!(find(&model, WINDOW).err(), expected);
    }
}

#[test]
fn a_capability_must_lie_within_the_space() {
    let (model, _) = model(Offer::default());
    // A pointer to the very last bytes, where nothing of use fits; an unknown capability may lie there.
    model.inject(Fault::CapabilityAt(0xfc));
    assert!(find(&model, WINDOW).is_ok());
}

#[test]
fn msix_sends_what_it_is_told() {
    for (offer, window) in [(Offer::default(), WINDOW), (many(), WINDOW)] {
        let (model, function) = placed(offer, window);
        let function = function.unwrap();
        function.set_bus_master(true);
        let message = Message {
            address: 0x1_0802_0040,
            data: 80,
        };
        function.enable_msix(message).unwrap();
        model.raise(0);
        model.raise(1);
        assert_eq!(
            model.take_messages(),
            [(message.address, 80)],
            "the others are masked"
        );
        function.quiet();
        model.raise(0);
        assert_eq!(model.take_messages(), []);
        assert_eq!(model.command() & 0x406, 0x402, "BARs stay where they are");
        function.set_bus_master(true);
        function.enable_msix(message).unwrap();
        model.raise(0);
        assert_eq!(model.take_messages(), [(message.address, 80)]);
        model.assert_clean();
    }
}

#[test]
fn an_msix_table_outside_its_bar_is_refused() {
    for msix in [
        (0, 0x3c00, 65),
        (0, 0x4000, 1),
        (0, 0xffff_fff8, 2),
        (5, 0, 1),
        (7, 0, 1),
    ] {
        let (model, function) = placed(
            Offer {
                msix: Some(msix),
                ..Offer::default()
            },
            WINDOW,
        );
        let message = Message {
            address: 0x802_0040,
            data: 80,
        };
        assert_eq!(
            function.unwrap().enable_msix(message),
            Err(PciError::MsixTable),
            "{msix:?}"
        );
        assert!(!model.sends_messages());
    }
}

#[test]
fn msi_of_either_width() {
    for wide in [false, true] {
        let (model, function) = placed(
            Offer {
                msi: Some(wide),
                msix: None,
                ..Offer::default()
            },
            WINDOW,
        );
        let function = function.unwrap();
        function.set_bus_master(true);
        let low = Message {
            address: 0x802_0040,
            data: 81,
        };
        function.enable_msi(low).unwrap();
        model.raise(0);
        assert_eq!(model.take_messages(), [(low.address, 81)]);
        let high = Message {
            address: 0x1_0802_0040,
            ..low
        };
        let result = function.enable_msi(high);
        if wide {
            assert_eq!(result, Ok(()));
            model.raise(0);
            assert_eq!(model.take_messages(), [(high.address, 81)]);
        } else {
            assert_eq!(result, Err(PciError::MessageAddress(high.address)));
            assert!(!model.sends_messages());
        }
        model.assert_clean();
    }
}

#[test]
fn a_reset_follows_the_rules_and_the_bars_come_back() {
    let (model, function) = placed(many(), WINDOW);
    let (function, clock) = (function.unwrap(), model.clock());
    function.set_bus_master(true);
    function
        .enable_msi(Message {
            address: 0x802_0040,
            data: 81,
        })
        .unwrap();
    let (bars, before) = (model.bars(), clock.peek());
    assert_eq!(function.reset(&clock), Ok(true));
    assert!(clock.peek().since(before) >= Duration::from_millis(100));
    assert_eq!(model.resets(), 1);
    assert_eq!(model.bars(), bars);
    assert_eq!(
        model.command(),
        0x402,
        "it decodes; it is no bus master and raises no line"
    );
    assert!(!model.sends_messages());
    model.assert_clean();

    // One that takes three seconds, and one whose transactions never end.
    let slow = Offer {
        flr_time: Duration::from_secs(3),
        ..Offer::default()
    };
    let (model, function) = placed(slow, WINDOW);
    model.inject(Fault::AlwaysPending);
    assert_eq!(function.unwrap().reset(&model.clock()), Ok(true));
    model.assert_clean();
}

#[test]
fn a_reset_without_end_has_one() {
    let (model, function) = placed(Offer::default(), WINDOW);
    let (function, clock) = (function.unwrap(), model.clock());
    model.inject(Fault::NoResetEnd);
    let before = clock.peek();
    assert_eq!(function.reset(&clock), Err(PciError::Reset));
    assert!(clock.peek().since(before) < Duration::from_secs(6));
    let (model, function) = placed(
        Offer {
            flr: false,
            ..Offer::default()
        },
        WINDOW,
    );
    assert_eq!(
        function.unwrap().reset(&model.clock()),
        Ok(false),
        "one that cannot"
    );
    assert_eq!(model.resets(), 0);
}

#[test]
fn a_function_that_another_domain_left_running_is_silent_at_once() {
    let (model, function) = placed(
        Offer {
            msi: Some(true),
            ..Offer::default()
        },
        WINDOW,
    );
    let function = function.unwrap();
    function.set_bus_master(true);
    function.set_intx(true);
    function
        .enable_msix(Message {
            address: 0x802_0040,
            data: 80,
        })
        .unwrap();
    drop(function);
    assert!(model.is_bus_master());
    let mut function = find(&model, WINDOW).unwrap();
    assert!(!model.is_bus_master() && !model.sends_messages());
    assert_eq!(model.command(), 0x400);
    function.place().unwrap();
    assert!(!model.is_bus_master());
    model.assert_clean();
}

#[test]
fn one_that_sleeps_is_woken() {
    let (model, clock) = model(Offer {
        asleep: true,
        ..Offer::default()
    });
    let mut function = find(&model, WINDOW).unwrap();
    function.wake(&clock);
    function.place().unwrap();
    assert!(clock.peek().0 >= 10_000_000);
    let awake = clock.peek();
    function.wake(&clock);
    assert_eq!(clock.peek(), awake, "one that is awake costs nothing");
    model.assert_clean();
}
