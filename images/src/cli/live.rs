//! The commands for Dom0.

use outrigger::error::Error;
use outrigger::live::restart::Restart;
use outrigger::live::{Toolstack, reattach};
use serde_json::json;

use super::print::{print, print_json};

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
