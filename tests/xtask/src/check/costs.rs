//! What a request and a packet cost is golden.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Faults, Repository};
use crate::image::workspace;

/// The golden files, and the packages whose host tests compare and write them.
const GOLDEN: [(&str, &str); 3] = [
    ("tests/golden/block-costs.txt", "outrigger-block"),
    ("tests/golden/net-costs.txt", "outrigger-net"),
    ("tests/golden/input-costs.txt", "outrigger-input"),
];

/// Has them written anew; to compare is for the host tests.
pub fn check(repository: &Repository, faults: &mut Faults) -> Result<String> {
    for (path, package) in GOLDEN {
        if repository.update {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.current_dir(workspace()).env("OUTRIGGER_BLESS", "1");
            cargo.args(["test", "--quiet", "-p", package, "--test", "backend", "golden"]);
            if !cargo.status().context("cannot run cargo")?.success() {
                bail!("{path} was not written");
            }
        } else if !repository.sources.iter().any(|source| source.path == path) {
            faults.add(format!(
                "{path} is not there; `cargo xtask check --update costs` writes it"
            ));
        }
    }
    Ok(match repository.update {
        true => "written anew".to_owned(),
        false => "golden; the host tests compare".to_owned(),
    })
}
