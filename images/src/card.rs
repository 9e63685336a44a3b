//! The card that a machine boots from: what the machine file's `[card]` table says, and what goes on it.
//!
//! ```toml
//! [card]
//! firmware = "firmware"       # a folder, all of which goes to the card's root: on a Raspberry Pi start4.elf and the like
//! boot-mib = 256              # the first partition, FAT32, which holds all files
//! size-mib = 1024             # of the whole card: a power of two
//! data = "data.ext4"          # what the second partition holds at first
//! config = ["over_voltage=2"] # more lines for config.txt
//! id = 0x4f524947             # of the card: PARTUUID=4f524947-02 is its second partition
//! [card.files]                # more files: name on the card = file
//! xen = "xen-4.20-arm64"
//! vmlinuz = "vmlinuz"
//! ```
//!
//! Files are looked for beside the machine file.

mod fat;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::fat::Fat;
use crate::board::Boards;
use crate::boot::is_file_name;
use crate::build::{self, Request};
use crate::error::{Error, Fault};

/// The `[card]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Card {
    /// A folder whose contents go to the card's root.
    pub firmware: Option<PathBuf>,
    /// More files: name on the card, and the file.
    #[serde(default)]
    pub files: BTreeMap<String, PathBuf>,
    /// Size of the first partition in MiB.
    #[serde(default = "boot_mib")]
    pub boot_mib: u32,
    /// Size of the card in MiB; without it, the least power of two that holds everything and as much again for data.
    pub size_mib: Option<u32>,
    /// What the second partition holds at first.
    pub data: Option<PathBuf>,
    /// More lines for `config.txt`.
    #[serde(default)]
    pub config: Vec<String>,
    /// The card's number: of its partition table, and of its FAT.
    #[serde(default = "id")]
    pub id: u32,
}

fn boot_mib() -> u32 {
    256
}

fn id() -> u32 {
    0x4f52_4947
}

/// Least of the first partition: FAT32 has no fewer clusters than 65,525, here of 2 KiB.
const BOOT_MIB_MIN: u32 = 160;
/// Most of the first partition, and of the card: a partition table counts sectors in 32 bits.
const BOOT_MIB_MAX: u32 = 64 << 10;
const SIZE_MIB_MAX: u32 = 1 << 20;
/// Where the first partition begins.
const GAP_MIB: u32 = 4;
/// Data at least.
const DATA_MIB_MIN: u32 = 16;

const MIB: u64 = 1 << 20;

impl Card {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// Sizes out of range, a name that a FAT or a boot script could not hold, a line that is none.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let (min, max) = (BOOT_MIB_MIN, BOOT_MIB_MAX);
        if !(min..=max).contains(&self.boot_mib) {
            let what = "boot-mib";
            return Err(Fault::CardSize {
                what,
                mib: self.boot_mib.into(),
                min: min.into(),
                max: max.into(),
            });
        }
        if let Some(mib) = self.size_mib {
            let (min, max) = (GAP_MIB + self.boot_mib + DATA_MIB_MIN, SIZE_MIB_MAX);
            if !(min..=max).contains(&mib) {
                let what = "size-mib";
                return Err(Fault::CardSize {
                    what,
                    mib: mib.into(),
                    min: min.into(),
                    max: max.into(),
                });
            }
            if !mib.is_power_of_two() {
                return Err(Fault::CardPower(mib));
            }
        }
        if let Some(name) = self.files.keys().find(|name| !is_card_name(name)) {
            return Err(Fault::BootFile(name.clone()));
        }
        match self.config.iter().find(|line| line.contains(char::is_control)) {
            Some(line) => Err(Fault::Arguments(line.clone())),
            None => Ok(()),
        }
    }
}

/// Names that a FAT, a boot script and a person take for the same file: no part is empty or ends in a dot.
fn is_card_name(name: &str) -> bool {
    is_file_name(name)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.ends_with('.'))
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Made by the builder.
    Bytes(Vec<u8>),
    /// The user's, and its size.
    File(PathBuf, u64),
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }
}

/// Everything that goes on a card, and where.
#[derive(Debug)]
pub(crate) struct Contents {
    /// What the second partition holds at first.
    pub data: Option<(PathBuf, u64)>,
    pub id: u32,
    /// First byte and size of both partitions, and the size of it all.
    pub boot: (u64, u64),
    pub rest: (u64, u64),
    pub size: u64,
}

/// A card that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The image.
    pub image: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Names of the files on its first partition, and their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// What the kernel calls the second partition: `root=PARTUUID=…`.
    pub data_partuuid: String,
    /// What the user should know although nothing is wrong; one line each.
    pub notices: Vec<String>,
}

/// Builds a machine, and writes a card that boots it to `request.out`. `progress` is told of every large file before it is
/// copied: its name, and its bytes.
///
/// # Errors
/// As [`build::build`]; a machine file without `[card]` and `[boot]`; files that are missing, twice there or too many.
pub fn write(
    request: &Request,
    boards: &Boards,
    progress: &mut dyn FnMut(&str, u64),
) -> Result<Written, Error> {
    let (machine, files, mut notices) = build::files(request, boards)?;
    let Some((card, boot)) = machine.card.as_ref().zip(machine.boot.as_ref()) else {
        return Err(Error::at(&request.machine, Fault::NoCard));
    };
    let beside = request.machine.parent().unwrap_or(Path::new("."));
    let refuse = |fault| machine.refuse(card.line, fault);
    let card = &card.value;
    let mut on_card = OnCard::default();
    if let Some(folder) = &card.firmware {
        let folder = beside.join(folder);
        on_card.add_folder(&folder, "")?;
        if on_card.files.is_empty() {
            return Err(Error::at(&folder, Fault::EmptyFolder));
        }
    }
    for (name, file) in &card.files {
        on_card.add_file(name, &beside.join(file))?;
    }
    for (name, mut bytes) in files {
        if name == "config.txt" {
            bytes.extend(
                card.config
                    .iter()
                    .flat_map(|line| format!("{line}\n").into_bytes()),
            );
        }
        on_card.add(name, Source::Bytes(bytes)).map_err(refuse)?;
    }
    let named = [
        Some(&boot.xen),
        Some(&boot.kernel),
        boot.ramdisk.as_ref(),
        boot.policy.as_ref(),
    ];
    if let Some(name) = named.into_iter().flatten().find(|name| !on_card.has(name)) {
        return Err(refuse(Fault::NotOnCard(name.clone())));
    }
    if machine.board.boot.as_ref().is_some_and(|boot| boot.config_txt) {
        notices.extend(on_card.missing_firmware());
    }
    let data = match &card.data {
        Some(file) => {
            let file = beside.join(file);
            let len = length(&file)?;
            Some((file, len))
        }
        None => None,
    };
    let files = on_card.files;
    let (contents, fat) = place(card, &files, data).map_err(refuse)?;
    write::write(&request.out, &contents, &fat, progress)?;
    Ok(Written {
        image: request.out.clone(),
        bytes: contents.size,
        files: files
            .iter()
            .map(|(name, source)| (name.clone(), source.len()))
            .collect(),
        data_partuuid: format!("{:08x}-02", contents.id),
        notices,
    })
}

/// Finds room for everything.
fn place<'f>(
    card: &Card,
    files: &'f BTreeMap<String, Source>,
    data: Option<(PathBuf, u64)>,
) -> Result<(Contents, Fat<'f>), Fault> {
    let boot = (u64::from(GAP_MIB) * MIB, u64::from(card.boot_mib) * MIB);
    let fat = Fat::new(files, boot.1).map_err(|needs| Fault::CardFull {
        mib: needs.div_ceil(MIB),
        boot: card.boot_mib,
    })?;
    let start = boot.0 + boot.1;
    let least = data
        .as_ref()
        .map_or(0, |(_, len)| *len)
        .max(u64::from(DATA_MIB_MIN) * MIB);
    let size = match card.size_mib {
        Some(mib) => u64::from(mib) * MIB,
        // QEMU takes powers of two only.
        None => (start + least.max(boot.1)).next_power_of_two(),
    };
    if start + least > size || size > u64::from(SIZE_MIB_MAX) * MIB {
        let room = size.saturating_sub(start);
        return Err(Fault::CardData {
            mib: least.div_ceil(MIB),
            room: room / MIB,
        });
    }
    let contents = Contents {
        data,
        id: card.id,
        boot,
        rest: (start, size - start),
        size,
    };
    Ok((contents, fat))
}

/// The files of a card so far. Their names differ in more than their case.
#[derive(Default)]
struct OnCard {
    files: BTreeMap<String, Source>,
    folded: BTreeMap<String, String>,
}

impl OnCard {
    fn add(&mut self, name: String, source: Source) -> Result<(), Fault> {
        match self.folded.insert(name.to_lowercase(), name.clone()) {
            Some(other) => Err(Fault::TwiceOnCard { name, other }),
            None => {
                self.files.insert(name, source);
                Ok(())
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.folded.contains_key(&name.to_lowercase())
    }

    fn add_file(&mut self, name: &str, file: &Path) -> Result<(), Error> {
        let source = Source::File(file.to_owned(), length(file)?);
        self.add(name.to_owned(), source)
            .map_err(|fault| Error::at(file, fault))
    }

    /// All files below a folder, by their names.
    fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<(), Error> {
        let cannot = |e| Error::file(folder, "cannot read", &e);
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(cannot)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if !is_card_name(&name) {
                return Err(Error::at(&path, Fault::BootFile(name)));
            }
            let meta = fs::metadata(&path).map_err(|e| Error::file(&path, "cannot read", &e))?;
            if meta.is_dir() {
                self.add_folder(&path, &format!("{name}/"))?;
            } else {
                self.add_file(&name, &path)?;
            }
        }
        Ok(())
    }

    /// What a Raspberry Pi 4 does not start without, each in a line.
    fn missing_firmware(&self) -> Vec<String> {
        let needed = [
            ("start4.elf", "the Raspberry Pi 4 does not start from this card"),
            ("fixup4.dat", "the Raspberry Pi 4's memory is not divided up"),
            ("overlays/disable-bt.dtbo", "Xen's console stays Bluetooth's"),
            ("u-boot.bin", "nothing runs the boot script"),
        ];
        let missing = needed.iter().filter(|(name, _)| !self.has(name));
        missing
            .map(|(name, so)| format!("the card has no {name}: {so}"))
            .collect()
    }
}

fn length(file: &Path) -> Result<u64, Error> {
    let meta = fs::metadata(file).map_err(|e| Error::file(file, "cannot read", &e))?;
    if !meta.is_file() {
        return Err(Error::at(file, Fault::NotAFile));
    }
    // FAT's largest file.
    if meta.len() > u64::from(u32::MAX) {
        return Err(Error::at(file, Fault::FileTooLarge));
    }
    Ok(meta.len())
}
