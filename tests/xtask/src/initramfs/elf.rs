//! Which libraries a program needs, read from its ELF dynamic section.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::LittleEndian;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

const LIBRARY_FOLDERS: [&str; 4] = [
    "usr/lib/aarch64-linux-gnu",
    "usr/lib",
    "usr/lib/xen-4.20/lib",
    "usr/lib/aarch64-linux-gnu/ceph",
];

/// `programs` (paths below `root`) and every library they load, their own and each other's.
pub fn with_libraries(root: &Path, programs: &[&str]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    while let Some(path) = open.pop() {
        let data =
            fs::read(root.join(&path)).with_context(|| format!("no {} was fetched", path.display()))?;
        for name in needed(&data).with_context(|| format!("{} is no program", path.display()))? {
            open.push(find_library(root, &name).with_context(|| format!("{} needs {name}", path.display()))?);
        }
        open.retain(|path| !found.contains(path));
        found.insert(path);
    }
    Ok(found)
}

fn find_library(root: &Path, name: &str) -> Result<PathBuf> {
    // The program loader comes as an absolute path, of the days before /usr was merged.
    if name.starts_with('/') {
        return Ok(Path::new("usr").join(name.trim_start_matches('/')));
    }
    let mut places = LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    places
        .find(|place| root.join(place).exists())
        .context("which is not in any fetched package")
}

fn needed(data: &[u8]) -> Result<Vec<String>> {
    let header = FileHeader64::<LittleEndian>::parse(data)?;
    let endian = header.endian()?;
    let mut names = Vec::new();
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == PT_INTERP {
            let path = segment
                .data(endian, data)
                .ok()
                .context("a broken interpreter segment")?;
            names.push(String::from_utf8_lossy(path).trim_end_matches('\0').to_owned());
        }
    }
    let sections = header.sections(endian, data)?;
    if let Some((dynamic, link)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        for entry in dynamic {
            if entry.tag(endian) == DT_NEEDED {
                names.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            }
        }
    }
    Ok(names)
}
