//! The crate against `tests/golden/abi-layout.txt`, and that list against Xen's headers.
//!
//! `XEN_HEADERS=/usr/include cargo test -p xen-unikernel-abi` checks the list with the headers of Debian's
//! package `libxen-dev` (or any folder that holds `xen/xen.h`); without it that one part says that it was
//! left out. `UPDATE_GOLDEN=1` writes the list anew after a deliberate change.

mod facts;
mod headers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use facts::Facts;
use headers::{ARM64_TARGET, Target, X86_32_TARGET, X86_64_TARGET};

fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn golden() -> String {
    fs::read_to_string(in_crate("tests/golden/abi-layout.txt")).expect("the golden list is there")
}

#[test]
fn the_crate_is_as_the_golden_list_says() {
    let said = Facts::of_the_crate().text;
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(in_crate("tests/golden/abi-layout.txt"), &said).expect("the golden list can be written");
    }
    let golden = golden();
    for (number, (said, wanted)) in said.lines().zip(golden.lines()).enumerate() {
        assert_eq!(said, wanted, "line {} of abi-layout.txt", number + 1);
    }
    assert_eq!(
        said.lines().count(),
        golden.lines().count(),
        "lines of abi-layout.txt"
    );
}

/// What the crate declares of its own, and where that is checked instead.
const NOT_XENS: &[&str] = &[
    // A macro of one argument, which it hands on.
    "XENMEMF_address_bits",
    // Asserted against the structures in blkif.rs.
    "SEGMENTS_PER_INDIRECT_PAGE",
    "RequestLayout",
];

/// Everything declared at the top of a module is in the list, so that nothing is left unchecked.
#[test]
fn every_declaration_is_in_the_golden_list() {
    let known = Facts::of_the_crate().names;
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    for file in sources(&in_crate("src")) {
        for line in fs::read_to_string(&file).expect("a source is text").lines() {
            let Some(name) = declared_name(line) else { continue };
            seen += 1;
            if !known.contains(name) && !NOT_XENS.contains(&name) {
                missing.insert(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(
        seen >= known.len(),
        "found {seen} declarations of {} known",
        known.len()
    );
    assert!(missing.is_empty(), "not in tests/layout/facts: {missing:#?}");
}

/// The constant or structure that a line of source declares: constants at the margin, structures also in
/// `layout!`.
fn declared_name(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("pub const fn ")
        .or_else(|| line.strip_prefix("pub const "))
        .or_else(|| line.trim_start().strip_prefix("pub struct "))
        .or_else(|| line.strip_prefix("    struct "))?;
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    // `$name` in the macro that declares the others.
    (end > 0).then(|| &rest[..end])
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder is there") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_golden_list_is_as_xens_headers_say() {
    let Some(include) = env::var_os("XEN_HEADERS").map(PathBuf::from) else {
        eprintln!("left out: XEN_HEADERS names no folder with xen/xen.h (Debian: libxen-dev)");
        return;
    };
    assert!(
        include.join("xen/xen.h").is_file(),
        "no xen/xen.h in XEN_HEADERS={}",
        include.display()
    );
    let mut targets = vec![ARM64_TARGET, X86_64_TARGET];
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        targets.push(X86_32_TARGET);
    }
    for target in &targets {
        agree(&include, target);
    }
}

/// The list holds for `target`; and the same list with any one number changed does not, so the check sees
/// something.
fn agree(include: &Path, target: &Target) {
    let golden = golden();
    if let Err(error) = headers::check(include, target, &headers::program(&golden, target)) {
        panic!("{}: {error}", target.name);
    }
    let wrong = golden.replace(
        "field blkif_sring.rsp_prod 8 4",
        "field blkif_sring.rsp_prod 12 4",
    );
    assert_ne!(wrong, golden);
    let error = headers::check(include, target, &headers::program(&wrong, target))
        .expect_err("a wrong offset goes unnoticed");
    assert!(
        error.contains("field blkif_sring.rsp_prod 12 4"),
        "{}: {error}",
        target.name
    );
}
