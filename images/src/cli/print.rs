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
    let mut object = Map::new();
    object.insert("version".to_owned(), VERSION.into());
    match value {
        Value::Object(fields) => object.extend(fields),
        other => drop(object.insert("value".to_owned(), other)),
    }
    print(&format!("{:#}\n", Value::Object(object)))
}

pub fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// Prints; a reader that has seen enough (`| head`) is no error.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::file(Path::new("standard output"), "cannot write", &e))
        }
        _ => Ok(()),
    }
}
