//! What cargo says of the packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::image::workspace;
use crate::process;
use crate::toolchain;

/// `cargo metadata`, format 1, as far as the checks read it.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The packages.
    pub packages: Vec<Package>,
}

/// A package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, an SPDX expression.
    pub license: Option<String>,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// Its features, and what each one switches on.
    pub features: std::collections::BTreeMap<String, Vec<String>>,
    /// What it says it depends on.
    pub dependencies: Vec<Dependency>,
    /// Its crates.
    pub targets: Vec<Target>,
}

/// A dependency as a `Cargo.toml` declares it.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// None, `dev` or `build`.
    pub kind: Option<String>,
    /// Whether a feature must ask for it.
    pub optional: bool,
    /// Its folder, if it is in this workspace.
    pub path: Option<PathBuf>,
}

/// A crate of a package.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// `lib`, `bin`, `test`, `custom-build`, …
    pub kind: Vec<String>,
    /// Its first file.
    pub src_path: PathBuf,
    /// The features without which it is not built.
    #[serde(default, rename = "required-features")]
    pub required_features: Vec<String>,
}

impl Metadata {
    /// The workspace's own packages.
    pub fn of_workspace() -> Result<Self> {
        Self::read(&["--no-deps"])
    }

    /// All packages that are built for this host or for a guest, with every feature.
    pub fn of_everything() -> Result<Self> {
        let host = toolchain::host_triple()?;
        Self::read(&[
            "--locked",
            "--all-features",
            "--filter-platform",
            &host,
            "--filter-platform",
            toolchain::TARGET,
        ])
        .context("with --locked: if Cargo.lock is behind, build once and commit it")
    }

    fn read(arguments: &[&str]) -> Result<Self> {
        let mut cargo = super::lint::cargo();
        let json = process::output(cargo.args(["metadata", "--format-version", "1"]).args(arguments))?;
        serde_json::from_str(&json).context("cargo metadata does not speak format 1")
    }
}

impl Package {
    /// Its folder from the workspace's root, as in `kernel/ring`.
    pub fn room(&self) -> String {
        room(self.manifest_path.parent().unwrap_or(&self.manifest_path))
    }

    /// Whether it is an image: its binary is built only with the feature `image`.
    pub fn is_image(&self) -> bool {
        self.targets.iter().any(Target::is_image)
    }
}

impl Target {
    /// Whether it is the binary of an image.
    pub fn is_image(&self) -> bool {
        self.kind.iter().any(|kind| kind == "bin") && self.required_features.iter().any(|f| f == "image")
    }
}

/// The folder `path` from the workspace's root.
pub fn room(path: &Path) -> String {
    let path = path.strip_prefix(workspace()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

/// `git` at the workspace's root.
pub fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace());
    git
}
