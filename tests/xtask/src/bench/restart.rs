//! How long a guest waits while its driver domain fails and begins again.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::boot::{Additions, Backend, Content, Disk, Nic, Runner, Scenario, Start, Wire};
use crate::image;

const MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00"]
log = "info"

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
log = "info"

[domain.net.options]
segments = ["xenbr0:net0"]
"#;

/// A disk that takes no time, and Dom0 on the wire: nothing here waits for the host.
const SCENARIO: Scenario = Scenario {
    name: "restart-bench",
    backend: Backend::DriverDomain(MACHINE),
    disks: &[Disk {
        mib: 64,
        slices: &[],
        content: Content::Null,
        transport: 31,
        queues: 1,
    }],
    start: Start::Qemu,
    gic: 2,
    multi_core: false,
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: None,
    }),
    inputs: &[],
    fio: true,
    newer_guests: false,
    outrigger: false,
    checks: &[
        "block, no failure",
        "block, failures apart",
        "block, failures in a row",
        "net, no failure",
        "net, failures apart",
        "net, failures in a row",
    ],
    timeout: Duration::from_secs(1800),
};

/// What is measured, as `tests/bench/dom0/restart.sh` names it.
const CASES: [(&str, &str); 6] = [
    ("block-none", "block, no failure"),
    ("block-apart", "block, 50 ms or more apart"),
    ("block-row", "block, in a row"),
    ("net-none", "net, no failure"),
    ("net-apart", "net, 50 ms or more apart"),
    ("net-row", "net, in a row"),
];

/// Measures, shows, and writes `tests/bench/RESTART.md`.
pub fn run() -> Result<()> {
    for name in ["block", "net"] {
        image::build_failing(name)?;
    }
    let runner = Runner::prepare()?;
    let bench = image::workspace().join("tests/bench");
    let guest = ["reads", "pings"]
        .map(|job| Ok((format!("jobs/{job}"), fs::read(bench.join("guest").join(job))?)))
        .into_iter()
        .collect::<Result<_>>()?;
    let additions = Additions {
        script: Some(bench.join("dom0/restart.sh")),
        guest,
        skip_idle: true,
        ..Additions::default()
    };
    let outcome = runner.run_with(&SCENARIO, &additions)?;
    if outcome.failed() > 0 {
        outcome.print();
        bail!("the measurement broke off");
    }
    let text = report(|name| {
        let value = outcome
            .values
            .get(name)
            .with_context(|| format!("{name} was not reported"))?;
        Ok(value.clone())
    })?;
    println!("{text}");
    let path = bench.join("RESTART.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    // What was written by hand below it stays.
    let rest = old.split_once(END).map_or("", |(_, rest)| rest);
    fs::write(&path, text + END + rest).with_context(|| path.display().to_string())
}

/// Behind what is measured.
const END: &str = "<!-- The rest is written by hand. -->\n";

fn report(value: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = String::from(
        "# Restart in place: how long a guest waits\n\n\
         `cargo xtask bench restart`: panics, each soon after the domain had something to do, for as long as a guest is there. One \
         processor for all\ndomains, 4 ns an instruction; times are in µs of the machine's. Block: random reads of 4 KiB at queue \
         depth 1, for 4 s. Net: 1,600 pings to\nthe wire, some 2.5 ms apart. *Served again* (every ring is attached to) and *answer* (the \
         first to any guest) count from the fault, as the\ndriver domain's clock has it; some lives fail before anybody has asked, \
         and some guests ask late. *Waits* are requests in the guest, their\nown time included: the 40 longest of all, whoever had kept \
         them waiting.\n\n\
         | Failures | Number | Served again, half | Longest | Answers | Half of them | Within 10 ms | Waits, 40 longest | Longest | All waits | Lost |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (case, title) in CASES {
        let of = |name: &str| value(&format!("{case}/{name}"));
        let pauses = if case.ends_with("none") {
            "| | | |".to_owned()
        } else {
            let names = ["pause-half", "pause-max", "answers", "answer-half", "answer-soon"];
            names.map(of).into_iter().collect::<Result<Vec<_>>>()?.join(" | ")
        };
        let lost = if case.starts_with("block") {
            "none".to_owned()
        } else {
            format!("{} of {}", of("lost")?, of("asked")?)
        };
        let [restarts, forty, longest, all] = ["restarts", "wait-forty", "wait-max", "wait-mean"].map(of);
        writeln!(
            text,
            "| {title} | {} | {pauses} | {} | {} | {} | {lost} |",
            restarts?, forty?, longest?, all?,
        )?;
    }
    text.push('\n');
    Ok(text)
}
