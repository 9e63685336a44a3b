//! A time in a machine file: `"60 s"`, `"2 min"`, or a number of seconds.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The longest time, in seconds. The images know it, too (`Machine::shutdown_wait`).
const MAX: u64 = 3600;

/// A number of seconds, at most an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u64);

struct Time;

impl Visitor<'_> for Time {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a time such as \"60 s\", \"2 min\" or 0, up to {MAX} s")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
        if seconds > MAX {
            let unexpected = serde::de::Unexpected::Unsigned(seconds);
            return Err(E::invalid_value(unexpected, &self));
        }
        Ok(Seconds(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
        let unexpected = serde::de::Unexpected::Signed(seconds);
        let seconds = u64::try_from(seconds).map_err(|_| E::invalid_value(unexpected, &self))?;
        self.visit_u64(seconds)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Seconds, E> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "s" => Some(1),
            "min" => Some(60),
            _ => None,
        };
        let number: Option<u64> = digits.parse().ok();
        let seconds = number
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .filter(|seconds| *seconds <= MAX);
        let unexpected = serde::de::Unexpected::Str(text);
        seconds
            .map(Seconds)
            .ok_or_else(|| E::invalid_value(unexpected, &self))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<u64, String> {
        #[derive(serde::Deserialize)]
        struct Table {
            wait: Seconds,
        }
        let table: Result<Table, _> = toml::from_str(&format!("wait = {value}"));
        table
            .map(|table| table.wait.0)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn times_are_seconds() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("\"60 s\"", 60),
            ("\"60s\"", 60),
            ("\"2 min\"", 120),
            ("\"60 min\"", 3600),
        ] {
            assert_eq!(read(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in [
            "-1",
            "3601",
            "\"61 min\"",
            "\"60\"",
            "\"\"",
            "\" s\"",
            "\"1 h\"",
            "\"é s\"",
            "\"1é\"",
            "1.5",
            "true",
            "[60]",
            "\"99999999999999999999 s\"",
            "\"9999999999999999999 min\"",
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains("a time such as \"60 s\""), "{text}: {message}");
        }
    }
}
