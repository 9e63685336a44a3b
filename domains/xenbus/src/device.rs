//! What the control plane keeps of one device.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::{XenStore, XsError};
use outrigger_xen::{DomId, Instant};

use crate::join::join_all;
use crate::pace::Pace;
use crate::transcript::Transcript;
use crate::{DeviceId, Nodes, Phase, Refusal, Seen, State};

/// Longest frontend path that is believed, in bytes.
const PATH_MAX: usize = 256;

pub(crate) struct Device {
    pub id: DeviceId,
    /// Its directory, relative to ours.
    pub backend: String,
    /// The frontend's directory, absolute; `None` if the toolstack wrote nonsense.
    pub frontend: Option<String>,
    pub phase: Phase,
    /// State 2 was shown for as long as a toolstack needs; it waits for it once.
    pub was_shown: bool,
    /// Something may have changed.
    pub dirty: bool,
    /// Among it one of the nodes that its frontend may change while connected.
    pub changed: bool,
    /// It is to be looked at then in any case.
    pub wake: Option<Instant>,
    /// Why it is being closed, for its `error` node.
    pub error: Option<String>,
    /// It has an `error` node.
    pub told_error: bool,
    /// Nodes that the class wants rewritten.
    pub update: Vec<(String, String)>,
    /// What the class has read since the last probe.
    pub transcript: RefCell<Transcript>,
    /// What goes with state 4, if it is attached to and that was not published.
    pub unannounced: Option<Vec<(String, String)>>,
    /// What its node `statistics` says.
    pub statistics: String,
    /// The directory is gone and everything is released.
    pub forgotten: bool,
    pub steps: Pace,
    lines: Pace,
    suppressed: u32,
}

impl Device {
    pub fn new(id: DeviceId, backend: String, now: Instant) -> Self {
        Self {
            id,
            backend,
            frontend: None,
            phase: Phase::New,
            was_shown: false,
            dirty: true,
            changed: false,
            wake: None,
            error: None,
            told_error: false,
            update: Vec::new(),
            transcript: RefCell::default(),
            unannounced: None,
            statistics: String::new(),
            forgotten: false,
            steps: Pace::new(32, Duration::from_millis(10), now),
            lines: Pace::new(16, Duration::from_secs(5), now),
            suppressed: 0,
        }
    }

    /// The token of the watches on its frontend.
    pub fn token(&self) -> String {
        format!("fe/{}", self.id)
    }

    /// What of its frontend is watched: the state, and what it may change while connected.
    pub fn watched(&self, keys: &[&str]) -> Vec<String> {
        let all = |frontend: &String| {
            let keys = ["state"].into_iter().chain(keys.iter().copied());
            keys.map(|key| format!("{frontend}/{key}")).collect()
        };
        self.frontend.as_ref().map(all).unwrap_or_default()
    }

    /// Its nodes, for the class; what is read is noted for the next life.
    pub fn nodes<'a, P: SharedPages>(&'a self, store: &'a XenStore<P>) -> Nodes<'a, P> {
        Nodes::live(store, self.id, self.paths(), Some(&self.transcript))
    }

    /// Its nodes as they are now, which the next life shall read again.
    pub fn fresh_nodes<'a, P: SharedPages>(&'a self, store: &'a XenStore<P>) -> Nodes<'a, P> {
        Nodes::live(store, self.id, self.paths(), None)
    }

    fn paths(&self) -> [&str; 2] {
        [&self.backend, self.frontend.as_deref().unwrap_or_default()]
    }

    /// Whether one more line may be logged about it; how many were not, since the last.
    pub fn may_log(&mut self, now: Instant) -> Option<u32> {
        if self.lines.take(now).is_ok() {
            Some(core::mem::take(&mut self.suppressed))
        } else {
            self.suppressed += 1;
            None
        }
    }

    /// Looks at it now.
    pub async fn look<P: SharedPages>(&self, store: &XenStore<P>, released: bool) -> Result<Seen, XsError> {
        let mut paths = Vec::from([
            format!("{}/state", self.backend),
            format!("{}/online", self.backend),
        ]);
        paths.extend(self.frontend.as_ref().map(|frontend| format!("{frontend}/state")));
        let mut values = Vec::with_capacity(3);
        for value in join_all(paths.iter().map(|path| store.read(path))).await {
            values.push(match value {
                Ok(value) => Some(value),
                Err(XsError::NoEntry | XsError::Access) => None,
                Err(error) => return Err(error),
            });
        }
        let state = |at: usize| {
            values
                .get(at)
                .and_then(Option::as_ref)
                .map(|value| State::parse(value))
        };
        Ok(Seen {
            own: state(0),
            online: values[1].as_deref() == Some(b"1"),
            frontend: state(2).filter(|state| *state != State::Unknown),
            changed: self.changed,
            released,
        })
    }
}

/// The frontend's directory, from the node that names it, believed only if it is that guest's own device.
pub(crate) fn frontend_path(named: &str, frontend: DomId) -> Result<String, Refusal> {
    let device = format!("/local/domain/{}/device/", frontend.0);
    let below = named.strip_prefix(&device).filter(|below| {
        named.len() <= PATH_MAX
            && below.split('/').count() == 2
            && below.split('/').all(|part| !part.is_empty())
    });
    match below {
        Some(_) => Ok(named.into()),
        None => Err(Refusal(format!(
            "frontend: \"{}\" is no device of domain {}",
            named.escape_default().take(PATH_MAX).collect::<String>(),
            frontend.0
        ))),
    }
}
