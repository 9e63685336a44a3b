//! Disk images: a partition table, and file systems of known files with their hashes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::partition::Partition;
use gpt::{GptConfig, mbr, partition_types};
use sha2::{Digest, Sha256};

use super::tools::HostTools;
use crate::process;

/// What a disk or a partition holds at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Blank,
    /// Nothing, and for a whole disk only: it reads as zeroes, forgets what is written, and takes no time over either.
    Null,
    /// An ext4 file system with some forty known files and, in `hashes`, their SHA-256.
    Ext4,
    /// The same, and what a guest's boot loader reads: `boot/Image` and `boot/initrd`.
    Boot,
}

/// Files for a file system: their paths and contents.
pub type Files<'a> = [(&'a str, Vec<u8>)];

/// One GPT partition.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Its label, for `target=PARTLABEL=`.
    pub label: &'static str,
    /// Its GUID, for `target=PARTUUID=`.
    pub uuid: &'static str,
    /// Its size.
    pub mib: u64,
    /// What it holds.
    pub content: Content,
}

/// One disk of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Its size.
    pub mib: u64,
    /// Its partitions; without any, the disk is one device with `content`.
    pub slices: &'static [Slice],
    /// What a disk without partitions holds.
    pub content: Content,
    /// The virtio-mmio transport it is on (QEMU virt has 32, eight to a page of registers).
    pub transport: u32,
    /// How many virtqueues it offers.
    pub queues: u32,
}

pub const MIB: u64 = 1 << 20;
pub const SECTOR: u64 = 512;

impl Disk {
    /// Makes the image `path`, with room beside it for scratch files. `boot`: what [`Content::Boot`] has besides.
    pub fn create(&self, path: &Path, boot: &Files<'_>, tools: &HostTools) -> Result<()> {
        if self.content == Content::Null {
            return Ok(());
        }
        File::create(path)?.set_len(self.mib * MIB)?;
        if self.slices.is_empty() {
            return fill(path, 0, self.mib, self.content, boot, tools);
        }
        let mut first = MIB / SECTOR;
        let mut partitions = BTreeMap::new();
        for (index, slice) in (1..).zip(self.slices) {
            let sectors = slice.mib * MIB / SECTOR;
            let partition = Partition {
                part_type_guid: partition_types::LINUX_FS,
                part_guid: slice
                    .uuid
                    .parse()
                    .with_context(|| format!("partition {index} has a broken GUID"))?,
                first_lba: first,
                last_lba: first + sectors - 1,
                flags: 0,
                name: slice.label.to_owned(),
            };
            partitions.insert(index, partition);
            fill(path, first * SECTOR / MIB, slice.mib, slice.content, boot, tools)?;
            first += sectors;
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let sectors = u32::try_from(self.mib * MIB / SECTOR - 1).context("a test disk is below 2 TiB")?;
        mbr::ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;
        let config = GptConfig::new()
            .writable(true)
            .logical_block_size(LogicalBlockSize::Lb512);
        let mut table = config.create_from_device(file, None)?;
        table.update_partitions(partitions)?;
        table.write()?;
        Ok(())
    }
}

/// Puts `content` of `mib` into `disk`, `at_mib` from its start.
fn fill(
    disk: &Path,
    at_mib: u64,
    mib: u64,
    content: Content,
    boot: &Files<'_>,
    tools: &HostTools,
) -> Result<()> {
    let (boot, options): (_, &[&str]) = match content {
        Content::Blank | Content::Null => return Ok(()),
        Content::Ext4 => (&[][..], &[]),
        Content::Boot => (boot, FOR_U_BOOT),
    };
    let files = disk.with_extension("files");
    known_files(&files)?;
    for (path, contents) in boot {
        let path = files.join(path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, contents)?;
    }
    ext4(disk, at_mib, mib, &files, options, tools)?;
    crate::cache::remove(&files)
}

/// U-Boot knows neither the checksums of ext4 nor its wide block numbers.
pub const FOR_U_BOOT: &[&str] = &["-O", "^metadata_csum,^64bit"];

/// Puts an ext4 file system of `mib` with the files of the folder `files` into `disk`, `at_mib` from its start.
pub fn ext4(
    disk: &Path,
    at_mib: u64,
    mib: u64,
    files: &Path,
    options: &[&str],
    tools: &HostTools,
) -> Result<()> {
    let image = disk.with_extension("ext4");
    let mut mke2fs = tools.command("usr/sbin/mke2fs");
    mke2fs
        .env("MKE2FS_CONFIG", tools.root().join("etc/mke2fs.conf"))
        .env("E2FSPROGS_FAKE_TIME", "1700000000");
    mke2fs.args([
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        "outrigger",
        "-U",
        "0b5a7f2e-0000-4000-8000-000000000001",
    ]);
    mke2fs.args(options).arg("-d");
    process::output(mke2fs.arg(files).arg(&image).arg(format!("{mib}M")))?;
    let mut to = OpenOptions::new().write(true).open(disk)?;
    to.seek(SeekFrom::Start(at_mib * MIB))?;
    std::io::copy(&mut File::open(&image)?, &mut to)?;
    Ok(fs::remove_file(image)?)
}

/// Writes files of many sizes, the same ones each time, and `hashes` as `sha256sum` would.
fn known_files(dir: &Path) -> Result<()> {
    crate::cache::remove(dir)?;
    let mut hashes = String::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0_u32..40 {
        let folder = format!("d{}", number % 5);
        fs::create_dir_all(dir.join(&folder))?;
        let length = 1 + (number as usize).pow(3) * 5;
        let mut contents = Vec::with_capacity(length + 8);
        while contents.len() < length {
            // xorshift64: no two blocks alike, so that one in another's place is seen.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            contents.extend_from_slice(&state.to_le_bytes());
        }
        contents.truncate(length);
        let name = format!("{folder}/file{number}");
        let hash: String = Sha256::digest(&contents)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hashes += &format!("{hash}  {name}\n");
        fs::write(dir.join(name), contents)?;
    }
    Ok(fs::write(dir.join("hashes"), hashes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_files_are_the_same_each_time() {
        let dir = std::env::temp_dir().join(format!("outrigger-files-test-{}", std::process::id()));
        known_files(&dir).unwrap();
        let first = fs::read_to_string(dir.join("hashes")).unwrap();
        known_files(&dir).unwrap();
        assert_eq!(first, fs::read_to_string(dir.join("hashes")).unwrap());
        assert_eq!(first.lines().count(), 40);
        crate::cache::remove(&dir).unwrap();
    }
}
