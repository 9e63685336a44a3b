//! rustfmt and clippy, for the host and for the guest.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Faults, Repository};
use crate::image::{self, workspace};
use crate::process;
use crate::toolchain::{TARGET, Toolchain};

/// Warnings of this workspace's crates are errors; cargo keeps the flag from dependencies.
const NO_WARNINGS: &str = "-Dwarnings";

/// The host's cargo, at the workspace's root.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Everything is as rustfmt writes it.
pub fn format(_: &Repository, faults: &mut Faults) -> Result<String> {
    needs("fmt", "rustfmt")?;
    let output = cargo()
        .args(["fmt", "--all", "--", "--check", "-l"])
        .output()
        .context("cannot run cargo fmt")?;
    if !output.status.success() {
        let listed = String::from_utf8_lossy(&output.stdout);
        let mut files: Vec<&str> = listed.lines().filter(|line| line.ends_with(".rs")).collect();
        files.sort_unstable();
        files.dedup();
        for file in &files {
            let file = file
                .strip_prefix(&format!("{}/", workspace().display()))
                .unwrap_or(file);
            faults.add(format!("{file} is not formatted: `cargo fmt --all`"));
        }
        if files.is_empty() {
            bail!("cargo fmt: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok("all formatted".to_owned())
}

/// Clippy has nothing to say of what is built for the host.
pub fn clippy_host(_: &Repository, faults: &mut Faults) -> Result<String> {
    needs("clippy", "clippy")?;
    let mut clippy = cargo();
    clippy.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--",
        NO_WARNINGS,
    ]);
    if process::run(&mut clippy).is_err() {
        faults.add("warnings, above, in what is built for the host: mend them");
    }
    Ok("no warnings".to_owned())
}

/// Clippy has nothing to say of what is built for the guest: the unikernel and each image with its features.
pub fn clippy_guest(_: &Repository, faults: &mut Faults) -> Result<String> {
    let toolchain = Toolchain::find()?;
    let mut arguments = vec![vec!["--package".to_owned(), "outrigger-core".to_owned()]];
    for name in image::names()? {
        let manifest = image::manifest(&name)?;
        arguments.push(
            [
                "--package",
                &manifest.package,
                "--bin",
                &manifest.bin,
                "--features",
                &manifest.features.join(","),
            ]
            .map(str::to_owned)
            .to_vec(),
        );
    }
    let count = arguments.len();
    for arguments in arguments {
        let Some(mut clippy) = guest_clippy(&toolchain) else {
            return Ok("skipped: the guest toolchain has no clippy".to_owned());
        };
        clippy.args(["--quiet", "--target", TARGET, "--target-dir"]);
        clippy
            .arg(image::target_dir().join("guest-clippy"))
            .args(&arguments);
        if process::run(&mut clippy).is_err() {
            faults.add(format!(
                "warnings, above, for {TARGET} in {}: mend them",
                arguments[1]
            ));
        }
    }
    Ok(format!("no warnings in {count} crates for {TARGET}"))
}

/// Clippy for the guest; none if its toolchain has none.
fn guest_clippy(toolchain: &Toolchain) -> Option<Command> {
    let mut cargo = toolchain.cargo();
    cargo.current_dir(workspace()).env("RUSTFLAGS", NO_WARNINGS);
    let rustc = toolchain
        .environment()
        .into_iter()
        .find(|(name, _)| *name == "RUSTC");
    match rustc {
        // rustup's, with the component or without.
        None => {
            needs("clippy", "clippy").ok()?;
            cargo.arg("clippy");
        }
        // Debian's: what `cargo clippy` does, with a driver that is a script beside the compiler's.
        Some((_, rustc)) => {
            let bin = rustc.parent()?;
            if !bin.parent()?.join("usr/bin/clippy-driver").is_file() {
                return None;
            }
            cargo
                .arg("check")
                .env("RUSTC_WORKSPACE_WRAPPER", bin.join("clippy-driver"));
        }
    }
    Some(cargo)
}

fn needs(subcommand: &str, component: &str) -> Result<()> {
    process::output(cargo().args([subcommand, "--version"]))
        .map(drop)
        .with_context(|| format!("missing on this host: {component} (`rustup component add {component}`)"))
}
