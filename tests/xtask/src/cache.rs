//! The user's cache folder, and how something gets into it: whole, or not at all.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `$XDG_CACHE_HOME/outrigger`, or `~/.cache/outrigger`; created if it is missing.
pub fn dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    let dir = base.join("outrigger");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Makes the folder or file `place` by `fill`, once for all runs and all checkouts.
///
/// `fill` gets a path beside `place`, which is renamed when `fill` succeeded: an interrupted run leaves nothing that
/// looks done. A lock keeps two runs from filling the same place; the second one finds it filled.
pub fn once(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if place.exists() {
        return Ok(());
    }
    let parent = place.parent().context("a cache place has a parent folder")?;
    let name = place
        .file_name()
        .context("a cache place has a name")?
        .to_string_lossy();
    fs::create_dir_all(parent)?;
    let lock = File::create(parent.join(format!(".{name}.lock")))?;
    lock.lock()?;
    if place.exists() {
        return Ok(());
    }
    let unfinished = parent.join(format!(".{name}.unfinished"));
    remove(&unfinished)?;
    fill(&unfinished)?;
    fs::rename(&unfinished, place).with_context(|| format!("cannot put {} in its place", place.display()))
}

/// Removes a file or a folder with all it holds; what is not there is removed already.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A short name for `definition` that changes when it does (FNV-1a, 64 bits): the cache's keys.
pub fn key(definition: &str) -> String {
    let hash = definition.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_fill_is_not_taken_for_good() {
        let dir = env::temp_dir().join(format!("outrigger-cache-test-{}", std::process::id()));
        let place = dir.join("thing");
        let failed = once(&place, |unfinished| {
            fs::write(unfinished, "half")?;
            anyhow::bail!("interrupted")
        });
        assert!(failed.is_err());
        assert!(!place.exists());
        once(&place, |unfinished| Ok(fs::write(unfinished, "whole")?)).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"whole");
        once(&place, |_| panic!("filled twice")).unwrap();
        remove(&dir).unwrap();
    }

    #[test]
    fn keys_differ_by_content() {
        assert_eq!(key(""), "cbf29ce484222325");
        assert_ne!(key("a"), key("b"));
    }
}
