//! What was read from XenStore when a device connected, word for word: from it the next life connects the device again
//! before XenStore has said anything.

use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::Key;
use outrigger_xen::digest::fnv1a;

use crate::DeviceId;

/// Which directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Top {
    Backend,
    Frontend,
}

/// The values that the class was given, and where the frontend is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub frontend: String,
    reads: Vec<(Top, String, Option<String>)>,
}

impl Transcript {
    /// Adds what was read.
    pub fn note(&mut self, top: Top, key: &str, value: Option<&str>) {
        self.reads.push((top, key.into(), value.map(String::from)));
    }

    /// What was read last of that node; `None` if it never was.
    pub fn find(&self, top: Top, key: &str) -> Option<Option<&str>> {
        let mut reads = self.reads.iter().rev();
        let found = reads.find(|read| read.0 == top && read.1 == key)?;
        Some(found.2.as_deref())
    }

    /// Begins anew, for the same frontend.
    pub fn clear(&mut self) {
        self.reads.clear();
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |text: &str| {
            // Longer ones were refused when they were read.
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        put(&self.frontend);
        for (top, key, value) in &self.reads {
            put(match (top, value) {
                (Top::Backend, Some(_)) => "B",
                (Top::Backend, None) => "b",
                (Top::Frontend, Some(_)) => "F",
                (Top::Frontend, None) => "f",
            });
            put(key);
            if let Some(value) = value {
                put(value);
            }
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut take = || {
            let (len, rest) = bytes.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
            bytes = rest;
            String::from_utf8(text.into()).ok()
        };
        let mut transcript = Self {
            frontend: take()?,
            ..Self::default()
        };
        while let Some(what) = take() {
            let (top, is_there) = match &*what {
                "B" => (Top::Backend, true),
                "b" => (Top::Backend, false),
                "F" => (Top::Frontend, true),
                "f" => (Top::Frontend, false),
                _ => return None,
            };
            let key = take()?;
            let value = if is_there { Some(take()?) } else { None };
            transcript.reads.push((top, key, value));
        }
        Some(transcript)
    }
}

/// The record of a device's transcript.
pub(crate) struct Kept<P>(P);

/// Words of the record; the transcript's bytes follow.
mod at {
    pub const LEN: usize = 0;
    pub const DIGEST: usize = 8;
    /// Whether what goes with state 4 was published, as far as we have heard.
    pub const ANNOUNCED: usize = 16;
    /// Lives that have begun to connect it again and have not come further.
    pub const ATTEMPTS: usize = 24;
    pub const BYTES: usize = 32;
}

/// A device's key.
pub(crate) fn key(device: DeviceId) -> Key {
    Key {
        kind: Key::TRANSCRIPT,
        frontend: device.frontend,
        handle: device.handle,
        part: 0,
    }
}

impl<P: SharedPages> Kept<P> {
    /// Fills a record that `make` gives, of the size asked for.
    pub fn make(transcript: &Transcript, make: impl FnOnce(usize) -> Option<P>) -> Option<Self> {
        let bytes = transcript.encode();
        let record = make(at::BYTES + bytes.len().next_multiple_of(8))?;
        for (at, byte) in (at::BYTES..).zip(&bytes) {
            record.store_u8(at, *byte);
        }
        record.store_u64(at::DIGEST, fnv1a(bytes.iter().copied()));
        // Last: without it there is no transcript.
        record.store_u64(at::LEN, bytes.len() as u64);
        Some(Self(record))
    }

    /// A record that was found, for what it notes beside the transcript.
    pub fn find(record: P) -> Option<Self> {
        (record.len() >= at::BYTES).then_some(Self(record))
    }

    /// A record that was found, and the transcript in it if that makes sense.
    pub fn open(record: P) -> Option<(Self, Transcript)> {
        let Self(record) = Self::find(record)?;
        let len = usize::try_from(record.load_u64(at::LEN)).ok()?;
        if len == 0 || len > record.len() - at::BYTES {
            return None;
        }
        let bytes: Vec<u8> = (0..len).map(|at| record.load_u8(at::BYTES + at)).collect();
        if fnv1a(bytes.iter().copied()) != record.load_u64(at::DIGEST) {
            return None;
        }
        let transcript = Transcript::decode(&bytes)?;
        Some((Self(record), transcript))
    }

    /// Notes what was published with state 4.
    pub fn announce(&self, keys: &[(String, String)]) {
        self.0.store_u64(at::ANNOUNCED, digest_of(keys));
    }

    /// Whether just that was published.
    pub fn has_announced(&self, keys: &[(String, String)]) -> bool {
        self.0.load_u64(at::ANNOUNCED) == digest_of(keys)
    }

    /// One more life tries; how many have tried before and come no further.
    pub fn attempt(&self) -> u64 {
        let attempts = self.0.load_u64(at::ATTEMPTS);
        self.0.store_u64(at::ATTEMPTS, attempts.saturating_add(1));
        attempts
    }

    /// This life has come further.
    pub fn succeed(&self) {
        self.0.store_u64(at::ATTEMPTS, 0);
    }
}

/// Never 0, which is nothing.
fn digest_of(keys: &[(String, String)]) -> u64 {
    let texts = keys.iter().flat_map(|(key, value)| [key, value]);
    fnv1a(texts.flat_map(|text| text.bytes().chain([0]))) | 1
}

#[cfg(test)]
mod tests {
    use outrigger_xen::DomId;
    use outrigger_xen::fake::{FakePages, FakeXen};

    use super::*;

    fn transcript() -> Transcript {
        let mut transcript = Transcript {
            frontend: "/local/domain/7/device/vbd/51712".into(),
            ..Transcript::default()
        };
        transcript.note(Top::Backend, "params", Some("virtio0:1"));
        transcript.note(Top::Frontend, "ring-ref", Some("8"));
        transcript.note(Top::Frontend, "protocol", None);
        transcript.note(Top::Frontend, "ring-ref", Some("9"));
        transcript
    }

    fn kept() -> (Kept<FakePages>, FakePages) {
        let pages = FakeXen::new().domain(DomId(3)).pages(1);
        let kept = Kept::make(&transcript(), |_| Some(pages.clone())).expect("there is room");
        (kept, pages)
    }

    #[test]
    fn what_was_read_is_found_again() {
        let (kept, pages) = kept();
        let keys = [("sectors".into(), "2048".into())];
        kept.announce(&keys);
        assert_eq!((kept.attempt(), kept.attempt()), (0, 1));
        let (again, found) = Kept::open(pages).expect("it is sound");
        assert_eq!(found, transcript());
        assert_eq!(found.find(Top::Frontend, "ring-ref"), Some(Some("9")), "the last");
        assert_eq!(found.find(Top::Frontend, "protocol"), Some(None));
        assert_eq!(found.find(Top::Backend, "ring-ref"), None);
        assert!(again.has_announced(&keys) && !again.has_announced(&[]));
        assert_eq!(again.attempt(), 2);
        again.succeed();
        assert_eq!(again.attempt(), 0);
    }

    /// Every byte of it, and lengths of all sizes.
    #[test]
    fn damage_is_noticed() {
        let (_, pages) = kept();
        let len = pages.load_u64(at::LEN);
        for at in (at::LEN..at::ANNOUNCED).chain(at::BYTES..at::BYTES + len as usize) {
            pages.store_u8(at, !pages.load_u8(at));
            assert!(Kept::open(pages.clone()).is_none(), "byte {at}");
            pages.store_u8(at, !pages.load_u8(at));
        }
        for len in [0, 1, 4096, u64::MAX] {
            pages.store_u64(at::LEN, len);
            assert!(Kept::open(pages.clone()).is_none(), "{len}");
        }
        // What has the right digest may still be nonsense.
        for bytes in [
            &[5, 0, b'a'][..],
            &[0, 0, 1, 0, b'x'],
            &[0, 0, 1, 0, b'B', 1, 0, b'k'],
            &[1, 0, 0xff],
        ] {
            for (at, byte) in (at::BYTES..).zip(bytes) {
                pages.store_u8(at, *byte);
            }
            pages.store_u64(at::LEN, bytes.len() as u64);
            pages.store_u64(at::DIGEST, fnv1a(bytes.iter().copied()));
            assert!(Kept::open(pages.clone()).is_none(), "{bytes:?}");
        }
    }
}
