//! How many pieces of code a hijacked processor could be led through: unique gadgets, as ROPgadget counts them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use object::{Object, ObjectSection};
use sha2::{Digest, Sha256};

use crate::boot::HostTools;
use crate::{cache, fetch, process};

/// Those of bare arm64 code. It is counted once: a kernel takes minutes.
pub fn of_code(code: &[u8], tools: &HostTools) -> Result<u64> {
    let hash: String = Sha256::digest(code)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let place = cache::dir()?.join("gadgets").join(hash);
    cache::once(&place, |unfinished| {
        let input = unfinished.with_extension("code");
        fs::write(&input, code)?;
        let said = process::output(ropgadget(tools)?.arg("--binary").arg(&input).args([
            "--rawArch=arm64",
            "--rawMode=64",
            "--rawEndian=little",
        ]));
        cache::remove(&input)?;
        fs::write(unfinished, counted(&said?)?.to_string())?;
        Ok(())
    })?;
    let count = fs::read_to_string(&place)?;
    count.parse().with_context(|| place.display().to_string())
}

/// ROPgadget, on its own interpreter.
fn ropgadget(tools: &HostTools) -> Result<Command> {
    let root = fetch::ROPGADGET.root()?;
    let mut command = Command::new(tools.loader());
    let libraries = tools.libraries();
    let own = root
        .join("usr/lib")
        .join(libraries.file_name().context("a library folder")?);
    command
        .arg("--library-path")
        .arg(format!("{}:{}", own.display(), libraries.display()))
        .arg(root.join("usr/bin/python3.13"))
        .args(["-W", "ignore"])
        .arg(root.join("usr/bin/ROPgadget"))
        .env("PYTHONHOME", root.join("usr"))
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

fn counted(said: &str) -> Result<u64> {
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Unique gadgets found: "));
    let count = line.context("ROPgadget does not say how many there are")?;
    count.trim().parse().context("ROPgadget's count")
}

/// The code of an ELF or of a kernel module.
pub fn text(elf: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(elf)?;
    let section = file.section_by_name(".text").context("no .text")?;
    Ok(section.data()?.to_vec())
}

/// The code of a kernel's image, if Linux says so of its symbols (`/proc/kallsyms`).
pub fn kernel_text<'a>(image: &'a [u8], values: &BTreeMap<String, String>) -> Result<&'a [u8]> {
    let address = |name: &str| -> Result<u64> {
        let said = values
            .get(name)
            .with_context(|| format!("{name} was not reported"))?;
        u64::from_str_radix(said, 16).with_context(|| format!("{name} is {said}"))
    };
    let base = address("kernel_text")?;
    let offset = |name: &str| -> Result<usize> {
        let offset = address(name)?
            .checked_sub(base)
            .context("a symbol before the image")?;
        Ok(usize::try_from(offset)?)
    };
    image
        .get(offset("kernel_stext")?..offset("kernel_etext")?)
        .filter(|text| !text.is_empty())
        .context("the kernel's code is not in its image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        assert_eq!(
            counted("0x0 : ret\n\nUnique gadgets found: 5515\n").unwrap(),
            5515
        );
        assert!(counted("0x0 : ret\n").is_err());
    }

    #[test]
    fn a_kernels_code_is_between_its_symbols() {
        let image = [0, 1, 2, 3, 4, 5];
        let said = |end: &str| {
            let values = [
                ("kernel_text", "ffff800080000000"),
                ("kernel_stext", "ffff800080000002"),
                ("kernel_etext", end),
            ];
            BTreeMap::from(values.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        assert_eq!(kernel_text(&image, &said("ffff800080000005")).unwrap(), [2, 3, 4]);
        for wrong in ["ffff800080000007", "ffff800080000002", "0", "x"] {
            assert!(kernel_text(&image, &said(wrong)).is_err(), "{wrong}");
        }
    }
}
