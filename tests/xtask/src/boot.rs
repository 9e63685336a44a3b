//! Booting real Xen with Dom0 and what a scenario wants, watching every console, and judging.

mod console;
mod disk;
mod machine;
mod run;
mod scenarios;
mod tools;
mod tree;

use std::time::Duration;

use anyhow::{Result, bail};

pub use disk::{Content, Disk, Slice};
use run::Runner;

/// One boot of the machine: its hardware, what Dom0 does, and what must come of it.
#[derive(Debug)]
pub struct Scenario {
    /// Its name; `tests/boot/scenarios/NAME.sh` is what Dom0 runs, `target/boot/NAME/` holds its logs.
    pub name: &'static str,
    /// Who serves the disks.
    pub backend: Backend,
    /// The disks of the machine.
    pub disks: &'static [Disk],
    /// Whether the guests' ramdisk holds fio (which is large).
    pub fio: bool,
    /// The checks that must be reported as passed.
    pub checks: &'static [&'static str],
    /// The longest it may take.
    pub timeout: Duration,
}

/// Who serves disks to the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Linux in Dom0: the stand-in that proves the harness, and the peer to measure against.
    Linux,
    /// A driver domain, as this machine file describes it.
    DriverDomain(&'static str),
}

/// Boots the scenarios whose names begin with one of `names` (all of them if there is none); says what came of each.
pub fn run_named(names: &[String]) -> Result<()> {
    let chosen: Vec<_> = scenarios::ALL
        .iter()
        .filter(|scenario| {
            names.is_empty() || names.iter().any(|name| scenario.name.starts_with(name.as_str()))
        })
        .collect();
    if chosen.is_empty() {
        let known: Vec<_> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
        bail!("no such scenario; there are: {}", known.join(", "));
    }
    let runner = Runner::prepare()?;
    let mut failed = 0;
    for scenario in chosen {
        let outcome = runner.run(scenario)?;
        outcome.print();
        failed += outcome.failed();
    }
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}
