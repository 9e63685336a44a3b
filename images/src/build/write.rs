//! Files of a build: none is ever seen half-written, and those of an earlier one are not forgotten.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dtoolkit::Node as _;

use crate::error::{Error, Fault};
use crate::input;
use crate::tree::flat::{self, MAX_BYTES};

/// Writes the files beside `out`, then moves them to their places: none is ever seen half-written.
pub(super) fn write(out: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>, Error> {
    let targets: Vec<PathBuf> = files.iter().map(|(name, _)| out.join(name)).collect();
    if out.exists() && !out.is_dir() {
        return Err(Error::at(out, Fault::NotAFolder));
    }
    if let Some(target) = targets.iter().find(|target| target.exists() && !target.is_file()) {
        return Err(Error::at(target, Fault::NotAFile));
    }
    let staging = Staging::beside(out)?;
    for (name, bytes) in files {
        let staged = fs::write(staging.0.join(name), bytes);
        staged.map_err(|e| Error::file(&out.join(name), "cannot write", &e))?;
    }
    fs::create_dir_all(out).map_err(|e| Error::file(out, "cannot create", &e))?;
    for ((name, _), target) in files.iter().zip(&targets) {
        fs::rename(staging.0.join(name), target).map_err(|e| Error::file(target, "cannot write", &e))?;
    }
    Ok(targets)
}

/// A folder on the file system of the target, gone when dropped.
struct Staging(PathBuf);

impl Staging {
    fn beside(out: &Path) -> Result<Self, Error> {
        let out = std::path::absolute(out).map_err(|e| Error::file(out, "cannot write", &e))?;
        let (parent, name) = match (out.parent(), out.file_name()) {
            (Some(parent), Some(name)) => (parent, name.to_string_lossy()),
            // The root folder: it exists and has no other beside it.
            _ => (out.as_path(), "root".into()),
        };
        let refuse = |e: io::Error| {
            let fault = Fault::NotWritable {
                folder: parent.display().to_string(),
                why: e.to_string(),
            };
            Error::at(&out, fault)
        };
        fs::create_dir_all(parent).map_err(refuse)?;
        // A name of its own: one may be left from a build that was killed.
        let mut attempt = 0u32;
        loop {
            let path = parent.join(format!(".{name}.outrigger-{}-{attempt}", std::process::id()));
            attempt += 1;
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(refuse(e)),
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left behind is a hidden folder; the outcome itself is already decided.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the builder writes into every text of its own.
const MARK: &str = "Written by `outrigger build`";

/// A line that names the files of an earlier build in `out` that this one, which wrote `written`, has not replaced: a
/// script that copies the folder would take them along.
pub(super) fn left_over(out: &Path, written: &[PathBuf]) -> Option<String> {
    let mut others: Vec<String> = fs::read_dir(out)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !written.contains(&out.join(name)))
        .collect();
    others.sort();
    let mut ours: Vec<&str> = Vec::new();
    for name in &others {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            continue;
        };
        let has = |extension: &str| others.contains(&format!("{stem}.{extension}"));
        let is_ours = match extension {
            "cfg" | "cmd" | "sh" | "txt" => is_marked(&out.join(name)),
            "scr" => has("cmd"),
            "dtb" | "dtbo" if stem == "host" => true,
            "dtb" => is_partial_tree(&out.join(name)),
            "img" => has("dtb") && is_partial_tree(&out.join(format!("{stem}.dtb"))),
            _ => false,
        };
        if is_ours {
            ours.push(name);
        }
    }
    (!ours.is_empty()).then(|| {
        format!(
            "{} holds files of an earlier build that this machine does not have: {}; remove them, lest they be used",
            out.display(),
            ours.join(" ")
        )
    })
}

fn is_marked(file: &Path) -> bool {
    input::read_text(file).is_ok_and(|text| text.contains(MARK))
}

/// Whether a file is a driver domain's device tree.
fn is_partial_tree(file: &Path) -> bool {
    let bytes = input::read(file, MAX_BYTES);
    let tree = bytes.ok().and_then(|bytes| flat::read(&bytes).ok());
    tree.is_some_and(|tree| tree.root.child("passthrough").is_some())
}
