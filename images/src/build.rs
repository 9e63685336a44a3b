//! Read, plan, write.

mod write;

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::board::Boards;
use crate::class::Class;
use crate::error::{Error, Fault};
use crate::image::Image;
use crate::input;
use crate::machine::MachineFile;
use crate::plan::{DomainPlan, Plan};
use crate::tree::BaseTree;
use crate::tree::flat::MAX_BYTES;

/// Where the configurations say that the files are, in Dom0.
pub const DEFAULT_DEST: &str = "/etc/xen/outrigger";

/// The longest file of another kind that is read, in bytes.
const FILE_MAX: usize = 64 << 20;

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The machine file.
    pub machine: PathBuf,
    /// The board's device tree, flattened.
    pub base_dtb: PathBuf,
    /// The folder of the driver domains' ELF files, `<class>.elf`.
    pub images: PathBuf,
    /// The folder to write to, or the card image; created if need be.
    pub out: PathBuf,
    /// The folder in Dom0 where the files will be, for the configurations.
    pub dest: String,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// What the user should know although nothing is wrong; one line each.
    pub notices: Vec<String>,
}

/// A machine file that can be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its domains.
    pub domains: Vec<CheckedDomain>,
    /// What the user should know although nothing is wrong; one line each.
    pub notices: Vec<String>,
}

/// What a domain would own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedDomain {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: &'static str,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its devices: what they are called in it, and their paths.
    pub devices: Vec<(String, String)>,
    /// The page frames it may map: first and last.
    pub pages: Vec<(u64, u64)>,
    /// Its interrupts, as Xen's `irqs=` counts.
    pub interrupts: Vec<u32>,
}

impl Display for CheckedDomain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let devices = self.devices.iter().map(|(name, path)| format!("{name} = {path}"));
        write!(
            f,
            "domain {} can be built: class {}, {} MiB, {}",
            self.name,
            self.class,
            self.memory_mib,
            devices.collect::<Vec<_>>().join(", ")
        )
    }
}

/// Builds everything, or nothing, for a board that comes with the builder.
///
/// # Errors
/// The first thing that is wrong with the inputs, or that could not be read or written.
pub fn build(request: &Request) -> Result<Built, Error> {
    build_for(request, &Boards::default())
}

/// Builds everything, or nothing, for one of these boards.
///
/// # Errors
/// As [`build`].
pub fn build_for(request: &Request, boards: &Boards) -> Result<Built, Error> {
    let (_, files, mut notices) = files(request, boards)?;
    let files = write::write(&request.out, &files)?;
    notices.extend(write::left_over(&request.out, &files));
    Ok(Built { files, notices })
}

/// Names and contents of the files that are to be written.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// Everything but writing: the machine, its files and notices.
pub(crate) fn files(request: &Request, boards: &Boards) -> Result<(MachineFile, Files, Vec<String>), Error> {
    let dest = checked_dest(&request.dest)?;
    let (machine, base) = read_inputs(&request.machine, &request.base_dtb, boards)?;
    let plan = Plan::new(&machine, &base)?;
    let images = plan.images(|class| read_image(&request.images, class))?;
    let files = plan.files(dest, &images)?;
    let notices = plan.notices;
    Ok((machine, files, notices))
}

/// Checks a machine file against a device tree; needs no images and writes nothing.
///
/// # Errors
/// As [`build`], but for the images.
pub fn check(machine: &Path, base_dtb: &Path, boards: &Boards) -> Result<Checked, Error> {
    let (machine, base) = read_inputs(machine, base_dtb, boards)?;
    let plan = Plan::new(&machine, &base)?;
    let domain = |domain: &DomainPlan| CheckedDomain {
        name: domain.name.clone(),
        class: domain.class.name,
        memory_mib: domain.memory_mib,
        devices: domain
            .devices
            .iter()
            .map(|device| (device.name.clone(), device.path.clone()))
            .collect(),
        pages: domain
            .pages
            .iter()
            .map(|pages| (*pages.start(), *pages.end()))
            .collect(),
        interrupts: domain.intids.clone(),
    };
    Ok(Checked {
        domains: plan.domains.iter().map(domain).collect(),
        notices: plan.notices,
    })
}

fn read_inputs(machine: &Path, base_dtb: &Path, boards: &Boards) -> Result<(MachineFile, BaseTree), Error> {
    let text = input::read_text(machine)?;
    let machine = MachineFile::parse_for(machine, &text, boards)?;
    let base = read_tree(base_dtb)?;
    if !base.is_board(&machine.board.compatible) {
        let fault = Fault::OtherBoard(machine.board.compatible);
        return Err(Error::at(base_dtb, fault));
    }
    Ok((machine, base))
}

/// The boards that come with the builder, and those of these files.
///
/// # Errors
/// A file that cannot be read or is no board file.
pub fn read_boards(files: &[PathBuf]) -> Result<Boards, Error> {
    let mut boards = Boards::default();
    for file in files {
        boards.add(file, &input::read_text(file)?)?;
    }
    Ok(boards)
}

/// The device tree in a file.
///
/// # Errors
/// A file that cannot be read or is no device tree.
pub fn read_tree(file: &Path) -> Result<BaseTree, Error> {
    BaseTree::parse(file, &input::read(file, MAX_BYTES)?)
}

/// A file of any kind that [`inspect`](crate::inspect) knows; what is behind its first 64 MiB is left out.
///
/// # Errors
/// A file that cannot be read.
pub fn read_bounded(file: &Path) -> Result<Vec<u8>, Error> {
    input::read(file, FILE_MAX)
}

/// `xl` has no escapes inside quotes, and resolves what is not absolute from its own working folder.
fn checked_dest(dest: &str) -> Result<&str, Error> {
    let fit = dest.starts_with('/') && !dest.contains(['"', '\'', '\\']) && !dest.contains(char::is_control);
    if fit {
        Ok(dest.trim_end_matches('/'))
    } else {
        Err(Error {
            place: "--dest".to_owned(),
            fault: Fault::Dest(dest.to_owned()),
        })
    }
}

fn read_image(images: &Path, class: &Class) -> Result<Image, Error> {
    let path = images.join(format!("{}.elf", class.name));
    if !path.exists() {
        return Err(Error::at(&path, Fault::NoImage(class.name.to_owned())));
    }
    Image::from_elf(
        &path,
        &input::read(&path, FILE_MAX)?,
        class.manifest.max_image_kib,
    )
}
