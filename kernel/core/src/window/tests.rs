use outrigger_xen::DomId;
use outrigger_xen::fake::{FakePages, FakeXen};

use super::*;

fn memory() -> FakePages {
    FakeXen::new().domain(DomId(3)).pages(2)
}

/// The slots, and the page that says how far they were used.
fn parts(memory: &FakePages) -> (FakePages, FakePages) {
    let mut pages = memory.split();
    (pages.next().expect("a page"), pages.next().expect("another"))
}

fn window(slots: &FakePages, is_first_life: bool) -> Window<FakePages> {
    let (slots, reach) = parts(slots);
    Window::new(0x1000_0000..0x1000_8000, slots, reach, is_first_life)
}

fn held(gref: u32, handle: u32) -> Held {
    Held {
        dom: 7,
        gref,
        read_only: false,
        handle,
        frame: 0xf_1234_5678,
    }
}

#[test]
fn slots_come_and_go() {
    let slots = memory();
    slots.store_u64(5 * SLOT, 77);
    let (slots, reach) = parts(&slots);
    let mut window = Window::new(0x1000_0000..0x1000_4000, slots, reach, true);
    let all: Vec<u32> = core::iter::from_fn(|| window.take()).collect();
    assert_eq!((all.as_slice(), window.slots()), (&[0, 1, 2, 3][..], 4));
    assert_eq!(window.free(), 0);
    window.set(2, held(1, 77));
    assert_eq!(window.held(2), Some(held(1, 77)));
    assert_eq!(window.held(1), None, "taken is not mapped");
    window.release(1);
    window.release(2);
    assert_eq!(window.held(2), None);
    assert_eq!(window.take_run(3), None, "no three in a row");
    assert_eq!(window.take_run(2), Some(1));
    assert_eq!(window.take(), None);
    window.release(3);
    assert_eq!(window.take(), Some(3));
    assert_eq!(window.address(3), 0x1000_3000);
    assert_eq!(window.slot_at(0x1000_3fff), Some(3));
    assert_eq!(window.slot_at(0x1000_4000), None);
}

#[test]
fn the_next_life_claims_what_it_wants_and_takes_the_rest() {
    let slots = memory();
    let mut earlier = window(&slots, true);
    let first = earlier.take_run(3).expect("room");
    for (slot, gref) in (first..).zip([10, 11, 12]) {
        earlier.set(slot, held(gref, slot));
    }
    let alone = earlier.take().expect("room");
    earlier.set(alone, held(11, 99));
    let of_another = earlier.take().expect("room");
    earlier.set(
        of_another,
        Held {
            dom: 8,
            ..held(5, 50)
        },
    );
    earlier.take(); // reserved when the life ended

    let mut next = window(&slots, false);
    assert_eq!((next.free(), next.damaged()), (3, 0));
    assert_eq!(
        (next.unclaimed(7), next.unclaimed(8), next.unclaimed(9)),
        (4, 1, 0)
    );
    assert_eq!(
        next.claim(7, [11, 10].into_iter(), false),
        None,
        "not in this order"
    );
    assert_eq!(
        next.claim(7, [10].into_iter(), true),
        None,
        "not for reading only"
    );
    assert_eq!(next.claim(7, [10, 11, 12].into_iter(), false), Some(first));
    assert_eq!(next.claim(7, [10, 11, 12].into_iter(), false), None, "only once");
    assert_eq!(next.claim(7, [11].into_iter(), false), Some(alone));
    assert_eq!(next.take_orphans(Some(7), 9), []);
    assert!(next.has_orphans());
    assert_eq!(next.take_orphans(None, 9), [of_another]);
    assert!(!next.has_orphans());
    next.release(of_another);
    assert_eq!(next.free(), 4);
}

/// Whatever bit of a slot changes, what is there is not believed; the others are.
#[test]
fn a_damaged_slot_is_never_used_again() {
    for bit in 0..128 {
        let slots = memory();
        let mut earlier = window(&slots, true);
        let (damaged, good) = (earlier.take().expect("room"), earlier.take().expect("room"));
        earlier.set(damaged, held(10, 1));
        earlier.set(good, held(11, 2));
        let at = SLOT * damaged as usize + bit / 64 * 8;
        slots.store_u64(at, slots.load_u64(at) ^ 1 << (bit % 64));
        let mut next = window(&slots, false);
        assert_eq!(
            (next.damaged(), next.unclaimed(7), next.free()),
            (1, 1, 6),
            "bit {bit}"
        );
        assert_eq!(next.claim(7, [11].into_iter(), false), Some(good));
        assert!(core::iter::from_fn(|| next.take()).all(|slot| slot != damaged));
    }
}

/// A life ends between Xen's answer and our noting it: the next one reads the answer where the question was.
#[test]
fn what_xen_had_answered_is_noted_before_the_window_is_looked_at() {
    let slots = memory();
    let mut earlier = window(&slots, true);
    let (mapped, unmapped) = (earlier.take().expect("room"), earlier.take().expect("room"));
    earlier.set(unmapped, held(11, 2));
    note(0x1000_0000, &slots, 0x1000_0000, Some(held(10, 1)));
    note(0x1000_0000, &slots, 0x1000_1000, None);
    for elsewhere in [0xfff_f000, 0x1010_0000, u64::MAX] {
        note(0x1000_0000, &slots, elsewhere, Some(held(12, 3)));
    }
    let mut next = window(&slots, false);
    assert_eq!((next.unclaimed(7), next.free()), (1, 7));
    assert_eq!(next.claim(7, [10].into_iter(), false), Some(mapped));
    assert_eq!(next.held(mapped), Some(held(10, 1)));
}

/// What was never used is not looked at; if it is not known how far, everything is.
#[test]
fn the_next_life_looks_as_far_as_the_last_one_went() {
    let memory = memory();
    let mut earlier = window(&memory, true);
    assert_eq!((earlier.take(), earlier.take()), (Some(0), Some(1)));
    earlier.set(1, held(10, 1));
    let (slots, reach) = parts(&memory);
    slots.store_u64(2 * SLOT, u64::MAX);
    assert_eq!(window(&memory, false).damaged(), 0);
    for nonsense in [0, 1, u64::MAX] {
        reach.store_u64(0, nonsense);
        let next = window(&memory, false);
        assert_eq!((next.damaged(), next.unclaimed(7)), (1, 1), "{nonsense:#x}");
    }
}
