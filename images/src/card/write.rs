//! Bytes of a card: an MBR, a FAT32 and whatever else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gpt_disk_types::{Chs, MasterBootRecord, MbrPartitionRecord, U32Le};

use super::fat::{Fat, SECTOR};
use super::{Contents, Source};
use crate::error::{Error, Fault};

/// From here on a file is worth telling of.
const LARGE: u64 = 8 << 20;

/// Types of partitions: FAT32 addressed by sectors, and Linux.
const FAT32_LBA: u8 = 0x0c;
const LINUX: u8 = 0x83;

/// Writes the card beside `out`, then moves it there: it is never seen half-written.
pub(super) fn write(
    out: &Path,
    contents: &Contents,
    fat: &Fat<'_>,
    progress: &mut dyn FnMut(&str, u64),
) -> Result<(), Error> {
    if out.exists() && !out.is_file() {
        return Err(Error::at(out, Fault::NotAFile));
    }
    let staged = Staged::beside(out)?;
    let cannot = |e: io::Error| Error::file(out, "cannot write", &e);
    let mut card = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&staged.0)
        .map_err(cannot)?;
    card.set_len(contents.size).map_err(cannot)?;
    card.write_all(bytemuck::bytes_of(&table(contents)))
        .map_err(cannot)?;
    if let Some((file, len)) = &contents.data {
        tell(progress, &file.display().to_string(), *len);
        card.seek(SeekFrom::Start(contents.rest.0)).map_err(cannot)?;
        copy(file, *len, &mut card).map_err(|why| why.at(file, out))?;
    }
    for (at, bytes) in fat.pieces(contents.id, contents.boot.0) {
        card.seek(SeekFrom::Start(contents.boot.0 + at)).map_err(cannot)?;
        card.write_all(&bytes).map_err(cannot)?;
    }
    for (at, name, source) in &fat.files {
        card.seek(SeekFrom::Start(contents.boot.0 + at)).map_err(cannot)?;
        match source {
            Source::Bytes(bytes) => card.write_all(bytes).map_err(cannot)?,
            Source::File(path, len) => {
                tell(progress, name, *len);
                copy(path, *len, &mut card).map_err(|why| why.at(path, out))?;
            }
        }
    }
    card.sync_all().map_err(cannot)?;
    fs::rename(&staged.0, out).map_err(cannot)
}

fn tell(progress: &mut dyn FnMut(&str, u64), name: &str, len: u64) {
    if len >= LARGE {
        progress(name, len);
    }
}

/// The partition table. Nobody looks at cylinders any more; all ones says so.
fn table(contents: &Contents) -> MasterBootRecord {
    let none = Chs([0xfe, 0xff, 0xff]);
    let record = |(start, len): (u64, u64), boot_indicator, os_indicator| MbrPartitionRecord {
        boot_indicator,
        start_chs: none,
        os_indicator,
        end_chs: none,
        starting_lba: U32Le::from_u32((start / SECTOR) as u32),
        size_in_lba: U32Le::from_u32((len / SECTOR) as u32),
    };
    let mut table: MasterBootRecord = bytemuck::Zeroable::zeroed();
    table.unique_mbr_disk_signature = contents.id.to_le_bytes();
    table.partitions[0] = record(contents.boot, 0x80, FAT32_LBA);
    table.partitions[1] = record(contents.rest, 0, LINUX);
    table.signature = [0x55, 0xaa];
    table
}

/// Which side of a copy failed.
enum Copy {
    From(io::Error),
    To(io::Error),
    /// It is not as long any more as it was.
    Changed,
}

impl Copy {
    fn at(self, from: &Path, to: &Path) -> Error {
        match self {
            Self::From(e) => Error::file(from, "cannot read", &e),
            Self::To(e) => Error::file(to, "cannot write", &e),
            Self::Changed => Error::at(from, Fault::Changed),
        }
    }
}

fn each_piece(from: &Path, len: u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), Copy> {
    let mut reader = BufReader::new(File::open(from).map_err(Copy::From)?);
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(Copy::From)?;
        done += count as u64;
        if done > len || count == 0 && done < len {
            return Err(Copy::Changed);
        }
        if count == 0 {
            return Ok(());
        }
        each(&buffer[..count]).map_err(Copy::To)?;
    }
}

/// Leaves out what is zero: it is there already, and takes no room on the disk.
fn copy(from: &Path, len: u64, to: &mut File) -> Result<(), Copy> {
    each_piece(from, len, |piece| {
        if piece.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(piece.len() as i64)).map(|_| ())
        } else {
            to.write_all(piece)
        }
    })
}

/// A file beside the target, gone when dropped unless it was moved.
struct Staged(PathBuf);

impl Staged {
    fn beside(out: &Path) -> Result<Self, Error> {
        let cannot = |e| Error::file(out, "cannot write", &e);
        let out = std::path::absolute(out).map_err(cannot)?;
        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(Error::at(&out, Fault::NotAFile));
        };
        fs::create_dir_all(parent).map_err(cannot)?;
        let name = format!(".{}.outrigger-{}", name.to_string_lossy(), std::process::id());
        Ok(Self(parent.join(name)))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already if it was moved.
        let _ = fs::remove_file(&self.0);
    }
}
