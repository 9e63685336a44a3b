//! How long a guest waits while its driver domain fails and begins again.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::block::MACHINE;
use crate::boot::{Additions, Backend, Content, Disk, Runner, Scenario, Start};
use crate::image;

/// The goal, in microseconds of the machine's time: from the fault to the first answer.
const GOAL_US: u64 = 10_000;

/// A disk that is read at random while the driver domain fails.
const SCENARIO: Scenario = Scenario {
    name: "restart-bench",
    backend: Backend::DriverDomain(MACHINE),
    disks: &[Disk {
        mib: 64,
        slices: &[],
        content: Content::Blank,
        transport: 31,
        queues: 1,
    }],
    start: Start::Qemu,
    gic: 2,
    nic: None,
    fio: true,
    outrigger: false,
    checks: &["measured"],
    timeout: Duration::from_secs(900),
};

/// Measures, shows, and writes `tests/bench/RESTART.md`.
pub fn run() -> Result<()> {
    image::build_failing("block")?;
    let runner = Runner::prepare()?;
    let bench = image::workspace().join("tests/bench");
    let additions = Additions {
        script: Some(bench.join("dom0/restart.sh")),
        guest: vec![("jobs/pause".to_owned(), fs::read(bench.join("guest/pause"))?)],
        skip_idle: true,
        ..Additions::default()
    };
    let outcome = runner.run_with(&SCENARIO, &additions)?;
    if outcome.failed() > 0 {
        outcome.print();
        bail!("the measurement broke off");
    }
    let value = |name: &str| -> Result<u64> {
        let value = outcome
            .values
            .get(name)
            .with_context(|| format!("{name} was not reported"))?;
        value.parse().with_context(|| format!("{name} is {value}"))
    };
    let (restarts, longest, mean) = (value("restarts")?, value("pause-max")?, value("pause-mean")?);
    let (latency, usual) = (value("latency-max")?, value("latency-mean")?);
    let met = if latency <= GOAL_US { "met" } else { "missed" };
    let text = format!(
        "# Restart in place: how long a guest waits\n\n\
         `cargo xtask bench restart`: a panic at {restarts} random moments under random reads of 4 KiB at queue depth 1, one \
         processor, 4 ns an instruction.\n\n\
         |  | µs | goal |  |\n| --- | --- | --- | --- |\n\
         | from the fault until every ring is served again, mean | {mean} | | |\n\
         | the same, longest | {longest} | | |\n\
         | longest wait of a request in the guest, its own time included | {latency} | ≤ {GOAL_US} | {met} |\n\
         | usual wait of a request in the guest (mean, failures included) | {usual} | | |\n\n\
         The failures follow each other within milliseconds; each is also written to the console and to XenStore, by the same\n\
         processor.\n"
    );
    println!("{text}");
    let path = bench.join("RESTART.md");
    fs::write(&path, text).with_context(|| path.display().to_string())
}
