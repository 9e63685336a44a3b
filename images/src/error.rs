//! Everything the image builder refuses, as one line each.

mod mend;

use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// What was refused, and where.
///
/// Prints as a single line, whatever the inputs contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// A file, with the line where there is one: `machine.toml:7`.
    pub place: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text is its documentation")]
pub enum Fault {
    #[error("{0}")]
    File(String),
    #[error("is a folder, not a file")]
    IsFolder,
    #[error("is no regular file, and may have no end")]
    NotRegular,
    #[error("standard input can be read for one file only")]
    InputTwice,
    #[error("is longer than {0} bytes: it is no machine file or board file")]
    TextTooLong(usize),
    #[error("is no text: not UTF-8")]
    NotText,
    #[error("is a file, not a folder")]
    NotAFolder,
    #[error("cannot be written: in {folder} nothing can be made ({why})")]
    NotWritable { folder: String, why: String },

    #[error("{message}")]
    Syntax { message: String, mend: Option<String> },
    #[error("{key} stands twice: first on line {first}")]
    DuplicateKey { key: String, first: usize },
    #[error("describes no domain: add a table [domain.NAME]")]
    NoDomains,
    #[error("unknown board {name:?} (known: {known})")]
    UnknownBoard { name: String, known: String },
    #[error("unknown class {name:?} (known: {known})")]
    UnknownClass { name: String, known: String },
    #[error("domain name {0:?} is not a letter followed by at most 30 of a-z, 0-9 and '-'")]
    DomainName(String),
    #[error("domain name \"host\" is taken: host.dtb is the host's device tree")]
    DomainNamedHost,
    #[error("domain {0} owns no device")]
    NoDevices(String),
    #[error("memory of {mib} MiB is outside {min}..={max} MiB")]
    Memory { mib: u32, min: u32, max: u32 },
    #[error("class {class} has no option {key:?}")]
    UnknownOption {
        class: String,
        key: String,
        known: Vec<String>,
    },

    #[error("option {key} = {value} is not {wanted}")]
    OptionValue {
        key: String,
        value: String,
        wanted: String,
    },
    #[error("option {key} has {count} entries; class {class} takes at most {most}")]
    OptionEntries {
        key: String,
        count: usize,
        class: String,
        most: u64,
    },
    #[error("option {key} is for {}, and domain {domain} has none", devices.join(" or "))]
    OptionFor {
        key: String,
        devices: Vec<String>,
        domain: String,
    },
    #[error("{0}")]
    Segment(String),

    #[error("not a usable device tree: {0}")]
    DeviceTree(String),
    #[error("is the device tree of another board: its root is not compatible with {}", quoted(.0))]
    OtherBoard(Vec<String>),

    #[error("no node {reference} in the base device tree")]
    MissingNode { reference: String, near: Option<String> },
    #[error("{reference} means more than one node: {}", paths.join(" "))]
    AmbiguousNode { reference: String, paths: Vec<String> },
    #[error("{0} is both given away and withheld")]
    GivenAndWithheld(String),
    #[error("{0} cannot be given away: the board file takes it out of the host's device tree")]
    Removed(String),
    #[error("{0} cannot be given away: it is Xen's console")]
    XenConsole(String),
    #[error("{path}: the dma-ranges of a bus above it make no sense")]
    DmaRanges { path: String },
    #[error("{path} and {other} reach memory through different dma-ranges: give them to different domains")]
    DmaDiffers { path: String, other: String },
    #[error("domain {domain} has {count} device interrupts, and its image takes at most {max}")]
    TooManyInterrupts {
        domain: String,
        count: usize,
        max: usize,
    },
    #[error("{path} is given to domain {first} and to domain {second}")]
    GivenTwice {
        path: String,
        first: String,
        second: String,
    },
    #[error("{path} is listed twice")]
    ListedTwice { path: String },
    #[error("{path} lies inside {outer}, which is given away as a whole")]
    Inside { path: String, outer: String },
    #[error("{0} is disabled in the base device tree")]
    Disabled(String),
    #[error("class {class} has no driver for {path} (compatible: {compatible})")]
    NoDriver {
        class: String,
        path: String,
        compatible: String,
        mend: String,
    },
    #[error("{path} has no registers that can be given away: {why}")]
    Registers { path: String, why: String },
    #[error("{path} has no interrupt that can be given away: {why}")]
    Interrupts { path: String, why: String },
    #[error("{path} shares the 4 KiB page {page:#x} with {other} of {owner}")]
    SharedPage {
        path: String,
        page: u64,
        other: String,
        owner: String,
    },
    #[error("{path} shares interrupt {intid} with {other} of {owner}")]
    SharedInterrupt {
        path: String,
        intid: u32,
        other: String,
        owner: String,
    },
    #[error("{path}: its registers at {base:#x} fall on the guest's {what}")]
    GuestLayout {
        path: String,
        base: u64,
        what: &'static str,
    },

    #[error("remove: {0:?} is not the full path of a node")]
    RemovedPath(String),
    #[error("{what} of {mib} MiB has no room in memory from {from:#x} on: {why}")]
    NoRoom {
        what: String,
        mib: u64,
        from: u64,
        why: String,
    },
    #[error("load address {0:#x} is not a multiple of 2 MiB below 1 TiB")]
    LoadAddress(u64),
    #[error("arguments {0:?} hold a control character")]
    Arguments(String),
    #[error("board {0} does not say how it boots: its board file needs a table [boot]")]
    NoFirmware(String),
    #[error("{0:?} cannot be a file beside the boot script: use letters, digits and ._+-/ only")]
    BootFile(String),
    #[error("xsm = \"flask\" and policy = \"FILE\" go together")]
    Policy,
    #[error("the {what} is larger than the {max} bytes Xen takes")]
    TooLarge { what: String, max: usize },
    #[error("is neither a device tree, an arm64 Image, an ELF file, a boot script nor an xl configuration")]
    UnknownFile,

    #[error("no image of class {0}: run `cargo xtask image {0}`")]
    NoImage(String),
    #[error("not an arm64 executable image: {0}")]
    Elf(String),
    #[error("image of {bytes} bytes is over its budget of {budget_kib} KiB")]
    ImageBudget { bytes: u64, budget_kib: u32 },
    #[error("image needs {needs} bytes from the start of memory, but domain {domain} has {memory_mib} MiB")]
    ImageMemory {
        needs: u64,
        domain: String,
        memory_mib: u32,
    },

    #[error(
        "{0:?} cannot be the folder of the files in Dom0: give an absolute path without quotes or backslashes"
    )]
    Dest(String),
    #[error("exists and is not a file")]
    NotAFile,

    #[error("does not say what goes on the card: add tables [card] and [boot]")]
    NoCard,
    #[error("{what} = {mib} is outside {min}..={max} MiB")]
    CardSize {
        what: &'static str,
        mib: u64,
        min: u64,
        max: u64,
    },
    #[error("size-mib = {0} is no power of two, which QEMU and some boot loaders want")]
    CardPower(u32),
    #[error("the card has no {0:?}, which [boot] names")]
    NotOnCard(String),
    #[error("{name:?} would be on the card twice: as {other:?} too")]
    TwiceOnCard { name: String, other: String },
    #[error("the files take {mib} MiB, and the boot partition has {boot} MiB")]
    CardFull { mib: u64, boot: u32 },
    #[error("the data partition needs {mib} MiB, and the card has {room} MiB for it")]
    CardData { mib: u64, room: u64 },
    #[error("is longer than the 4 GiB that a file on FAT may have")]
    FileTooLarge,
    #[error("holds no file")]
    EmptyFolder,
    #[error("changed while it was read")]
    Changed,

    #[error("no command {name:?}")]
    NoCommand { name: String, near: Option<String> },

    #[error("no domain of this name is running")]
    NoSuchDomain,
    #[error("{0}")]
    Program(String),
    #[error("{0}")]
    NoToolstack(String),
    #[error("does not serve within {seconds} s: {}", if *missing { "no domain of this name is running" } else { "it is still starting" })]
    NotServing { seconds: u64, missing: bool },
    #[error("{0} of what driver domains need is not there")]
    Unwell(usize),
    #[error("the guest does not take it: what it had may still be in use there (a mounted file system)")]
    NotTaken,
    #[error("does not say within 10 s that it has restarted; its console says more")]
    NotRestarted,
    #[error("takes no updates: it has not announced where (data/update in its XenStore directory)")]
    NoUpdates,
    #[error("gives no answer; it goes on as it was")]
    NoAnswer,
}

impl Error {
    /// A fault of a whole file.
    pub fn at(place: &Path, fault: Fault) -> Self {
        Self {
            place: place.display().to_string(),
            fault,
        }
    }

    /// A file that could not be read or written.
    pub fn file(place: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::at(place, Fault::File(format!("{doing}: {error}")))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&format!("{}: {}", self.place, self.fault)))
    }
}

/// Names with quotes around them.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(" or ")
}

/// A text on one line: a file name or a string of the machine file may hold anything, line ends included.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for ch in text.chars() {
        if ch.is_control() {
            line.extend(ch.escape_default());
        } else {
            line.push(ch);
        }
    }
    line
}
