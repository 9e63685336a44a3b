//! What is done from Dom0 to driver domains that run: with the toolstack's own programs, so that `xl` stays the one that
//! knows what there is.

pub mod doctor;
pub mod metrics;
pub mod reattach;
pub mod restart;
pub mod status;
pub mod store;
pub mod update;
pub mod wait;

use std::process::Command;

use crate::error::{Error, Fault};

/// Dom0's toolstack: its programs, as `PATH` finds them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Toolstack;

impl Toolstack {
    /// Runs `xl` and returns what it prints.
    ///
    /// # Errors
    /// It is not there, or fails: its last line says why.
    pub fn xl(self, arguments: &[&str]) -> Result<String, Error> {
        run("xl", arguments)
    }

    /// Runs another of the toolstack's programs and returns what it prints.
    ///
    /// # Errors
    /// As [`xl`](Self::xl).
    pub fn run(self, program: &str, arguments: &[&str]) -> Result<String, Error> {
        run(program, arguments)
    }

    /// The number of the domain `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn domid(self, name: &str) -> Result<u32, Error> {
        let output = output("xl", &["domid", name])?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if output.status.success()
            && let Ok(number) = printed.trim().parse()
        {
            return Ok(number);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        // That there is none it says in words; when it cannot ask Xen, its first lines say why.
        let is_missing = |line: &&str| line.contains("does not exist") || line.contains("invalid domain");
        if said.iter().all(is_missing) {
            return Err(Error {
                place: name.to_owned(),
                fault: Fault::NoSuchDomain,
            });
        }
        Err(Error {
            place: format!("xl domid {name}"),
            fault: Fault::NoToolstack(said[..said.len().min(XL_LINES)].join("; ")),
        })
    }

    /// A node of XenStore; `None` if there is none.
    ///
    /// # Errors
    /// `xenstore-read` is not there.
    pub fn read(self, path: &str) -> Result<Option<String>, Error> {
        lookup("xenstore-read", path).map(|found| found.map(|value| value.trim_end_matches('\n').to_owned()))
    }

    /// The names of the nodes below a node of XenStore; none if it is not there.
    ///
    /// # Errors
    /// `xenstore-list` is not there.
    pub fn list(self, path: &str) -> Result<Vec<String>, Error> {
        let found = lookup("xenstore-list", path)?;
        Ok(found
            .iter()
            .flat_map(|names| names.lines())
            .map(str::to_owned)
            .collect())
    }
}

/// Lines of an error of `xl` that are passed on: what libxc, libxl and it itself say of one cause.
const XL_LINES: usize = 4;

fn output(program: &str, arguments: &[&str]) -> Result<std::process::Output, Error> {
    let output = Command::new(program).args(arguments).output();
    output.map_err(|error| cannot_run(program, &error))
}

fn cannot_run(program: &str, error: &std::io::Error) -> Error {
    Error {
        place: program.to_owned(),
        fault: Fault::NoToolstack(format!("cannot be run: {error}")),
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, Error> {
    let output = output(program, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(Error {
        place: format!("{program} {}", arguments.join(" ")),
        fault: Fault::Program(last.unwrap_or("failed without a word").trim().to_owned()),
    })
}

/// What a program finds at `path`; a failure means that it found nothing.
fn lookup(program: &str, path: &str) -> Result<Option<String>, Error> {
    let output = output(program, &[path])?;
    Ok(output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}
