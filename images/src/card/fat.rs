//! A FAT32 that is written once: every file in one piece, one after the other (Microsoft's `fatgen103`, "FAT: General
//! Overview of On-Disk Format").

use std::collections::{BTreeMap, BTreeSet};

use super::Source;

pub(super) const SECTOR: u64 = 512;
const SECTORS_A_CLUSTER: u64 = 4;
const CLUSTER: u64 = SECTOR * SECTORS_A_CLUSTER;
/// Before the tables: boot sector, information, and copies of both.
const RESERVED: u64 = 32;
const BACKUP: u64 = 6;
const TABLES: u64 = 2;
/// FAT32 has at least as many clusters; with fewer it would be another FAT.
const CLUSTERS_MIN: u64 = 65_525;

const ENTRY: usize = 32;
/// Characters of a long name in one entry, and where they are.
const LONG: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const FOLDER: u8 = 0x10;
const FILE: u8 = 0x20;
const LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
/// 1980-01-01: the first day there is.
const DATE: u16 = 0x21;

const LABEL_NAME: [u8; 11] = *b"OUTRIGGER  ";

/// Where everything is.
pub(super) struct Fat<'a> {
    /// Sectors of the file system, and of one table.
    sectors: u64,
    table_sectors: u64,
    /// Clusters, and which of them are used.
    clusters: u64,
    table: Vec<u32>,
    /// First byte in the file system, and contents.
    folders: Vec<(u64, Vec<u8>)>,
    pub files: Vec<(u64, &'a str, &'a Source)>,
}

/// What is in a folder, by name.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: BTreeMap<&'a str, (&'a str, &'a Source)>,
}

impl<'a> Folder<'a> {
    fn add(&mut self, rest: &'a str, name: &'a str, source: &'a Source) {
        match rest.split_once('/') {
            Some((folder, rest)) => self.folders.entry(folder).or_default().add(rest, name, source),
            None => drop(self.files.insert(rest, (name, source))),
        }
    }
}

impl<'a> Fat<'a> {
    /// Finds room for these files in a file system of so many bytes.
    ///
    /// # Errors
    /// How many bytes they would take.
    pub fn new(files: &'a BTreeMap<String, Source>, bytes: u64) -> Result<Self, u64> {
        let sectors = bytes / SECTOR;
        let table_sectors = ((sectors - RESERVED) / SECTORS_A_CLUSTER + 2).div_ceil(SECTOR / 4);
        let clusters = (sectors - RESERVED - TABLES * table_sectors) / SECTORS_A_CLUSTER;
        assert!(
            clusters >= CLUSTERS_MIN,
            "the partition's least size sees to that"
        );
        let mut root = Folder::default();
        for (name, source) in files {
            root.add(name, name, source);
        }
        let mut fat = Self {
            sectors,
            table_sectors,
            clusters,
            table: vec![0x0fff_fff8, 0x0fff_ffff],
            folders: Vec::new(),
            files: Vec::new(),
        };
        fat.lay_out(&root, None);
        if fat.used() > clusters {
            return Err(fat.used() * CLUSTER + fat.start());
        }
        Ok(fat)
    }

    fn used(&self) -> u64 {
        self.table.len() as u64 - 2
    }

    /// Where the clusters begin, in bytes.
    fn start(&self) -> u64 {
        (RESERVED + TABLES * self.table_sectors) * SECTOR
    }

    /// Clusters for so many bytes: the number of the first one, 0 for none, and where it is.
    fn take(&mut self, bytes: u64) -> (u32, u64) {
        let count = bytes.div_ceil(CLUSTER) as usize;
        if count == 0 {
            return (0, 0);
        }
        let first = self.table.len() as u32;
        self.table.extend((first + 1..).take(count - 1));
        self.table.push(0x0fff_ffff);
        (first, self.start() + u64::from(first - 2) * CLUSTER)
    }

    /// A folder, then its files, then its folders. Returns its first cluster.
    fn lay_out(&mut self, folder: &Folder<'a>, parent: Option<u32>) -> u32 {
        let mut shorts = Shorts::default();
        let mut named = |name: &'a str| (name, shorts.of(name));
        let folders: Vec<_> = folder
            .folders
            .iter()
            .map(|(name, folder)| (named(name), folder))
            .collect();
        let files: Vec<_> = folder
            .files
            .iter()
            .map(|(name, file)| (named(name), *file))
            .collect();
        // The label of the root, or what stands for itself and its parent.
        let first = if parent.is_none() { 1 } else { 2 };
        let names = folders
            .iter()
            .map(|(name, _)| name)
            .chain(files.iter().map(|(name, _)| name));
        let entries: usize = first + names.map(|name| entries(*name)).sum::<usize>();
        let (cluster, at) = self.take(((entries * ENTRY) as u64).max(1));
        let mut bytes = Vec::with_capacity(entries * ENTRY);
        match parent {
            None => bytes.extend(entry(LABEL_NAME, LABEL, 0, 0)),
            Some(parent) => {
                bytes.extend(entry(*b".          ", FOLDER, cluster, 0));
                bytes.extend(entry(*b"..         ", FOLDER, parent, 0));
            }
        }
        for ((name, short), (path, source)) in files {
            let (first, at) = self.take(source.len());
            self.files.push((at, path, source));
            push(&mut bytes, name, short, FILE, first, source.len() as u32);
        }
        // Of the root a folder says 0.
        let own = if parent.is_none() { 0 } else { cluster };
        for ((name, short), folder) in folders {
            let first = self.lay_out(folder, Some(own));
            push(&mut bytes, name, short, FOLDER, first, 0);
        }
        self.folders.push((at, bytes));
        cluster
    }

    /// Everything but the files: bytes, and where they are. What is not told of is zero.
    pub fn pieces(&self, id: u32, start: u64) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = self.folders.clone();
        let boot = self.boot_sector(id, start);
        let information = self.information();
        for copy in [0, BACKUP] {
            pieces.push((copy * SECTOR, boot.to_vec()));
            pieces.push(((copy + 1) * SECTOR, information.to_vec()));
        }
        let table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        for copy in 0..TABLES {
            pieces.push(((RESERVED + copy * self.table_sectors) * SECTOR, table.clone()));
        }
        pieces
    }

    fn boot_sector(&self, id: u32, start: u64) -> [u8; SECTOR as usize] {
        let mut sector = [0; SECTOR as usize];
        let mut set = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        // A jump over all this, for those who look for one.
        set(0, &[0xeb, 0x58, 0x90]);
        set(3, b"MSWIN4.1");
        set(11, &(SECTOR as u16).to_le_bytes());
        set(13, &[SECTORS_A_CLUSTER as u8]);
        set(14, &(RESERVED as u16).to_le_bytes());
        set(16, &[TABLES as u8]);
        set(21, &[0xf8]);
        set(24, &63u16.to_le_bytes());
        set(26, &255u16.to_le_bytes());
        set(28, &((start / SECTOR) as u32).to_le_bytes());
        set(32, &(self.sectors as u32).to_le_bytes());
        set(36, &(self.table_sectors as u32).to_le_bytes());
        set(44, &2u32.to_le_bytes());
        set(48, &1u16.to_le_bytes());
        set(50, &(BACKUP as u16).to_le_bytes());
        set(64, &[0x80, 0, 0x29]);
        set(67, &id.to_le_bytes());
        set(71, &LABEL_NAME);
        set(82, b"FAT32   ");
        set(510, &[0x55, 0xaa]);
        sector
    }

    fn information(&self) -> [u8; SECTOR as usize] {
        let mut sector = [0; SECTOR as usize];
        let free = (self.clusters - self.used()) as u32;
        for (at, word) in [
            (0, 0x4161_5252),
            (484, 0x6141_7272),
            (488, free),
            (492, self.table.len() as u32),
            (508, 0xaa55_0000),
        ] {
            sector[at..at + 4].copy_from_slice(&u32::to_le_bytes(word));
        }
        sector
    }
}

/// The short names of a folder.
#[derive(Default)]
struct Shorts(BTreeSet<[u8; 11]>);

impl Shorts {
    /// The name in capitals if it fits, as every boot loader knows it; otherwise its beginning and a number.
    fn of(&mut self, name: &str) -> [u8; 11] {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let fit = |c: &char| c.is_ascii_alphanumeric() || "_-".contains(*c);
        let plain = |part: &str, most: usize| part.len() <= most && part.chars().all(|c| fit(&c));
        let fill = |to: &mut [u8], from: &str| {
            let from = from.chars().filter(fit);
            for (to, c) in to.iter_mut().zip(from) {
                *to = c.to_ascii_uppercase() as u8;
            }
        };
        let mut short = [b' '; 11];
        fill(&mut short[8..], extension);
        if !stem.is_empty() && plain(stem, 8) && plain(extension, 3) {
            fill(&mut short[..8], stem);
            if self.0.insert(short) {
                return short;
            }
        }
        let mut number = 1u32;
        loop {
            let tail = format!("~{number}");
            short[..8].fill(b' ');
            fill(&mut short[..8 - tail.len()], stem);
            let end = short[..8].iter().position(|byte| *byte == b' ').unwrap_or(8);
            short[end..end + tail.len()].copy_from_slice(tail.as_bytes());
            if self.0.insert(short) {
                return short;
            }
            number += 1;
        }
    }
}

/// Whether the short name says it all.
fn is_short(name: &str, short: [u8; 11]) -> bool {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (stem, extension) = (part(&short[..8]), part(&short[8..]));
    let dot = if extension.is_empty() { "" } else { "." };
    name == format!("{stem}{dot}{extension}")
}

/// Entries that a name takes.
fn entries((name, short): (&str, [u8; 11])) -> usize {
    if is_short(name, short) {
        1
    } else {
        1 + name.len().div_ceil(LONG.len())
    }
}

/// A name's entries: the long name, last part first, and the short one.
fn push(bytes: &mut Vec<u8>, name: &str, short: [u8; 11], kind: u8, first: u32, len: u32) {
    if !is_short(name, short) {
        let sum = short
            .iter()
            .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        // Names are ASCII.
        let parts: Vec<&[u8]> = name.as_bytes().chunks(LONG.len()).collect();
        for (index, part) in parts.iter().enumerate().rev() {
            let mut entry = [0u8; ENTRY];
            let last = if index + 1 == parts.len() { 0x40 } else { 0 };
            entry[0] = (index as u8 + 1) | last;
            entry[11] = LONG_NAME;
            entry[13] = sum;
            for (place, at) in LONG.into_iter().enumerate() {
                // A zero ends it, ones fill it.
                let c = match part.get(place) {
                    Some(byte) => u16::from(*byte),
                    None if place == part.len() => 0,
                    None => 0xffff,
                };
                entry[at..at + 2].copy_from_slice(&c.to_le_bytes());
            }
            bytes.extend(entry);
        }
    }
    bytes.extend(entry(short, kind, first, len));
}

fn entry(name: [u8; 11], kind: u8, first: u32, len: u32) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(&name);
    entry[11] = kind;
    for at in [16, 18, 24] {
        entry[at..at + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    entry[20..22].copy_from_slice(&((first >> 16) as u16).to_le_bytes());
    entry[26..28].copy_from_slice(&(first as u16).to_le_bytes());
    entry[28..].copy_from_slice(&len.to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_what_boot_loaders_look_for() {
        let mut shorts = Shorts::default();
        let mut of = |name| String::from_utf8(shorts.of(name).to_vec()).unwrap();
        assert_eq!(of("start4.elf"), "START4  ELF");
        assert_eq!(of("config.txt"), "CONFIG  TXT");
        assert_eq!(of("xen"), "XEN        ");
        assert_eq!(of("overlays"), "OVERLAYS   ");
        assert_eq!(of("disable-bt.dtbo"), "DISABL~1DTB");
        assert_eq!(of("disable-wifi.dtbo"), "DISABL~2DTB");
        assert_eq!(of("bcm2711-rpi-4-b.dtb"), "BCM271~1DTB");
        assert_eq!(of(".hidden"), "~1      HID");
        assert_eq!(of("a.b.c"), "AB~1    C  ");
    }
}
