#!/usr/bin/env bash
# pci_types 0.10.1: a 64-bit memory BAR of exactly 2 GiB is reported as 0xffff_ffff_8000_0000 bytes.
#
# `EndpointHeader::bar` shifts an untyped 1 (an i32) by 31 and widens the result with its sign. BARs of 1 GiB and of 4 GiB are
# right. Graphics cards and accelerators with 2 GiB exist, and an allocator of BAR windows then finds no room at all.
# Seen by sizing three modelled functions through the crate's own `ConfigRegionAccess`.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
pci_types = "=0.10.1"
END
cat >"$dir/src/main.rs" <<'END'
use std::cell::RefCell;

use pci_types::{Bar, ConfigRegionAccess, EndpointHeader, PciAddress, PciHeader};

/// The configuration space of a function with one 64-bit prefetchable BAR of 2^`log` bytes.
struct Function {
    log: u32,
    words: RefCell<[u32; 64]>,
}

impl ConfigRegionAccess for Function {
    unsafe fn read(&self, _: PciAddress, offset: u16) -> u32 {
        self.words.borrow()[usize::from(offset / 4)]
    }
    unsafe fn write(&self, _: PciAddress, offset: u16, value: u32) {
        let decoded = !((1u64 << self.log) - 1);
        match offset {
            0x10 => self.words.borrow_mut()[4] = (value & decoded as u32) | 0b1100,
            0x14 => self.words.borrow_mut()[5] = value & (decoded >> 32) as u32,
            _ => panic!("nothing else is written to size a BAR"),
        }
    }
}

fn main() {
    for log in [30, 31, 32] {
        let mut words = [0; 64];
        (words[0], words[4], words[5]) = (0x1234_1af4, 0b1100, 0x40);
        let function = Function { log, words: RefCell::new(words) };
        let header = PciHeader::new(PciAddress::new(0, 0, 1, 0));
        let header = EndpointHeader::from_header(header, &function).expect("an endpoint");
        match header.bar(0, &function) {
            Some(Bar::Memory64 { size, .. }) => println!("2^{log} bytes: {size:#x}"),
            other => println!("2^{log} bytes: {other:?}"),
        }
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet --manifest-path "$dir/Cargo.toml" | tee "$dir/seen"
diff "$dir/seen" - <<'END'
2^30 bytes: 0x40000000
2^31 bytes: 0xffffffff80000000
2^32 bytes: 0x100000000
END
echo "as described: a BAR of 2 GiB has a size of almost 2^64"
