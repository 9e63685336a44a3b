//! An interpreter for Dom0, and the toolstack's own binding to Xen's figures: `xl` rounds processor time to 0.1 s.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fetch;
use crate::initramfs::Sources;

const BINDING: &str = "usr/lib/xen-4.20/lib/python/xen/lowlevel";
/// What the binding and the interpreter want of the C library beyond Dom0's other programs.
const MATHS: &str = "usr/lib/aarch64-linux-gnu/libm.so.6";

/// Everything that `python3.13 -IS` and `import xc` need, as paths and contents.
pub fn files(sources: &Sources) -> Result<Vec<(String, Vec<u8>)>> {
    let root = fetch::PYTHON.root()?;
    let mut files = Vec::new();
    for folder in ["usr/bin", "usr/lib/python3.13", "usr/lib/aarch64-linux-gnu"] {
        collect(&root, Path::new(folder), &mut files)?;
    }
    let binding = fs::read_dir(sources.xen.join(BINDING))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("xc."))
        .context("Xen's packages hold no Python binding")?;
    files.extend(sources.with_libraries(&[&format!("{BINDING}/{binding}"), MATHS])?);
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
