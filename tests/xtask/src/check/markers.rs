//! Nothing unfinished, and nothing of the machine that a file was written on.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source::{Source, count_word};
use super::{Faults, Repository};
use crate::image::workspace;

/// Words that say a thing is not done. Written so that this file does not hold them.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ig", "nore"),
];

/// Hosts that everybody has: a name of the project, not of a mirror.
const PUBLIC: [&str; 3] = ["github.com", "crates.io", "www.debian.org"];

/// Archives whose mirror a host chooses for itself: their names are read from its configuration, never written down.
const ARCHIVES: [&str; 5] = [
    "deb.debian.org",
    "ftp.debian.org",
    "security.debian.org",
    "snapshot.debian.org",
    "archive.ubuntu.com",
];

/// Tracked files hold no mark of unfinished work, no registry's or mirror's host, and no path of this machine; the
/// change log has its section for what is not released.
pub fn check(repository: &Repository, faults: &mut Faults) -> Result<String> {
    let hosts = hosts();
    let places = places();
    for source in &repository.sources {
        if source.path == "Cargo.lock" {
            only_the_public_registry(source, faults);
            continue;
        }
        if source.path.ends_with("check/markers.rs") {
            continue; // It names what it looks for.
        }
        for (number, line) in source.text.lines().enumerate() {
            let at = format!("{}:{}", source.path, number + 1);
            for word in UNFINISHED {
                if is_marked(line, word) {
                    faults.add(format!(
                        "{at} says {word}: finish it, or open an issue and take the mark out"
                    ));
                }
            }
            for host in &hosts {
                if line.contains(host.as_str()) {
                    faults.add(format!(
                        "{at} names the host {host}: read it from the host's configuration"
                    ));
                }
            }
            if let Some(place) = places.iter().find(|place| holds_place(line, place)) {
                faults.add(format!(
                    "{at} names {place}, a folder of one machine: make it relative"
                ));
            }
        }
    }
    let changes = repository
        .sources
        .iter()
        .find(|source| source.path == "CHANGELOG.md");
    if !changes.is_some_and(|changes| changes.text.lines().any(|line| line.trim() == "## [Unreleased]")) {
        faults.add("CHANGELOG.md has no section `## [Unreleased]`: add it");
    }
    Ok(format!("{} tracked files", repository.sources.len()))
}

fn is_marked(line: &str, word: &str) -> bool {
    match word.chars().all(char::is_alphabetic) {
        true => count_word(line, word) > 0,
        false => line.contains(word),
    }
}

fn only_the_public_registry(lock: &Source, faults: &mut Faults) {
    for (number, line) in lock.text.lines().enumerate() {
        let source = line.strip_prefix("source = ");
        if source.is_some_and(|s| s != "\"registry+https://github.com/rust-lang/crates.io-index\"") {
            faults.add(format!(
                "Cargo.lock:{} has another source than crates.io: {line}",
                number + 1
            ));
        }
    }
}

/// Folders that only this machine has.
fn places() -> Vec<String> {
    let mut places = vec!["/home/".to_owned(), "/Users/".to_owned()];
    places.extend(
        env::var("HOME")
            .ok()
            .map(|home| format!("{}/", home.trim_end_matches('/'))),
    );
    let workspace = workspace();
    // A checkout in `/outrigger` would be found everywhere.
    if workspace.components().count() > 2 {
        places.push(workspace.display().to_string());
    }
    places.retain(|place| place.len() > 1);
    places
}

/// Whether an absolute path in `line` begins with `place`: what stands before it must not belong to the path.
fn holds_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-$}*/".contains(c))
    })
}

/// The registries and mirrors that this machine is told to use, by its own configuration.
fn hosts() -> BTreeSet<String> {
    let mut texts = Vec::new();
    let home = env::var_os("HOME").map(PathBuf::from);
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    for folder in [
        cargo_home,
        home.map(|home| home.join(".cargo")),
        Some(workspace().join(".cargo")),
    ]
    .into_iter()
    .flatten()
    {
        texts.extend(
            ["config.toml", "config"]
                .iter()
                .filter_map(|name| fs::read_to_string(folder.join(name)).ok()),
        );
    }
    texts.extend(fs::read_to_string("/etc/apt/sources.list"));
    for file in fs::read_dir(Path::new("/etc/apt/sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
    {
        texts.extend(fs::read_to_string(file.path()));
    }
    texts.extend(
        env::vars()
            .filter(|(name, _)| name.starts_with("CARGO_"))
            .map(|(_, value)| value),
    );
    let mut hosts: BTreeSet<String> = texts.iter().flat_map(|text| hosts_in(text)).collect();
    hosts.extend(ARCHIVES.map(str::to_owned));
    hosts.retain(|host| !PUBLIC.contains(&host.as_str()));
    hosts
}

/// The host of every URL in `text` that has a dot in its name.
fn hosts_in(text: &str) -> Vec<String> {
    let urls = text
        .match_indices("://")
        .map(|(at, separator)| &text[at + separator.len()..]);
    urls.filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "@:.-_".contains(c)));
        let authority = &rest[..end.unwrap_or(rest.len())];
        let host = authority.rsplit('@').next()?.split(':').next()?;
        host.contains('.').then(|| host.to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_words() {
        let mark = UNFINISHED[0];
        assert!(is_marked(&format!("// {mark}: later"), mark));
        assert!(!is_marked(&format!("{mark}S"), mark));
        assert!(is_marked(&format!("{}()", UNFINISHED[2]), UNFINISHED[2]));
    }

    #[test]
    fn hosts_are_taken_from_urls() {
        let text = "deb [a=b] http://mirror.example.org/debian x\nregistry = \"sparse+https://u:p@reg.example:8/i/\"";
        assert_eq!(hosts_in(text), ["mirror.example.org", "reg.example"]);
    }

    #[test]
    fn a_place_begins_a_path() {
        assert!(holds_place("cp /home/me/x", "/home/"));
        assert!(holds_place("\"/home/me\"", "/home/"));
        assert!(!holds_place("https://example.org/home/page", "/home/"));
        assert!(!holds_place("$root/home/x", "/home/"));
    }
}
