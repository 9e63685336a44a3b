//! The chord of keys that moves the focus.

use alloc::format;
use alloc::string::{String, ToString};

use outrigger_backend::NumberSet;
use outrigger_devices::input::codes;
use outrigger_kbdif::KEYS;

/// A set of keys.
pub(crate) type KeySet = NumberSet<{ KEYS / 64 }>;

/// The keys that, held together, make a digit or the tabulator choose who has the focus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chord(heapless::Vec<u16, 4>);

impl Default for Chord {
    /// Both control keys.
    fn default() -> Self {
        Self(heapless::Vec::from_iter([
            codes::KEY_LEFTCTRL,
            codes::KEY_RIGHTCTRL,
        ]))
    }
}

/// Where the focus is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The guest of this number among those that are connected, in the order of their ids; the first is 0.
    Nth(usize),
    /// The one behind that which has it.
    Next,
}

impl Chord {
    /// From a word of the command line: up to four names joined by `+`, or `none`.
    ///
    /// # Errors
    /// There is no such key for a chord: a line that says which there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = heapless::Vec::new();
        for name in text.split('+').filter(|_| text != "none") {
            let key = codes::MODIFIERS.iter().find(|(known, _)| *known == name);
            let names = codes::MODIFIERS.map(|(name, _)| name).join(", ");
            let (_, code) =
                key.ok_or_else(|| format!("\"{name}\" is no key for a chord; there are {names}"))?;
            keys.push(*code)
                .map_err(|_| "a chord has four keys at most".to_string())?;
        }
        Ok(Self(keys))
    }

    /// The choice that a key makes which was just pressed, while `held` are held.
    pub(crate) fn choice(&self, held: &KeySet, code: u16) -> Option<Choice> {
        let is_held = |key: &u16| held.contains(usize::from(*key));
        if self.0.is_empty() || !self.0.iter().all(is_held) {
            return None;
        }
        match code {
            codes::KEY_1..=codes::KEY_9 => Some(Choice::Nth((code - codes::KEY_1).into())),
            codes::KEY_TAB => Some(Choice::Next),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_are_names_of_keys() {
        assert_eq!(Chord::parse("leftctrl+rightctrl"), Ok(Chord::default()));
        assert_eq!(Chord::parse("none").map(|chord| chord.0.len()), Ok(0));
        let error = Chord::parse("leftctrl+a").unwrap_err();
        assert!(
            error.starts_with("\"a\" is no key for a chord; there are leftctrl, "),
            "{error}"
        );
        assert!(Chord::parse("").is_err());
        assert!(Chord::parse("leftctrl+leftalt+leftmeta+leftshift+rightctrl").is_err());
    }

    /// The image builder refuses other names by this list.
    #[test]
    fn the_manifest_has_the_same_keys() {
        let manifest = include_str!("../../../images/input.toml");
        let names = codes::MODIFIERS.map(|(name, _)| format!("\"{name}\"")).join(", ");
        assert!(manifest.contains(&format!("keys = [{names}]")), "{names}");
        assert!(manifest.contains("most = 4"));
    }

    #[test]
    fn a_chord_chooses_only_while_all_its_keys_are_held() {
        let (chord, mut held) = (Chord::default(), KeySet::default());
        held.insert(29);
        assert_eq!(chord.choice(&held, 3), None);
        held.insert(97);
        assert_eq!(chord.choice(&held, 3), Some(Choice::Nth(1)));
        assert_eq!(chord.choice(&held, 15), Some(Choice::Next));
        assert_eq!(chord.choice(&held, 30), None);
        assert_eq!(Chord::parse("none").unwrap().choice(&held, 3), None);
    }
}
