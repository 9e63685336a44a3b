//! Files that are read: regular ones, up to a bound, or standard input under the name `-`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Fault};

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// The longest machine file or board file, in bytes.
const TEXT_MAX: usize = 1 << 20;

/// The bytes of a file; of one longer than `most` one byte more than that, so that it is seen to be longer.
///
/// # Errors
/// A file that is not there, cannot be read, or is no regular file: a folder has no contents, a FIFO or a device may
/// have no end.
pub fn read(file: &Path, most: usize) -> Result<Vec<u8>, Error> {
    let cannot = |e: io::Error| Error::file(file, "cannot read", &e);
    let mut contents = Vec::new();
    let bound = most as u64 + 1;
    if file.as_os_str() == STANDARD_INPUT {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(Error::at(file, Fault::InputTwice));
        }
        let read = io::stdin().take(bound).read_to_end(&mut contents);
        read.map_err(cannot)?;
        return Ok(contents);
    }
    // Before it is opened, because opening a FIFO waits for its writer.
    let kind = fs::metadata(file).map_err(cannot)?.file_type();
    if kind.is_dir() {
        return Err(Error::at(file, Fault::IsFolder));
    }
    if !kind.is_file() {
        return Err(Error::at(file, Fault::NotRegular));
    }
    let read = File::open(file).and_then(|file| file.take(bound).read_to_end(&mut contents));
    read.map_err(cannot)?;
    Ok(contents)
}

/// The text of a machine file or a board file.
///
/// # Errors
/// As [`read`]; a file longer than 1 MiB, or not of UTF-8.
pub fn read_text(file: &Path) -> Result<String, Error> {
    let contents = read(file, TEXT_MAX)?;
    if contents.len() > TEXT_MAX {
        return Err(Error::at(file, Fault::TextTooLong(TEXT_MAX)));
    }
    String::from_utf8(contents).map_err(|_| Error::at(file, Fault::NotText))
}
