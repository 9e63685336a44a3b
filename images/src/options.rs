//! The options of a class, `[domain.NAME.options]`: what each may be. Checked when a machine is built, because the image
//! can only say so on a console that nobody may be looking at.

use serde::Deserialize;

use crate::error::Fault;

/// What an option of a class takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What its value is.
    pub kind: Kind,
    /// The least of a number.
    #[serde(default)]
    pub least: u64,
    /// The greatest of a number; of a list, the most entries.
    #[serde(default = "one")]
    pub most: u64,
    /// The keys that a chord may have.
    #[serde(default)]
    pub keys: Vec<String>,
    /// `compatible` of the devices that it is for; without any it is the domain's.
    #[serde(default, rename = "for")]
    pub devices: Vec<String>,
}

fn one() -> u64 {
    1
}

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Bridges of the network domain (`outrigger-segments`), one or a list.
    Segments,
    /// A number, written as such or as a text.
    Number,
    /// An Ethernet station's address, `02:00:00:00:00:01`.
    Mac,
    /// Keys that are held together: names joined by `+`, or `none`.
    Chord,
}

/// The option as a word `key=value` of the command line. `cards`: what the domain's devices are called, by which segments
/// name them.
///
/// # Errors
/// A value of another kind, out of bounds, or with what would not come apart again.
pub fn word(
    class: &str,
    key: &str,
    rule: &Rule,
    value: &toml::Value,
    cards: &[String],
) -> Result<String, Fault> {
    let text = match rule.kind {
        Kind::Segments => segments(class, key, rule, value, cards)?,
        Kind::Number => number(rule, value).ok_or_else(|| {
            let wanted = format!("a number from {} to {}", rule.least, rule.most);
            refused(key, value, &wanted)
        })?,
        Kind::Chord => value
            .as_str()
            .filter(|text| is_chord(rule, text))
            .map(str::to_owned)
            .ok_or_else(|| {
                let (most, keys) = (rule.most, rule.keys.join(", "));
                let wanted = format!("\"none\", or at most {most} of {keys}, joined by \"+\"");
                refused(key, value, &wanted)
            })?,
        Kind::Mac => value
            .as_str()
            .filter(|text| is_station(text))
            .map(str::to_owned)
            .ok_or_else(|| {
                refused(
                    key,
                    value,
                    "the address of one network card, such as \"02:00:00:00:00:01\"",
                )
            })?,
    };
    Ok(format!("{key}={text}"))
}

fn refused(key: &str, value: &toml::Value, wanted: &str) -> Fault {
    let value = value.to_string();
    let mut shown: String = value.chars().take(40).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    Fault::OptionValue {
        key: key.to_owned(),
        value: shown,
        wanted: wanted.to_owned(),
    }
}

fn number(rule: &Rule, value: &toml::Value) -> Option<String> {
    let number: u64 = match value {
        toml::Value::Integer(number) => u64::try_from(*number).ok()?,
        toml::Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
        _ => return None,
    };
    (rule.least..=rule.most)
        .contains(&number)
        .then(|| number.to_string())
}

/// Whether `text` is keys that may be in a chord, or none.
fn is_chord(rule: &Rule, text: &str) -> bool {
    let keys: Vec<&str> = text.split('+').collect();
    let known = |key: &&str| rule.keys.iter().any(|known| known == key);
    text == "none" || (keys.len() as u64 <= rule.most && keys.iter().all(known))
}

/// Whether `text` is the Ethernet address of one station: not a group's, and not all zeros.
fn is_station(text: &str) -> bool {
    let octet = |part: &str| {
        let fit = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        fit.then(|| u8::from_str_radix(part, 16).ok())?
    };
    let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
    octets.is_some_and(|octets| octets.len() == 6 && octets[0] & 1 == 0 && octets != [0; 6])
}

fn segments(
    class: &str,
    key: &str,
    rule: &Rule,
    value: &toml::Value,
    cards: &[String],
) -> Result<String, Fault> {
    let items = match value {
        toml::Value::Array(items) => items.as_slice(),
        single => core::slice::from_ref(single),
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '"' | '\'' | '\\');
    let texts: Option<Vec<&str>> = items
        .iter()
        .map(|item| {
            item.as_str()
                .filter(|text| !text.is_empty() && text.chars().all(plain))
        })
        .collect();
    let texts = texts.filter(|texts| !texts.is_empty()).ok_or_else(|| {
        refused(
            key,
            value,
            "at least one segment, each a text without spaces, commas and quotes, such as [\"lan:net0\", \"private\"]",
        )
    })?;
    if texts.len() as u64 > rule.most {
        return Err(Fault::OptionEntries {
            key: key.to_owned(),
            count: texts.len(),
            class: class.to_owned(),
            most: rule.most,
        });
    }
    let text = texts.join(",");
    let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
    match outrigger_segments::parse(&text, &cards).faults.into_iter().next() {
        Some(fault) => Err(Fault::Segment(fault)),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stations_address() {
        for good in ["02:00:00:00:00:01", "dc:a6:32:01:02:03", "DC:A6:32:01:02:0F"] {
            assert!(is_station(good), "{good}");
        }
        for bad in [
            "zz:zz",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "2:0:0:0:0:1",
            "02:00:00:00:00:01:02",
            "02-00-00-00-00-01",
            "+2:00:00:00:00:01",
            "",
        ] {
            assert!(!is_station(bad), "{bad}");
        }
    }

    #[test]
    fn a_chord_is_of_keys_that_may_be_in_one() {
        let class = crate::class::Class::named("input").expect("there is such a class");
        let rule = &class.manifest.options["chord"];
        for good in [
            "none",
            "leftctrl",
            "leftctrl+rightctrl",
            "scrolllock+leftmeta+leftalt+leftshift",
        ] {
            assert!(is_chord(rule, good), "{good}");
        }
        for bad in [
            "",
            "+",
            "a",
            "leftctrl+",
            "leftctrl+a",
            "none+leftctrl",
            "leftctrl+leftalt+leftmeta+capslock+rightctrl",
        ] {
            assert!(!is_chord(rule, bad), "{bad}");
        }
        let value = toml::Value::String("leftctrl+a".into());
        let refused = word("input", "chord", rule, &value, &[])
            .expect_err("no such key")
            .to_string();
        assert!(
            refused.contains("leftctrl+a") && refused.contains("rightmeta"),
            "{refused}"
        );
    }
}
