//! The domain's end while guests use it.

use std::time::Duration;

use outrigger_xen::Shutdown;
use outrigger_xen::fake::Verdict;

use crate::host::{DD, FE, Guest, Host, OTHER, connected, vbd};

const WAIT: Duration = Duration::from_secs(60);

fn ask(host: &Host, wish: &str) {
    host.dom0.write("/local/domain/3/control/shutdown", wish).unwrap();
    host.settle();
}

fn named(host: &Host) -> Option<String> {
    host.dom0.read("/local/domain/3/data/shutdown/used-by").ok()
}

/// Two guests with a disk each, and one disk that nobody uses.
fn two_guests() -> (Host, [Guest; 2]) {
    let (host, left) = connected();
    let right = host.attach(vbd(OTHER, 51728));
    host.attach(vbd(FE, 51744));
    host.settle();
    right.publish();
    host.hold();
    right.state(4);
    host.settle();
    host.backend.set_shutdown_wait(WAIT);
    (host, [left, right])
}

#[test]
fn guests_that_use_it_are_named_and_waited_for() {
    for wish in ["poweroff", "halt"] {
        let (host, [left, right]) = two_guests();
        ask(&host, wish);
        assert_eq!(named(&host).as_deref(), Some("7/51712 8/51728"));
        host.millis(20_000);
        assert_eq!(host.backend.take_shutdown(), None, "not under its guests");
        left.state(5);
        host.settle();
        assert_eq!(named(&host).as_deref(), Some("7/51712 8/51728"), "served still");
        left.state(6);
        host.settle();
        assert_eq!(named(&host).as_deref(), Some("8/51728"));
        let left = host
            .dom0
            .read("/local/domain/3/data/shutdown/seconds-left")
            .unwrap();
        assert_eq!(left, "40");
        assert_eq!(host.backend.take_shutdown(), None);
        // Its requests in flight are part of it.
        host.class.slow.set(true);
        host.ts.begin_destroy(right.device);
        host.settle();
        assert_eq!(host.backend.take_shutdown(), None, "requests are in flight");
        host.drain();
        host.settle();
        let end = if wish == "halt" {
            Shutdown::Halt
        } else {
            Shutdown::PowerOff
        };
        assert_eq!(host.backend.take_shutdown(), Some(end));
    }
}

#[test]
fn a_guest_that_never_closes_is_waited_for_no_longer_than_told() {
    let (host, _guests) = two_guests();
    ask(&host, "poweroff");
    host.millis(59_999);
    assert_eq!(host.backend.take_shutdown(), None);
    host.millis(1);
    assert_eq!(host.backend.take_shutdown(), Some(Shutdown::PowerOff));
}

#[test]
fn a_second_request_a_crash_and_a_reboot_are_obeyed_at_once() {
    for (first, second, end) in [
        ("poweroff", "poweroff", Shutdown::PowerOff),
        ("poweroff", "halt", Shutdown::Halt),
        ("poweroff", "reboot", Shutdown::Reboot),
        ("poweroff", "crash", Shutdown::Crash),
        ("nonsense", "reboot", Shutdown::Reboot),
        ("nonsense", "crash", Shutdown::Crash),
    ] {
        let (host, _guests) = two_guests();
        ask(&host, first);
        assert_eq!(host.backend.take_shutdown(), None, "{first}");
        ask(&host, second);
        assert_eq!(host.backend.take_shutdown(), Some(end), "{first}, {second}");
    }
}

#[test]
fn without_users_or_without_a_wait_it_ends_at_once() {
    let (host, [left, right]) = two_guests();
    left.state(6);
    right.state(6);
    host.settle();
    ask(&host, "poweroff");
    assert_eq!(host.backend.take_shutdown(), Some(Shutdown::PowerOff));
    assert_eq!(named(&host), None);

    let (host, _guests) = two_guests();
    host.backend.set_shutdown_wait(Duration::ZERO);
    ask(&host, "poweroff");
    assert_eq!(host.backend.take_shutdown(), Some(Shutdown::PowerOff));
    assert_eq!(named(&host), None);
}

/// A life that fails meanwhile changes nothing: the next one waits on, for the rest of the time.
#[test]
fn waiting_outlives_a_life() {
    let (mut host, _guests) = two_guests();
    ask(&host, "poweroff");
    host.millis(30_000);
    assert_eq!(host.restart(true), 2);
    host.settle();
    assert_eq!(host.backend.take_shutdown(), None);
    host.millis(29_999);
    assert_eq!(host.backend.take_shutdown(), None);
    host.millis(1);
    assert_eq!(
        host.backend.take_shutdown(),
        Some(Shutdown::PowerOff),
        "60 s in all"
    );

    let (mut host, _guests) = two_guests();
    ask(&host, "poweroff");
    host.restart(true);
    host.settle();
    ask(&host, "poweroff");
    assert_eq!(
        host.backend.take_shutdown(),
        Some(Shutdown::PowerOff),
        "the second request"
    );
}

/// There is no room in XenStore for the names, or it refuses them: it is waited all the same.
#[test]
fn names_that_cannot_be_written_do_not_matter() {
    let (host, [left, right]) = two_guests();
    host.xs.intercept(|request| {
        let ours = request.domain == DD && request.path.contains("data/shutdown");
        if ours {
            Verdict::Fail("ENOSPC")
        } else {
            Verdict::Serve
        }
    });
    ask(&host, "poweroff");
    host.millis(20_000);
    assert_eq!(host.backend.take_shutdown(), None);
    left.state(6);
    right.state(6);
    host.settle();
    assert_eq!(host.backend.take_shutdown(), Some(Shutdown::PowerOff));
}

/// As many users as a domain can have: the node stays below what XenStore takes.
#[test]
fn many_users_fit_into_a_node() {
    let host = Host::new();
    let guests: Vec<Guest> = (0..60)
        .map(|number| host.attach(vbd(FE, 1_000_000_000 + number)))
        .collect();
    host.settle();
    guests.iter().for_each(Guest::publish);
    host.hold();
    host.backend.set_shutdown_wait(WAIT);
    ask(&host, "poweroff");
    let named = named(&host).unwrap();
    assert!(named.starts_with("7/1000000000 7/1000000001 "), "{named}");
    assert!(named.ends_with(" 7/1000000059"), "{named}");
    assert!(named.len() < 1100, "{}", named.len());
}
