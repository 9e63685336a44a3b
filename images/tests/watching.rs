//! `status`, `metrics`, `wait` and `doctor`, against a XenStore and an `xl` that were written down.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use common::golden;
use common::schema::conforms;

/// What `xenstore-ls -f -w /local/domain` prints while a block and a network domain serve two guests: one disk is refused,
/// one card's domain is gone.
const STORE: &str = r#"/local/domain/0/name = "Domain-0"
/local/domain/0/control/feature-poweroff = "1"
/local/domain/1/name = "block"
/local/domain/1/control/feature-poweroff = "1"
/local/domain/1/data/update/ring-ref = "8"
/local/domain/1/data/restart/state = "running"
/local/domain/1/data/restart/count = "2"
/local/domain/1/data/restart/reason = "data abort (vector 0): pc 0x40215a3c"
/local/domain/1/data/restart/pause-us = "4763"
/local/domain/1/backend/vbd/3/51712/dev = "xvda"
/local/domain/1/backend/vbd/3/51712/params = "virtio0:2"
/local/domain/1/backend/vbd/3/51712/state = "4"
/local/domain/1/backend/vbd/3/51712/statistics = "reads=7 sectors-read=56 writes=3 sectors-written=24 refused=1 errors=0, 2 requests carried out again"
/local/domain/1/backend/vbd/3/51728/dev = "xvdb"
/local/domain/1/backend/vbd/3/51728/params = "virtio9"
/local/domain/1/backend/vbd/3/51728/state = "6"
/local/domain/1/backend/vbd/3/51728/error = "target=virtio9: there is no such disk"
/local/domain/2/name = "net"
/local/domain/2/control/feature-poweroff = ""
/local/domain/2/data/update/ring-ref = "8"
/local/domain/2/data/net0 = "link=down tx-frames=402 tx-bytes=44012 rx-frames=377 rx-bytes=40320 rx-dropped-no-destination=12"
/local/domain/2/backend/vif/3/0/bridge = "lan"
/local/domain/2/backend/vif/3/0/state = "4"
/local/domain/2/backend/vif/3/0/statistics = "tx-frames=812 tx-bytes=90211 rx-frames=790 rx-bytes=88100 tx-dropped-source-mac=3"
/local/domain/3/name = "guest"
/local/domain/3/device/vbd/51712/backend-id = "1"
/local/domain/3/device/vif/0/backend-id = "2"
/local/domain/4/name = "oth\"er"
/local/domain/4/device/vif/0/backend-id = "9"
"#;

/// A folder of programs, and a root folder below it.
struct Dom0(PathBuf);

impl Dom0 {
    fn new(name: &str, info: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("outrigger-watching-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let dom0 = Self(dir);
        dom0.put("store", STORE);
        dom0.put("info", info);
        let dir = dom0.0.display();
        dom0.program(
            "xenstore-ls",
            &format!("[ \"$*\" = '-f -w /local/domain' ] && exec cat {dir}/store"),
        );
        dom0.program(
            "xenstore-read",
            &format!("sed -n \"s|^$1 = \\\"\\(.*\\)\\\"|\\1|p\" {dir}/store | grep ."),
        );
        dom0.program(
            "xl",
            &format!(
                "case $* in\ninfo) exec cat {dir}/info ;;\n'domid block') echo 1 ;;\n'domid net') echo 2 ;;\n\
                 *) echo \"Can't get domid of domain name '$2', maybe this domain does not exist.\" >&2; exit 1 ;;\nesac"
            ),
        );
        dom0
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.put(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Its exit code, and what it prints.
    fn outrigger(&self, arguments: &[&str]) -> (i32, String, String) {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        let output = command.env("PATH", path).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&self.0.display().to_string(), "")
        };
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

impl Drop for Dom0 {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn status_says_who_serves_whom_and_what_is_wrong() {
    let dom0 = Dom0::new("status", "");
    let (code, text, errors) = dom0.outrigger(&["status"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    golden("status.txt", &text);
    let (_, text, _) = dom0.outrigger(&["status", "--json"]);
    let json = conforms("status", &text);
    let block = &json["domains"][0];
    assert_eq!(
        (&block["restarts"], &block["last_pause_us"]),
        (&2.into(), &4763.into())
    );
    assert_eq!(block["serves"][0]["counters"]["sectors-read"], 56);
    assert_eq!(json["domains"][1]["state"], "starting");
    assert_eq!(json["domains"].as_array().unwrap().len(), 2);
}

#[test]
fn metrics_are_openmetrics() {
    let dom0 = Dom0::new("metrics", "");
    let (code, text, _) = dom0.outrigger(&["metrics"]);
    assert_eq!(code, 0);
    golden("metrics.txt", &text);
    // Every sample belongs to the family whose TYPE stands above it, and a counter ends in _total.
    let mut family = ("", "");
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split_once(' ').unwrap();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = if family.1 == "counter" { "_total" } else { "" };
            assert_eq!(name, format!("{}{suffix}", family.0), "{line}");
        }
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn no_xenstore_is_an_error() {
    let dom0 = Dom0::new("none", "");
    dom0.program(
        "xenstore-ls",
        "echo 'xenstore-ls: could not connect: Permission denied' >&2; exit 1",
    );
    let (code, _, errors) = dom0.outrigger(&["status"]);
    assert_eq!(code, 1);
    assert_eq!(
        errors,
        "error: xenstore-ls -f -w /local/domain: xenstore-ls: could not connect: Permission denied\n"
    );
}

#[test]
fn wait_ends_when_the_domain_serves_or_time_is_over() {
    let dom0 = Dom0::new("wait", "");
    assert_eq!(
        dom0.outrigger(&["wait", "block"]),
        (0, "block: domain 1 serves\n".to_owned(), String::new())
    );
    conforms("wait", &dom0.outrigger(&["wait", "block", "--json"]).1);
    let (code, _, errors) = dom0.outrigger(&["wait", "net", "--timeout", "1"]);
    let wanted = "error: net: does not serve within 1 s: it is still starting\nhelp: its console says more: `xl console NAME`\n";
    assert_eq!((code, errors.as_str()), (1, wanted));
    let (code, _, errors) = dom0.outrigger(&["wait", "nobody", "--timeout", "0"]);
    let wanted = "error: nobody: does not serve within 0 s: no domain of this name is running\n\
                  help: `xl create /etc/xen/outrigger/NAME.cfg` starts it\n";
    assert_eq!((code, errors.as_str()), (1, wanted));
    let gone = STORE.replace(
        "state = \"running\"",
        "state = \"stopped after 5 restarts, 5 of them within 10 s\"",
    );
    dom0.put("store", &gone);
    let (code, _, errors) = dom0.outrigger(&["wait", "block"]);
    assert_eq!(
        (code, errors.as_str()),
        (
            1,
            "error: block: stopped after 5 restarts, 5 of them within 10 s\n"
        )
    );
}

/// `xl info`, as far as it is read.
const INFO: &str =
    "xen_version            : 4.20.2\nxen_commandline        : console=dtuart xsm=dummy dom0_mem=512M\n";

/// A configuration as `outrigger build` writes it.
const CFG: &str = "# Driver domain block, class block. Written by `outrigger build`: edit the machine file.\n\
                   # mmc0 = /soc/mmc@7e340000\nname = \"block\"\niomem = [\"0xfe340,0x1\"]\n";

#[test]
fn doctor_finds_dom0_well() {
    let dom0 = Dom0::new("well", INFO);
    dom0.put("root/proc/7/comm", "xenstored\n");
    dom0.put("root/proc/iomem", "fe201000-fe2011ff : serial@7e201000\n");
    dom0.put("root/proc/device-tree/soc/serial@7e201000/status", "okay");
    dom0.put("root/var/log/xen/console/guest-block.log", "");
    dom0.put("root/etc/xen/outrigger/block.cfg", CFG);
    let root = dom0.0.join("root").display().to_string();
    let (code, text, errors) = dom0.outrigger(&["doctor", "--root", &root]);
    assert_eq!((code, errors.as_str()), (0, ""), "{text}");
    golden("doctor-well.txt", &text);
}

#[test]
fn doctor_finds_what_is_wrong() {
    let dom0 = Dom0::new(
        "unwell",
        &INFO.replace("xsm=dummy ", "").replace("4.20.2", "4.17.5"),
    );
    dom0.put("root/proc/7/comm", "oxenstored\n");
    dom0.put("root/proc/iomem", "fe340000-fe3400ff : mmc@7e340000\n");
    dom0.put("root/proc/device-tree/soc/mmc@7e340000/status", "okay");
    dom0.put("root/etc/xen/outrigger/block.cfg", CFG);
    let root = dom0.0.join("root").display().to_string();
    let (code, text, errors) = dom0.outrigger(&["doctor", "--root", &root]);
    golden("doctor-unwell.txt", &text);
    assert_eq!(
        (code, errors.as_str()),
        (
            1,
            "error: outrigger doctor: 3 of what driver domains need is not there\n"
        )
    );
    let (_, text, _) = dom0.outrigger(&["doctor", "--json", "--root", &root]);
    let json = conforms("doctor", &text);
    let bad = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["verdict"] == "bad");
    assert_eq!(bad.count(), 3);
}
