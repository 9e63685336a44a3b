//! The script by which Dom0 starts driver domains before their guests, with an `xl` and an `outrigger` that only note what
//! they are asked.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Runs the script with `running` as the domains that are there; its exit code, and what it asked for.
fn run(name: &str, action: &str, running: &str, broken: &str) -> (Option<i32>, String) {
    let dir = std::env::temp_dir().join(format!("outrigger-start-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("cfg")).unwrap();
    for domain in ["block", "net"] {
        let cfg = format!("# Driver domain\nname = \"{domain}\"\nkernel = \"/x/{domain}.img\"\n");
        fs::write(dir.join(format!("cfg/{domain}.cfg")), cfg).unwrap();
    }
    let at = dir.display();
    for (program, text) in [
        (
            "xl",
            format!(
                "[ $1 = domid ] && {{ case ' {running} ' in *\" $2 \"*) exit 0 ;; *) exit 1 ;; esac; }}\n\
                 echo \"xl $*\" >>{at}/calls\n[ \"$*\" != '{broken}' ]"
            ),
        ),
        (
            "outrigger",
            format!("echo \"outrigger $*\" >>{at}/calls\n[ \"$*\" != '{broken}' ]"),
        ),
    ] {
        let path = dir.join(program);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/outrigger-domains");
    let status = Command::new("sh")
        .arg(script)
        .arg(action)
        .env("PATH", format!("{at}:{}", std::env::var("PATH").unwrap()))
        .env("OUTRIGGER_DOMAINS", dir.join("cfg"))
        .status()
        .unwrap();
    let calls = fs::read_to_string(dir.join("calls")).unwrap_or_default();
    fs::remove_dir_all(&dir).unwrap();
    (status.code(), calls.replace(&format!("{at}/"), ""))
}

const WAITS: &str = "outrigger wait block --timeout 60\noutrigger wait net --timeout 60\n";

#[test]
fn those_that_do_not_run_are_created_and_all_waited_for() {
    let wanted = format!("xl create cfg/net.cfg\n{WAITS}");
    assert_eq!(run("one", "start", "block", ""), (Some(0), wanted));
    let wanted = format!("xl create cfg/block.cfg\nxl create cfg/net.cfg\n{WAITS}");
    assert_eq!(run("both", "start", "", ""), (Some(0), wanted));
}

#[test]
fn a_failure_does_not_keep_the_others_from_it() {
    let wanted = format!("xl create cfg/block.cfg\nxl create cfg/net.cfg\n{WAITS}");
    let broken = run("fails", "start", "", "wait block --timeout 60");
    assert_eq!(broken, (Some(1), wanted));
    let wanted = "xl shutdown -w block\nxl shutdown -w net\n".to_owned();
    assert_eq!(
        run("ends", "stop", "block net", "shutdown -w block"),
        (Some(1), wanted)
    );
}

#[test]
fn what_runs_is_ended_and_nonsense_refused() {
    let wanted = "xl shutdown -w net\n".to_owned();
    assert_eq!(run("stop", "stop", "net", ""), (Some(0), wanted));
    assert_eq!(run("else", "restart", "net", ""), (Some(2), String::new()));
}
