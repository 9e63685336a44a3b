//! Every combination of what can be seen, in every phase.

use alloc::vec::Vec;

use super::*;

const NOW: Instant = Instant(10_000_000_000);
const STATES: [State; 9] = [
    State::Unknown,
    State::Initialising,
    State::InitWait,
    State::Initialised,
    State::Connected,
    State::Closing,
    State::Closed,
    State::Reconfiguring,
    State::Reconfigured,
];

fn phases() -> Vec<Phase> {
    let mut phases = Vec::from([Phase::New, Phase::Connected, Phase::Closing, Phase::Draining]);
    let patience = NOW.0 - u64::try_from(PATIENCE.as_nanos()).unwrap();
    for since in [NOW.0, patience + 1, patience, 0].map(Instant) {
        for last in [NOW, Instant(NOW.0 - 99_999_999), Instant(NOW.0 - 100_000_000)] {
            for beats in [
                0,
                HOLD - 1,
                HOLD,
                LINGER_GONE - 1,
                LINGER_GONE,
                LINGER - 1,
                LINGER,
            ] {
                let shown = Shown { since, last, beats };
                phases.push(Phase::InitWait(shown));
                for (offline, armed) in [(false, false), (false, true), (true, false), (true, true)] {
                    phases.push(Phase::Closed {
                        shown,
                        offline,
                        armed,
                    });
                }
            }
        }
    }
    phases
}

fn each(mut check: impl FnMut(Phase, Seen, Step)) {
    let all = || STATES.into_iter().map(Some).chain([None]);
    for phase in phases() {
        for own in all() {
            for frontend in all().filter(|state| *state != Some(State::Unknown)) {
                for bits in 0..8 {
                    let seen = Seen {
                        own,
                        online: bits & 1 != 0,
                        frontend,
                        changed: bits & 2 != 0,
                        released: bits & 4 != 0,
                    };
                    check(phase, seen, decide(phase, seen, NOW));
                }
            }
        }
    }
}

/// Whether the toolstack can have seen a state, or has given up by now.
fn can_be_seen(shown: Shown, beats: u32) -> bool {
    shown.beats >= beats || NOW.since(shown.since) >= PATIENCE
}

#[test]
fn a_step_is_taken_only_where_it_may_be() {
    each(|phase, seen, step| {
        let there = seen.own.is_some();
        let anew = seen.own == Some(State::Initialising) && phase != Phase::New;
        let wanted = seen.online && seen.own != Some(State::Closing);
        let context = (phase, seen);
        match step {
            Step::Connect => {
                let Phase::InitWait(shown) = phase else {
                    panic!("{context:?}")
                };
                assert!(
                    can_be_seen(shown, HOLD) && wanted && there && !anew,
                    "{context:?}"
                );
                assert!(
                    matches!(seen.frontend, Some(State::Initialised | State::Connected)),
                    "{context:?}"
                );
            }
            Step::Probe => {
                assert!(
                    matches!(phase, Phase::New | Phase::Closed { armed: true, .. }),
                    "{context:?}"
                );
                assert!(seen.online && there && !anew, "{context:?}");
                assert!(
                    !matches!(seen.frontend, None | Some(State::Closing | State::Closed)),
                    "{context:?}"
                );
            }
            Step::Delete => {
                let Phase::Closed {
                    shown, offline: true, ..
                } = phase
                else {
                    panic!("{context:?}")
                };
                let beats = seen.frontend.map_or(LINGER_GONE, |_| LINGER);
                assert!(can_be_seen(shown, beats) && !seen.online, "{context:?}");
                assert_eq!(seen.own, Some(State::Closed), "libxl has seen 6: {context:?}");
            }
            Step::Closed => {
                assert!(there && !anew, "{context:?}");
                let held = matches!(phase, Phase::InitWait(_) | Phase::Connected | Phase::Closing);
                assert!(!held, "let go first: {context:?}");
                assert!(phase != Phase::Draining || seen.released, "{context:?}");
            }
            Step::Forget => {
                assert!(!there || anew, "{context:?}");
                assert!(phase != Phase::Draining || seen.released, "{context:?}");
            }
            Step::Close | Step::NoteClosing => assert!(there && !anew, "{context:?}"),
            Step::GiveUp => {
                let lost = matches!(seen.own, Some(State::Connected | State::Reconfigured));
                assert!(phase == Phase::New && lost, "{context:?}");
            }
            Step::Disconnect => assert_ne!(phase, Phase::Draining, "once: {context:?}"),
            Step::Reread => assert!(
                phase == Phase::Connected && wanted && there && seen.changed,
                "{context:?}"
            ),
            Step::Reconfigure(state) => {
                assert!(phase == Phase::Connected && wanted && there, "{context:?}");
                let answers = match state {
                    State::Reconfigured => State::Reconfiguring,
                    State::Connected => State::Connected,
                    _ => panic!("{context:?}"),
                };
                assert_eq!(seen.frontend, Some(answers), "{context:?}");
                assert_ne!(seen.own, Some(state), "once: {context:?}");
            }
            Step::Beat => {
                let (Phase::InitWait(shown) | Phase::Closed { shown, .. }) = phase else {
                    panic!("{context:?}")
                };
                assert!(NOW.since(shown.last) >= BEAT && there && !anew, "{context:?}");
            }
            Step::WaitUntil(moment) => assert!(moment > NOW && NOW.after(BEAT) >= moment, "{context:?}"),
            Step::Wait | Step::NoteOffline | Step::Arm => {}
        }
    });
}

#[test]
fn a_gone_guest_or_a_wish_to_close_ends_in_letting_go() {
    each(|phase, seen, _| {
        let serving = matches!(phase, Phase::Connected | Phase::Closing | Phase::InitWait(_));
        if serving && seen.own.is_none_or(|own| own != State::Initialising) && seen.frontend.is_none() {
            assert_eq!(decide(phase, seen, NOW), Step::Disconnect, "{phase:?} {seen:?}");
        }
    });
}

/// With a world that stands still but for our own steps, every device comes to rest.
#[test]
fn nothing_goes_round_in_circles() {
    each(|phase, seen, _| {
        let (mut phase, mut seen) = (phase, seen);
        for _ in 0..12 {
            match decide(phase, seen, NOW) {
                Step::Wait | Step::WaitUntil(_) | Step::Forget => return,
                Step::Probe => (phase, seen.own) = (Phase::InitWait(Shown::at(NOW)), Some(State::InitWait)),
                Step::Connect => {
                    (phase, seen.own, seen.released) = (Phase::Connected, Some(State::Connected), false)
                }
                Step::Reread => seen.changed = false,
                Step::Reconfigure(state) => (seen.own, seen.changed) = (Some(state), false),
                Step::Close | Step::GiveUp => (phase, seen.own) = (Phase::Closing, Some(State::Closing)),
                Step::NoteClosing => phase = Phase::Closing,
                Step::Disconnect => (phase, seen.released) = (Phase::Draining, true),
                Step::Closed => {
                    seen.own = Some(State::Closed);
                    phase = Phase::Closed {
                        shown: Shown::at(NOW),
                        offline: false,
                        armed: true,
                    };
                }
                Step::NoteOffline => {
                    phase = Phase::Closed {
                        shown: Shown::at(NOW),
                        offline: true,
                        armed: true,
                    };
                }
                Step::Arm => {
                    if let Phase::Closed { armed, .. } = &mut phase {
                        *armed = true;
                    }
                }
                Step::Beat => {
                    let (Phase::InitWait(shown) | Phase::Closed { shown, .. }) = &mut phase else {
                        panic!("{phase:?}")
                    };
                    *shown = shown.beat(NOW);
                }
                Step::Delete => seen.own = None,
            }
        }
        panic!("{phase:?} {seen:?} never rests");
    });
}
