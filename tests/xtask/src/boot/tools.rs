//! Programs of Debian 13 that run on this host with their own libraries.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch;

/// QEMU and e2fsprogs, unpacked.
pub struct HostTools {
    root: PathBuf,
    loader: PathBuf,
}

impl HostTools {
    /// Fetches them if need be.
    pub fn fetch() -> Result<Self> {
        let root = fetch::QEMU.root()?;
        let loaders = ["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"];
        let loader = loaders
            .iter()
            .map(|loader| root.join(loader))
            .find(|loader| loader.exists());
        let loader = loader.context("the fetched packages hold no program loader for this machine")?;
        Ok(Self { root, loader })
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The program that starts their programs.
    pub fn loader(&self) -> &Path {
        &self.loader
    }

    /// The folder of their libraries.
    pub fn libraries(&self) -> PathBuf {
        self.root.join(format!("usr/lib/{ARCH}-linux-gnu"))
    }

    /// A command that runs the program `path`.
    pub fn command(&self, path: &str) -> Command {
        self.prepare(Command::new(&self.loader), path)
    }

    /// A command that runs the emulator, and ends it when this process (or the calling thread) ends, however it does.
    pub fn qemu(&self) -> Command {
        let mut leash = Command::new("setpriv");
        leash.args(["--pdeathsig", "KILL"]).arg(&self.loader);
        let mut qemu = self.prepare(leash, "usr/bin/qemu-system-aarch64");
        // Another build's modules would abort it.
        qemu.env("QEMU_MODULE_DIR", self.libraries().join("qemu"))
            .arg("-L")
            .arg(self.root.join("usr/share/qemu"));
        qemu
    }

    fn prepare(&self, mut loader: Command, path: &str) -> Command {
        loader
            .arg("--library-path")
            .arg(self.libraries())
            .arg(self.root.join(path));
        loader
    }
}
