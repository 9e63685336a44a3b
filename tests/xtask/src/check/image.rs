//! The images: small enough, and the same whoever builds them.

use std::fs;

use anyhow::{Context, Result};
use outrigger::class::Class;
use outrigger::image::Image;
use sha2::{Digest, Sha256};

use super::{Faults, Repository};
use crate::cache;
use crate::image;
use crate::toolchain::Toolchain;

/// Each flat image keeps the budget of its manifest.
pub fn budgets(_: &Repository, faults: &mut Faults) -> Result<String> {
    let mut sizes = Vec::new();
    for name in image::names()? {
        let class =
            Class::named(&name).with_context(|| format!("images/{name}.toml is unknown to outrigger"))?;
        let flat = flat(&name, "guest")?;
        let budget = class.manifest.max_image_kib as usize * 1024;
        sizes.push(format!(
            "{name} {:.1} of {} KiB",
            flat.len() as f64 / 1024.0,
            class.manifest.max_image_kib
        ));
        if flat.len() > budget {
            faults.add(format!(
                "{name} has {} bytes, {} more than images/{name}.toml allows (max-image-kib): make it smaller",
                flat.len(),
                flat.len() - budget
            ));
        }
    }
    Ok(sizes.join(", "))
}

/// Each image built again, from nothing and elsewhere, is the same to the byte.
pub fn reproducible(_: &Repository, faults: &mut Faults) -> Result<String> {
    let elsewhere = "check/built-again";
    let mut hashes = Vec::new();
    for name in image::names()? {
        cache::remove(&image::target_dir().join(elsewhere))?;
        let again = hash(&flat(&name, elsewhere)?);
        let first = hash(&flat(&name, "guest")?);
        if first != again {
            faults.add(format!(
                "{name} built twice differs: SHA-256 {first} and {again}; look for a path, a time or a random order in it"
            ));
        }
        hashes.push(format!("{name} {first}"));
    }
    cache::remove(&image::target_dir().join(elsewhere))?;
    Ok(format!("SHA-256 {}", hashes.join(", ")))
}

/// The flat image, as it is loaded, built with its objects in the folder `objects` of the target folder.
fn flat(name: &str, objects: &str) -> Result<Vec<u8>> {
    let elf = image::build(name, &Toolchain::find()?, &image::target_dir().join(objects))?;
    let bytes = fs::read(&elf).with_context(|| elf.display().to_string())?;
    // The budget is judged above, with the size said.
    Ok(Image::from_elf(&elf, &bytes, u32::MAX)?.bytes)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
