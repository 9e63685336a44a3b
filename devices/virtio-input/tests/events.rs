//! The driver on the model: what a user does arrives, in order, and a device that lies is found out.

use std::cell::Cell;
use std::rc::Rc;

use outrigger_devices::{AxisRange, Device, DeviceFault, InputDevice, InputEvent, InputLimits};
use outrigger_virtio_input::{ProbeError, VirtioInput};
use outrigger_virtio_model::{Bus, Fault, Input, InputOffer, TestPage, TestPool, VirtioModel};

const EV_KEY: u16 = 1;

struct Rig {
    model: VirtioModel<Input>,
    input: VirtioInput<VirtioModel<Input>, TestPage>,
    interrupts: Rc<Cell<u32>>,
    pool: TestPool,
}

fn rig(offer: InputOffer) -> Rig {
    let bus = Bus::default();
    let pool = bus.pool(8);
    let model = VirtioModel::input(offer, &bus);
    let interrupts = Rc::new(Cell::new(0));
    let line = interrupts.clone();
    model.on_interrupt(move || line.set(line.get() + 1));
    let input = VirtioInput::probe(model.clone(), &pool).expect("an input device");
    model.assert_clean();
    Rig {
        model,
        input,
        interrupts,
        pool,
    }
}

impl Rig {
    fn reap(&mut self) -> Result<Vec<(u16, u16, i32)>, DeviceFault> {
        let mut events = Vec::new();
        let mut each = |InputEvent { kind, code, value }| events.push((kind, code, value));
        self.input.reap(&mut each).map(|()| events)
    }
}

const RANGE: AxisRange = AxisRange { min: 0, max: 0x7fff };

#[test]
fn each_kind_says_what_it_is() {
    let limits = |offer| rig(offer).input.limits();
    let none = InputLimits::default();
    assert_eq!(
        limits(InputOffer::keyboard()),
        InputLimits {
            keyboard: true,
            ..none
        }
    );
    assert_eq!(
        limits(InputOffer::mouse()),
        InputLimits {
            relative: true,
            ..none
        }
    );
    let absolute = Some([RANGE; 2]);
    assert_eq!(limits(InputOffer::tablet()), InputLimits { absolute, ..none });
    let touch = InputLimits {
        touch: Some([RANGE; 2]),
        touch_slots: 9,
        ..none
    };
    assert_eq!(limits(InputOffer::multi_touch()), touch);
}

#[test]
fn an_axis_without_a_range_is_refused() {
    let mut offer = InputOffer::tablet();
    offer.axes[1].2 = 0;
    let bus = Bus::default();
    let model = VirtioModel::input(offer, &bus);
    let refused = VirtioInput::probe(model.clone(), &bus.pool(8)).map(drop);
    assert_eq!(refused, Err(ProbeError::Axis(1)));
    assert!(!model.is_live());
    model.assert_clean();
}

#[test]
fn events_arrive_as_they_were_and_in_order() {
    for event_idx in [true, false] {
        let mut rig = rig(InputOffer {
            event_idx,
            ..InputOffer::keyboard()
        });
        for round in 0..200 {
            // The driver sleeps only when armed, and is woken.
            assert!(!rig.input.arm());
            let before = rig.interrupts.get();
            let key = (EV_KEY, 1 + round % 100, i32::from(round % 2));
            rig.model.act(&[key]);
            assert_eq!(rig.interrupts.get(), before + 1, "round {round}");
            assert!(rig.input.acknowledge().completions);
            assert_eq!(rig.reap(), Ok(vec![key, (0, 0, 0)]));
            assert_eq!(rig.reap(), Ok(vec![]));
        }
        rig.model.assert_clean();
    }
}

#[test]
fn a_burst_is_taken_at_once_and_its_memory_goes_back() {
    let mut rig = rig(InputOffer::keyboard());
    for _ in 0..10 {
        let keys: Vec<_> = (1..=32).map(|code| (EV_KEY, code, 1)).collect();
        keys.iter().for_each(|key| rig.model.act(&[*key]));
        let taken = rig.reap().expect("no fault");
        let keys_taken: Vec<_> = taken.iter().copied().filter(|event| event.0 != 0).collect();
        assert_eq!(keys_taken, keys);
    }
    assert_eq!(rig.model.dropped(), 0);
    // More than there are buffers for is lost in the device.
    (0..40).for_each(|_| rig.model.act(&[(EV_KEY, 1, 1)]));
    assert_eq!(
        (rig.model.dropped(), rig.reap().map(|events| events.len())),
        (8, Ok(64))
    );
    rig.model.assert_clean();
}

#[test]
fn a_device_that_lies_is_stopped_and_comes_back() {
    for fault in [
        Fault::UsedId(64),
        Fault::UsedLenOff(-1),
        Fault::UsedLenOff(1),
        Fault::Twice,
        Fault::IndexJump(65),
    ] {
        let mut rig = rig(InputOffer::keyboard());
        let pages = rig.pool.left();
        rig.model.inject(fault);
        rig.model.act(&[(EV_KEY, 30, 1)]);
        assert!(rig.reap().is_err(), "{fault:?}");
        assert!(!rig.model.is_live(), "{fault:?}");
        assert!(rig.reap().is_err() && !rig.input.arm(), "it stays out of service");
        assert_eq!(rig.input.restart(), Ok(()));
        assert!(!rig.input.arm());
        rig.model.act(&[(EV_KEY, 31, 1)]);
        assert_eq!(rig.reap(), Ok(vec![(EV_KEY, 31, 1), (0, 0, 0)]));
        assert_eq!(rig.pool.left(), pages, "in the memory that it had");
        rig.model.assert_clean();
    }
}

#[test]
fn it_is_reset_when_it_asks_for_it() {
    let mut rig = rig(InputOffer::mouse());
    rig.model.need_reset();
    assert!(rig.input.acknowledge().completions);
    assert!(rig.reap().is_err());
    assert_eq!(rig.input.restart(), Ok(()));
    rig.model.stick();
    assert!(
        rig.input.restart().is_err(),
        "a reset that never ends has a bound"
    );
    assert!(!rig.input.arm());
    assert_eq!(rig.reap(), Ok(vec![]));
    rig.model.assert_clean();
}

#[test]
fn nothing_allocates_while_events_come() {
    let mut rig = rig(InputOffer::tablet());
    rig.model.act(&[(3, 0, 100), (3, 1, 200)]);
    let mut count = 0;
    let (input, model) = (&mut rig.input, &rig.model);
    model.hold();
    let allocated = allocation_counter::measure(|| {
        let mut each = |_: InputEvent| count += 1;
        assert_eq!(input.reap(&mut each), Ok(()));
        input.arm();
    });
    assert_eq!((allocated.count_total, count), (0, 3));
}
