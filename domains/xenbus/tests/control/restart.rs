//! Lives after the first: what an earlier one served is served again, or given up in good order.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use outrigger_xen::fake::{Crash, Domain, PortState};
use outrigger_xen::{EventChannels, Key, Shutdown, Survivors};
use outrigger_xenbus::State;

use super::host::{DD, FE, Guest, Host, OTHER, connected, id, vbd};

fn dd(host: &Host) -> Domain {
    host.xen.domain(DD)
}

/// Attached to before XenStore says a word, and nobody sees a state change.
#[test]
fn a_connected_device_is_served_again_before_xenstore_answers() {
    let (mut host, guest) = connected();
    let counts = dd(&host).counts();
    assert_eq!(host.restart(true), 1);
    assert_eq!(host.calls(), ["probe 7/51712", "connect 7/51712"]);
    assert!(host.class.is_connected(id(guest.device)));
    let cost = dd(&host).counts() - counts;
    assert_eq!(cost.maps, 0, "the ring is mapped still");
    assert_eq!(dd(&host).unclaimed(FE), 0);
    host.settle();
    host.millis(2000);
    assert_eq!(host.history(), [], "no state was written");
    // What it may have changed meanwhile is read again, and it is watched as before.
    assert_eq!(host.calls(), ["wish 0 7/51712"]);
    guest.write("wish", "5");
    host.settle();
    assert_eq!(host.calls(), ["wish 5 7/51712"]);
    guest.state(6);
    host.settle();
    assert_eq!(host.history(), [6]);
    host.ts.begin_detach(guest.device);
    host.millis(2000);
    host.assert_clean();
}

#[test]
fn how_the_last_life_ended_can_be_read() {
    let (mut host, _) = connected();
    for life in 1..=2 {
        host.restart(true);
        host.settle();
        let read = |key: &str| {
            host.dom0
                .read(&format!("/local/domain/3/data/restart/{key}"))
                .unwrap()
        };
        assert_eq!(read("count"), format!("{life}"));
        assert_eq!(
            (read("reason").as_str(), read("state").as_str()),
            ("a test", "running")
        );
        assert_eq!(read("pause-us"), "0", "no time passes in this world by itself");
    }
}

/// Many devices of several guests, restarted many times: as after the first.
#[test]
fn lives_leave_nothing_behind() {
    let mut host = Host::new();
    let guests: Vec<Guest> = [(FE, 1), (FE, 2), (OTHER, 1)]
        .map(|(frontend, devid)| host.attach(vbd(frontend, devid)))
        .into();
    host.settle();
    guests.iter().for_each(Guest::publish);
    host.hold();
    guests.iter().for_each(|guest| guest.state(4));
    host.settle();
    let before = (dd(&host).mapped_pages(), host.xs.watches(DD), dd(&host).keys());
    for _ in 0..50 {
        assert_eq!(host.restart(true), 3);
        host.settle();
        host.millis(1500);
        assert_eq!(
            (dd(&host).mapped_pages(), host.xs.watches(DD), dd(&host).keys()),
            before
        );
        assert_eq!(host.xs.open_transactions(DD), 0);
    }
    assert!(host.history().iter().all(|state| [1, 2, 4].contains(state)));
}

/// Without its record a device is given up: 5, and when its frontend has closed 6, with the reason. Then it may come back.
#[test]
fn what_cannot_be_served_again_is_given_up() {
    let (mut host, guest) = connected();
    assert_eq!(host.restart(false), 0);
    host.settle();
    assert_eq!(host.history(), [5]);
    guest.state(6);
    host.settle();
    assert_eq!(host.history(), [6]);
    assert!(
        host.key(guest.device, "error")
            .unwrap()
            .contains("lost when this domain restarted")
    );
    assert_eq!(dd(&host).mapped_pages(), 0);
    guest.state(1);
    host.settle();
    guest.publish();
    host.hold();
    assert_eq!(host.history(), [2, 4]);
    assert_eq!(host.key(guest.device, "error"), None);
}

/// Whatever is wrong with a record: it is not believed.
#[test]
fn every_byte_of_a_record_counts() {
    let (host, _) = connected();
    let records = dd(&host).records();
    let (_, record) = records
        .iter()
        .find(|(key, _)| key.kind == Key::TRANSCRIPT)
        .unwrap();
    let mut bytes = [0; 256];
    record.read(0, &mut bytes);
    let used = 32 + usize::from(bytes[0]);
    for at in (0..16).chain(32..used).step_by(3) {
        let (mut host, guest) = connected();
        let records = dd(&host).records();
        let (_, record) = records
            .iter()
            .find(|(key, _)| key.kind == Key::TRANSCRIPT)
            .unwrap();
        record.write(at, &[!bytes[at]]);
        assert_eq!(host.restart(true), 0, "byte {at}");
        host.settle();
        assert_eq!(host.state(guest.device), Some(State::Closing));
        guest.state(6);
        host.settle();
        assert_eq!(host.state(guest.device), Some(State::Closed));
        host.xen.assert_nothing_held(DD);
    }
}

/// A device over which two lives have failed does not take the third with it.
#[test]
fn a_device_that_ends_lives_is_given_up() {
    let (mut host, guest) = connected();
    for resumed in [1, 1, 0] {
        // Before its control plane is polled, the life fails.
        assert_eq!(host.restart(true), resumed);
    }
    host.settle();
    assert_eq!(host.history(), [5]);
    guest.state(6);
    host.settle();
    host.xen.assert_nothing_held(DD);
}

/// The guest is destroyed, or closes, or the toolstack takes the device away while nobody is there.
#[test]
fn what_happened_meanwhile_is_seen() {
    let closes: fn(&Host, &Guest) = |_, guest| guest.state(6);
    let is_destroyed: fn(&Host, &Guest) = |host, guest| host.ts.begin_destroy(guest.device);
    let is_removed: fn(&Host, &Guest) = |host, guest| host.force_remove(guest.device);
    let is_detached: fn(&Host, &Guest) = |host, guest| {
        host.ts.begin_detach(guest.device);
        guest.state(6);
    };
    for meanwhile in [closes, is_destroyed, is_removed, is_detached] {
        let (mut host, guest) = connected();
        meanwhile(&host, &guest);
        assert_eq!(host.restart(true), 1);
        host.settle();
        host.millis(3000);
        assert!(!host.class.is_connected(id(guest.device)));
        host.xen.assert_nothing_held(DD);
        assert_eq!(
            dd(&host)
                .keys()
                .iter()
                .filter(|key| key.kind == Key::TRANSCRIPT)
                .count(),
            0
        );
    }
}

/// The record of a device that is gone, and what a class had recorded of one that is not served again, go.
#[test]
fn records_go_with_their_devices() {
    let (mut host, _) = connected();
    let own = |handle| Key {
        kind: Key::CLASS,
        frontend: FE,
        handle,
        part: 0,
    };
    for handle in [51712, 51728] {
        dd(&host).keep(own(handle), 64).unwrap();
    }
    host.restart(true);
    assert!(dd(&host).kept(own(51712)).is_some());
    assert!(dd(&host).kept(own(51728)).is_none());
}

/// Ports of the earlier life do not stay, and nobody is notified by a number that is somebody else's now.
#[test]
fn ports_are_bound_again() {
    let (mut host, guest) = connected();
    let stray = guest.domain.alloc_unbound(DD).unwrap();
    dd(&host).bind_interdomain(FE, stray).unwrap();
    host.restart(true);
    assert_eq!(guest.domain.port(stray), PortState::Unbound(DD));
}

/// Runs `act`; true if the domain failed on the way.
fn fails(act: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(()) => false,
        Err(payload) if payload.is::<Crash>() => true,
        Err(payload) => resume_unwind(payload),
    }
}

/// Settles, over as many lives as it takes.
fn settle(host: &mut Host, by: u64) -> u32 {
    let mut lives = 0;
    while fails(|| host.millis(by)) {
        let dd: &'static Domain = Box::leak(Box::new(dd(host)));
        dd.restart();
        host.begin_life(dd);
        lives += 1;
    }
    lives
}

/// The domain fails before each single step of a device's whole life, once: the guest sees 2 and 4, and 5 or 6 only when it
/// wants to.
#[test]
fn a_failure_anywhere_is_not_seen() {
    std::panic::set_hook(Box::new(|info| {
        if !info.payload().is::<Crash>() {
            eprintln!("{info}");
        }
    }));
    let mut step = 1;
    loop {
        let mut host = Host::new();
        let guest = host.attach(vbd(FE, 51712));
        let start = dd(&host).steps_taken();
        dd(&host).crash_at(step);
        let mut lives = settle(&mut host, 10);
        guest.publish();
        lives += settle(&mut host, 700);
        guest.state(4);
        lives += settle(&mut host, 10);
        let history = host.history();
        assert!(
            history.iter().all(|state| [1, 2, 4].contains(state)) && history.last() == Some(&4),
            "step {step}: {history:?} {:?}",
            host.store.fault()
        );
        assert!(host.class.is_connected(id(guest.device)), "step {step}");
        // Long enough for the sweep.
        lives += settle(&mut host, 1500);
        assert_eq!(
            (dd(&host).unclaimed(FE), dd(&host).mapped_pages()),
            (0, 1),
            "step {step}"
        );
        host.ts.begin_detach(guest.device);
        guest.state(6);
        lives += settle(&mut host, 3000);
        host.xen.assert_nothing_left(DD);
        assert_eq!(host.xs.open_transactions(DD), 0);
        if lives == 0 {
            assert!(
                step > 100 && step > dd(&host).steps_taken() - start,
                "{step} steps"
            );
            break;
        }
        assert_eq!(lives, 1, "step {step}");
        step += 1;
    }
}

/// What the toolstack wants of the domain is not forgotten because a life fails while it is asked for, or before it is obeyed.
#[test]
fn a_wish_outlives_a_life() {
    let asked = |host: &Host| host.dom0.read("/local/domain/3/control/shutdown").unwrap();
    for (wish, lasting) in [
        ("poweroff", Some(Shutdown::PowerOff)),
        ("halt", Some(Shutdown::Halt)),
        ("crash", Some(Shutdown::Crash)),
        // A restart is all that was asked for.
        ("reboot", None),
        ("nonsense", None),
    ] {
        let (mut host, _) = connected();
        host.dom0.write("/local/domain/3/control/shutdown", wish).unwrap();
        host.settle();
        host.restart(true);
        assert_eq!(host.backend.take_shutdown(), lasting, "{wish}");
    }
    for step in 1.. {
        let (mut host, _) = connected();
        host.dom0
            .write("/local/domain/3/control/shutdown", "poweroff")
            .unwrap();
        dd(&host).crash_at(step);
        let lives = settle(&mut host, 10);
        assert_eq!(
            host.backend.take_shutdown(),
            Some(Shutdown::PowerOff),
            "step {step}"
        );
        if lives == 0 {
            assert!(step > 3, "{step} steps");
            break;
        }
        assert_eq!(asked(&host), "", "step {step}");
    }
}
