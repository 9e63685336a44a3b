//! Guests that do not read, write nonsense, or come and go; and nobody else notices.

use outrigger_backend::fake::Frontend;
use outrigger_ring::SharedPages;
use outrigger_xenbus::fake::assert_nothing_left;

use crate::guest::Guest;
use crate::world::{Scene, vkb};

fn statistics(scene: &Scene, number: u16) -> String {
    scene.world.advance(6000);
    scene.world.node(vkb(number), "statistics").unwrap_or_default()
}

#[test]
fn who_does_not_read_loses_events_and_stalls_nobody() {
    let scene = Scene::new();
    let [mut one, mut two] = [scene.relative(1), scene.relative(2)];
    scene.hardware.key(42, 1);
    for _ in 0..400 {
        scene.hardware.tap(30);
        scene.world.advance(10);
    }
    assert!(
        scene.world.life.woken().is_none(),
        "nothing is tried again and again"
    );
    // 1 + 800 events: 51 in the ring, 256 that wait; the release of a key of which the press was lost is none.
    assert_eq!(
        statistics(&scene, 1),
        "events=51 notifications=25 dropped=247 restarts=0"
    );
    scene.set_focus("12");
    scene.hardware.tap(31);
    scene.settle();
    assert_eq!(two.keys(), [(31, true), (31, false)]);
    // It reads again: what it was told is pressed is released, whatever was lost.
    let mut events = 0;
    for _ in 0..100 {
        let heard = one.hear().len();
        assert!(heard <= 51);
        events += heard;
        scene.world.advance(10);
    }
    assert!(one.pressed.is_empty(), "{:?}", one.pressed);
    assert!((307..=309).contains(&events), "{events}");
    scene.set_focus("11");
    scene.hardware.tap(33);
    scene.settle();
    assert_eq!(one.keys(), [(33, true), (33, false)]);
}

#[test]
fn a_burst_comes_in_parts_that_evdev_has_room_for() {
    let scene = Scene::new();
    let mut guest = scene.relative(1);
    for _ in 0..2 {
        // As many as the device has memory for.
        (0..16).for_each(|_| scene.hardware.tap(30));
        scene.settle();
    }
    (0..16).for_each(|_| scene.hardware.mouse.act(&[(2, 0, 1)]));
    scene.settle();
    let mut parts = vec![guest.hear().len()];
    for _ in 0..4 {
        scene.world.advance(10);
        parts.push(guest.hear().len());
    }
    // The motions that waited have become one.
    assert_eq!(parts, [28, 28, 9, 0, 0]);
}

#[test]
fn an_index_that_cannot_be_ends_its_own_device() {
    for claimed in [1, 52, 1 << 31, 0_u32.wrapping_sub(52)] {
        let scene = Scene::new();
        let [one, mut two] = [scene.relative(1), scene.relative(2)];
        one.shared.pages.store_u32(0, claimed);
        scene.hardware.tap(30);
        scene.settle();
        scene.world.advance(50);
        assert_eq!(scene.world.state(vkb(1)), "6", "{claimed}");
        let error = scene.world.error(vkb(1));
        assert!(
            error.contains("in_cons") && error.contains("is impossible"),
            "{error}"
        );
        assert_eq!(scene.focus(), "12/0");
        scene.hardware.tap(31);
        scene.settle();
        assert_eq!(two.keys(), [(31, true), (31, false)]);
    }
}

#[test]
fn what_a_guest_writes_over_our_index_is_nothing_to_us() {
    let scene = Scene::new();
    let mut guest = scene.relative(1);
    scene.hardware.tap(30);
    scene.settle();
    guest.hear();
    guest.shared.pages.store_u32(4, 0xdead_beef);
    scene.hardware.tap(31);
    scene.settle();
    assert_eq!(guest.keys(), [(31, true), (31, false)]);
}

#[test]
fn bad_nodes_are_refused_with_the_reason() {
    let cases: [(&str, &str, &str); 6] = [
        ("page-gref", "x", "is not a number"),
        ("page-gref", "99999", "Xen refuses the grant"),
        ("event-channel", "-1", "is not a number"),
        ("event-channel", "4095", "cannot be bound"),
        ("page-gref", "", "is not a number"),
        ("event-channel", "", "is not a number"),
    ];
    for (node, value, why) in cases {
        let scene = Scene::new();
        scene.world.attach(vkb(1), &[], &[]);
        let guest = Guest::publish(&scene.world, vkb(1), &[]);
        guest.frontend.write(&scene.world, node, value);
        guest.frontend.set_state(&scene.world, 3);
        scene.world.advance(800);
        assert_eq!(scene.world.state(vkb(1)), "6", "{node}={value}");
        let error = scene.world.error(vkb(1));
        assert!(error.contains(node) && error.contains(why), "{error}");
        assert_nothing_left(&scene.world.dd);
        scene.hardware.tap(30);
        scene.settle();
    }
}

#[test]
fn missing_nodes_are_named() {
    for (node, other) in [("page-gref", "event-channel"), ("event-channel", "page-gref")] {
        let scene = Scene::new();
        scene.world.attach(vkb(1), &[], &[]);
        let frontend = Frontend::new(&scene.world, vkb(1));
        frontend.write(&scene.world, other, 1);
        frontend.set_state(&scene.world, 3);
        scene.world.advance(800);
        assert!(
            scene.world.error(vkb(1)).contains(&format!("{node}: missing")),
            "{}",
            scene.world.error(vkb(1))
        );
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for (node, value) in [
        ("width", "0"),
        ("height", "65536"),
        ("multi-touch-num-contacts", "11"),
        ("width", "x"),
    ] {
        let scene = Scene::new();
        scene.world.attach(vkb(1), &[(node, value)], &[]);
        scene.world.advance(50);
        assert_eq!(scene.world.state(vkb(1)), "6");
        assert!(
            scene.world.error(vkb(1)).contains(node),
            "{}",
            scene.world.error(vkb(1))
        );
    }
}

#[test]
fn guests_come_and_go_and_leave_nothing() {
    let scene = Scene::new();
    for round in 0..20 {
        let mut guest = if round == 0 {
            scene.relative(1)
        } else {
            scene.relative_again(1)
        };
        scene.hardware.key(30, 1);
        scene.settle();
        assert_eq!(guest.keys(), [(30, true)]);
        scene.hardware.key(30, 0);
        scene.settle();
        guest.frontend.set_state(&scene.world, 5);
        scene.world.advance(50);
        guest.frontend.set_state(&scene.world, 6);
        scene.world.advance(50);
        assert_eq!(scene.world.state(vkb(1)), "6");
        assert_nothing_left(&scene.world.dd);
        guest
            .frontend
            .dom
            .revoke(guest.shared.refs[0])
            .expect("nobody has it mapped");
    }
}

#[test]
fn a_65th_device_is_refused() {
    let scene = Scene::new();
    for devid in 0..65 {
        let device = outrigger_xen::fake::Device { devid, ..vkb(1) };
        scene.world.attach(device, &[], &[]);
        scene.world.advance(20);
        let expected = if devid < 64 { "2" } else { "6" };
        assert_eq!(
            scene.world.state(device),
            expected,
            "{devid}: {}",
            scene.world.error(device)
        );
    }
}
