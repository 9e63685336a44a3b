#!/usr/bin/env bash
# dtoolkit 0.4.1 does not read, and vm-fdt 0.3.0 does not write, a device tree with one of Linux's own property names of more than 31
# characters.
#
# The Devicetree Specification (2.2.4.1) bounds names at 31 characters; Linux's bindings do not keep to it: each board with a
# DesignWare USB controller that sets "snps,dis-u2-freeclk-exists-quirk" has 32. Of the 1,023 arm64 trees of Debian's Linux 6.12 package
# dtoolkit refuses 604 as a whole, at the first such name; the Python package fdt 0.3.3 and dtc read and write them.
# Seen on a small tree that fdt writes.
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
dtoolkit = "=0.4.1"
vm-fdt = "=0.3.0"
END
cat >"$dir/src/main.rs" <<'END'
use vm_fdt::FdtWriter;

fn main() {
    for length in [31, 32] {
        let tree = std::fs::read(format!("{}/{length}.dtb", std::env::args().nth(1).expect("a folder"))).expect("a tree");
        match dtoolkit::fdt::Fdt::new(&tree) {
            Ok(_) => println!("dtoolkit, {length} characters: reads"),
            Err(error) => println!("dtoolkit, {length} characters: {:?}", error.kind),
        }
        let name = &"snps,dis-u2-freeclk-exists-quirk"[..length];
        let mut tree = FdtWriter::new().expect("a writer");
        let _root = tree.begin_node("").expect("a root");
        println!("vm-fdt, {length} characters: {:?}", tree.property_null(name));
    }
}
END
python3 -m venv "$dir/python"
"$dir/python/bin/pip" install --quiet --disable-pip-version-check fdt==0.3.3
"$dir/python/bin/python" - "$dir" >"$dir/seen" <<'END'
import sys

import fdt

for length in 31, 32:
    tree = fdt.FDT()
    tree.root.append(fdt.Property("snps,dis-u2-freeclk-exists-quirk"[:length]))
    tree.header.version = 17
    tree.header.last_comp_version = 16
    blob = tree.to_dtb()
    open(f"{sys.argv[1]}/{length}.dtb", "wb").write(blob)
    root = fdt.parse_dtb(blob).root
    print(f"fdt, {length} characters: {[root.name, [item.name for item in root.props]]}")
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet --manifest-path "$dir/Cargo.toml" -- "$dir" >>"$dir/seen"
cat "$dir/seen"
diff "$dir/seen" - <<'END'
fdt, 31 characters: ['/', ['snps,dis-u2-freeclk-exists-quir']]
fdt, 32 characters: ['/', ['snps,dis-u2-freeclk-exists-quirk']]
dtoolkit, 31 characters: reads
vm-fdt, 31 characters: Ok(())
dtoolkit, 32 characters: InvalidPropertyName
vm-fdt, 32 characters: Err(InvalidPropertyName)
END
echo "as described: names of 32 characters pass one library of three"
