//! What guests and their toolstack do, one thing after the other, each as soon as the driver domain sleeps.

use std::fmt::Debug;
use std::format;
use std::string::String;
use std::vec::Vec;

use outrigger_xenbus::fake::Others;

use super::Host;

/// Who does what a script says.
pub trait Player {
    /// Something to do.
    type Act: Copy + Debug;

    /// Takes what the backend has said, as a frontend's handler does. To look only if notified.
    fn hear(&mut self, host: &Host);

    /// Does it, or waits for it: false if it cannot be done yet.
    fn act(&mut self, host: &Host, act: Self::Act) -> bool;
}

/// A script and who plays it.
pub struct Script<'a, P: Player> {
    /// Who plays it.
    pub player: P,
    acts: &'a [P::Act],
    at: usize,
    /// The driver domain's steps when each act was over.
    pub steps: Vec<u64>,
}

impl<'a, P: Player> Script<'a, P> {
    /// At its beginning.
    pub fn new(player: P, acts: &'a [P::Act]) -> Self {
        Self {
            player,
            acts,
            at: 0,
            steps: Vec::new(),
        }
    }

    /// Leaves out all acts before this one.
    pub fn skip_to(&mut self, at: usize) {
        self.at = self.at.max(at);
    }
}

impl<P: Player> Others<Host> for Script<'_, P> {
    fn go_on(&mut self, host: &Host) -> bool {
        self.player.hear(host);
        let Some(act) = self.acts.get(self.at) else {
            return false;
        };
        let done = self.player.act(host, *act);
        if done {
            self.steps.push(host.dd.steps_taken());
            self.at += 1;
        }
        done
    }

    fn is_over(&self) -> bool {
        self.at >= self.acts.len()
    }

    fn waits_for(&self, _host: &Host) -> String {
        format!("{:?}", self.acts.get(self.at))
    }
}
