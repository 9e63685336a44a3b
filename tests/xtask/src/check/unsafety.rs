//! Unsafe code is only in `kernel/core`, and counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::source::{Source, count_word, inline_tests};
use super::{Faults, Repository};
use crate::image::workspace;

/// The one place for it.
const ROOM: &str = "kernel/core/";
/// How often each file says `unsafe`.
const GOLDEN: &str = "tests/golden/unsafe.txt";
/// Who may mint the types that stand for a page's address or a mapping: who knows it, or plays who knows it.
const MINTS: [&str; 2] = [ROOM, "kernel/xen/src/fake/"];

/// No unsafe code outside `kernel/core`; there, as much as the golden file says, each with its reason (a lint).
pub fn check(repository: &Repository, faults: &mut Faults) -> Result<String> {
    lints_are_on(repository, faults)?;
    roots_forbid(repository, faults);
    let mut counts = BTreeMap::new();
    for source in repository.sources.iter().filter(|source| source.is_rust()) {
        let code = source.code();
        let count = count_word(&code, "unsafe");
        if source.path.starts_with(ROOM) {
            if count > 0 {
                counts.insert(source.path.clone(), count);
            }
        } else {
            if count > 0 {
                faults.add(format!("{}: {count} × unsafe; move it to {ROOM}", source.path));
            }
            if code.contains("allow(unsafe_code") || code.contains("expect(unsafe_code") {
                faults.add(format!(
                    "{} switches the lint unsafe_code off; only {ROOM} may",
                    source.path
                ));
            }
        }
        minted(source, &code, faults);
    }
    if repository.update {
        fs::write(workspace().join(GOLDEN), golden(&counts)).with_context(|| GOLDEN.to_owned())?;
    } else {
        let expected = repository.sources.iter().find(|source| source.path == GOLDEN);
        compare(&counts, expected.map_or("", |source| &source.text), faults);
    }
    Ok(format!(
        "{} in {} files of {ROOM}, none elsewhere",
        counts.values().sum::<usize>(),
        counts.len()
    ))
}

/// The workspace's lints, and that every package takes them over.
fn lints_are_on(repository: &Repository, faults: &mut Faults) -> Result<()> {
    let manifest = |path: &str| -> Result<toml::Table> {
        let text = fs::read_to_string(workspace().join(path)).with_context(|| path.to_owned())?;
        toml::from_str(&text).with_context(|| path.to_owned())
    };
    let root = manifest("Cargo.toml")?;
    for (tool, lint) in [
        ("rust", "unsafe_code"),
        ("rust", "unsafe_op_in_unsafe_fn"),
        ("clippy", "undocumented_unsafe_blocks"),
    ] {
        let level = |table: &toml::Table| -> Option<String> {
            let level = table.get("workspace")?.get("lints")?.get(tool)?.get(lint)?;
            Some(level.as_str()?.to_owned())
        };
        if level(&root).as_deref() != Some("deny") {
            faults.add(format!(
                "Cargo.toml: [workspace.lints.{tool}] {lint} must be \"deny\""
            ));
        }
    }
    for package in &repository.metadata.packages {
        let path = format!("{}/Cargo.toml", package.room());
        let lints = manifest(&path)?;
        let inherits = lints.get("lints").and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            faults.add(format!(
                "{path} does not take over the lints; add [lints] workspace = true"
            ));
        }
    }
    Ok(())
}

/// Every library and program but `kernel/core` forbids it. An image's `main.rs` cannot (the entry point's name is given
/// there, by a macro of `kernel/core`): the workspace's `deny` and the count hold for it.
fn roots_forbid(repository: &Repository, faults: &mut Faults) {
    for package in &repository.metadata.packages {
        for target in &package.targets {
            let root = super::metadata::room(&target.src_path);
            let is_code = target.kind.iter().any(|kind| kind == "lib" || kind == "bin");
            if !is_code || target.is_image() || root.starts_with(ROOM) {
                continue;
            }
            let source = repository.sources.iter().find(|source| source.path == root);
            if source.is_some_and(|source| !source.code().contains("#![forbid(unsafe_code)]")) {
                faults.add(format!("{root}: add #![forbid(unsafe_code)]"));
            }
        }
    }
}

/// `DmaPage::mint` and its like: called by who knows the address, by FakeXen, by models and by tests.
fn minted(source: &Source, code: &str, faults: &mut Faults) {
    let model = source
        .path
        .split('/')
        .nth(1)
        .is_some_and(|room| room.ends_with("-model"));
    if model || source.is_test() || MINTS.iter().any(|place| source.path.starts_with(place)) {
        return;
    }
    let tests = inline_tests(code);
    for (line, text) in code.lines().enumerate() {
        if text.contains("::mint(") && !tests.iter().any(|range| range.contains(&line)) {
            faults.add(format!(
                "{}:{} mints an address or a mapping; only {} may",
                source.path,
                line + 1,
                MINTS.join(", ")
            ));
        }
    }
}

fn golden(counts: &BTreeMap<String, usize>) -> String {
    let mut text = "# How often each file says `unsafe`. `cargo xtask check --update` writes this; a reviewer reads the \
                    difference.\n"
        .to_owned();
    for (path, count) in counts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{count:4} {path}");
    }
    text
}

fn compare(counts: &BTreeMap<String, usize>, expected: &str, faults: &mut Faults) {
    let mut expected: BTreeMap<&str, usize> = expected
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (count, path) = line.trim().split_once(' ')?;
            Some((path, count.parse().ok()?))
        })
        .collect();
    let mut differs = |path: &str, is: usize, was: usize| {
        faults.add(format!(
            "{path} says unsafe {is} times, not {was}; if that is right: `cargo xtask check --update unsafe`"
        ));
    };
    for (path, count) in counts {
        let was = expected.remove(path.as_str()).unwrap_or(0);
        if was != *count {
            differs(path, *count, was);
        }
    }
    for (path, was) in expected {
        differs(path, 0, was);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_golden_file_says_what_was_counted() {
        let counts = BTreeMap::from([("kernel/core/src/a.rs".to_owned(), 3), ("b".to_owned(), 12)]);
        let mut faults = Faults::default();
        compare(&counts, &golden(&counts), &mut faults);
        assert!(faults.0.is_empty(), "{faults:?}");
        compare(&counts, "2 kernel/core/src/a.rs\n12 b\n1 gone\n", &mut faults);
        assert_eq!(faults.0.len(), 2, "{faults:?}");
    }

    #[test]
    fn only_who_knows_an_address_mints_it() {
        let text =
            "fn f() { DmaPage::mint(1) }\n#[cfg(test)]\nmod tests {\n  fn g() { DmaPage::mint(2) }\n}\n";
        for (path, expected) in [
            ("domains/block/src/ring.rs", 1),
            ("devices/virtio/src/queue.rs", 1),
            ("devices/virtio-model/src/bus.rs", 0),
            ("kernel/core/src/grant.rs", 0),
            ("kernel/xen/src/fake/bus.rs", 0),
            ("kernel/xen/src/xenstore/mod.rs", 1),
            ("domains/block/tests/hostile.rs", 0),
        ] {
            let source = source(path, text);
            let mut faults = Faults::default();
            minted(&source, &source.code(), &mut faults);
            assert_eq!(faults.0.len(), expected, "{path}: {faults:?}");
        }
    }
}
