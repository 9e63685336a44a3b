//! Read, plan, write.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::board::Boards;
use crate::class::Class;
use crate::error::{Error, Fault};
use crate::image::Image;
use crate::machine::MachineFile;
use crate::plan::{DomainPlan, Plan};
use crate::tree::BaseTree;
use crate::tree::flat::MAX_BYTES;

/// Where the configurations say that the files are, in Dom0.
pub const DEFAULT_DEST: &str = "/etc/xen/outrigger";

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
    let (_, files, notices) = files(request, boards)?;
    let files = write(&request.out, &files)?;
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
    let text = read_text(machine)?;
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
        boards.add(file, &read_text(file)?)?;
    }
    Ok(boards)
}

/// The device tree in a file.
///
/// # Errors
/// A file that cannot be read or is no device tree.
pub fn read_tree(file: &Path) -> Result<BaseTree, Error> {
    BaseTree::parse(file, &read_at_most(file, MAX_BYTES)?)
}

/// A file of any kind that [`inspect`](crate::inspect) knows; what is behind its first 64 MiB is left out.
///
/// # Errors
/// A file that cannot be read.
pub fn read_bounded(file: &Path) -> Result<Vec<u8>, Error> {
    read_at_most(file, 64 << 20)
}

fn read_text(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|e| Error::file(file, "cannot read", &e))
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

fn read_at_most(path: &Path, bytes: usize) -> Result<Vec<u8>, Error> {
    use std::io::Read;

    let mut contents = Vec::new();
    let file = fs::File::open(path).map_err(|e| Error::file(path, "cannot read", &e))?;
    // One byte more than is taken, so that what is larger is seen to be.
    let read = file.take(bytes as u64 + 1).read_to_end(&mut contents);
    read.map_err(|e| Error::file(path, "cannot read", &e))?;
    Ok(contents)
}

fn read_image(images: &Path, class: &Class) -> Result<Image, Error> {
    let path = images.join(format!("{}.elf", class.name));
    match fs::read(&path) {
        Ok(elf) => Image::from_elf(&path, &elf, class.manifest.max_image_kib),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::at(&path, Fault::NoImage(class.name.to_owned())))
        }
        Err(e) => Err(Error::file(&path, "cannot read", &e)),
    }
}

/// Writes the files beside `out`, then moves them to their places: none is ever seen half-written.
fn write(out: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>, Error> {
    let targets: Vec<PathBuf> = files.iter().map(|(name, _)| out.join(name)).collect();
    if let Some(target) = targets.iter().find(|target| target.exists() && !target.is_file()) {
        return Err(Error::at(target, Fault::NotAFile));
    }
    let staging = Staging::beside(out)?;
    for (name, bytes) in files {
        let path = staging.0.join(name);
        fs::write(&path, bytes).map_err(|e| Error::file(&path, "cannot write", &e))?;
    }
    fs::create_dir_all(out).map_err(|e| Error::file(out, "cannot create", &e))?;
    for ((name, _), target) in files.iter().zip(&targets) {
        fs::rename(staging.0.join(name), target).map_err(|e| Error::file(target, "cannot write", &e))?;
    }
    Ok(targets)
}

/// A folder on the file system of the target, gone when dropped.
struct Staging(PathBuf);

impl Staging {
    fn beside(out: &Path) -> Result<Self, Error> {
        let out = std::path::absolute(out).map_err(|e| Error::file(out, "cannot write", &e))?;
        let (parent, name) = match (out.parent(), out.file_name()) {
            (Some(parent), Some(name)) => (parent, name.to_string_lossy()),
            // The root folder: it exists and has no other beside it.
            _ => (out.as_path(), "root".into()),
        };
        fs::create_dir_all(parent).map_err(|e| Error::file(parent, "cannot create", &e))?;
        // A name of its own: one may be left from a build that was killed.
        let mut attempt = 0u32;
        loop {
            let path = parent.join(format!(".{name}.outrigger-{}-{attempt}", std::process::id()));
            attempt += 1;
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::file(&path, "cannot create", &e)),
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left behind is a hidden folder; the outcome itself is already decided.
        let _ = fs::remove_dir_all(&self.0);
    }
}
