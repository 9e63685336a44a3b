//! Flattened device trees that are wrong in their bytes: each is refused with its place, or read in bounds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Instant;

use common::Bench;
use common::virt::virt;
use dtoolkit::{Node as _, Property as _};
use outrigger::tree::flat;

const BEGIN: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A tree made by hand.
struct Blob {
    /// The structure block, by cells; `name` adds strings to it.
    structure: Vec<u8>,
    strings: Vec<u8>,
    version: [u32; 2],
}

impl Blob {
    fn new() -> Self {
        Self {
            structure: Vec::new(),
            strings: b"a-property\0".to_vec(),
            version: [17, 16],
        }
    }

    fn cells(mut self, cells: &[u32]) -> Self {
        cells
            .iter()
            .for_each(|cell| self.structure.extend(cell.to_be_bytes()));
        self
    }

    fn begin(self, name: &str) -> Self {
        let mut blob = self.cells(&[BEGIN]);
        blob.structure.extend(name.bytes());
        blob.structure.push(0);
        blob.structure.resize(blob.structure.len().next_multiple_of(4), 0);
        blob
    }

    fn bytes(&self) -> Vec<u8> {
        let structure = 40 + 16;
        let strings = structure + self.structure.len();
        let size = strings + self.strings.len();
        let header = [
            0xd00d_feed,
            size as u32,
            structure as u32,
            strings as u32,
            40,
            self.version[0],
            self.version[1],
            0,
            self.strings.len() as u32,
            self.structure.len() as u32,
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        bytes.extend([0; 16]);
        bytes.extend(&self.structure);
        bytes.extend(&self.strings);
        bytes
    }

    #[track_caller]
    fn refused(&self, why: &str) {
        assert_eq!(flat::read(&self.bytes()).unwrap_err(), why);
    }
}

/// Overwrites the header's cell of this number.
fn with_header(bytes: &[u8], cell: usize, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[4 * cell..4 * cell + 4].copy_from_slice(&value.to_be_bytes());
    bytes
}

#[test]
fn a_tree_made_by_hand_reads() {
    let blob = Blob::new()
        .cells(&[NOP])
        .begin("")
        .cells(&[PROP, 4, 2, 7, NOP])
        .begin("node#with_odd,name@1")
        .cells(&[END_NODE, NOP])
        // A property behind a node is no one's idea of order, but Linux takes it.
        .cells(&[PROP, 0, 0, END_NODE, NOP, END]);
    let tree = flat::read(&blob.bytes()).unwrap();
    assert!(tree.root.child("node#with_odd,name@1").is_some());
    assert_eq!(tree.root.property("property").unwrap().value(), [0, 0, 0, 7]);
    assert!(tree.root.property("a-property").unwrap().value().is_empty());
}

#[test]
fn wrong_structure() {
    let root = || Blob::new().begin("");
    Blob::new().refused("cut short at byte 56");
    root().refused("cut short at byte 64");
    Blob::new().cells(&[END]).refused("ends at byte 56 inside /");
    Blob::new()
        .cells(&[END_NODE])
        .refused("a node's end without its beginning at byte 56");
    Blob::new()
        .cells(&[PROP, 0, 0])
        .refused("a property outside the root node at byte 56");
    Blob::new().begin("x").refused("its root node is called \"x\"");
    root().cells(&[77]).refused("0x4d at byte 64 is no token");
    root().cells(&[END]).refused("ends at byte 64 inside /");
    root()
        .begin("a")
        .begin("b")
        .cells(&[END])
        .refused("ends at byte 80 inside /a/b");
    root().begin("").refused("a node without a name at byte 68");
    root().begin("a/b").refused("no usable node name at byte 68");
    root().begin("a\u{7}b").refused("no usable node name at byte 68");
    root().begin("a b").refused("no usable node name at byte 68");
    root().begin("\"a\"").refused("no usable node name at byte 68");
    root()
        .begin(&"x".repeat(128))
        .refused("no usable node name at byte 68");
    root()
        .cells(&[BEGIN, 0x6161_6161])
        .refused("no usable node name at byte 68");
    root()
        .cells(&[END_NODE, BEGIN])
        .refused("it goes on behind its root node at byte 68");
    root().cells(&[END_NODE]).refused("cut short at byte 68");
    root()
        .cells(&[PROP, 5, 0, 0])
        .refused("5 bytes at byte 76 are more than there are");
    root()
        .cells(&[PROP, u32::MAX, 0, 0])
        .refused("4294967295 bytes at byte 76 are more than there are");
    for name in [10, 11, 12, u32::MAX] {
        root()
            .cells(&[PROP, 0, name])
            .refused("no usable property name for byte 68");
    }
    let twice = root().begin("a").cells(&[END_NODE]).begin("a").cells(&[END_NODE]);
    twice.refused("/ has the node a twice");
    root()
        .begin("a")
        .cells(&[PROP, 0, 0, PROP, 0, 0])
        .refused("/a has the property a-property twice");
}

#[test]
fn wrong_headers() {
    let whole = Blob::new().begin("").cells(&[END_NODE, END]).bytes();
    flat::read(&whole).unwrap();
    let refused = |cell, value, why: &str| {
        assert_eq!(flat::read(&with_header(&whole, cell, value)).unwrap_err(), why);
    };
    refused(0, 0xfeed_d00d, "it does not start with the magic number d00dfeed");
    refused(1, whole.len() as u32 + 1, "cut short: 83 of 84 bytes are there");
    refused(1, u32::MAX, "larger than the 2097152 bytes Xen takes");
    refused(1, 8, "cut short in its header");
    refused(2, 58, "its structure block at byte 58 is not aligned");
    refused(2, 84, "its structure block at byte 84 ends beyond it");
    refused(
        2,
        u32::MAX - 3,
        "its structure block at byte 4294967292 ends beyond it",
    );
    refused(3, u32::MAX, "its strings block at byte 4294967295 ends beyond it");
    refused(4, 56, "its list of reserved memory has no end");
    refused(4, u32::MAX, "its list of reserved memory has no end");
    refused(5, 15, "its format is version 15, readable as 16, not 16 or 17");
    refused(6, 18, "its format is version 17, readable as 18, not 16 or 17");
    refused(8, 12, "its strings block at byte 72 ends beyond it");
    refused(9, u32::MAX, "its structure block at byte 56 ends beyond it");
}

/// Blocks on top of each other or of the header are read as what they are: nothing is written through them.
#[test]
fn overlapping_blocks_are_harmless() {
    let whole = virt().to_dtb();
    for cell in [2, 3, 4] {
        for offset in (0..whole.len() as u32).step_by(4) {
            let _ = flat::read(&with_header(&whole, cell, offset));
        }
    }
}

#[test]
fn version_16_has_no_size_of_its_structure() {
    let mut blob = Blob::new().begin("").cells(&[END_NODE, END]);
    blob.version = [16, 16];
    flat::read(&with_header(&blob.bytes(), 9, u32::MAX)).unwrap();
}

#[test]
fn a_file_cannot_ask_for_more_than_it_brings() {
    let started = Instant::now();
    let nested = (0..40).fold(Blob::new().begin(""), |blob, _| blob.begin("n"));
    nested.refused("nested deeper than 32 nodes");
    let many = |count: u32| {
        let root = Blob::new().begin("");
        let nodes = (0..count).fold(root, |blob, n| blob.begin(&format!("{n:x}")).cells(&[END_NODE]));
        nodes.cells(&[END_NODE, END])
    };
    many(20_000).refused("more than 16384 nodes");
    assert_eq!(
        flat::read(&many(16_000).bytes()).unwrap().root.children().count(),
        16_000
    );
    // One long string that every property would copy.
    let mut long = Blob::new();
    long.strings = vec![b'x'; 1 << 20];
    long.strings.push(0);
    let long = (0..50_000).fold(long.begin(""), |blob, n| blob.cells(&[PROP, 0, n]));
    long.refused("no usable property name for byte 68");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Whatever is wrong with a file, the output folder does not come into being, and the line names the file.
#[test]
fn no_partial_output() {
    let machine = "board = \"qemu-virt\"\n[domain.block]\nclass = \"block\"\ndevices = [\"/virtio_mmio@a003e00\"]\n\
                   [boot]\nkernel = \"vmlinuz\"\ndom0-memory = 512\n";
    let dtb = virt().to_dtb();
    for cut in (0..dtb.len()).step_by(509) {
        let bench = Bench::new(machine, &virt());
        bench.put("virt.dtb", &dtb[..cut]);
        let line = bench.line(&bench.build().unwrap_err());
        assert!(line.starts_with("virt.dtb: not a usable device tree: "), "{line}");
        assert_eq!(bench.leftovers(), [] as [&str; 0]);
    }
    for cut in (0..machine.len() - 1).filter(|&cut| !machine[..cut].ends_with('\n')) {
        let bench = Bench::new(&machine[..cut], &virt());
        if let Err(error) = bench.build() {
            let line = bench.line(&error);
            assert!(line.starts_with("machine.toml"), "{line}");
            assert_eq!(bench.leftovers(), [] as [&str; 0]);
        }
    }
}
