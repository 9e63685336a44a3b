//! The disk that a firmware boots from: one partition, and in it what an integrator would copy there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::disk::{self, MIB, SECTOR};
use super::machine::Software;
use super::tools::HostTools;

/// Where the partition begins, in MiB.
const FIRST_MIB: u64 = 1;
/// Room for what the file system keeps for itself, in MiB.
const SPARE_MIB: u64 = 32;

/// Makes the image `to` with the files of the folder `built`, Xen, and Dom0's kernel and ramdisk as `machine.toml` names
/// them.
pub fn create(to: &Path, built: &Path, software: &Software, tools: &HostTools) -> Result<()> {
    let folder = to.with_extension("files");
    crate::cache::remove(&folder)?;
    fs::create_dir_all(&folder)?;
    let mut bytes = 0;
    for entry in fs::read_dir(built)? {
        let entry = entry?;
        bytes += fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    for (file, name) in [
        (&software.hypervisor, "xen"),
        (&software.kernel, "vmlinuz"),
        (&software.ramdisk, "initrd.img"),
    ] {
        bytes += fs::copy(file, folder.join(name)).with_context(|| file.display().to_string())?;
    }
    let mib = bytes.div_ceil(MIB) + SPARE_MIB;
    File::create(to)?.set_len((FIRST_MIB + mib) * MIB)?;
    // What is read once needs no journal; U-Boot knows neither the checksums nor the wide block numbers.
    let options = ["-O", "^metadata_csum,^64bit,^has_journal"];
    disk::ext4(to, FIRST_MIB, mib, &folder, &options, tools)?;
    crate::cache::remove(&folder)?;
    let table = master_boot_record(FIRST_MIB * MIB / SECTOR, mib * MIB / SECTOR)?;
    Ok(OpenOptions::new().write(true).open(to)?.write_all(&table)?)
}

/// A master boot record with one active Linux partition, in sectors.
fn master_boot_record(first: u64, sectors: u64) -> Result<[u8; 512]> {
    let mut record = [0; 512];
    let entry = &mut record[446..462];
    entry[0] = 0x80;
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&u32::try_from(first)?.to_le_bytes());
    entry[12..].copy_from_slice(&u32::try_from(sectors)?.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_where_a_firmware_looks() {
        let record = master_boot_record(2048, 0x0001_0000).unwrap();
        let entry = [0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0];
        assert_eq!(record[446..462], entry);
        assert_eq!(record[510..], [0x55, 0xaa]);
        assert!(master_boot_record(1 << 32, 1).is_err());
    }
}
