//! What is wrong with a TOML file, and how to mend it: what the parser says, and what it leaves out.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::class::Class;
use crate::error::Fault;
use crate::near::did_you_mean;

/// The fault behind a parser's error, and the line it is on (from 1), if it is on one.
pub fn fault(text: &str, error: &toml::de::Error) -> (Option<usize>, Fault) {
    let line = error.span().map(|span| line(text, span.start));
    let message = error.message();
    if message == "duplicate key"
        && let Some(span) = error.span()
        && let Some((key, first)) = first_of(text, span.start)
    {
        return (line, Fault::DuplicateKey { key, first });
    }
    let fault = Fault::Syntax {
        message: message.to_owned(),
        mend: mend(message),
    };
    (line, fault)
}

/// The line that a byte of `text` is on, from 1.
pub fn line(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|&b| b == b'\n').count() + 1
}

/// How to mend what serde found.
fn mend(message: &str) -> Option<String> {
    if let Some(value) = between(message, "invalid type: string ", ", expected a sequence") {
        return Some(format!("write a list: [{value}]"));
    }
    if message.contains("invalid type: sequence, expected a string") {
        return Some("write a single string, without brackets".to_owned());
    }
    if let Some(key) = between(message, "missing field `", "`") {
        return missing(key);
    }
    let unknown = between(message, "unknown field `", "`").or(between(message, "unknown variant `", "`"))?;
    let (_, known) = message.split_once("expected ")?;
    did_you_mean(unknown, known.split('`').skip(1).step_by(2))
}

/// What a key is for that must be there.
fn missing(key: &str) -> Option<String> {
    let text = match key {
        "board" => {
            "board = \"NAME\" says which machine it is for; `outrigger new` writes a machine file to start from"
        }
        "class" => {
            let classes: Vec<String> = Class::names().map(|name| format!("class = {name:?}")).collect();
            return Some(format!(
                "{} says which image the domain runs",
                classes.join(" or ")
            ));
        }
        "devices" => {
            "devices = [\"/path\"] says what the domain owns; `outrigger devices` lists what it could"
        }
        "kernel" => "kernel = \"vmlinuz\" names the file of Dom0's kernel, beside the boot script",
        "dom0-memory" => "dom0-memory = 512 gives Dom0 that many MiB",
        "compatible" => {
            "compatible = \"vendor,board\" is the root node's; `outrigger new-board` writes a board file"
        }
        "xen" => "xen = \"console=dtuart dtuart=/path\" are Xen's arguments on this board",
        "load" => "load = 0x42000000 is where the boot script may load to: free RAM, a multiple of 2 MiB",
        _ => return None,
    };
    Some(text.to_owned())
}

fn between<'m>(message: &'m str, start: &str, end: &str) -> Option<&'m str> {
    let (_, rest) = message.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// The full name of the key at byte `at`, and the line on which it stands for the first time.
fn first_of(text: &str, at: usize) -> Option<(String, usize)> {
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    // All that stands before the line of the second one has no fault.
    let before = &text[..begin];
    let header = |line: &str| line.trim_start().starts_with('[');
    let this = text[begin..].lines().next()?;
    let mut path = Vec::new();
    if header(this) {
        path = keys(this);
    } else {
        if let Some(table) = before
            .lines()
            .rev()
            .find(|line| header(line) && !keys(line).is_empty())
        {
            path = keys(table);
        }
        let key = this.split_once('=')?.0;
        path.extend(keys(&format!("{key}=0")));
    }
    let table = DeTable::parse(before).ok()?;
    let first = span_of(table.get_ref(), &path)?;
    Some((path.join("."), line(text, first)))
}

/// The keys that a line names, from the outermost in.
fn keys(line: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let Ok(table) = DeTable::parse(line) else {
        return keys;
    };
    let mut table = table.get_ref();
    while let Some((key, value)) = table.iter().next() {
        keys.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    keys
}

/// Where the key at the end of `path` stands.
fn span_of(table: &DeTable<'_>, path: &[String]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let (key, value): (&Spanned<_>, &Spanned<_>) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    match (rest, value.get_ref()) {
        ([], _) => Some(key.span().start),
        (rest, DeValue::Table(inner)) => span_of(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_named_with_both_places() {
        for (text, second, key, first) in [
            ("a = 1\n\na = 2\n", 3, "a", 1),
            ("[domain.b]\nx = 1\n[domain.b]\n", 3, "domain.b", 1),
            ("[domain.b]\nx = 1\nx = 2\n", 3, "domain.b.x", 2),
            ("[d]\na = [1,\n2]\n\"a\" = [\n3]\n", 4, "d.a", 2),
            ("domain.b = 1\n[domain.b]\n", 2, "domain.b", 1),
        ] {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let key = key.to_owned();
            assert_eq!(
                fault(text, &error),
                (Some(second), Fault::DuplicateKey { key, first })
            );
        }
    }
}
