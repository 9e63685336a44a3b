#!/usr/bin/env bash
# arm-gic 0.10.0, GICv2: setting one interrupt's priority sets those of its three neighbours to zero, the highest, and an SGI is
# reported with the number of the processor that sent it mixed into its own.
#
# GICD_IPRIORITYR holds four interrupts a word; `set_interrupt_priority` writes the word without reading it. GICC_IAR's bits 12:10
# name the sending processor of an SGI (GICv2 architecture specification, 4.4.4); `get_and_acknowledge_interrupt` keeps them, so SGI 3 of
# processor 1 is no SGI by `IntId::is_sgi`. On one processor and with SGIs unused neither shows.
# Seen with the crate's `fakes` feature over plain memory.
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
arm-gic = { version = "=0.10.0", features = ["fakes"] }
END
cat >"$dir/src/main.rs" <<'END'
use arm_gic::gicv2::GicV2;
use arm_gic::{InterruptGroup, IntId};

/// As many zeroed registers as `bytes` hold, for good.
fn registers(bytes: usize) -> *mut u32 {
    Box::leak(vec![0u32; bytes / 4].into_boxed_slice()).as_mut_ptr()
}

fn main() {
    let (gicd, gicc) = (registers(0x1000), registers(0x2000));
    // SAFETY: both are zeroed, aligned, as large as the architecture's blocks, and used by nothing else meanwhile.
    let mut gic = unsafe { GicV2::new(gicd.cast(), gicc.cast()) };
    for spi in 0..4 {
        gic.set_interrupt_priority(IntId::spi(spi), 0xa0);
    }
    // SAFETY: GICD_IPRIORITYR8, of interrupts 32 to 35, lies within the block.
    let priorities = unsafe { gicd.byte_add(0x420).read_volatile() };
    println!("four priorities of 0xa0: {priorities:#010x}");

    // SAFETY: GICC_IAR lies within the block.
    unsafe { gicc.byte_add(0x0c).write_volatile(1 << 10 | 3) };
    let taken = gic.get_and_acknowledge_interrupt(InterruptGroup::Group0).expect("an interrupt");
    println!("SGI 3 of processor 1: {taken:?}, is_sgi {}", taken.is_sgi());
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet --manifest-path "$dir/Cargo.toml" | tee "$dir/seen"
diff "$dir/seen" - <<'END'
four priorities of 0xa0: 0xa0000000
SGI 3 of processor 1: Reserved IntId 1027, is_sgi false
END
echo "as described: three of four priorities are lost, and an SGI of another processor is none"
