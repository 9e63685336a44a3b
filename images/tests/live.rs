//! The commands for Dom0, against programs that answer as `xl` and `xenstore-*` do on Xen 4.20.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of programs, in place of Dom0's.
struct Dom0(PathBuf);

impl Dom0 {
    /// `nodes`: what XenStore holds, a path and a value each. Every call of `xl` but those that ask is noted.
    fn new(name: &str, domid: Option<u32>, list: &str, nodes: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("outrigger-live-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let dom0 = Self(dir);
        let domid = domid.map_or("exit 1".to_owned(), |domid| format!("echo {domid}"));
        fs::write(dom0.0.join("list"), list).unwrap();
        dom0.program(
            "xl",
            &format!(
                "case $1 in\ndomid) {domid} ;;\nlist) cat {0}/list ;;\n\
                 *) echo \"$*\" >>{0}/calls; [ ! -e {0}/broken ] || {{ echo noise >&2; echo 'no way' >&2; exit 3; }} ;;\nesac",
                dom0.0.display()
            ),
        );
        let mut read = "case $1 in\n".to_owned();
        let mut list = read.clone();
        for (path, value) in nodes {
            match path.strip_suffix('/') {
                Some(directory) => list += &format!("{directory}) printf '%b' '{value}' ;;\n"),
                None => read += &format!("{path}) echo '{value}' ;;\n"),
            }
        }
        dom0.program("xenstore-read", &format!("{read}*) exit 1 ;;\nesac"));
        dom0.program("xenstore-list", &format!("{list}*) exit 1 ;;\nesac"));
        dom0
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn outrigger(&self, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.env("PATH", path).args(arguments).output().unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.join("calls")).unwrap_or_default()
    }
}

impl Drop for Dom0 {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn out(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Two guests: one with all that a card and a disk can have, one whose devices are others' business.
const LIST: &str = r#"[
 {"domid": 3, "config": {"c_info": {"name": "net2", "uuid": "x"},
  "disks": [{"backend_domname": "net", "pdev_path": "virtio0:1,x", "vdev": "xvda", "format": "raw", "readwrite": 1,
             "discard_enable": "False", "direct_io_safe": true},
            {"backend_domname": "other", "pdev_path": "virtio0:2", "vdev": "xvdb", "readwrite": 0}],
  "nics": [{"backend_domname": "net", "devid": 1, "mac": "00:16:3e:00:00:20", "bridge": "xenbr0", "mtu": 9000,
            "vlan": "7", "ip": "10.0.0.2", "rate_bytes_per_interval": 50000, "rate_interval_usecs": 20000},
           {"backend_domname": "net", "devid": 2, "mac": "00:16:3e:00:00:21"}]}},
 {"domid": 9, "config": {"c_info": {"name": "alone"}, "nics": [{"devid": 0, "mac": "00:16:3e:00:00:30"}]}}
]"#;

const NODES: &[(&str, &str)] = &[
    ("/libxl/3/device/vif/1/backend", "/local/domain/4/backend/vif/3/1"),
    ("/libxl/3/device/vif/1/frontend", "/local/domain/3/device/vif/1"),
    // Served by the domain that runs.
    ("/libxl/3/device/vif/2/backend", "/local/domain/5/backend/vif/3/2"),
    ("/libxl/3/device/vbd/", "51712\\n51728\\n"),
    ("/libxl/3/device/vbd/51712/dev", "xvda"),
    (
        "/libxl/3/device/vbd/51712/backend",
        "/local/domain/4/backend/vbd/3/51712",
    ),
    (
        "/libxl/3/device/vbd/51712/frontend",
        "/local/domain/3/device/vbd/51712",
    ),
    ("/libxl/3/device/vbd/51728/dev", "xvdb"),
    (
        "/libxl/3/device/vbd/51728/backend",
        "/local/domain/1/backend/vbd/3/51728",
    ),
    ("/local/domain/4/backend/vif/3/1/state", "4"),
    ("/local/domain/3/device/vif/1/state", "4"),
    ("/local/domain/4/backend/vbd/3/51712/state", "4"),
    ("/local/domain/3/device/vbd/51712/state", "4"),
];

const VIF: &str = "network-attach 3 backend=net mac=00:16:3e:00:00:20 bridge=xenbr0 ip=10.0.0.2 vlan=7 mtu=9000 \
                   rate=2500000B/s@20000us";
const VBD: &str =
    "block-attach 3 backend=net,vdev=xvda,format=raw,access=rw,direct-io-safe,no-discard,target=virtio0:1,x";

#[test]
fn what_named_the_dead_domain_is_plugged_in_again_as_it_was() {
    let dom0 = Dom0::new("again", Some(5), LIST, NODES);
    let (code, stdout, stderr) = out(&dom0.outrigger(&["reattach", "net"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout,
        "net2 vif 1: plugged in again\nnet2 vbd xvda: plugged in again\n"
    );
    let wanted = format!("network-detach 3 1\n{VIF}\nblock-detach 3 xvda\n{VBD}\n");
    assert_eq!(dom0.calls(), wanted);
}

#[test]
fn a_dry_run_touches_nothing() {
    let dom0 = Dom0::new("dry", Some(5), LIST, NODES);
    let (code, stdout, _) = out(&dom0.outrigger(&["reattach", "--dry-run", "net"]));
    let (_, json, _) = out(&dom0.outrigger(&["reattach", "--dry-run", "--json", "net"]));
    common::schema::conforms("reattach", &json);
    let wanted = format!(
        "net2 vif 1: xl network-detach 3 1; xl {VIF}\nnet2 vbd xvda: xl block-detach 3 xvda; xl {VBD}\n"
    );
    assert_eq!((code, stdout, dom0.calls()), (Some(0), wanted, String::new()));
}

#[test]
fn a_failure_is_xls_last_line_and_the_rest_is_done_nevertheless() {
    let dom0 = Dom0::new("broken", Some(5), LIST, NODES);
    fs::write(dom0.0.join("broken"), "").unwrap();
    let (code, stdout, stderr) = out(&dom0.outrigger(&["reattach", "net"]));
    assert_eq!(code, Some(1));
    let wanted = "net2 vif 1: xl network-detach 3 1: no way\nnet2 vbd xvda: xl block-detach 3 xvda: no way\n";
    assert_eq!(stdout, wanted);
    assert_eq!(stderr, "error: xl network-detach 3 1: no way\n");
}

#[test]
fn a_guest_that_closes_the_new_card_gets_it_twice_more() {
    let mut nodes = NODES.to_vec();
    nodes.retain(|(path, _)| *path != "/local/domain/3/device/vif/1/state");
    nodes.push(("/local/domain/3/device/vif/1/state", "6"));
    let list = LIST.replace("\"backend_domname\": \"net\", \"pdev_path\"", "\"pdev_path\"");
    let dom0 = Dom0::new("closes", Some(5), &list, &nodes);
    let (code, stdout, _) = out(&dom0.outrigger(&["reattach", "net"]));
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("net2 vif 1: xl network-attach 3 backend=net"),
        "{stdout}"
    );
    assert_eq!(dom0.calls(), format!("network-detach 3 1\n{VIF}\n").repeat(3));
}

#[test]
fn a_domain_that_is_not_there_is_one_line() {
    let dom0 = Dom0::new("nobody", None, "[]", &[]);
    let (code, stdout, stderr) = out(&dom0.outrigger(&["reattach", "net"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(
        stderr,
        "error: net: no domain of this name is running\nhelp: `xl list` shows which domains there are\n"
    );
    dom0.program(
        "xl",
        "echo 'xencall: error: Could not obtain handle on privileged command interface: Permission denied' >&2\n\
         echo 'libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: Permission denied' >&2\n\
         echo 'cannot init xl context' >&2\nexit 1",
    );
    for command in [&["reattach", "net"][..], &["restart", "net"]] {
        let (code, _, stderr) = out(&dom0.outrigger(command));
        let wanted = "error: xl domid net: xencall: error: Could not obtain handle on privileged command interface: Permission \
                      denied; libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: Permission denied; cannot init \
                      xl context\nhelp: this is done in Dom0, as root\n";
        assert_eq!((code, stderr.as_str()), (Some(1), wanted));
    }
}

const RESTARTED: &[(&str, &str)] = &[
    ("/local/domain/5/data/restart/count", "7"),
    ("/local/domain/5/data/restart/reason", "asked to"),
    ("/local/domain/5/data/restart/pause-us", "2500"),
    ("/local/domain/5/data/update/ring-ref", "136"),
];

/// A domain that has restarted once more by the time it is looked at again: its count moves with `xl` or the proxy.
fn counting(name: &str) -> Dom0 {
    let dom0 = Dom0::new(name, Some(5), "[]", RESTARTED);
    let dir = dom0.0.display().to_string();
    let mut read = fs::read_to_string(dom0.0.join("xenstore-read")).unwrap();
    read = read.replace("echo '7'", &format!("[ -e {dir}/calls ] && echo 8 || echo 7"));
    fs::write(dom0.0.join("xenstore-read"), read).unwrap();
    dom0
}

#[test]
fn a_restart_is_asked_for_and_reported() {
    let dom0 = counting("restart");
    let (code, stdout, stderr) = out(&dom0.outrigger(&["restart", "block"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout,
        "block: restart 8 (asked to), serving again after 2500 us\n"
    );
    assert_eq!(dom0.calls(), "reboot block\n");
    let (_, stdout, _) = out(&counting("json").outrigger(&["--json", "restart", "block"]));
    let json = common::schema::conforms("restart", &stdout);
    assert_eq!(json["pause_us"], 2500);
}

/// An image of class `block`, and beside it what the proxy is to do with what it gets.
fn image(dom0: &Dom0, answer: &str) -> PathBuf {
    let mut image = vec![0x5a; 100_000];
    image[56..60].copy_from_slice(b"ARM\x64");
    image[64..72].copy_from_slice(b"OUTRIGGR");
    image[72..96].fill(0);
    image[80..85].copy_from_slice(b"block");
    let path = dom0.0.join("new.img");
    fs::write(&path, image).unwrap();
    let dir = dom0.0.display();
    // As the real one: it answers before its input ends, and goes on.
    let proxy =
        format!("echo \"$*\" >>{dir}/calls\nhead -c 100048 >{dir}/got\necho '{answer}'\nexec cat >/dev/null");
    dom0.program("vchan-socket-proxy", &proxy);
    path
}

#[test]
fn an_image_goes_over_with_its_length_and_hash() {
    let dom0 = counting("update");
    let path = image(&dom0, "accepted");
    let (code, stdout, stderr) = out(&dom0.outrigger(&["update", "block", path.to_str().unwrap()]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout,
        "block: restart 8 (asked to), serving again after 2500 us\n"
    );
    assert_eq!(dom0.calls(), "5 /local/domain/5/data/update -\n");
    let got = fs::read(dom0.0.join("got")).unwrap();
    assert_eq!(got[..16], *b"OUTUPD01\xa0\x86\x01\0\0\0\0\0");
    assert_eq!(got[48..], fs::read(path).unwrap());
}

#[test]
fn a_refusal_is_the_domains_own_line() {
    let dom0 = counting("refused");
    let path = image(&dom0, "refused: its class is net, this is block");
    let (code, _, stderr) = out(&dom0.outrigger(&["update", "block", path.to_str().unwrap()]));
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "error: block: refused: its class is net, this is block\n");
}

#[test]
fn what_is_no_image_does_not_go_over() {
    let dom0 = counting("noimage");
    let path = dom0.0.join("list");
    let (code, _, stderr) = out(&dom0.outrigger(&["update", "block", path.to_str().unwrap()]));
    assert_eq!(code, Some(1));
    assert!(stderr.ends_with("list: it is no arm64 Image\n"), "{stderr}");
    assert_eq!(dom0.calls(), "");
}

#[test]
fn a_domain_without_the_channel_says_so() {
    let dom0 = Dom0::new("old", Some(5), "[]", &[]);
    let path = image(&dom0, "accepted");
    let (code, _, stderr) = out(&dom0.outrigger(&["update", "block", path.to_str().unwrap()]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: block: takes no updates"), "{stderr}");
}
