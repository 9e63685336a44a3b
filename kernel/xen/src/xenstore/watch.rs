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
        /// As the watch was set: absolute, or relative to the domain's own directory.
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
                .any(|event| event.0 == path && event.1 == token)
        {
            return;
        }
        let bytes = path.len() + token.len();
        if self.events.len() == EVENTS || self.bytes + bytes > BYTES {
            self.overflow();
            return;
        }
        self.bytes += bytes;
        self.events.push_back((path.into(), token.into()));
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
        assert_eq!(queue.take(), Some(WatchEvent::Rescan));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.bytes, 0);
    }
}
