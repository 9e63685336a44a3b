//! The commands for Dom0.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use outrigger::error::{Error, Fault};
use outrigger::live::doctor::{self, Verdict};
use outrigger::live::restart::Restart;
use outrigger::live::store::Store;
use outrigger::live::{Toolstack, metrics, reattach, status, wait};
use serde_json::json;

use super::print::{is_read, json_text, print, print_json};

pub fn restarted(name: &str, restart: &Restart, as_json: bool) -> Result<(), Error> {
    if as_json {
        return print_json(serde_json::to_value(restart).unwrap_or_default());
    }
    let Restart {
        count,
        reason,
        pause_us,
    } = restart;
    print(&format!(
        "{name}: restart {count} ({reason}), serving again after {pause_us} us\n"
    ))
}

/// Every device, even if one before it failed; then the first failure, if there was one.
pub fn reattach(name: &str, dry_run: bool, as_json: bool) -> Result<(), Error> {
    let plugs = reattach::stale(Toolstack, name)?;
    let mut failure = None;
    let mut reports = Vec::new();
    for plug in &plugs {
        let done = if dry_run {
            Ok(())
        } else {
            reattach::plug(Toolstack, plug)
        };
        let error = done.err();
        if as_json {
            let error = error.as_ref().map(ToString::to_string);
            reports.push(
                json!({ "guest": plug.guest, "device": plug.device, "error": error,
                "detach": plug.detach, "attach": plug.attach }),
            );
        } else {
            let outcome = match &error {
                None if dry_run => format!("xl {}; xl {}", plug.detach.join(" "), plug.attach.join(" ")),
                None => "plugged in again".to_owned(),
                Some(error) => error.to_string(),
            };
            print(&format!("{} {}: {outcome}\n", plug.guest, plug.device))?;
        }
        failure = failure.or(error);
    }
    if as_json {
        print_json(json!({ "devices": reports }))?;
    }
    failure.map_or(Ok(()), Err)
}

pub fn wait(name: &str, seconds: u64, as_json: bool) -> Result<(), Error> {
    let domid = wait::wait(Toolstack, name, Duration::from_secs(seconds))?;
    if as_json {
        return print_json(json!({ "name": name, "domid": domid }));
    }
    print(&format!("{name}: domain {domid} serves\n"))
}

/// How often `--watch` looks.
const PACE: Duration = Duration::from_secs(1);
/// Clears a terminal: the cursor to its first place, and everything behind it away.
const CLEAR: &str = "\x1b[H\x1b[J";

pub fn status(watch: bool, as_json: bool) -> Result<(), Error> {
    loop {
        let status = status::status(&Store::read(Toolstack)?);
        let text = match (as_json, watch) {
            (true, _) => json_text(serde_json::to_value(&status).unwrap_or_default()),
            (false, true) => format!("{CLEAR}{status}"),
            (false, false) => status.to_string(),
        };
        if !is_read(text.as_bytes())? || !watch {
            return Ok(());
        }
        sleep(PACE);
    }
}

pub fn metrics() -> Result<(), Error> {
    print(&metrics::text(&status::status(&Store::read(Toolstack)?)))
}

pub fn doctor(root: &Path, dest: &Path, as_json: bool) -> Result<(), Error> {
    let dest = dest.strip_prefix("/").unwrap_or(dest);
    let findings = doctor::examine(Toolstack, root, dest);
    if as_json {
        print_json(json!({ "findings": findings }))?;
    } else {
        for finding in &findings {
            let verdict = match finding.verdict {
                Verdict::Good => "good  ",
                Verdict::Unsure => "unsure",
                Verdict::Bad => "BAD   ",
            };
            print(&format!("{verdict}  {}: {}\n", finding.check, finding.says))?;
            if let Some(mend) = finding.mend {
                print(&format!("        {mend}\n"))?;
            }
        }
    }
    match findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Bad)
        .count()
    {
        0 => Ok(()),
        bad => Err(Error {
            place: "outrigger doctor".to_owned(),
            fault: Fault::Unwell(bad),
        }),
    }
}
