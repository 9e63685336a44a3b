//! What happens to a device that everybody treats well.

use std::time::Duration;

use outrigger_xen::Shutdown;
use outrigger_xen::fake::Verdict;
use outrigger_xenbus::State;

use crate::host::{DD, FE, Host, OTHER, connected, id, vbd};

#[test]
fn a_device_goes_to_2_then_to_4_and_is_held_at_2_for_libxl() {
    let (host, guest) = Host::with_device();
    assert_eq!(host.history(), [1, 2]);
    assert_eq!(
        host.key(guest.device, "max-ring-page-order").as_deref(),
        Some("4")
    );
    guest.publish();
    host.millis(499);
    assert_eq!(host.state(guest.device), Some(State::InitWait));
    host.millis(1);
    assert_eq!(host.history(), [4]);
    assert_eq!(host.key(guest.device, "sectors").as_deref(), Some("2048"));
    assert_eq!(host.calls(), ["probe 7/51712", "connect 7/51712"]);
}

/// Dom0 stands still, and libxl with it: however late it looks, it finds state 2. The frontend is quick.
#[test]
fn state_2_waits_for_a_dom0_that_stands_still() {
    let (host, guest) = Host::with_device();
    guest.publish();
    host.dom0_stands_still(Duration::from_secs(5));
    assert_eq!(host.state(guest.device), Some(State::InitWait));
    // The answer that was under way counts.
    host.millis(399);
    assert_eq!(host.state(guest.device), Some(State::InitWait), "four beats more");
    host.millis(1);
    assert_eq!(host.state(guest.device), Some(State::Connected));
}

/// A guest that begins to run when libxl has seen 2 waits for nothing.
#[test]
fn a_guest_that_boots_later_is_connected_at_once() {
    let (host, guest) = Host::with_device();
    host.hold();
    assert_eq!(host.history(), [1, 2]);
    let turns = host.turns.get();
    host.millis(4000);
    assert!(host.turns.get() - turns < 100, "nobody counts any longer");
    guest.publish();
    host.settle();
    assert_eq!(host.history(), [4]);
}

/// However long Dom0 stands still: libxl's own patience ends, and the guest gets its disk.
#[test]
fn state_2_is_shown_for_8_s_at_most() {
    let (host, guest) = Host::with_device();
    guest.publish();
    for _ in 0..3 {
        host.dom0_stands_still(Duration::from_millis(2600));
        assert_eq!(host.state(guest.device), Some(State::InitWait));
    }
    host.dom0_stands_still(Duration::from_millis(200));
    assert_eq!(host.state(guest.device), Some(State::Connected));
}

/// The same of state 6, without which libxl takes the removal for an error.
#[test]
fn state_6_waits_for_a_dom0_that_stands_still() {
    let (host, guest) = connected();
    host.ts.begin_detach(guest.device);
    host.settle();
    guest.state(6);
    host.settle();
    host.dom0_stands_still(Duration::from_secs(5));
    host.millis(1899);
    assert_eq!(host.state(guest.device), Some(State::Closed));
    host.millis(1);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn the_keys_appear_together_with_their_state() {
    let (host, guest) = Host::with_device();
    guest.publish();
    let path = format!("{}/sectors", guest.device.backend_path());
    let state = format!("{}/state", guest.device.backend_path());
    for _ in 0..200 {
        host.xen.advance(Duration::from_millis(10));
        host.turn();
        assert_eq!(host.dom0.exists(&path), host.dom0.read(&state).unwrap() == "4");
    }
    assert_eq!(host.state(guest.device), Some(State::Connected));
}

#[test]
fn devices_that_were_there_before_us_are_found() {
    let host = Host::new();
    let guests = [vbd(FE, 51712), vbd(FE, 51728), vbd(OTHER, 51712)].map(|device| host.attach(device));
    guests[2].publish();
    host.settle();
    host.hold();
    assert_eq!(host.state(guests[0].device), Some(State::InitWait));
    assert_eq!(host.state(guests[1].device), Some(State::InitWait));
    assert_eq!(host.state(guests[2].device), Some(State::Connected));
}

#[test]
fn a_vif_like_frontend_that_goes_straight_to_4_is_connected() {
    let (host, guest) = Host::with_device();
    guest.publish_ring();
    guest.state(4);
    host.hold();
    assert_eq!(host.state(guest.device), Some(State::Connected));
}

#[test]
fn detach_of_a_willing_guest() {
    let (host, guest) = connected();
    host.ts.begin_detach(guest.device);
    host.settle();
    assert!(
        host.class.is_connected(id(guest.device)),
        "served until the guest lets go"
    );
    guest.state(5);
    host.settle();
    assert!(host.class.is_connected(id(guest.device)));
    guest.state(6);
    host.settle();
    assert_eq!(host.history(), [5, 6]);
    assert_eq!(host.calls(), ["disconnect 7/51712"]);
    host.millis(1990);
    assert_eq!(
        host.state(guest.device),
        Some(State::Closed),
        "libxl must have read 6"
    );
    host.millis(20);
    assert_eq!(host.state(guest.device), None);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    assert_eq!(host.calls(), ["remove 7/51712"]);
    host.assert_clean();
}

#[test]
fn detach_of_a_guest_that_uses_its_disk_serves_on_until_it_is_forced() {
    let (host, guest) = connected();
    host.ts.begin_detach(guest.device);
    host.settle();
    guest.state(5);
    host.millis(10_000);
    assert_eq!(host.history(), [5]);
    assert!(host.class.is_connected(id(guest.device)));
    host.ts.begin_destroy(guest.device);
    host.settle();
    assert_eq!(host.history(), [6]);
    host.millis(1000);
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn a_destroyed_guest_is_let_go_at_once() {
    let (host, guest) = connected();
    host.class.slow.set(true);
    host.xen.destroy(FE);
    host.ts.begin_destroy(guest.device);
    host.settle();
    assert_eq!(host.history(), [5], "6 waits for the requests in flight");
    assert_eq!(host.calls(), ["disconnect 7/51712"]);
    host.drain();
    host.settle();
    assert_eq!(host.history(), [6]);
    host.linger();
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn a_device_whose_guest_never_came_closes_when_asked() {
    let (host, guest) = Host::with_device();
    host.ts.begin_detach(guest.device);
    host.settle();
    assert_eq!(host.history(), [1, 2, 5, 6]);
    host.linger();
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn a_device_that_is_asked_to_close_before_we_saw_it_closes() {
    let host = Host::new();
    let guest = host.attach(vbd(FE, 51712));
    host.ts.begin_detach(guest.device);
    host.settle();
    assert_eq!(host.state(guest.device), Some(State::Closed));
    assert_eq!(host.calls(), [""; 0]);
    host.linger();
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn the_toolstacks_removal_while_requests_are_in_flight_is_survived() {
    let (host, guest) = connected();
    host.class.slow.set(true);
    host.ts.begin_detach(guest.device);
    host.settle();
    host.force_remove(guest.device);
    host.settle();
    assert_eq!(
        host.calls(),
        ["disconnect 7/51712"],
        "not removed while it holds something"
    );
    host.drain();
    host.settle();
    assert_eq!(host.calls(), ["remove 7/51712"]);
    host.assert_clean();
}

#[test]
fn a_device_made_anew_while_the_old_one_drains_is_served_after_it() {
    let (host, guest) = connected();
    host.class.slow.set(true);
    host.force_remove(guest.device);
    let again = host.attach(guest.device);
    host.settle();
    assert_eq!(
        host.state(again.device),
        Some(State::Initialising),
        "the old one first"
    );
    host.drain();
    host.settle();
    assert_eq!(host.state(again.device), Some(State::InitWait));
    assert_eq!(
        host.calls(),
        ["disconnect 7/51712", "remove 7/51712", "probe 7/51712"]
    );
    again.publish();
    host.hold();
    assert_eq!(host.state(again.device), Some(State::Connected));
}

#[test]
fn a_frontend_that_closes_and_begins_again_is_served_again() {
    let (host, guest) = connected();
    for _ in 0..5 {
        guest.state(5);
        host.settle();
        guest.state(6);
        host.settle();
        assert_eq!(host.history(), [5, 6]);
        host.millis(5000);
        assert_eq!(
            host.state(guest.device),
            Some(State::Closed),
            "kept: the device is online"
        );
        guest.state(1);
        host.settle();
        assert_eq!(host.history(), [2]);
        guest.publish();
        host.settle();
        assert_eq!(host.history(), [4], "at once: the toolstack waits for 2 but once");
        guest.state(4);
        host.settle();
    }
}

#[test]
fn offline_alone_is_a_wish_to_close() {
    let (host, guest) = connected();
    host.dom0
        .write(&format!("{}/online", guest.device.backend_path()), "0")
        .unwrap();
    host.settle();
    assert_eq!(host.history(), [5], "the guest hears of it");
    guest.state(6);
    host.linger();
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn a_frontend_that_begins_again_out_of_closing_is_let_go_first() {
    for (again, shown) in [(1, &[5, 6, 2][..]), (2, &[5, 6])] {
        let (host, guest) = connected();
        guest.state(5);
        host.settle();
        guest.state(again);
        host.settle();
        assert_eq!(host.history(), shown);
        assert_eq!(host.calls()[0], "disconnect 7/51712");
        host.xen.assert_nothing_held(DD);
    }
}

#[test]
fn the_windows_close_cycle_before_connecting_is_answered() {
    let (host, guest) = Host::with_device();
    guest.state(5);
    host.settle();
    guest.state(6);
    host.settle();
    guest.state(1);
    host.settle();
    assert_eq!(host.history(), [1, 2, 5, 6, 2]);
    guest.publish();
    host.hold();
    assert_eq!(host.history(), [4]);
}

#[test]
fn a_crash_kernel_that_resets_its_devices_is_answered() {
    let (host, guest) = connected();
    for (theirs, ours) in [(5, 5), (6, 6), (1, 2)] {
        guest.state(theirs);
        host.settle();
        assert_eq!(host.history(), [ours]);
    }
}

#[test]
fn a_frontend_that_begins_again_without_closing_is_closed_first() {
    let (host, guest) = connected();
    guest.state(1);
    host.settle();
    assert_eq!(host.history(), [6, 2]);
    assert_eq!(host.calls(), ["disconnect 7/51712", "probe 7/51712"]);
}

#[test]
fn attach_and_detach_twenty_times() {
    let host = Host::new();
    for _ in 0..20 {
        let guest = host.attach(vbd(FE, 51712));
        host.settle();
        guest.publish();
        host.hold();
        guest.state(4);
        host.ts.begin_detach(guest.device);
        host.settle();
        guest.state(6);
        host.linger();
        assert_eq!(host.history(), [1, 2, 4, 5, 6]);
        assert!(host.ts.finish_detach(guest.device));
        host.settle();
        host.assert_clean();
    }
}

#[test]
fn an_update_is_published_and_the_state_written_again() {
    let (host, guest) = connected();
    host.class
        .updates
        .borrow_mut()
        .push((id(guest.device), vec![("sectors".into(), "4096".into())]));
    host.backend.poke();
    host.settle();
    assert_eq!(host.key(guest.device, "sectors").as_deref(), Some("4096"));
    assert_eq!(host.state(guest.device), Some(State::Connected));
    guest.state(5);
    host.settle();
    host.class
        .updates
        .borrow_mut()
        .push((id(guest.device), vec![("sectors".into(), "8192".into())]));
    host.backend.poke();
    host.settle();
    assert_eq!(host.state(guest.device), Some(State::Closing), "no longer 4");
    assert_eq!(host.key(guest.device, "sectors").as_deref(), Some("4096"));
}

#[test]
fn a_fault_of_the_data_path_closes_that_device_alone() {
    let (host, guest) = connected();
    let other = host.attach(vbd(OTHER, 51712));
    host.settle();
    other.publish();
    host.hold();
    host.history();
    host.class
        .faults
        .borrow_mut()
        .push((id(guest.device), "req_prod claims too much".into()));
    host.backend.poke();
    host.settle();
    assert_eq!(host.history(), [6]);
    assert_eq!(
        host.key(guest.device, "error").as_deref(),
        Some("req_prod claims too much")
    );
    assert_eq!(host.state(other.device), Some(State::Connected));
    guest.state(6);
    host.settle();
    guest.state(1);
    host.settle();
    assert_eq!(
        host.state(guest.device),
        Some(State::InitWait),
        "it may begin again"
    );
    assert_eq!(host.key(guest.device, "error"), None);
}

#[test]
fn a_target_that_is_not_there_is_refused_once_and_said() {
    let host = Host::new();
    let guest = host.attach_with(vbd(FE, 51712), &[("params", "nonsense"), ("mode", "w")]);
    host.millis(5000);
    assert_eq!(host.history(), [1, 6]);
    assert_eq!(host.calls(), ["probe 7/51712"], "not over and over");
    assert_eq!(
        host.key(guest.device, "error").as_deref(),
        Some("params: no such target Some(\"nonsense\")")
    );
    host.ts.begin_detach(guest.device);
    host.linger();
    assert!(host.ts.finish_detach(guest.device));
    host.settle();
    host.assert_clean();
}

#[test]
fn shutdown_requests_are_taken_and_answered() {
    let host = Host::new();
    host.settle();
    assert_eq!(
        host.dom0
            .read("/local/domain/3/control/feature-poweroff")
            .unwrap(),
        "1"
    );
    assert_eq!(
        host.dom0.read("/local/domain/3/control/feature-reboot").unwrap(),
        "1"
    );
    let wishes = [
        ("poweroff", Some(Shutdown::PowerOff)),
        ("reboot", Some(Shutdown::Reboot)),
        ("halt", Some(Shutdown::Halt)),
        ("crash", Some(Shutdown::Crash)),
        ("suspend", None),
        ("nonsense", None),
    ];
    for (wish, expected) in wishes {
        host.dom0.write("/local/domain/3/control/shutdown", wish).unwrap();
        host.settle();
        assert_eq!(host.backend.take_shutdown(), expected, "{wish}");
        assert_eq!(
            host.dom0.read("/local/domain/3/control/shutdown").unwrap(),
            "",
            "{wish} is taken back"
        );
    }
    assert_eq!(host.backend.take_shutdown(), None);
}

#[test]
fn xenstores_refusals_are_tried_again() {
    let host = Host::new();
    host.xs.intercept(|request| {
        if request.domain == DD {
            Verdict::Fail("EIO")
        } else {
            Verdict::Serve
        }
    });
    let guest = host.attach(vbd(FE, 51712));
    host.millis(3000);
    host.xs.stop_intercepting();
    host.linger();
    assert_eq!(host.state(guest.device), Some(State::InitWait));
}

#[test]
fn a_quota_that_is_used_up_delays_only() {
    let host = Host::new();
    host.xs.intercept(|request| {
        let ours = request.domain == DD && request.path.ends_with("max-ring-page-order");
        if ours {
            Verdict::Fail("ENOSPC")
        } else {
            Verdict::Serve
        }
    });
    let guest = host.attach(vbd(FE, 51712));
    host.millis(2500);
    assert_eq!(host.state(guest.device), Some(State::Initialising));
    host.xs.stop_intercepting();
    host.linger();
    assert_eq!(host.state(guest.device), Some(State::InitWait));
}

#[test]
fn state_6_does_not_wait_for_room_for_the_reason() {
    let host = Host::new();
    host.xs.intercept(|request| {
        let ours = request.domain == DD && request.path.ends_with("/error");
        if ours {
            Verdict::Fail("ENOSPC")
        } else {
            Verdict::Serve
        }
    });
    let guest = host.attach_with(vbd(FE, 51712), &[("params", "nonsense"), ("mode", "w")]);
    host.linger();
    assert_eq!(host.state(guest.device), Some(State::Closed));
}

#[test]
fn a_long_reason_is_cut() {
    let (host, guest) = connected();
    host.class
        .faults
        .borrow_mut()
        .push((id(guest.device), "é".repeat(5000)));
    host.backend.poke();
    host.settle();
    assert_eq!(host.key(guest.device, "error"), Some("é".repeat(500)));
}

#[test]
fn few_round_trips_until_the_backend_is_ready() {
    let host = Host::new();
    host.attach(vbd(FE, 51712));
    let mut turns = 0;
    while host.state(vbd(FE, 51712)) != Some(State::InitWait) {
        host.turn();
        turns += 1;
    }
    assert!(turns <= 14, "{turns} round trips");
}
