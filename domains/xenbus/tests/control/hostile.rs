//! What hostile frontends try (docs/xen-facts.md), and toolstack and XenStore at their worst.

use std::time::Duration;

use outrigger_xen::fake::{Request, Verdict};
use outrigger_xen::{Clock, DomId};
use outrigger_xenbus::State;

use crate::host::{DD, FE, Host, OTHER, connected, id, vbd};

/// Another guest's device works.
fn assert_served(host: &Host, devid: u32) {
    let other = host.attach(vbd(OTHER, devid));
    host.settle();
    other.publish();
    host.hold();
    assert_eq!(host.state(other.device), Some(State::Connected));
    host.ts.begin_detach(other.device);
    host.settle();
    other.state(6);
    host.linger();
    assert!(host.ts.finish_detach(other.device));
    host.settle();
}

/// XSA-350: the state toggles 1 → 6, quicker than anybody can follow, also before the start.
#[test]
fn toggling_the_state_is_bounded_work() {
    let host = Host::new();
    let guest = host.attach(vbd(FE, 51712));
    for i in 0..50 {
        guest.state([1, 6][i % 2]);
        host.turn();
    }
    host.settle();
    let before = host.turns.get();
    for i in 0..10_000 {
        guest.state([1, 3, 6, 4, 5, 2, 1, 6][i % 8]);
        host.turn();
    }
    let calls = host.calls().len();
    assert!(calls < 200, "{calls} calls into the class at one moment");
    assert!(host.turns.get() - before < 20_000);
    host.linger();
    assert_served(&host, 51728);
    guest.state(6);
    host.linger();
    host.ts.begin_detach(guest.device);
    host.millis(2000);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

/// XSA-350, with rings that are connected each time.
#[test]
fn toggling_with_rings_holds_nothing_twice() {
    let (host, guest) = connected();
    host.class.slow.set(true);
    for i in 0..200 {
        for state in [6, 1, 3, 4, 5, 6, 1, 3] {
            guest.state(state);
            host.turn();
        }
        if i % 3 == 0 {
            host.drain();
        }
        host.millis(30 * (i % 5));
    }
    host.class.slow.set(false);
    host.drain();
    host.ts.begin_destroy(guest.device);
    host.millis(3000);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

/// XSA-175/178: every node that the frontend owns is rewritten, at every state.
#[test]
fn rewritten_nodes_are_read_when_they_are_needed_and_refused_when_bad() {
    let long = "9".repeat(2000);
    let values = [
        "",
        "0",
        "-1",
        "4294967295",
        "4294967296",
        "99999999999999999999999",
        "\u{1}\u{ff}",
        "a/../../b",
        &long,
    ];
    for at in [1, 3, 4, 5, 6] {
        for key in [
            "ring-ref",
            "event-channel",
            "backend",
            "backend-id",
            "state/below",
            "virtual-device",
        ] {
            for value in values {
                let (host, guest) = Host::with_device();
                guest.publish_ring();
                guest.write(key, value);
                guest.state(at);
                host.hold();
                guest.write(key, value);
                host.hold();
                guest.state(6);
                host.settle();
                assert_eq!(
                    host.state(guest.device),
                    Some(State::Closed),
                    "{at} {key} {value}"
                );
                host.xen.assert_nothing_held(DD);
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (host, guest) = Host::with_device();
    guest.publish_ring();
    guest
        .xs
        .write(
            &format!("{}/ring-ref", guest.device.frontend_path()),
            [0xff, 0xfe],
        )
        .unwrap();
    guest.state(3);
    host.hold();
    assert_eq!(host.state(guest.device), Some(State::Closed));
    assert!(
        host.key(guest.device, "error")
            .unwrap()
            .ends_with("the value is not text")
    );
}

#[test]
fn a_state_that_is_none_counts_as_gone() {
    for garbage in ["", "0", "9", "44", "4 ", "four", "-4"] {
        let (host, guest) = connected();
        guest.write("state", garbage);
        host.settle();
        assert_eq!(host.state(guest.device), Some(State::Closed), "{garbage:?}");
        host.xen.assert_nothing_held(DD);
        guest.state(1);
        host.settle();
        assert_eq!(host.state(guest.device), Some(State::InitWait));
    }
}

/// 4 over a frontend's 6 crashes blkfront: the guest goes to 6 at every single request of ours on the way to 4.
#[test]
fn state_4_is_not_published_over_a_frontend_that_closed_meanwhile() {
    for closes_at in 0..18 {
        let (host, guest) = Host::with_device();
        guest.publish();
        host.millis(499);
        let (frontend, mut requests) = (guest.clone(), 0);
        host.xs.intercept(move |_| {
            if requests == closes_at {
                frontend.state(6);
            }
            requests += 1;
            Verdict::Serve
        });
        host.millis(1);
        host.xs.stop_intercepting();
        host.hold();
        assert_eq!(
            host.state(guest.device),
            Some(State::Closed),
            "at request {closes_at}"
        );
        host.xen.assert_nothing_held(DD);
    }
}

/// A guest that writes its state at every commit of ours hurts its own device alone.
#[test]
fn a_guest_that_makes_every_transaction_conflict_is_closed() {
    let (host, guest) = Host::with_device();
    guest.publish();
    let frontend = guest.clone();
    host.xs.intercept(move |request| {
        if request.kind == Request::TRANSACTION_END {
            frontend.state(3);
        }
        Verdict::Serve
    });
    host.hold();
    assert_eq!(host.history(), [1, 2, 6]);
    host.xen.assert_nothing_held(DD);
    assert_served(&host, 51728);
}

#[test]
fn a_toolstack_that_asks_to_close_at_every_moment_of_connecting_is_heard() {
    for asks_at in 0..60 {
        let host = Host::new();
        let guest = host.attach(vbd(FE, 51712));
        guest.publish();
        let (ts, device, mut requests) = (host.ts.clone(), guest.device, 0);
        host.xs.intercept(move |_| {
            if requests == asks_at {
                ts.begin_detach(device);
            }
            requests += 1;
            Verdict::Serve
        });
        host.hold();
        host.xs.stop_intercepting();
        if host.key(guest.device, "online").as_deref() == Some("1") {
            host.ts.begin_detach(guest.device);
            host.settle();
        }
        assert_ne!(
            host.state(guest.device),
            Some(State::Connected),
            "at request {asks_at}"
        );
        guest.state(6);
        host.linger();
        assert!(host.ts.finish_detach(guest.device), "at request {asks_at}");
        host.settle();
        host.assert_clean();
    }
}

/// The directory vanishes between any two requests: nothing comes into being in its place.
#[test]
fn nodes_that_vanish_at_any_request_are_survived() {
    for vanishes_at in 0..70 {
        let host = Host::new();
        let guest = host.attach(vbd(FE, 51712));
        guest.publish();
        let (ts, device, mut requests) = (host.ts.clone(), guest.device, 0);
        host.xs.intercept(move |_| {
            if requests == vanishes_at {
                ts.force_remove(device);
            }
            requests += 1;
            Verdict::Serve
        });
        for _ in 0..100 {
            // Not through `turn`: the ledger would object to a removal by force.
            host.xen.advance(Duration::from_millis(10));
            while host.step_unseen() {}
        }
        host.xs.stop_intercepting();
        host.force_remove(guest.device);
        host.settle();
        host.assert_clean();
        assert_served(&host, 51728);
    }
}

#[test]
fn a_frontend_path_of_another_domain_is_not_believed() {
    for path in [
        "/local/domain/8/device/vbd/51712",
        "/local/domain/77/device/vbd/51712",
        "/local/domain/7/device/vbd",
        "/local/domain/7/device//51712",
        "/local/domain/7/device/vbd/51712/x",
        "/local/domain/7/data/own/x",
        "local/domain/7/device/vbd/51712",
        "",
    ] {
        let host = Host::new();
        let device = vbd(FE, 51712);
        host.attach(device);
        host.dom0
            .write(&format!("{}/frontend", device.backend_path()), path)
            .unwrap();
        host.settle();
        assert_eq!(host.state(device), Some(State::Closed), "{path}");
        assert!(
            host.key(device, "error").unwrap().starts_with("frontend: "),
            "{path}"
        );
        assert_eq!(host.calls(), [""; 0]);
        host.ts.begin_detach(device);
        host.linger();
        assert!(host.ts.finish_detach(device));
        host.settle();
        host.assert_clean();
    }
}

#[test]
fn directories_that_are_no_devices_are_passed_over() {
    let host = Host::new();
    let top = "/local/domain/3/backend";
    for path in [
        "vbd/x/1",
        "vbd/7/x",
        "vbd/007/1",
        "vbd/7/01",
        "vbd/65536/1",
        "vbd/-1/1",
        "vbd/7/4294967296",
        "vif/7/0",
    ] {
        host.dom0.write(&format!("{top}/{path}/state"), "1").unwrap();
    }
    host.settle();
    assert_eq!(host.calls(), [""; 0]);
    assert_served(&host, 51712);
}

#[test]
fn more_devices_than_are_served_are_left_alone() {
    let host = Host::new();
    for devid in 0..110 {
        host.attach(vbd(FE, devid));
    }
    host.settle();
    let ready = (0..110)
        .filter(|devid| host.state(vbd(FE, *devid)) == Some(State::InitWait))
        .count();
    assert_eq!(ready, 63, "two watches each, of 126");
    for devid in 0..10 {
        host.ts.begin_detach(vbd(FE, devid));
    }
    host.millis(2000);
    assert_eq!(
        host.state(vbd(FE, 70)),
        Some(State::InitWait),
        "there is room now"
    );
}

/// XSA-349: a watched node is written without end.
#[test]
fn a_storm_of_writes_leaves_others_served() {
    let (host, guest) = connected();
    for i in 0..30_000u32 {
        guest.write("state", "4");
        guest.write(&format!("state/{}", i % 500), "x");
        if i % 50 == 0 {
            host.turn();
        }
    }
    host.linger();
    assert!(host.class.is_connected(id(guest.device)));
    assert_served(&host, 51728);
}

/// XSA-71: connect and abort.
#[test]
fn a_thousand_connects_that_fail_leave_nothing() {
    let (host, guest) = Host::with_device();
    for i in 0..1_000u64 {
        guest.state(1);
        host.settle();
        guest.write("ring-ref", "8");
        guest.write("event-channel", "4000");
        guest.state(3);
        host.millis(10 * (i % 20));
        guest.state(6);
        host.settle();
        if i % 100 == 0 {
            host.millis(500);
        }
        host.calls();
    }
    host.ts.begin_detach(guest.device);
    host.millis(3000);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn a_frontend_that_closes_during_connect_is_let_go() {
    let (host, guest) = Host::with_device();
    guest.publish();
    let frontend = guest.clone();
    *host.class.during_connect.borrow_mut() = Some(Box::new(move || frontend.state(6)));
    host.hold();
    assert_eq!(host.history(), [1, 2, 6]);
    host.xen.assert_nothing_held(DD);
}

#[test]
fn a_xenstored_that_breaks_its_protocol_stops_the_control_plane_only() {
    let (host, guest) = connected();
    host.xs
        .intercept(|request| Verdict::Bytes(request.reply(Request::READ, 5000, b"")));
    guest.state(5);
    for _ in 0..100 {
        host.turn();
    }
    assert!(host.store.fault().is_some());
    assert_eq!(host.backend.next_deadline(), None, "it asks for no more turns");
    assert!(host.class.is_connected(id(guest.device)));
    assert_eq!(host.xen.domain(DomId(3)).now().0, 500_000_000);
}
