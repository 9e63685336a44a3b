//! `cargo xtask test`: the rules of the house, the host tests of every crate, then the boot tests; the last line counts
//! them all.

pub mod inputs;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::{boot, check, fetch, image};

/// Runs everything and prints the count as the last line. One part's failure does not keep the next from running.
pub fn everything() -> Result<ExitCode> {
    fetch::check_host()?;
    let (mut passed, mut failed) = (0, 0);
    for part in [|| check::counted(&[], false), host, models, boot::test] {
        match part() {
            Ok((p, f)) => {
                passed += p;
                failed += f;
            }
            Err(error) => {
                eprintln!("xtask: {error:#}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs `cargo test` for the workspace; returns how many tests passed and how many did not.
fn host() -> Result<(usize, usize)> {
    let inputs = inputs::prepare()?;
    eprintln!("test: host tests of every crate");
    cargo_test("host", &["--workspace", "--no-fail-fast"], |cargo| {
        cargo.envs(inputs);
    })
}

/// Lets loom try every interleaving of the two ends of a ring, of a driver and its device, and of Xen and who takes its events.
fn models() -> Result<(usize, usize)> {
    eprintln!("test: wake-up protocols under loom");
    let packages = [
        "-p",
        "outrigger-core",
        "-p",
        "outrigger-ring",
        "-p",
        "outrigger-virtio",
    ];
    let arguments = [&["--release", "--test", "loom"], &packages[..]].concat();
    cargo_test("loom", &arguments, |cargo| {
        // Other flags, so another folder: or everything would be built again, here and after it.
        cargo
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", image::target_dir().join("loom"));
    })
}

/// Runs `cargo test` with these arguments, and counts.
fn cargo_test(what: &str, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Result<(usize, usize)> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(image::workspace())
        .args(["test", "--quiet"])
        .args(arguments);
    prepare(&mut cargo);
    let mut tests = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = tests.stdout.take().context("cargo has a standard output")?;
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((p, f)) = counts(&line) {
            passed += p;
            failed += f;
        } else if !line.is_empty() {
            println!("{line}");
        }
    }
    // A crate that does not compile has no result line.
    if !tests.wait()?.success() && failed == 0 {
        failed = 1;
    }
    println!("{what}: {passed} passed, {failed} failed");
    Ok((passed, failed))
}

/// The figures of a line like `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(usize, usize)> {
    let mut figures = line
        .strip_prefix("test result: ")?
        .split_once(". ")?
        .1
        .split("; ");
    let passed = figures.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = figures.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("running 3 tests"), None);
    }
}
