//! Building driver-domain images: one manifest in `images/` each, one ELF in `target/images` each.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;
use crate::toolchain::{TARGET, Toolchain};

/// The bare-metal target allows no unaligned access, for programs without an MMU: then what would be a few instructions is a
/// call of `memcpy`. All Rust of an image runs with the MMU on and SCTLR_EL1.A clear (`boot/aarch64/entry.S`), and registers
/// are accessed by assembly only. rustc warns of a feature that it only hands on, in each crate, and no name silences just
/// that; other warnings are clippy's, which runs without these flags (`cargo xtask check`).
const UNALIGNED: [&str; 2] = ["-Ctarget-feature=-strict-align", "-Awarnings"];

/// An image is checked against one SHA-256 when it is updated, and no loop of it has to be unrolled for that: 6 KiB less.
const COMPACT: [&str; 4] = [
    "--cfg",
    "sha2_backend=\"soft\"",
    "--cfg",
    "sha2_backend_soft=\"compact\"",
];

/// What `images/NAME.toml` says of building an image. The rest of it is for the image builder, `outrigger`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The crate it is built from.
    pub package: String,
    /// That crate's binary.
    pub bin: String,
    /// Its features: the chips it can drive.
    pub features: Vec<String>,
    /// The targets it is built for.
    pub targets: Vec<String>,
}

/// The repository's root.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where build results go: cargo's target folder.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// The names of all images, sorted.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(workspace().join("images"))? {
        let path = file?.path();
        if path.extension().is_some_and(|e| e == "toml")
            && path.file_name().is_some_and(|n| n != "Cargo.toml")
        {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Reads the manifest of the image `name`.
pub fn manifest(name: &str) -> Result<Manifest> {
    let path = workspace().join("images").join(format!("{name}.toml"));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("there is no image {name} ({})", path.display()))?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Builds the images called `names`, or all of them, into `target/images`; returns the ELFs.
pub fn build_named(names: &[String]) -> Result<Vec<PathBuf>> {
    let all;
    let names = match names {
        [] => {
            all = self::names()?;
            &all
        }
        some => some,
    };
    let toolchain = Toolchain::find()?;
    names
        .iter()
        .map(|name| build(name, &toolchain, &target_dir().join("guest")))
        .collect()
}

/// Builds the image called `name` so that it can be made to fail (`crash=COUNT`), into `target/crash-images`.
pub fn build_failing(name: &str) -> Result<PathBuf> {
    let failing = ["outrigger-core/crash-points"];
    let objects = target_dir().join("guest");
    build_into(name, &Toolchain::find()?, &objects, &failing, "crash-images")
}

/// The folder of images that measure their devices before they serve, in the target folder.
pub const RAW: &str = "raw-images";

/// Builds the image called `name` so that it measures first, into `target/raw-images`.
pub fn build_raw(name: &str) -> Result<PathBuf> {
    let objects = target_dir().join("guest");
    build_into(name, &Toolchain::find()?, &objects, &["raw-read"], RAW)
}

/// Builds one image with its objects under `objects`; returns the ELF, `target/images/NAME.elf`.
pub fn build(name: &str, toolchain: &Toolchain, objects: &Path) -> Result<PathBuf> {
    build_into(name, toolchain, objects, &[], "images")
}

fn build_into(
    name: &str,
    toolchain: &Toolchain,
    objects: &Path,
    features: &[&str],
    folder: &str,
) -> Result<PathBuf> {
    let manifest = manifest(name)?;
    if !manifest.targets.iter().any(|target| target == TARGET) {
        bail!("image {name} is not for {TARGET}");
    }
    eprintln!("image: {name}");
    let mut flags = toolchain.remap_flags(&workspace())?;
    flags.extend(UNALIGNED.into_iter().chain(COMPACT).map(str::to_owned));
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace())
        .args(["build", "--quiet", "--profile", "image", "--target", TARGET])
        .args([
            "--package",
            &manifest.package,
            "--bin",
            &manifest.bin,
            "--features",
            &[manifest.features.join(",")]
                .into_iter()
                .chain(features.iter().map(|&feature| feature.to_owned()))
                .collect::<Vec<_>>()
                .join(","),
        ])
        .arg("--target-dir")
        .arg(objects)
        // Cargo's own separator between flags, so that a path may hold spaces.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    process::run(&mut cargo).with_context(|| format!("image {name}"))?;

    let images = target_dir().join(folder);
    fs::create_dir_all(&images)?;
    let elf = images.join(format!("{name}.elf"));
    let built = objects.join(TARGET).join("image").join(&manifest.bin);
    fs::copy(&built, &elf).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(elf)
}
