//! An interpreter for Dom0, and the toolstack's own binding to Xen's figures: `xl` rounds processor time to 0.1 s.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::initramfs::Sources;
use crate::{fetch, image};

const BINDING: &str = "usr/lib/xen-4.20/lib/python/xen/lowlevel";
/// What the binding and the interpreter want of the C library beyond Dom0's other programs.
const MATHS: &str = "usr/lib/aarch64-linux-gnu/libm.so.6";
/// What maps other domains' memory.
const MAPPING: [&str; 2] = [
    "usr/lib/aarch64-linux-gnu/libxenforeignmemory.so.1",
    "usr/lib/aarch64-linux-gnu/libxengnttab.so.1",
];
/// What Dom0 measures with, from `tests/bench/dom0`.
const SCRIPTS: [&str; 3] = ["measure.py", "addresses.py", "measuring.sh"];

/// The contents of a file of `tests/bench`.
pub fn script(path: &str) -> Result<Vec<u8>> {
    let path = image::workspace().join("tests/bench").join(path);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// The scripts that a measuring Dom0 has, and what they need: `python3.13 -IS` with `import xc` and `import ctypes`, and the
/// toolstack's libraries that map other domains' memory. As paths and contents.
pub fn files(sources: &Sources) -> Result<Vec<(String, Vec<u8>)>> {
    let root = fetch::PYTHON.root()?;
    let mut files = Vec::new();
    for folder in ["usr/bin", "usr/lib/python3.13", "usr/lib/aarch64-linux-gnu"] {
        collect(&root, Path::new(folder), &mut files)?;
    }
    let root = fetch::PYTHON_CTYPES.root()?;
    collect(&root, Path::new("usr/lib/python3.13/ctypes"), &mut files)?;
    for folder in ["usr/lib/python3.13/lib-dynload", "usr/lib/aarch64-linux-gnu"] {
        let mut all = Vec::new();
        collect(&root, Path::new(folder), &mut all)?;
        all.retain(|(path, _)| path.contains("/_ctypes.") || path.contains("/libffi"));
        files.append(&mut all);
    }
    let binding = fs::read_dir(sources.xen.join(BINDING))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("xc."))
        .context("Xen's packages hold no Python binding")?;
    let binding = format!("{BINDING}/{binding}");
    files.extend(sources.with_libraries(&[&[binding.as_str(), MATHS], &MAPPING[..]].concat())?);
    for name in SCRIPTS {
        files.push((name.to_owned(), script(&format!("dom0/{name}"))?));
    }
    Ok(files)
}

/// Adds the files below `root`/`folder`; links between them are followed, and lead nowhere if they leave the root.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder)).with_context(|| folder.display().to_string())? {
        let path = folder.join(entry?.file_name());
        let full = root.join(&path);
        if full.is_dir() {
            collect(root, &path, files)?;
        } else if full.is_file() {
            files.push((path.to_string_lossy().into_owned(), fs::read(&full)?));
        }
    }
    Ok(())
}
