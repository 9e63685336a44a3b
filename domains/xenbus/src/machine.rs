//! The state machine: what to do next for one device, from what is seen of it now. Pure.

use core::time::Duration;

use outrigger_xen::Instant;

use crate::State;

/// Beats for which state 2 is shown before 4: libxl waits for exactly 2, and a live frontend could make us leave it before
/// libxl has read it. Half a second in a Dom0 that runs; a guest that boots meanwhile waits for the rest only.
pub const HOLD: u32 = 5;
/// Beats for which state 6 is shown before the directory is removed: libxl takes a removal before it has read 6 for an error
/// (ERROR_INVAL, -6), and then leaves the frontend's nodes behind.
pub const LINGER: u32 = 20;
/// The same if the frontend is gone: then libxl removes what there is in any case, and `xl destroy` waits for us.
pub const LINGER_GONE: u32 = 10;
/// The shortest time between two answers of Dom0 that count as two beats.
pub const BEAT: Duration = Duration::from_millis(100);
/// The longest time for which a state is shown however few beats there were: libxl gives up after 10 s.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A state that the toolstack must see, and what Dom0 was seen to do since it is there.
///
/// libxl writes nothing when it has seen a state, so that nothing in XenStore says so. What can be seen is that Dom0 runs:
/// xenstored is a program there, like libxl, and each answer of it is a **beat**. A Dom0 that stands still has no beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Since then.
    pub since: Instant,
    /// The last beat.
    pub last: Instant,
    /// Beats so far.
    pub beats: u32,
}

impl Shown {
    /// Published at `now`.
    pub fn at(now: Instant) -> Self {
        Self {
            since: now,
            last: now,
            beats: 0,
        }
    }

    /// One more beat, at `now`.
    #[must_use]
    pub fn beat(self, now: Instant) -> Self {
        Self {
            last: now,
            beats: self.beats + 1,
            ..self
        }
    }

    /// What there is to wait for until `beats` are over; `None` if they are. `now` is when the look began.
    fn wait(self, beats: u32, now: Instant) -> Option<Step> {
        let next = self.last.after(BEAT);
        let is_over = self.beats >= beats || now >= self.since.after(PATIENCE);
        (!is_over).then_some(if now < next {
            Step::WaitUntil(next)
        } else {
            Step::Beat
        })
    }
}

/// Where we are with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its directory has been seen; nothing is published.
    New,
    /// State 2 is published.
    InitWait(Shown),
    /// State 4 is published, or about to be: requests are served.
    Connected,
    /// State 5 is published, by us or by the toolstack. Requests are still served if they were: a guest that is asked to
    /// give up a disk in use may refuse.
    Closing,
    /// The class was told to let go, and state 6 follows when it has.
    Draining,
    /// State 6 is published.
    Closed {
        /// Since when; later if the device went offline later.
        shown: Shown,
        /// The toolstack has declared the device gone for good.
        offline: bool,
        /// The frontend may begin again by showing 1. Not while it shows the same 1 that was refused.
        armed: bool,
    },
}

/// What is seen of a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Our own `state`; `None`: the directory is gone.
    pub own: Option<State>,
    /// Our own `online`.
    pub online: bool,
    /// The frontend's `state`; `None`: it is gone, or hidden from us, or not a state.
    pub frontend: Option<State>,
    /// One of the nodes that a frontend may change while connected may have changed.
    pub changed: bool,
    /// The class holds nothing of the guest's.
    pub released: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until something changes.
    Wait,
    /// Nothing until something changes or that moment.
    WaitUntil(Instant),
    /// Dom0 has answered, a while after it did last: note it.
    Beat,
    /// Ask the class what to publish with state 2.
    Probe,
    /// Have the class attach, then publish state 4.
    Connect,
    /// Have the class read again what the frontend may change while connected.
    Reread,
    /// The same, then publish this state: 8 for a frontend at 7, 4 for one that is back at 4.
    Reconfigure(State),
    /// Publish 5 because nobody can go on serving it.
    GiveUp,
    /// Publish 5, and go on serving.
    Close,
    /// Publish 5 is done already: only note it.
    NoteClosing,
    /// Have the class let go.
    Disconnect,
    /// Publish 6.
    Closed,
    /// The device went offline after it had closed: note since when.
    NoteOffline,
    /// The frontend has left the state that was refused: note that it may begin again.
    Arm,
    /// Remove the directory.
    Delete,
    /// The directory is gone and nothing is held: forget the device.
    Forget,
}

/// What to do next for a device.
pub fn decide(phase: Phase, seen: Seen, now: Instant) -> Step {
    use State::{
        Closed, Closing, Connected, InitWait, Initialised, Initialising, Reconfigured, Reconfiguring,
    };

    let Some(own) = seen.own else {
        return gone(phase, seen);
    };
    // 1 is the toolstack's: this is another device of the same number, made after ours was removed.
    if own == Initialising && phase != Phase::New {
        return gone(phase, seen);
    }
    let asked_to_close = own == Closing || !seen.online;
    match phase {
        Phase::New => match seen.frontend {
            None | Some(Closed) => Step::Closed,
            _ if asked_to_close => Step::Closed,
            Some(Closing) => Step::Close,
            // An earlier life has served it, and this one could not go on.
            Some(_) if matches!(own, Connected | Reconfigured) => Step::GiveUp,
            Some(_) => Step::Probe,
        },
        Phase::InitWait(shown) => match seen.frontend {
            None | Some(Closed) => Step::Disconnect,
            _ if asked_to_close => Step::Disconnect,
            Some(Closing) => Step::Close,
            Some(frontend) => shown.wait(HOLD, now).unwrap_or(match frontend {
                Initialised | Connected => Step::Connect,
                _ => Step::Wait,
            }),
        },
        Phase::Connected => match seen.frontend {
            // A frontend that begins again without closing has forgotten its rings.
            None | Some(Closed | Initialising) => Step::Disconnect,
            _ if own == Closing => Step::NoteClosing,
            _ if asked_to_close => Step::Close,
            Some(Closing) => Step::Close,
            Some(Reconfiguring) if own != Reconfigured => Step::Reconfigure(Reconfigured),
            // Looked at again: netfront writes its wish after the state that announces it.
            Some(Connected) if own == Reconfigured => Step::Reconfigure(Connected),
            Some(_) if seen.changed => Step::Reread,
            Some(_) => Step::Wait,
        },
        Phase::Closing => match seen.frontend {
            None | Some(Closed | Initialising | InitWait) => Step::Disconnect,
            Some(_) => Step::Wait,
        },
        Phase::Draining => {
            if seen.released {
                Step::Closed
            } else {
                Step::Wait
            }
        }
        Phase::Closed {
            shown,
            offline,
            armed,
        } => {
            if own != Closed {
                // The toolstack asked just before it could see 6.
                Step::Closed
            } else if seen.online {
                match seen.frontend {
                    Some(Initialising) if armed => Step::Probe,
                    Some(Initialising) => Step::Wait,
                    _ if !armed => Step::Arm,
                    _ => Step::Wait,
                }
            } else if !offline {
                Step::NoteOffline
            } else {
                let beats = if seen.frontend.is_some() {
                    LINGER
                } else {
                    LINGER_GONE
                };
                shown.wait(beats, now).unwrap_or(Step::Delete)
            }
        }
    }
}

/// The directory is gone.
fn gone(phase: Phase, seen: Seen) -> Step {
    match phase {
        Phase::New | Phase::Closed { .. } => Step::Forget,
        Phase::InitWait(_) | Phase::Connected | Phase::Closing => Step::Disconnect,
        Phase::Draining if seen.released => Step::Forget,
        Phase::Draining => Step::Wait,
    }
}

#[cfg(test)]
mod tests;
