//! What host tests check themselves against, and leave out when a plain `cargo test` does not have it: real device trees,
//! Debian's dtc and what reads a card, and Xen's headers. Each is a variable that names a file or a folder.

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::boot::{Board, HostTools, Kind};
use crate::{fetch, image, initramfs};

/// The variables and what they name, fetched or made if need be.
pub fn prepare() -> Result<[(&'static str, PathBuf); 6]> {
    let dir = image::target_dir().join("inputs");
    fs::create_dir_all(&dir)?;
    let tools = HostTools::fetch()?;
    Ok([
        ("DTB_CORPUS", device_trees(&fetch::LINUX.root()?)?),
        ("DTB_NEWER", newer_device_trees(&fetch::LINUX_NEWER.root()?)?),
        ("VIRT_DTB", virt(&tools, &dir.join("virt.dtb"))?),
        (
            "DTC",
            script(&tools, &fetch::DTC.root()?, "usr/bin/dtc", &dir.join("dtc"))?,
        ),
        ("CARD_TOOLS", card_tools(&tools, &dir.join("card-tools"))?),
        ("XEN_HEADERS", fetch::XEN_HEADERS.root()?.join("usr/include")),
    ])
}

/// The folder of the device trees in the kernel's unpacked packages.
pub fn device_trees(linux: &Path) -> Result<PathBuf> {
    let lib = linux.join("usr/lib");
    let found = fs::read_dir(&lib)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("linux-image-"))
        });
    found.with_context(|| format!("no device trees in {}", lib.display()))
}

/// The same since Linux 7, which has them beside its modules.
fn newer_device_trees(linux: &Path) -> Result<PathBuf> {
    let versions = initramfs::folders(&linux.join("usr/lib/modules"))?;
    let mut found = versions.iter().map(|version| version.join("dtb"));
    found
        .find(|folder| folder.is_dir())
        .with_context(|| format!("no device trees in {}", linux.display()))
}

/// The device tree of QEMU's `virt` board with nothing added.
fn virt(tools: &HostTools, to: &Path) -> Result<PathBuf> {
    let board = Board {
        kind: Kind::Virt,
        memory_mib: 2048,
        gic: 2,
        nic: None,
        inputs: &[],
        disks: Vec::new(),
        medium: None,
        skip_idle: false,
        multi_core: false,
    };
    board.device_tree(tools, to)?;
    Ok(to.to_owned())
}

/// A folder of scripts that run the fetched programs which read a card.
fn card_tools(tools: &HostTools, to: &Path) -> Result<PathBuf> {
    let root = fetch::CARD_TOOLS.root()?;
    fs::create_dir_all(to)?;
    for program in [
        "usr/bin/mcopy",
        "usr/bin/mdir",
        "usr/sbin/fsck.fat",
        "usr/sbin/sfdisk",
    ] {
        let name = program.rsplit('/').next().unwrap_or(program);
        script(tools, &root, program, &to.join(name))?;
    }
    Ok(to.to_owned())
}

/// A script that runs a fetched program with the fetched libraries.
fn script(tools: &HostTools, root: &Path, program: &str, to: &Path) -> Result<PathBuf> {
    let libraries = root.join(format!("usr/lib/{ARCH}-linux-gnu"));
    let script = format!(
        "#!/bin/sh\nexec {} --library-path {}:{} {} \"$@\"\n",
        quoted(tools.loader()),
        quoted(&libraries),
        quoted(&tools.libraries()),
        quoted(&root.join(program)),
    );
    fs::write(to, script)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(to.to_owned())
}

/// One word of a shell script.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        assert_eq!(quoted(Path::new("/it's a/path")), r"'/it'\''s a/path'");
    }
}
