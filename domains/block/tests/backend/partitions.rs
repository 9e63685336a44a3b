//! Targets and partition tables.

use std::pin::pin;
use std::task::Poll;

use gpt_disk_types::{
    GptHeader, GptPartitionEntry, GptPartitionName, GptPartitionType, Guid, LbaLe, MasterBootRecord, U32Le,
    crc,
};
use outrigger_block::{Part, PartUuid, Partition, ReadError, Sectors, Slice, TableError, Target};
use outrigger_xen::xenstore::poll_once;
use proptest::prelude::*;

use crate::disk::{self, SECTOR};
use crate::guest::{ERROR, Guest, OKAY, Options, READ, WRITE, pattern};
use crate::world::{FE, OTHER, World, vbd};

/// The unique GUID of partition `n`.
pub fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Writes a GPT with these partitions (name, first and last block) onto `disk`.
pub fn write_gpt(disk: &mut [u8], block: usize, entries: &[(&str, u64, u64)]) {
    let blocks = (disk.len() / block) as u64;
    let array_blocks = (128 * 128_usize).div_ceil(block) as u64;
    let mut array = vec![0; 128 * 128];
    for (n, (name, first, last)) in (1_u32..).zip(entries) {
        let entry = GptPartitionEntry {
            partition_type_guid: GptPartitionType::BASIC_DATA,
            unique_partition_guid: Guid::try_parse(&uuid(n)).unwrap(),
            starting_lba: LbaLe::from_u64(*first),
            ending_lba: LbaLe::from_u64(*last),
            name: name.parse::<GptPartitionName>().unwrap(),
            ..Default::default()
        };
        array[(n as usize - 1) * 128..][..128].copy_from_slice(bytemuck::bytes_of(&entry));
    }
    let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mbr = MasterBootRecord::protective_mbr(blocks);
    disk[..SECTOR].copy_from_slice(bytemuck::bytes_of(&mbr));
    for (at, other, array_at) in [(1, blocks - 1, 2), (blocks - 1, 1, blocks - 1 - array_blocks)] {
        let mut header = GptHeader {
            my_lba: LbaLe::from_u64(at),
            alternate_lba: LbaLe::from_u64(other),
            first_usable_lba: LbaLe::from_u64(2 + array_blocks),
            last_usable_lba: LbaLe::from_u64(blocks - 2 - array_blocks),
            partition_entry_lba: LbaLe::from_u64(array_at),
            number_of_partition_entries: U32Le::from_u32(128),
            size_of_partition_entry: U32Le::from_u32(128),
            partition_entry_array_crc32: gpt_disk_types::Crc32(U32Le::from_u32(crc32.checksum(&array))),
            ..Default::default()
        };
        header.update_header_crc32();
        let at = at as usize * block;
        disk[at..at + 92].copy_from_slice(bytemuck::bytes_of(&header));
        let array_at = array_at as usize * block;
        disk[array_at..array_at + array.len()].copy_from_slice(&array);
    }
}

struct Image {
    bytes: Vec<u8>,
    block: u32,
}

impl Sectors for Image {
    fn sectors(&self) -> u64 {
        (self.bytes.len() / SECTOR) as u64
    }
    fn logical_block_size(&self) -> u32 {
        self.block
    }
    async fn read(&mut self, sector: u64, into: &mut [u8]) -> Result<(), ReadError> {
        assert!(into.len() <= 4096 && into.len().is_multiple_of(self.block as usize));
        let at = sector as usize * SECTOR;
        assert!(at + into.len() <= self.bytes.len(), "a read leaves the disk");
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
        Ok(())
    }
}

/// The image answers at once.
fn partitions(image: &mut Image) -> Result<Vec<Partition>, TableError> {
    match poll_once(pin!(outrigger_block::partitions(image))) {
        Poll::Ready(partitions) => partitions,
        Poll::Pending => panic!("nothing is waited for"),
    }
}

fn image(block: u32) -> Image {
    let mut bytes = vec![0; 2048 * SECTOR];
    let unit = u64::from(block) / 512;
    write_gpt(
        &mut bytes,
        block as usize,
        &[("boot", 40, 47), ("root", 800 / unit, 1600 / unit - 1)],
    );
    Image { bytes, block }
}

#[test]
fn gpt_with_small_and_large_blocks() {
    for (block, unit) in [(512, 1), (4096, 8)] {
        let found = partitions(&mut image(block)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].number, &*found[0].label), (1, "boot"));
        assert_eq!(
            found[0].slice,
            Slice {
                first: 40 * unit,
                sectors: 8 * unit
            }
        );
        assert_eq!(
            found[1].slice,
            Slice {
                first: 800,
                sectors: 800
            }
        );
        assert_eq!(found[1].uuid, PartUuid::Gpt(Guid::try_parse(&uuid(2)).unwrap()));
        assert!(found[1].is(&Part::Uuid(uuid(2).to_uppercase())));
        assert!(found[1].is(&Part::Label("root".into())));
        assert!(found[1].is(&Part::Number(2)));
        assert!(!found[1].is(&Part::Label("roo".into())));
    }
}

#[test]
fn a_damaged_table_falls_back_to_its_backup() {
    let intact = partitions(&mut image(512)).unwrap();
    // Signature, revision's neighbourhood, size, checksum, own place, array's place, count, entry size, array checksum;
    // then the array.
    for at in [512, 524, 528, 536, 584, 592, 596, 600, 1024, 1024 + 128 * 127] {
        let mut damaged = image(512);
        damaged.bytes[at] ^= 0x40;
        assert_eq!(partitions(&mut damaged).unwrap(), intact, "byte {at}");
        // The backup as well.
        let last = damaged.bytes.len() - SECTOR;
        damaged.bytes[last + 16] ^= 1;
        assert_eq!(partitions(&mut damaged), Err(TableError::Damaged));
    }
}

#[test]
fn tables_that_are_none() {
    let mut blank = Image {
        bytes: vec![0; 64 * SECTOR],
        block: 512,
    };
    assert_eq!(partitions(&mut blank), Err(TableError::NoTable));
    let mut tiny = Image {
        bytes: vec![0x55; SECTOR],
        block: 512,
    };
    assert_eq!(partitions(&mut tiny), Err(TableError::NoTable));
}

#[test]
fn mbr() {
    let mut bytes = vec![0; 2048 * SECTOR];
    let mut mbr = MasterBootRecord {
        unique_mbr_disk_signature: 0xcafe_0001_u32.to_le_bytes(),
        signature: [0x55, 0xaa],
        ..Default::default()
    };
    for (at, kind, first, sectors) in [
        (0, 0x83, 64, 100),
        (1, 0x05, 200, 100),
        (2, 0x83, 2000, 49),
        (3, 0x83, 1000, 48),
    ] {
        mbr.partitions[at].os_indicator = kind;
        mbr.partitions[at].starting_lba = U32Le::from_u32(first);
        mbr.partitions[at].size_in_lba = U32Le::from_u32(sectors);
    }
    bytes[..SECTOR].copy_from_slice(bytemuck::bytes_of(&mbr));
    let found = partitions(&mut Image { bytes, block: 512 }).unwrap();
    let numbers: Vec<_> = found
        .iter()
        .map(|partition| (partition.number, partition.slice.first))
        .collect();
    assert_eq!(
        numbers,
        [(1, 64), (4, 1000)],
        "neither extended ones nor what leaves the disk"
    );
    assert!(found[1].is(&Part::Uuid("CAFE0001-04".into())));
}

#[test]
fn targets() {
    let disk = |name: &str| Some(name.to_string());
    for (text, disk, part) in [
        ("virtio0", disk("virtio0"), Part::Whole),
        ("virtio0:2", disk("virtio0"), Part::Number(2)),
        ("PARTLABEL=a:b = c", None, Part::Label("a:b = c".into())),
        ("PARTUUID=00", None, Part::Uuid("00".into())),
        ("virtio1:PARTLABEL=x", disk("virtio1"), Part::Label("x".into())),
        ("virtio1:PARTUUID=x", disk("virtio1"), Part::Uuid("x".into())),
    ] {
        let target = Target::parse(text).unwrap();
        assert_eq!(target, Target { disk, part });
        assert_eq!(target.to_string(), text);
    }
    let long = "a".repeat(300);
    for wrong in [
        "",
        ":",
        "virtio0:",
        "virtio0:0",
        "virtio0:-1",
        "virtio0:99999",
        "virtio0:1:2",
        ":1",
        "/dev/vda",
        "a b",
        "PARTLABEL=",
        "PARTUUID=",
        "virtio0:PARTLABEL=",
        &long,
    ] {
        assert!(Target::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_partition_is_all_that_its_guest_can_reach() {
    let world = World::with(&[disk::limits(4096), disk::limits(4096)]);
    for (n, names) in [["boot", "root"], ["swap", "home"]].iter().enumerate() {
        let mut disk = world.disks[n].borrow_mut();
        write_gpt(&mut disk.data, 512, &[(names[0], 40, 47), (names[1], 100, 299)]);
    }
    let image = world.disk().data.clone();
    for target in ["virtio0:2", "PARTLABEL=root", "virtio0:PARTLABEL=root"] {
        let device = vbd(FE, 51712);
        let mut guest = Guest::boot(&world, device, target, "w", Options::default());
        assert_eq!(world.node(device, "sectors").unwrap(), "200");
        let buffer = guest.buffer();
        buffer.fill(8);
        let seen = world.disk().seen.len();
        for sector in [200, 193, u64::MAX - 99, 1 << 63] {
            let id = guest.data(0, WRITE, sector, &[buffer.whole()]);
            assert_eq!(guest.one(&world, id), ERROR);
        }
        assert_eq!(world.disk().seen.len(), seen, "refused before the device");
        let id = guest.data(0, WRITE, 192, &[buffer.whole()]);
        assert_eq!(guest.one(&world, id), OKAY);
        {
            let disk = world.disk();
            assert_eq!(disk.data[292 * SECTOR..300 * SECTOR], pattern(8, 4096));
            assert!(disk.data[..292 * SECTOR] == image[..292 * SECTOR]);
            assert!(disk.data[300 * SECTOR..] == image[300 * SECTOR..]);
        }
        world.disk().data.copy_from_slice(&image);
        // Detached, so that the next one may write.
        world.ts.begin_detach(device);
        guest.set_state(&world, 6);
        world.advance(2500);
        assert!(world.ts.finish_detach(device));
    }
    for (target, expected) in [
        ("virtio0:3", "no partition virtio0:3"),
        ("PARTLABEL=nope", "no partition PARTLABEL=nope"),
        (
            "PARTUUID=00000000-0000-4000-8000-000000000001",
            "means more than one partition",
        ),
    ] {
        let device = vbd(OTHER, 51712);
        world.attach(device, target, "w");
        assert!(world.error(device).contains(expected), "{}", world.error(device));
        world.ts.begin_detach(device);
        world.advance(2500);
        assert!(world.ts.finish_detach(device));
    }
}

#[test]
fn the_table_is_read_while_others_are_served() {
    let world = World::with(&[disk::limits(4096)]);
    write_gpt(
        &mut world.disk().data,
        512,
        &[("boot", 40, 47), ("root", 100, 299)],
    );
    let mut first = Guest::boot(&world, vbd(FE, 51712), "virtio0:1", "w", Options::default());
    let buffers = first.buffers(16);
    world.disk().held = true;
    for buffer in &buffers {
        first.data(0, READ, 0, &[buffer.whole()]);
    }
    first.kick(0);
    world.settle();
    world.disk().held = false;
    // Their completions come while the table is read for another guest.
    let second = Guest::boot(&world, vbd(OTHER, 51712), "virtio0:2", "w", Options::default());
    first.collect();
    assert_eq!(first.unanswered(), 0);
    // Partitions that do not overlap may both be written.
    assert_eq!(world.state(second.device), "4");
}

/// Another disk answers slowly, or never: reading its table stops nobody.
#[test]
fn a_slow_disk_that_is_attached_stops_nobody() {
    let world = World::with(&[disk::limits(4096), disk::limits(4096)]);
    let mut first = Guest::boot(&world, vbd(FE, 51712), "virtio0", "r", Options::default());
    let buffer = first.buffer();
    let read = |first: &mut Guest| {
        let id = first.data(0, READ, 0, &[buffer.whole()]);
        assert_eq!(first.one(&world, id), OKAY);
    };
    write_gpt(&mut world.disks[1].borrow_mut().data, 512, &[("root", 100, 299)]);
    world.disks[1].borrow_mut().held = true;
    let device = vbd(OTHER, 51712);
    world.attach(device, "virtio1:1", "r");
    for _ in 0..20 {
        assert_eq!(world.state(device), "1");
        read(&mut first);
        world.advance(100);
    }
    world.disks[1].borrow_mut().let_go();
    world.settle();
    assert_eq!(world.state(device), "2", "{}", world.error(device));
    // One that never answers is said not to, and is not asked again at each guest's whim.
    world.ts.begin_detach(device);
    world.advance(3000);
    assert!(world.ts.finish_detach(device));
    world.disks[1].borrow_mut().held = true;
    world.attach(device, "virtio1:1", "r");
    world.advance(4000);
    assert!(
        world.error(device).contains("does not answer"),
        "{}",
        world.error(device)
    );
    let reads = world.disks[1].borrow().seen.len();
    let other = vbd(OTHER, 51728);
    world.attach(other, "virtio1:1", "r");
    assert!(
        world.error(other).contains("does not answer"),
        "{}",
        world.error(other)
    );
    assert_eq!(world.disks[1].borrow().seen.len(), reads);
    read(&mut first);
}

/// A guest whose frontend begins again and again does not make us read a table again and again.
#[test]
fn a_frontend_that_begins_again_has_the_partition_that_it_had() {
    let world = World::new();
    write_gpt(&mut world.disk().data, 512, &[("root", 100, 299)]);
    let device = vbd(FE, 51712);
    let guest = Guest::boot(&world, device, "virtio0:1", "w", Options::default());
    let reads = world.disk().seen.len();
    let mut guest = guest;
    for _ in 0..5 {
        guest.close(&world);
        guest.set_state(&world, 1);
        world.advance(100);
        guest = Guest::connect(&world, device, Options::default());
    }
    assert_eq!(world.disk().seen.len(), reads);
    assert_eq!(world.node(device, "sectors").unwrap(), "200");
}

#[test]
fn a_disk_that_cannot_be_read_is_said_to_be() {
    let world = World::new();
    world
        .disk()
        .failures
        .push_back(outrigger_devices::Status::IoError);
    let device = vbd(FE, 51712);
    world.attach(device, "virtio0:1", "w");
    assert!(
        world
            .error(device)
            .contains("cannot be read: the device failed the read"),
        "{}",
        world.error(device)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is on the disk, reading its table ends, stays on the disk, and finds nothing outside it.
    #[test]
    fn any_disk(
        flips in prop::collection::vec((0_usize..20_000, any::<u8>()), 0..40),
        fix in any::<bool>(),
        large in any::<bool>(),
    ) {
        let mut image = image(if large { 4096 } else { 512 });
        for (at, byte) in flips {
            image.bytes[at] = byte;
        }
        if fix {
            // A forger knows how to compute checksums.
            let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
            let block = image.block as usize;
            let array = crc32.checksum(&image.bytes[2 * block..2 * block + 128 * 128]);
            let header = &mut image.bytes[block..block + 92];
            header[88..92].copy_from_slice(&array.to_le_bytes());
            header[16..20].fill(0);
            let own = crc32.checksum(header);
            header[16..20].copy_from_slice(&own.to_le_bytes());
        }
        let sectors = image.sectors();
        for partition in partitions(&mut image).unwrap_or_default() {
            let Slice { first, sectors: len } = partition.slice;
            prop_assert!(first > 0 && len > 0 && first + len <= sectors);
        }
    }

    /// A slice gives out its own sectors and no others.
    #[test]
    fn slices(first in 0..1_u64 << 50, len in 0..1_u64 << 50, sector: u64, sectors: u64) {
        let slice = Slice { first, sectors: len };
        match slice.locate(sector, sectors) {
            Some(at) => prop_assert!(at >= first && at + sectors <= first + len),
            None => prop_assert!(u128::from(sector) + u128::from(sectors) > u128::from(len)),
        }
    }
}
