//! A scenario's driver domains.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use outrigger::build::{DEFAULT_DEST, Request};

use crate::image;

/// Lets the image builder make everything that Dom0 needs for the machine file `text`; returns the folder.
pub fn build(text: &str, base_dtb: &Path, dir: &Path, images: &str) -> Result<PathBuf> {
    let machine = dir.join("machine.toml");
    fs::write(&machine, text)?;
    let out = dir.join("built");
    let request = Request {
        machine,
        base_dtb: base_dtb.to_owned(),
        images: image::target_dir().join(images),
        out: out.clone(),
        dest: DEFAULT_DEST.to_owned(),
    };
    outrigger::build::build(&request)?;
    Ok(out)
}
