//! Sizes of memory as a machine file writes them.

use std::fmt::{self, Formatter};

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A size in MiB: written as a number of MiB, or as a text with a unit (`"16M"`, `"1G"`, `"512MiB"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mib(pub u32);

impl<'de> Deserialize<'de> for Mib {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MibVisitor)
    }
}

/// For `#[serde(deserialize_with)]` of a plain number.
///
/// # Errors
/// A value that is no size.
pub fn mib<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Mib::deserialize(deserializer).map(|mib| mib.0)
}

struct MibVisitor;

impl Visitor<'_> for MibVisitor {
    type Value = Mib;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a number of MiB, or a text such as \"16M\" or \"1G\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Mib, E> {
        let mib = number.try_into().map(Mib);
        mib.map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Mib, E> {
        let mib = number.try_into().map(Mib);
        mib.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Mib, E> {
        parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn parse(text: &str) -> Option<Mib> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u32 = number.parse().ok()?;
    match unit.trim_start() {
        "M" | "MiB" => Some(Mib(number)),
        "G" | "GiB" => number.checked_mul(1024).map(Mib),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_said_and_known() {
        for (text, mib) in [("16M", 16), ("16 MiB", 16), ("1G", 1024), ("3GiB", 3072)] {
            assert_eq!(parse(text), Some(Mib(mib)), "{text}");
        }
        for text in ["", "16", "M", "16K", "16MB", "-1M", "4194304G", "1.5G", "16m"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
