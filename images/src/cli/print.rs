//! What is printed.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use outrigger::error::Error;
use serde_json::{Map, Value};

/// Of all that `--json` prints. It grows when something that was there goes, or means another thing (docs/json.md).
const VERSION: u32 = 1;

pub fn notices(notices: &[String]) {
    notices.iter().for_each(|notice| eprintln!("notice: {notice}"));
}

pub fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Prints an object of JSON: the version, and `key` with its value, or the fields of an object.
pub fn print_json(value: Value) -> Result<(), Error> {
    print(&json_text(value))
}

/// What [`print_json`] prints.
pub fn json_text(value: Value) -> String {
    let mut object = Map::new();
    object.insert("version".to_owned(), VERSION.into());
    match value {
        Value::Object(fields) => object.extend(fields),
        other => drop(object.insert("value".to_owned(), other)),
    }
    format!("{:#}\n", Value::Object(object))
}

pub fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// Prints; a reader that has seen enough (`| head`) is no error.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    is_read(bytes).map(drop)
}

/// Prints, and says whether there is still somebody who reads.
pub fn is_read(bytes: &[u8]) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::file(Path::new("standard output"), "cannot write", &e)),
    }
}
