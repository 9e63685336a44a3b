//! Kernel modules: found by name, unpacked, and listed in an order in which they can be loaded.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::{Object, ObjectSection};

use super::Archive;

/// The modules `wanted`, and those they depend on, in an order that loads them: their names and contents.
///
/// A module that is built into Debian's kernel is no error: it is simply not there.
pub fn find(linux: &Path, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = HashMap::new();
    collect(&linux.join("usr/lib/modules"), &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        visit(&key(name), &files, &mut order)?;
    }
    Ok(order)
}

/// Adds modules to `/modules`, named so that their sorted order is the order they are in.
pub fn put(archive: &mut Archive, modules: Vec<(String, Vec<u8>)>) -> Result<()> {
    for (position, (name, contents)) in modules.iter().enumerate() {
        archive.file(&format!("modules/{position:02}-{name}.ko"), contents)?;
    }
    Ok(())
}

/// The kernel takes `-` and `_` in module names for the same.
fn key(name: &str) -> String {
    name.replace('-', "_")
}

fn collect(dir: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".ko.xz"))
        {
            files.insert(key(name), path);
        }
    }
    Ok(())
}

fn visit(name: &str, files: &HashMap<String, PathBuf>, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let Some(path) = files.get(name) else {
        return Ok(());
    };
    if order.iter().any(|(done, _)| done == name) {
        return Ok(());
    }
    let mut contents = Vec::new();
    lzma_rs::xz_decompress(&mut fs::read(path)?.as_slice(), &mut contents)
        .map_err(|error| anyhow::anyhow!("{}: {error:?}", path.display()))?;
    contents.truncate(unsigned_length(&contents));
    for dependency in dependencies(&contents).with_context(|| path.display().to_string())? {
        visit(&key(&dependency), files, order)?;
    }
    order.push((name.to_owned(), contents));
    Ok(())
}

/// The length of a module without the signature at its end (include/linux/module_signature.h): checking it again costs
/// an emulated processor most of a second a module, and apt has checked the package.
fn unsigned_length(module: &[u8]) -> usize {
    const MAGIC: &[u8] = b"~Module signature appended~\n";
    const HEADER: usize = 12;
    let unsigned = || {
        let header = module.strip_suffix(MAGIC)?.last_chunk::<HEADER>()?;
        let signature = u32::from_be_bytes(*header.last_chunk::<4>()?);
        module
            .len()
            .checked_sub(MAGIC.len() + HEADER + usize::try_from(signature).ok()?)
    };
    unsigned().unwrap_or(module.len())
}

/// The `depends=` of a module's `.modinfo`: names with commas between them. Soft dependencies are not followed.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = object::File::parse(module)?;
    let section = elf
        .section_by_name(".modinfo")
        .context("a kernel module without .modinfo")?;
    let info = section.data()?;
    let depends = info
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(depends.unwrap_or_default()).into_owned();
    Ok(names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_found_by_its_own_length() {
        let signed = [
            b"module".as_slice(),
            &[7; 5],
            &[0; 8],
            &[0, 0, 0, 5],
            b"~Module signature appended~\n",
        ]
        .concat();
        assert_eq!(unsigned_length(&signed), 6);
        assert_eq!(unsigned_length(b"module"), 6);
        let lying = [
            b"m".as_slice(),
            &[0; 8],
            &[255; 4],
            b"~Module signature appended~\n",
        ]
        .concat();
        assert_eq!(unsigned_length(&lying), lying.len());
    }
}
