//! What a frontend may change while it is connected, and what the class says that it has done.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use outrigger_xen::fake::Verdict;
use outrigger_xenbus::State;

use crate::host::{DD, Host, OTHER, connected, id, vbd};

#[test]
fn a_watched_node_is_read_when_it_changes() {
    let (host, guest) = connected();
    guest.write("wish", "1");
    host.settle();
    assert_eq!(host.calls(), ["wish 1 7/51712"]);
    guest.write("ring-ref", "1");
    host.linger();
    assert_eq!(host.calls(), [""; 0], "no other node");
    guest.write("wish", "0");
    host.settle();
    assert_eq!(host.calls(), ["wish 0 7/51712"]);
    assert_eq!(host.history(), [0; 0], "no state changes");
}

#[test]
fn it_is_read_with_the_rings_if_it_was_there_before() {
    let (host, guest) = Host::with_device();
    guest.write("wish", "1");
    guest.publish();
    host.hold();
    assert_eq!(host.calls(), ["probe 7/51712", "connect 7/51712"]);
}

#[test]
fn bad_values_end_in_6_with_the_reason() {
    let (host, guest) = connected();
    guest.write("wish", "much");
    host.settle();
    assert_eq!(host.history(), [6]);
    let error = host.key(guest.device, "error").unwrap();
    assert!(error.contains("wish: \"much\" is not a number"), "{error}");
}

#[test]
fn a_frontend_at_7_is_answered_with_8_and_one_back_at_4_with_4() {
    let (host, guest) = connected();
    for wish in ["256", "0"] {
        guest.write("wish", wish);
        guest.state(7);
        host.settle();
        assert_eq!(host.history(), [8]);
        let calls = host.calls();
        assert!(calls.iter().all(|call| *call == format!("wish {wish} 7/51712")) && !calls.is_empty());
        guest.state(4);
        host.settle();
        assert_eq!(host.history(), [4]);
        host.calls();
    }
    assert!(host.class.is_connected(id(guest.device)));
}

/// As netfront does it.
#[test]
fn a_wish_that_is_written_after_state_7_is_read_too() {
    let (host, guest) = connected();
    guest.state(7);
    while host.state(guest.device) != Some(State::Reconfigured) {
        host.turn();
    }
    guest.write("wish", "256");
    guest.state(4);
    host.settle();
    assert_eq!(host.calls().last().unwrap(), "wish 256 7/51712");
    assert_eq!(host.history(), [8, 4]);
}

#[test]
fn a_frontend_closes_out_of_7() {
    let (host, guest) = connected();
    guest.state(7);
    host.settle();
    guest.state(5);
    host.settle();
    guest.state(6);
    host.settle();
    assert_eq!(host.history(), [8, 5, 6]);
}

#[test]
fn toggling_is_bounded_work() {
    let (host, guest) = connected();
    let other = host.attach(vbd(OTHER, 51712));
    for round in 0..5_000 {
        guest.write("wish", if round % 2 == 0 { "1" } else { "0" });
        guest.state(if round % 3 == 0 { 7 } else { 4 });
        host.turn();
    }
    host.settle();
    let steps = host
        .calls()
        .iter()
        .filter(|call| call.starts_with("wish"))
        .count();
    assert!(steps < 40, "{steps} steps at one moment");
    assert_eq!(host.state(other.device), Some(State::InitWait));
    guest.state(4);
    host.linger();
    assert_eq!(host.state(guest.device), Some(State::Connected));
}

#[test]
fn statistics_are_written_every_few_seconds_if_they_have_changed() {
    let (host, guest) = connected();
    let device = id(guest.device);
    let say = |words: &str| {
        host.class.statistics.borrow_mut().insert(device, words.into());
        *host.class.totals.borrow_mut() = vec![("virtio0".into(), words.into())];
    };
    let total = || host.dom0.read(&format!("/local/domain/{}/data/virtio0", DD.0));
    say("reads=1");
    host.millis(4000);
    assert_eq!(host.key(guest.device, "statistics"), None);
    host.linger();
    assert_eq!(
        host.key(guest.device, "statistics").as_deref(),
        Some("reads=1 restarts=0")
    );
    assert_eq!(total().as_deref(), Ok("reads=1 restarts=0"));
    // The guest may read it, as it may the rest of the directory.
    let path = format!("{}/statistics", guest.device.backend_path());
    assert_eq!(guest.xs.read(&path).as_deref(), Ok("reads=1 restarts=0"));
    say("reads=2");
    host.millis(5000);
    assert_eq!(
        host.key(guest.device, "statistics").as_deref(),
        Some("reads=2 restarts=0")
    );
    assert_eq!(total().as_deref(), Ok("reads=2 restarts=0"));

    host.xs
        .intercept(|request| panic!("nothing has changed: {request:?}"));
    host.millis(20_000);
}

#[test]
fn statistics_do_not_bring_a_directory_back() {
    let (host, guest) = connected();
    let (ts, device, seen) = (host.ts.clone(), guest.device, Rc::new(Cell::new(false)));
    let words = "reads=1".into();
    host.class.statistics.borrow_mut().insert(id(device), words);
    let at = seen.clone();
    host.xs.intercept(move |request| {
        if request.path.ends_with("/statistics") && !at.replace(true) {
            ts.force_remove(device);
        }
        Verdict::Serve
    });
    for _ in 0..1000 {
        // Not through `turn`: the ledger would object to a removal by force.
        host.xen.advance(Duration::from_millis(10));
        while host.step_unseen() {}
    }
    assert!(seen.get());
    assert!(!host.dom0.exists(&device.backend_path()));
    host.assert_clean();
}
