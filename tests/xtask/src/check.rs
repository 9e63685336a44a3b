//! `cargo xtask check`: the rules of the house that neither the compiler nor a test keeps.
//!
//! Every check runs even if another one failed; each prints one line when all is well, and one line a fault: what, where,
//! how to mend it.

mod costs;
mod direction;
mod image;
mod licence;
mod lint;
mod markers;
mod metadata;
mod size;
mod source;
mod spdx;
mod unsafety;

use std::time::Instant;

use anyhow::{Result, bail};

use metadata::Metadata;
use source::Source;

/// What the checks look at.
struct Repository {
    /// Every tracked text file.
    sources: Vec<Source>,
    /// The workspace's packages.
    metadata: Metadata,
    /// Whether golden files are written instead of compared.
    update: bool,
}

/// What is wrong: a line each.
#[derive(Debug, Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }
}

/// One check: adds to the faults, or says in a few words what it saw.
type Check = fn(&Repository, &mut Faults) -> Result<String>;

/// The checks, what is quick first.
const CHECKS: [(&str, Check); 11] = [
    ("direction", direction::check),
    ("unsafe", unsafety::check),
    ("size", size::check),
    ("markers", markers::check),
    ("licences", licence::check),
    ("costs", costs::check),
    ("format", lint::format),
    ("clippy-host", lint::clippy_host),
    ("clippy-guest", lint::clippy_guest),
    ("image-budgets", image::budgets),
    ("image-reproducible", image::reproducible),
];

/// Runs the checks whose names begin with one of `names` (all if there is none); `update` writes the golden files anew.
///
/// # Errors
/// Some check found a fault, or there is none of that name.
pub fn run(names: &[String], update: bool) -> Result<()> {
    match counted(names, update)? {
        (_, 0) => Ok(()),
        (_, failed) => bail!("{failed} checks failed"),
    }
}

/// As [`run`]; returns how many checks passed and how many did not.
///
/// # Errors
/// There is no check of that name, or the checks could not begin.
pub fn counted(names: &[String], update: bool) -> Result<(usize, usize)> {
    let chosen: Vec<_> = CHECKS
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|n| name.starts_with(n.as_str())))
        .collect();
    if chosen.is_empty() {
        bail!(
            "no such check; there are: {}",
            CHECKS.map(|(name, _)| name).join(", ")
        );
    }
    let repository = Repository {
        sources: source::tracked()?,
        metadata: Metadata::of_workspace()?,
        update,
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in chosen {
        let started = Instant::now();
        let mut faults = Faults::default();
        let summary = check(&repository, &mut faults).unwrap_or_else(|error| {
            faults.add(format!("{error:#}"));
            String::new()
        });
        if faults.0.is_empty() {
            passed += 1;
            println!("ok      {name}: {summary} ({} s)", started.elapsed().as_secs());
        } else {
            failed += 1;
            for fault in faults.0 {
                println!("FAILED  {name}: {fault}");
            }
        }
    }
    Ok((passed, failed))
}
