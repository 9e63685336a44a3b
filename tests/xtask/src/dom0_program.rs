//! `outrigger` for Dom0: the host's own sources, built for arm64 Linux with Debian's compiler and libraries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, fetch, image, process, toolchain};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Builds it; returns the program.
pub fn outrigger() -> Result<PathBuf> {
    let compiler = toolchain::debian()?;
    let root = fetch::RUST_DOM0.root()?;
    let library = root.join("usr/lib/rustlib").join(TARGET);
    let place = compiler.join("usr/lib/rustlib").join(TARGET);
    cache::once(&place, |unfinished| Ok(symlink(&library, unfinished)?))?;
    // The linker looks for a library's development name, which only a package of the C compiler's has.
    let libraries = root.join("usr/lib/aarch64-linux-gnu");
    cache::once(&libraries.join("libgcc_s.so"), |unfinished| {
        let found = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"]
            .map(|folder| root.join(folder).join("libgcc_s.so.1"))
            .into_iter()
            .find(|path| path.exists());
        Ok(symlink(found.context("no libgcc_s.so.1 for arm64")?, unfinished)?)
    })?;

    eprintln!("dom0: outrigger");
    // What a C compiler would add around what rustc gives to the linker.
    let start = ["Scrt1.o", "crti.o"].map(|object| libraries.join(object).display().to_string());
    let flags = [
        "-Clinker-flavor=ld.lld".to_owned(),
        format!("-Zpre-link-args={}", start.join(" ")),
        format!("-Clink-arg={}", libraries.join("crtn.o").display()),
        format!("-Clink-arg=--sysroot={}", root.display()),
        format!("-Clink-arg=-L{}", libraries.display()),
        format!("-Clink-arg=-L{}", root.join("lib/aarch64-linux-gnu").display()),
        "-Clink-arg=--dynamic-linker=/lib/ld-linux-aarch64.so.1".to_owned(),
        "-Clink-arg=--strip-all".to_owned(),
    ];
    let objects = image::target_dir().join("dom0");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(image::workspace())
        .args(["build", "--quiet", "--package", "outrigger", "--bin", "outrigger"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&objects)
        // They are for the target alone, and their separator lets a path hold spaces.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("RUSTC", compiler.join("bin/rustc"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", toolchain::lld()?);
    process::run(&mut cargo).context("outrigger for Dom0")?;
    let program = objects.join(TARGET).join("debug/outrigger");
    fs::metadata(&program).with_context(|| program.display().to_string())?;
    Ok(program)
}
