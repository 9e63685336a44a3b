//! Read, plan, write.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::class::Class;
use crate::error::{Error, Fault};
use crate::image::Image;
use crate::machine::MachineFile;
use crate::plan::Plan;
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
    /// The folder to write to; created if need be.
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

/// Builds everything, or nothing.
///
/// # Errors
/// The first thing that is wrong with the inputs, or that could not be read or written.
pub fn build(request: &Request) -> Result<Built, Error> {
    let dest = checked_dest(&request.dest)?;
    let text =
        fs::read_to_string(&request.machine).map_err(|e| Error::file(&request.machine, "cannot read", &e))?;
    let machine = MachineFile::parse(&request.machine, &text)?;
    let base = BaseTree::parse(&request.base_dtb, &read_dtb(&request.base_dtb)?)?;
    if !base.is_board(&machine.board.compatible) {
        return Err(Error::at(
            &request.base_dtb,
            Fault::OtherBoard(machine.board.compatible.clone()),
        ));
    }
    let plan = Plan::new(&machine, &base)?;
    let images = plan.images(|class| read_image(&request.images, class))?;
    let files = write(&request.out, &plan.files(dest, &images)?)?;
    Ok(Built {
        files,
        notices: plan.notices,
    })
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

fn read_dtb(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;

    let mut dtb = Vec::new();
    let file = fs::File::open(path).map_err(|e| Error::file(path, "cannot read", &e))?;
    // One byte more than is taken, so that what is larger is seen to be.
    let read = file.take(MAX_BYTES as u64 + 1).read_to_end(&mut dtb);
    read.map_err(|e| Error::file(path, "cannot read", &e))?;
    Ok(dtb)
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
