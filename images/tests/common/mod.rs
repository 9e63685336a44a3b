//! What the image builder's tests share: a virt board, an ELF file, and a folder to build in.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod elf;
pub mod schema;
pub mod virt;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use dtoolkit::model::DeviceTree;
use outrigger::build::{self, Built, DEFAULT_DEST, Request};
use outrigger::error::Error;

/// A folder of its own for one build, gone when dropped.
pub struct Bench {
    pub dir: PathBuf,
}

impl Bench {
    /// A machine file, the tree as `virt.dtb`, and a block image.
    pub fn new(machine: &str, tree: &DeviceTree) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "outrigger-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let bench = Self {
            dir: std::env::temp_dir().join(name),
        };
        fs::create_dir_all(bench.dir.join("images")).unwrap();
        bench.put("machine.toml", machine.as_bytes());
        bench.put("virt.dtb", &tree.to_dtb());
        bench.put("images/block.elf", &elf::Elf::default().bytes());
        bench
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join(name), bytes).unwrap();
    }

    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    pub fn request(&self) -> Request {
        Request {
            machine: self.dir.join("machine.toml"),
            base_dtb: self.dir.join("virt.dtb"),
            images: self.dir.join("images"),
            out: self.out(),
            dest: DEFAULT_DEST.to_owned(),
        }
    }

    pub fn build(&self) -> Result<Built, Error> {
        build::build(&self.request())
    }

    /// The error's line, with this folder's own name left out.
    pub fn line(&self, error: &Error) -> String {
        error.to_string().replace(&format!("{}/", self.dir.display()), "")
    }

    /// What is in the folder beside the inputs.
    pub fn leftovers(&self) -> Vec<String> {
        let inputs = ["images", "machine.toml", "virt.dtb"];
        names(&self.dir)
            .into_iter()
            .filter(|name| !inputs.contains(&name.as_str()))
            .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Compares with the golden file `name`, or writes it anew if `OUTRIGGER_BLESS` is set.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("OUTRIGGER_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{name} is not as golden; if it should change, set OUTRIGGER_BLESS=1"
    );
}
