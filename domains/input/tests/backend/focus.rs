//! What a guest gets, and which guest.

use outrigger_kbdif::Event;
use outrigger_virtio_model::Fault;

use crate::world::{Scene, vkb};

const CTRL: [u16; 2] = [29, 97];

#[test]
fn events_arrive_as_they_were() {
    let scene = Scene::new();
    let mut guest = scene.absolute(1);
    scene.hardware.tap(30);
    scene.hardware.tablet.act(&[(3, 0, 0x7fff), (3, 1, 0)]);
    scene.hardware.mouse.act(&[(1, 0x110, 1)]);
    scene.hardware.mouse.act(&[(2, 8, 1)]);
    scene.hardware.mouse.act(&[(1, 0x110, 0)]);
    scene.settle();
    let key = |code, pressed| Event::Key { code, pressed };
    let at = |x, y, z| Event::Position { x, y, z };
    // Devices are read one after the other.
    let expected = [
        key(30, true),
        key(30, false),
        key(0x110, true),
        at(512, 384, -1),
        key(0x110, false),
        at(1024, 0, 0),
    ];
    assert_eq!(guest.hear(), expected);
    scene.hardware.assert_clean();
}

#[test]
fn a_mouse_moves_an_absolute_pointer_and_stops_at_the_edge() {
    let scene = Scene::new();
    let mut guest = scene.absolute(1);
    for (motion, expected) in [
        ([10, -20], [522, 364]),
        ([9000, -9000], [1024, 0]),
        ([-1, 1], [1023, 1]),
    ] {
        scene.hardware.mouse.act(&[(2, 0, motion[0]), (2, 1, motion[1])]);
        scene.settle();
        let [x, y] = expected;
        assert_eq!(guest.hear(), [Event::Position { x, y, z: 0 }]);
    }
}

#[test]
fn a_tablet_moves_a_relative_pointer() {
    let scene = Scene::new();
    let mut guest = scene.relative(1);
    let mut moved = |x: i32, y: i32| {
        scene.hardware.tablet.act(&[(3, 0, x), (3, 1, y)]);
        scene.settle();
        match guest.hear()[..] {
            [Event::Motion { x, y, z: 0 }] => (x, y),
            ref other => panic!("{other:?}"),
        }
    };
    // From the middle of 800 × 600.
    assert_eq!(moved(0, 0x7fff), (-400, 300));
    assert_eq!(moved(0x7fff, 0x7fff), (800, 0));
    scene.hardware.mouse.act(&[(2, 0, 3), (2, 1, -4)]);
    scene.settle();
    assert_eq!(guest.hear(), [Event::Motion { x: 3, y: -4, z: 0 }]);
}

#[test]
fn fingers_are_followed() {
    let scene = Scene::new();
    let mut guest = scene.absolute(1);
    let screen = &scene.hardware.screen;
    screen.act(&[
        (3, 0x2f, 0),
        (3, 0x39, 7),
        (3, 0x35, 10),
        (3, 0x36, 20),
        (3, 0x2f, 2),
        (3, 0x39, 8),
    ]);
    scene.settle();
    let touch = |contact, down, x, y| Event::Touch { contact, down, x, y };
    assert_eq!(
        guest.hear(),
        [touch(0, true, 10, 20), touch(2, true, 0, 0), Event::TouchSync]
    );
    screen.act(&[(3, 0x35, 99), (3, 0x2f, 0), (3, 0x39, -1)]);
    // A finger more than were agreed on.
    screen.act(&[(3, 0x2f, 4), (3, 0x39, 9)]);
    scene.settle();
    assert_eq!(
        guest.hear(),
        [
            Event::Lift { contact: 0 },
            touch(2, false, 99, 0),
            Event::TouchSync
        ]
    );
    assert_eq!(guest.fingers.len(), 1);
    // It is lifted when the focus goes.
    let mut other = scene.relative(2);
    scene.set_focus("12");
    assert_eq!(guest.hear(), [Event::Lift { contact: 2 }, Event::TouchSync]);
    screen.act(&[(3, 0x2f, 2), (3, 0x35, 5)]);
    scene.settle();
    assert_eq!(
        (guest.hear(), other.hear()),
        (vec![], vec![]),
        "who has not asked for fingers gets none"
    );
}

#[test]
fn keys_that_linux_does_not_know_are_left_out() {
    let scene = Scene::new();
    let mut guest = scene.relative(1);
    [0, 240, 0x10f, 0x118, 0x14a, 0x2ff, 0xffff]
        .iter()
        .for_each(|code| scene.hardware.key(*code, 1));
    scene.hardware.tap(0x160);
    // A repeated one is, and only if it was pressed.
    scene.hardware.key(31, 2);
    [1, 2, 2, 0]
        .iter()
        .for_each(|value| scene.hardware.key(30, *value));
    scene.settle();
    let keys = [
        (0x160, true),
        (0x160, false),
        (30, true),
        (30, true),
        (30, true),
        (30, false),
    ];
    assert_eq!(guest.keys(), keys);
}

#[test]
fn only_the_guest_with_the_focus_gets_events() {
    let scene = Scene::new();
    let [mut one, mut two] = [scene.relative(1), scene.relative(2)];
    assert_eq!(scene.focus(), "11/0", "the first that came");
    scene.hardware.tap(30);
    scene.hardware.key(42, 1);
    scene.settle();
    assert_eq!(one.keys(), [(30, true), (30, false), (42, true)]);
    scene.set_focus("12/0");
    scene.hardware.tap(31);
    scene.hardware.key(42, 0);
    scene.settle();
    assert_eq!(
        one.keys(),
        [(42, false)],
        "what it was told is pressed is released"
    );
    assert_eq!(
        two.keys(),
        [(31, true), (31, false)],
        "and of that the other is told nothing"
    );
    assert_eq!(scene.focus(), "12/0");
}

#[test]
fn a_chord_moves_the_focus() {
    let scene = Scene::new();
    let mut guests = [1, 2, 3].map(|number| scene.relative(number));
    let press = |code: u16| {
        scene.hardware.key(code, 1);
        scene.settle();
    };
    CTRL.iter().for_each(|code| press(*code));
    for (code, focus) in [(4, "13/0"), (15, "11/0"), (15, "12/0"), (2, "11/0"), (10, "11/0")] {
        press(code);
        scene.hardware.key(code, 0);
        scene.settle();
        assert_eq!(scene.focus(), focus);
    }
    let heard = guests.each_mut().map(|guest| guest.keys());
    let ninth = [(10, true), (10, false)];
    let [first, second, third] = heard;
    assert_eq!(first[..4], [(29, true), (97, true), (29, false), (97, false)]);
    assert_eq!(
        first[4..],
        ninth,
        "there is no ninth guest, so the key is the guest's"
    );
    assert!(second.is_empty() && third.is_empty(), "{second:?} {third:?}");
    // Half a chord is none.
    scene.hardware.key(97, 0);
    press(3);
    assert_eq!(
        (scene.focus(), guests[0].keys()),
        ("11/0".into(), vec![(3, true)])
    );
}

#[test]
fn dom0s_word_is_checked_and_remembered() {
    let scene = Scene::new();
    let _one = scene.relative(1);
    for nonsense in ["x", "12/", "/0", "99999", "-1", "next!", "12/0/0"] {
        scene.set_focus(nonsense);
        assert_eq!(scene.focus(), nonsense, "nobody has written over it");
    }
    scene.set_focus("");
    assert_eq!(scene.focus(), "11/0", "that is a question");
    // Who is not there yet has it as soon as it comes.
    scene.set_focus("12");
    scene.hardware.tap(30);
    let mut two = scene.relative(2);
    assert_eq!(scene.focus(), "12/0");
    scene.hardware.tap(31);
    scene.settle();
    assert_eq!(two.keys(), [(31, true), (31, false)]);
    scene.set_focus("next");
    assert_eq!(scene.focus(), "11/0");
}

#[test]
fn a_guest_that_goes_leaves_the_focus_to_the_next() {
    let scene = Scene::new();
    let [one, mut two] = [scene.relative(1), scene.relative(2)];
    one.frontend.set_state(&scene.world, 6);
    scene.world.advance(50);
    assert_eq!(
        (scene.focus(), scene.world.state(vkb(1))),
        ("12/0".into(), "6".into())
    );
    scene.hardware.tap(30);
    scene.settle();
    assert_eq!(two.keys().len(), 2);
    scene.world.ts.begin_destroy(vkb(2));
    scene.world.advance(50);
    assert_eq!(scene.focus(), "none");
    scene.hardware.tap(30);
    scene.settle();
    // It comes again.
    let again = scene.relative_again(1);
    assert_eq!(scene.focus(), "11/0");
    drop(again);
}

#[test]
fn a_device_that_lies_is_reset_and_what_was_pressed_is_released() {
    let scene = Scene::new();
    let mut guest = scene.relative(1);
    scene.hardware.key(30, 1);
    scene.settle();
    for round in 0..3 {
        scene.hardware.keyboard.inject(Fault::UsedLenOff(3));
        scene.hardware.key(31, 1);
        scene.settle();
        scene.hardware.tap(32);
        scene.settle();
        let serves = round < 2;
        assert_eq!(
            scene.hardware.keyboard.is_live(),
            serves,
            "after the third fault it is given up"
        );
        let keys = guest.keys();
        assert_eq!(keys.contains(&(32, true)), serves, "{keys:?}");
        assert!(guest.pressed.is_empty());
    }
    // Others go on.
    scene.hardware.mouse.act(&[(2, 0, 1)]);
    scene.settle();
    assert_eq!(guest.hear(), [Event::Motion { x: 1, y: 0, z: 0 }]);
    scene.hardware.assert_clean();
}
