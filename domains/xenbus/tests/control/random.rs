//! Random guests, toolstacks and moments. What must hold at every moment is in [`Host`]'s ledger; here is what must hold
//! at the end.

use outrigger_xen::fake::Device;
use outrigger_xenbus::State;
use proptest::prelude::*;

use crate::host::{FE, Guest, Host, OTHER, id, vbd};

#[derive(Clone, Debug)]
enum Action {
    /// A frontend shows a state.
    State(u8),
    /// … publishes a good ring, with or without state 3.
    Publish(bool),
    /// … writes nonsense.
    Nonsense(&'static str, &'static str),
    /// … removes a node.
    Remove(&'static str),
    /// The toolstack asks the backend to close.
    Detach,
    /// … because the guest has gone.
    Destroy,
    /// … removes everything by force.
    Force,
    /// … ends the removal, or makes the device if it is not there.
    Reattach,
    /// The data path is through with what was closing.
    Drain,
    /// … is slow from now on, or quick.
    Slow(bool),
    /// … finds a bad ring.
    Fault,
    /// … wants nodes rewritten.
    Update,
    /// The loop takes a few turns.
    Turns(u8),
    /// Time passes.
    Millis(u16),
}

fn action() -> impl Strategy<Value = (bool, Action)> {
    let action = prop_oneof![
        6 => (0u8..9).prop_map(Action::State),
        4 => any::<bool>().prop_map(Action::Publish),
        1 => (prop_oneof![Just("ring-ref"), Just("event-channel"), Just("state"), Just("wish")], prop_oneof![Just(""), Just("x"), Just("77")])
            .prop_map(|(key, value)| Action::Nonsense(key, value)),
        1 => prop_oneof![Just("ring-ref"), Just("state"), Just("")].prop_map(Action::Remove),
        2 => Just(Action::Detach),
        1 => Just(Action::Destroy),
        1 => Just(Action::Force),
        4 => Just(Action::Reattach),
        2 => Just(Action::Drain),
        1 => any::<bool>().prop_map(Action::Slow),
        1 => Just(Action::Fault),
        1 => Just(Action::Update),
        6 => (1u8..20).prop_map(Action::Turns),
        4 => prop_oneof![Just(1), Just(50), Just(100), Just(1000)].prop_map(Action::Millis),
    ];
    (any::<bool>(), action)
}

fn act(host: &Host, guest: &mut Guest, action: &Action) {
    let device: Device = guest.device;
    match action {
        Action::State(state) => guest.state(*state),
        Action::Publish(three) => {
            guest.publish_ring();
            if *three {
                guest.state(3);
            }
        }
        Action::Nonsense(key, value) => guest.write(key, value),
        Action::Remove(key) => {
            let path = format!("{}/{key}", device.frontend_path());
            let _ = guest.xs.rm(path.trim_end_matches('/'));
        }
        Action::Detach => host.ts.begin_detach(device),
        Action::Destroy => host.ts.begin_destroy(device),
        Action::Force => host.force_remove(device),
        Action::Reattach => {
            if host.state(device).is_none() {
                host.ts.finish_detach(device);
                *guest = host.attach(device);
            }
        }
        Action::Drain => host.drain(),
        Action::Slow(slow) => host.class.slow.set(*slow),
        Action::Fault => {
            if host.class.is_connected(id(device)) {
                host.class
                    .faults
                    .borrow_mut()
                    .push((id(device), "bad ring".into()));
                host.backend.poke();
            }
        }
        Action::Update => {
            let update = (id(device), vec![("sectors".into(), "9".into())]);
            host.class.updates.borrow_mut().push(update);
            host.backend.poke();
        }
        Action::Turns(turns) => (0..*turns).for_each(|_| {
            host.turn();
        }),
        Action::Millis(millis) => host.millis(u64::from(*millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_happens_everything_can_be_removed_and_served_again(
        actions in proptest::collection::vec(action(), 0..80),
        chunk in prop_oneof![Just(usize::MAX), Just(7), Just(300)],
    ) {
        let host = Host::new();
        host.xs.set_chunk(chunk);
        let mut guests = [vbd(FE, 51712), vbd(OTHER, 51712)].map(|device| host.attach(device));
        for (which, action) in &actions {
            act(&host, &mut guests[usize::from(*which)], action);
        }
        host.class.slow.set(false);
        host.drain();
        host.settle();
        for guest in &guests {
            host.ts.begin_destroy(guest.device);
        }
        host.millis(4000);
        for guest in &guests {
            prop_assert!(host.ts.finish_detach(guest.device), "{:?}", host.state(guest.device));
        }
        host.settle();
        host.assert_clean();
        for guest in &guests {
            let again = host.attach(guest.device);
            host.settle();
            again.publish();
            host.hold();
            prop_assert_eq!(host.state(again.device), Some(State::Connected));
        }
    }
}
