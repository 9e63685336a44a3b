//! The licences of everything that is linked or run. The rules are in `deny.toml`, which cargo-deny reads too; CI does
//! without cargo-deny itself, because building that takes longer than all our tests.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::metadata::Metadata;
use super::spdx::satisfied;
use super::{Faults, Repository};
use crate::image::workspace;

/// `deny.toml`, as far as this check reads it.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// One crate that may be under another licence; the reason stands beside it in `deny.toml`.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

/// Every package is under a licence that may be linked, or an exception on record.
pub fn check(_: &Repository, faults: &mut Faults) -> Result<String> {
    let text = fs::read_to_string(workspace().join("deny.toml")).context("cannot read deny.toml")?;
    let rules: Licences = toml::from_str::<Deny>(&text).context("deny.toml")?.licenses;
    let packages = Metadata::of_everything()?.packages;
    for package in &packages {
        let exception = |licence: &str| {
            rules
                .exceptions
                .iter()
                .any(|e| e.name == package.name && e.allow.iter().any(|l| l == licence))
        };
        let allowed = |licence: &str| rules.allow.iter().any(|l| l == licence) || exception(licence);
        let verdict = package
            .license
            .as_deref()
            .map(|licence| satisfied(licence, &allowed));
        let why = match (verdict, &package.license) {
            (Some(Ok(true)), _) => continue,
            (Some(Err(error)), _) => error.to_string(),
            (_, Some(licence)) => format!("it is under {licence}"),
            (_, None) => "it names no licence".to_owned(),
        };
        faults.add(format!(
            "{} {}: {why}; use another crate, or put an exception with its reason into deny.toml",
            package.name, package.version
        ));
    }
    for exception in &rules.exceptions {
        if !packages.iter().any(|package| package.name == exception.name) {
            faults.add(format!(
                "deny.toml has an exception for {}, which nothing needs: take it out",
                exception.name
            ));
        }
    }
    Ok(format!(
        "{} packages, {} by exception",
        packages.len(),
        rules.exceptions.len()
    ))
}
