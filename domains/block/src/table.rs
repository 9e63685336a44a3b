//! Partition tables: GPT (UEFI specification, chapter 5.3) with its backup, and the four primary partitions of an MBR.
//!
//! A guest that may write the disk may have written the table, so each number in it is an allegation: sizes
//! and counts are bounded before anything is read by them, and a partition that does not lie within the
//! device does not exist.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytemuck::pod_read_unaligned;
use gpt_disk_types::crc::{Crc, Table};
use gpt_disk_types::{Crc32, GptHeader, GptPartitionEntry, Guid, MasterBootRecord};
use outrigger_xen::PAGE_SIZE;

use crate::slice::{Part, Slice};

/// Most entries of a GPT that are looked at; firmware and every common tool make 128.
const MOST_ENTRIES: u32 = 1024;

/// Type of the one MBR partition that says "there is a GPT".
const PROTECTIVE: u8 = 0xee;

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&Crc32::ALGORITHM);

/// Where the table is read from.
#[expect(
    async_fn_in_trait,
    reason = "one thread polls these futures; nobody needs them to be Send"
)]
pub trait Sectors {
    /// Size in 512-byte sectors.
    fn sectors(&self) -> u64;
    /// Logical block size in bytes, a power of two from 512 on. GPT counts in these.
    fn logical_block_size(&self) -> u32;
    /// Reads `into.len()` bytes, a multiple of the block and at most a page, from `sector` on.
    ///
    /// # Errors
    /// The device failed or did not answer in time.
    async fn read(&mut self, sector: u64, into: &mut [u8]) -> Result<(), ReadError>;
}

/// The device could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError(pub &'static str);

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it is, always within the device.
    pub slice: Slice,
    /// Its name, empty in an MBR.
    pub label: String,
    /// Its own identity.
    pub uuid: PartUuid,
}

/// `PARTUUID`, as Linux names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartUuid {
    /// A GPT partition's unique GUID.
    Gpt(Guid),
    /// An MBR's disk signature; the number is the partition's.
    Mbr(u32),
}

/// Why there are no partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The device cannot be read.
    Read(ReadError),
    /// The disk begins with neither MBR nor protective MBR.
    NoTable,
    /// There should be a GPT, but neither it nor its backup is intact.
    Damaged,
}

impl From<ReadError> for TableError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(ReadError(why)) => write!(f, "the partition table cannot be read: {why}"),
            Self::NoTable => f.write_str("the disk has no partition table"),
            Self::Damaged => f.write_str("the partition table and its backup are damaged"),
        }
    }
}

impl Partition {
    /// Whether a target means this partition.
    pub fn is(&self, part: &Part) -> bool {
        match part {
            Part::Whole => false,
            Part::Number(number) => self.number == *number,
            Part::Label(label) => !self.label.is_empty() && self.label == *label,
            Part::Uuid(uuid) => match self.uuid {
                PartUuid::Gpt(guid) => Guid::try_parse(uuid) == Ok(guid),
                PartUuid::Mbr(signature) => {
                    let own = alloc::format!("{signature:08x}-{:02x}", self.number);
                    signature != 0 && own.eq_ignore_ascii_case(uuid)
                }
            },
        }
    }
}

/// All partitions of a disk.
///
/// # Errors
/// There is no table that can be believed.
pub async fn partitions(disk: &mut impl Sectors) -> Result<Vec<Partition>, TableError> {
    let block = disk.logical_block_size() as usize;
    if block > PAGE_SIZE || disk.sectors() < 8 {
        return Err(TableError::NoTable);
    }
    let mut page = Box::new([0; PAGE_SIZE]);
    disk.read(0, &mut page[..block]).await?;
    let mbr: MasterBootRecord = pod_read_unaligned(&page[..size_of::<MasterBootRecord>()]);
    if mbr.signature != [0x55, 0xaa] {
        return Err(TableError::NoTable);
    }
    if !mbr
        .partitions
        .iter()
        .any(|record| record.os_indicator == PROTECTIVE)
    {
        return Ok(mbr_partitions(&mbr, disk));
    }
    let last = disk.sectors() / (block as u64 / 512) - 1;
    match gpt(disk, 1, &mut page).await? {
        Some(partitions) => Ok(partitions),
        None => {
            log::warn!("the primary GPT is damaged, trying its backup");
            gpt(disk, last, &mut page).await?.ok_or(TableError::Damaged)
        }
    }
}

fn mbr_partitions(mbr: &MasterBootRecord, disk: &impl Sectors) -> Vec<Partition> {
    let signature = u32::from_le_bytes(mbr.unique_mbr_disk_signature);
    // Extended partitions (types 5, f and 85) only hold others.
    let is_data = |kind| !matches!(kind, 0 | 0x05 | 0x0f | 0x85);
    (1..)
        .zip(&mbr.partitions)
        .filter(|(_, record)| is_data(record.os_indicator))
        .filter_map(|(number, record)| {
            let first = record.starting_lba.to_u32().into();
            let slice = slice(disk, first, record.size_in_lba.to_u32().into())?;
            Some(Partition {
                number,
                slice,
                label: String::new(),
                uuid: PartUuid::Mbr(signature),
            })
        })
        .collect()
}

/// The slice of `blocks` logical blocks from `first` on, if it is one and lies within the device. A table is not part of any
/// partition, so neither is block 0.
fn slice(disk: &impl Sectors, first: u64, blocks: u64) -> Option<Slice> {
    let unit = u64::from(disk.logical_block_size() / 512);
    let slice = Slice {
        first: first.checked_mul(unit)?,
        sectors: blocks.checked_mul(unit)?,
    };
    let end = slice.first.checked_add(slice.sectors)?;
    (first > 0 && blocks > 0 && end <= disk.sectors()).then_some(slice)
}

/// The partitions of the GPT whose header is at block `lba`; `None` if it is not intact.
async fn gpt(
    disk: &mut impl Sectors,
    lba: u64,
    page: &mut [u8; PAGE_SIZE],
) -> Result<Option<Vec<Partition>>, ReadError> {
    let block = disk.logical_block_size() as usize;
    let unit = block as u64 / 512;
    disk.read(lba * unit, &mut page[..block]).await?;
    let Some(header) = intact_header(&page[..block], lba) else {
        return Ok(None);
    };
    let count = header.number_of_partition_entries.to_u32();
    let entry_bytes = header.size_of_partition_entry.to_u32() as usize;
    // A page holds a whole number of entries.
    if count > MOST_ENTRIES || !entry_bytes.is_power_of_two() || !(128..=PAGE_SIZE).contains(&entry_bytes) {
        return Ok(None);
    }
    let total = count as usize * entry_bytes;
    let blocks = total.div_ceil(block) as u64;
    let Some(array) = slice(disk, header.partition_entry_lba.to_u64(), blocks) else {
        return Ok(None);
    };
    let mut digest = CRC.digest();
    let mut partitions = Vec::new();
    let (mut number, mut used_entries) = (0, 0);
    for at in (0..total).step_by(PAGE_SIZE) {
        let used = (total - at).min(PAGE_SIZE);
        disk.read(
            array.first + at as u64 / 512,
            &mut page[..used.next_multiple_of(block)],
        )
        .await?;
        digest.update(&page[..used]);
        for entry in page[..used].chunks_exact(entry_bytes) {
            number += 1;
            let entry: GptPartitionEntry = pod_read_unaligned(&entry[..size_of::<GptPartitionEntry>()]);
            if entry.is_used() {
                used_entries += 1;
                partitions.extend(partition(disk, &header, number, &entry));
            }
        }
    }
    let intact = digest.finalize() == header.partition_entry_array_crc32.0.to_u32();
    if intact && partitions.len() < used_entries {
        let outside = used_entries - partitions.len();
        log::warn!("{outside} partitions lie outside the disk and are left out");
    }
    Ok(intact.then_some(partitions))
}

/// The header in `block`, if it is one, of revision 1, its own checksum right, and meant for this place.
fn intact_header(block: &[u8], lba: u64) -> Option<GptHeader> {
    let header: GptHeader = pod_read_unaligned(&block[..size_of::<GptHeader>()]);
    let size = header.header_size.to_u32() as usize;
    if !header.is_signature_valid() || !(size_of::<GptHeader>()..=block.len()).contains(&size) {
        return None;
    }
    // The checksum is taken over the header with its own four bytes zero.
    let mut digest = CRC.digest();
    digest.update(&block[..16]);
    digest.update(&[0; 4]);
    digest.update(&block[20..size]);
    let intact = digest.finalize() == header.header_crc32.0.to_u32();
    (intact && header.my_lba.to_u64() == lba).then_some(header)
}

fn partition(
    disk: &impl Sectors,
    header: &GptHeader,
    number: u32,
    entry: &GptPartitionEntry,
) -> Option<Partition> {
    let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
    let usable = header.first_usable_lba.to_u64()..=header.last_usable_lba.to_u64();
    let blocks = last.checked_sub(first)?.checked_add(1)?;
    if !usable.contains(&first) || !usable.contains(&last) {
        return None;
    }
    let name = entry.name;
    Some(Partition {
        number,
        slice: slice(disk, first, blocks)?,
        label: name.chars().collect(),
        uuid: PartUuid::Gpt(entry.unique_partition_guid),
    })
}
