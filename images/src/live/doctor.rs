//! `outrigger doctor`: what in Dom0 keeps driver domains from their work. Each check is a line; where it can be mended,
//! a second says how.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Toolstack;
use crate::input;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it must be.
    Good,
    /// It may do, or could not be seen.
    Unsure,
    /// It keeps driver domains from their work.
    Bad,
}

/// A check, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What there is.
    pub says: String,
    /// How to mend it.
    pub mend: Option<&'static str>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            says: says.into(),
            mend: None,
        }
    }

    fn mend(self, mend: &'static str) -> Self {
        Self {
            mend: Some(mend),
            ..self
        }
    }
}

/// Versions of Xen that the boot tests run on.
const TESTED: &str = "4.20";

/// All checks. `root`: Dom0's file system. `configurations`: the folder in it that `--dest` named.
pub fn examine(dom0: Toolstack, root: &Path, configurations: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    match dom0.xl(&["info"]) {
        Ok(info) => {
            findings.push(Finding::new("toolstack", Verdict::Good, "xl talks to Xen"));
            findings.push(version(&info));
            findings.push(security(&info));
        }
        Err(error) => findings.push(
            Finding::new("toolstack", Verdict::Bad, error.to_string())
                .mend("this is done in Dom0, as root; Xen's tools are the package xen-utils"),
        ),
    }
    findings.push(xenstored(root));
    findings.push(logs(root));
    findings.extend(devices(root, &root.join(configurations)));
    findings
}

/// The value of a line `key : value` of `xl info`.
fn of<'i>(info: &'i str, key: &str) -> Option<&'i str> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

fn version(info: &str) -> Finding {
    let version = of(info, "xen_version").unwrap_or("unknown");
    let says = format!("Xen {version}");
    if version.starts_with(TESTED) {
        Finding::new("xen", Verdict::Good, says)
    } else {
        Finding::new(
            "xen",
            Verdict::Unsure,
            format!("{says}; the tests run on {TESTED}"),
        )
    }
}

/// What lets guests and driver domains share memory (Xen's `docs/misc/xen-command-line.pandoc`, `xsm`).
fn security(info: &str) -> Finding {
    let arguments = of(info, "xen_commandline").unwrap_or_default();
    let xsm = arguments
        .split_whitespace()
        .find_map(|word| word.strip_prefix("xsm="));
    match xsm {
        Some("dummy") => Finding::new("xsm", Verdict::Good, "xsm=dummy: guests may use driver domains"),
        Some("flask") => Finding::new(
            "xsm",
            Verdict::Unsure,
            "xsm=flask: the policy must allow each pair of guest and driver domain",
        ),
        Some("silo") => Finding::new("xsm", Verdict::Bad, "xsm=silo: guests share memory with Dom0 only")
            .mend("xsm=dummy among Xen's arguments, then restart the machine"),
        _ => Finding::new(
            "xsm",
            Verdict::Bad,
            "xsm= is not among Xen's arguments: the default of Debian's arm64 Xen lets guests share memory with Dom0 only",
        )
        .mend("xsm=dummy among Xen's arguments, then restart the machine"),
    }
}

/// Which xenstored runs: Debian has two, and the tests run on the one in C.
fn xenstored(root: &Path) -> Finding {
    let mut found = None;
    for process in fs::read_dir(root.join("proc")).into_iter().flatten().flatten() {
        match fs::read_to_string(process.path().join("comm"))
            .unwrap_or_default()
            .trim()
        {
            "xenstored" => found = Some("xenstored"),
            "oxenstored" => found = Some("oxenstored"),
            _ => {}
        }
    }
    match found {
        Some("xenstored") => Finding::new("xenstored", Verdict::Good, "xenstored in C"),
        Some(other) => Finding::new(
            "xenstored",
            Verdict::Unsure,
            format!("{other}; the tests run on xenstored in C"),
        ),
        None => Finding::new(
            "xenstored",
            Verdict::Unsure,
            "no process xenstored or oxenstored: it may be in a domain of its own",
        ),
    }
}

/// Whether consoles are kept, where a domain says why it failed.
fn logs(root: &Path) -> Finding {
    let folder = root.join("var/log/xen/console");
    let kept = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if kept {
        Finding::new(
            "logs",
            Verdict::Good,
            "xenconsoled keeps consoles in /var/log/xen/console",
        )
    } else {
        Finding::new("logs", Verdict::Unsure, "nothing in /var/log/xen/console: what domains say is lost").mend(
            "XENCONSOLED_ARGS=\"--log=guest\" in /etc/default/xen (elsewhere xencommons), then restart xenconsoled",
        )
    }
}

/// Whether Dom0 has let go of what the configurations give away: of the nodes, if `host.dtb` was booted, and of the pages.
fn devices(root: &Path, folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
        .collect();
    files.sort();
    let iomem = fs::read_to_string(root.join("proc/iomem")).unwrap_or_default();
    for file in &files {
        let Ok(text) = input::read_text(file) else {
            continue;
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for path in given(&text) {
            let node = root.join("proc/device-tree").join(path.trim_start_matches('/'));
            findings.push(if node.exists() {
                Finding::new("host.dtb", Verdict::Bad, format!("{name}: Dom0 has {path}, too"))
                    .mend("boot with the host.dtb (or host.dtbo) of the same build")
            } else {
                Finding::new(
                    "host.dtb",
                    Verdict::Good,
                    format!("{name}: Dom0 does not have {path}"),
                )
            });
        }
        for (first, last) in pages(&text) {
            if let Some(user) = user(&iomem, first, last) {
                findings.push(
                    Finding::new(
                        "pages",
                        Verdict::Bad,
                        format!("{name}: {first:#x}..={last:#x} is used in Dom0 by {user}"),
                    )
                    .mend("boot with the host.dtb (or host.dtbo) of the same build"),
                );
            }
        }
    }
    if files.is_empty() {
        let says = format!("no configuration of a driver domain in {}", folder.display());
        findings
            .push(Finding::new("host.dtb", Verdict::Unsure, says).mend("--dest DIR, if they are elsewhere"));
    }
    findings
}

/// The devices that a configuration of ours gives away: its lines `# NAME = /path`.
fn given(configuration: &str) -> impl Iterator<Item = &str> {
    let lines = configuration
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    lines
        .map(|(_, path)| path)
        .filter(|path| path.starts_with('/') && !path.contains(".."))
}

/// The addresses that a configuration gives away, first and last: `iomem = ["0xPAGE,COUNT", …]`.
fn pages(configuration: &str) -> Vec<(u64, u64)> {
    let line = configuration
        .lines()
        .find_map(|line| line.strip_prefix("iomem = "));
    let ranges = line.unwrap_or_default().split('"').skip(1).step_by(2);
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    ranges
        .filter_map(|range| {
            let (first, count) = range.split_once(',')?;
            // xl reads both in hexadecimal.
            let (first, count) = (hex(first)?.checked_mul(4096)?, hex(count)?.checked_mul(4096)?);
            Some((first, first.checked_add(count.checked_sub(1)?)?))
        })
        .collect()
}

/// Who uses addresses in Dom0, by a line `first-last : name` of `/proc/iomem`. Without privileges all lines are of 0.
fn user(iomem: &str, first: u64, last: u64) -> Option<&str> {
    iomem.lines().find_map(|line| {
        let (range, name) = line.trim().split_once(" : ")?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        (from <= last && first <= to && to > 0).then_some(name)
    })
}
