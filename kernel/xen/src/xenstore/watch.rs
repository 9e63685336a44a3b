//! Watch events that wait to be looked at: few, however often somebody writes (XSA-349).

use alloc::collections::VecDeque;
use alloc::string::String;

/// Most events that wait.
const EVENTS: usize = 128;
/// Most bytes of paths and tokens that wait.
const BYTES: usize = 16 * 1024;

/// Something that is watched has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The node at `path`, or one below it; `token` is the watch's own.
    Changed {
        /// As the watch was set: absolute, or relative to the domain's own directory. Empty: more has changed there than is remembered
        /// of one watch, so anything of it may have.
        path: String,
        /// As the watch was set.
        token: String,
    },
    /// More has changed than is remembered: look at everything that is watched.
    Rescan,
}

/// The events, each once.
#[derive(Debug, Default)]
pub(super) struct WatchQueue {
    events: VecDeque<(String, String)>,
    bytes: usize,
    overflow: bool,
}

impl WatchQueue {
    /// Takes in the payload of a watch event.
    pub fn push(&mut self, payload: &[u8]) {
        let Some((path, token)) = parse(payload) else {
            // It told of a change that we cannot name.
            self.overflow();
            return;
        };
        if self.overflow
            || self
                .events
                .iter()
                .any(|event| event.1 == token && (event.0 == path || event.0.is_empty()))
        {
            return;
        }
        let bytes = path.len() + token.len();
        let is_full = |queue: &Self, bytes| queue.events.len() == EVENTS || queue.bytes + bytes > BYTES;
        if is_full(self, bytes) && self.crowd_out() == token {
            return;
        }
        if is_full(self, bytes) {
            self.overflow();
            return;
        }
        self.bytes += bytes;
        self.events.push_back((path.into(), token.into()));
    }

    /// The token with most events is remembered without their paths: a guest can write below what is watched of its own, at any depth,
    /// and what it makes of that is not to crowd out anybody else's. Which token.
    #[cold]
    fn crowd_out(&mut self) -> String {
        let size = |token: &str| {
            let its = self.events.iter().filter(|event| event.1 == token);
            its.map(|event| 1 + event.0.len()).sum::<usize>()
        };
        let most = self.events.iter().max_by_key(|event| size(&event.1));
        let most = most.map(|event| event.1.clone()).unwrap_or_default();
        self.events.retain(|event| event.1 != most);
        self.events.push_back((String::new(), most.clone()));
        self.bytes = self
            .events
            .iter()
            .map(|(path, token)| path.len() + token.len())
            .sum();
        most
    }

    /// A rescan covers every event that waits.
    fn overflow(&mut self) {
        self.overflow = true;
        self.events.clear();
        self.bytes = 0;
    }

    pub fn is_empty(&self) -> bool {
        !self.overflow && self.events.is_empty()
    }

    pub fn take(&mut self) -> Option<WatchEvent> {
        if core::mem::take(&mut self.overflow) {
            return Some(WatchEvent::Rescan);
        }
        let (path, token) = self.events.pop_front()?;
        self.bytes -= path.len() + token.len();
        Some(WatchEvent::Changed { path, token })
    }
}

/// `path NUL token NUL`, and perhaps more that later protocols add.
fn parse(payload: &[u8]) -> Option<(&str, &str)> {
    let mut parts = payload.split(|byte| *byte == 0);
    let path = parts.next()?;
    let token = parts.next()?;
    // What follows the token's NUL, if only nothing; without it the token was cut short.
    parts.next()?;
    Some((str::from_utf8(path).ok()?, str::from_utf8(token).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_writes_take_no_more_memory_than_a_few() {
        let mut queue = WatchQueue::default();
        for i in 0..1_000_000u32 {
            let path = [
                b'0' + (i % 10) as u8,
                b'/',
                b'0' + (i / 10 % 10) as u8,
                0,
                b't',
                0,
            ];
            queue.push(&path);
        }
        assert_eq!((queue.events.len(), queue.overflow), (100, false));
        assert_eq!(queue.bytes, 400);
        let long = [alloc::vec![b'x'; 4000], alloc::vec![0, b't', 0]].concat();
        for i in 0..8 {
            let mut path = long.clone();
            path[0] = i + b'a';
            queue.push(&path);
            assert!(queue.bytes <= BYTES && queue.events.len() <= EVENTS);
        }
        let changed = |path: &str, token: &str| {
            let (path, token) = (path.into(), token.into());
            Some(WatchEvent::Changed { path, token })
        };
        assert_eq!(queue.take(), changed("", "t"), "all of it, by one event");
        assert_eq!((queue.take(), queue.bytes), (None, 0));
        // Whoever has most is remembered by one event; others keep theirs. Of too many others nobody can be told.
        for i in 0..200u32 {
            let below = alloc::format!("a/{i}\0a\0");
            queue.push(below.as_bytes());
            if i < 20 {
                let quiet = alloc::format!("state\0{i}\0");
                queue.push(quiet.as_bytes());
            }
        }
        let all: alloc::vec::Vec<_> = core::iter::from_fn(|| queue.take()).collect();
        assert_eq!(all.len(), 21);
        assert!((0..20).all(|i| all.contains(&changed("state", &alloc::format!("{i}")).unwrap())));
        for i in 0..200u32 {
            queue.push(alloc::format!("state\0{i}\0").as_bytes());
        }
        assert_eq!(queue.take(), Some(WatchEvent::Rescan));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.bytes, 0);
    }
}
