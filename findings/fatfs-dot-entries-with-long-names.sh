#!/usr/bin/env bash
# fatfs 0.3.6: each folder that it creates holds long-name entries for "." and "..".
#
# The first two entries of a folder must be its "." and ".." (Microsoft's FAT specification); here a long-name entry (attribute 0x0f)
# comes before each, so "." is the second entry and ".." the fourth. fsck.fat reports every such folder and offers to mend it.
# Seen in the bytes of a volume that the crate formatted.
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
fatfs = "=0.3.6"
END
cat >"$dir/src/main.rs" <<'END'
use std::io::Cursor;

fn main() {
    let mut volume = Cursor::new(vec![0; 4 << 20]);
    fatfs::format_volume(&mut volume, fatfs::FormatVolumeOptions::new()).expect("formats");
    {
        let files = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).expect("opens");
        files.root_dir().create_dir("overlays").expect("makes a folder");
    }
    let bytes = volume.into_inner();
    let entries: Vec<&[u8]> = bytes.chunks_exact(32).collect();
    let dot = entries.iter().position(|entry| entry.starts_with(b".          ")).expect("the folder itself");
    // A folder begins where a sector does.
    let first = dot / 16 * 16;
    for (index, entry) in entries[first..first + 4].iter().enumerate() {
        if entry[11] == 0x0f {
            println!("entry {index}: a long name");
        } else {
            println!("entry {index}: {}", std::str::from_utf8(&entry[..11]).expect("ASCII").trim());
        }
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet --manifest-path "$dir/Cargo.toml" | tee "$dir/seen"
diff "$dir/seen" - <<'END'
entry 0: a long name
entry 1: .
entry 2: a long name
entry 3: ..
END
echo "as described: the dot entry is not the first entry of a folder"
