//! The block driver domain and Linux blkback: the same guest, disk and jobs.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;

use super::figures::{Job, Run};
use super::{python, report};
use crate::boot::{Additions, Backend, Content, Disk, Outcome, Runner, Scenario};
use crate::image;

/// Who serves the guest's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Linux blkback in Dom0.
    Linux,
    /// The driver domain.
    Ours,
}

/// The jobs, as `tests/bench/guest/bench` names them.
pub const JOBS: [Job; 5] = [
    Job {
        name: "seqread",
        title: "sequential read, 128 KiB, qd 16",
        random: false,
        latency: false,
    },
    Job {
        name: "seqwrite",
        title: "sequential write, 128 KiB, qd 16",
        random: false,
        latency: false,
    },
    Job {
        name: "randread",
        title: "random read, 4 KiB, qd 32",
        random: true,
        latency: false,
    },
    Job {
        name: "randwrite",
        title: "random write, 4 KiB, qd 32",
        random: true,
        latency: false,
    },
    Job {
        name: "latency",
        title: "random read, 4 KiB, qd 1",
        random: true,
        latency: true,
    },
];

/// Takes no time and forgets: what is measured is software.
const DISK: Disk = Disk {
    mib: 1024,
    slices: &[],
    content: Content::Null,
    transport: 31,
    queues: 1,
};

const MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00"]
log = "info"
"#;

impl Peer {
    fn scenario(self) -> Scenario {
        let (name, backend) = match self {
            Self::Linux => ("bench-block-linux", Backend::Linux),
            Self::Ours => ("bench-block-ours", Backend::DriverDomain(MACHINE)),
        };
        Scenario {
            name,
            backend,
            disks: &[DISK],
            fio: true,
            checks: &["measured"],
            timeout: Duration::from_secs(900),
        }
    }

    /// The domain whose processor time is the backend's.
    fn domain(self) -> &'static str {
        match self {
            Self::Linux => "Domain-0",
            Self::Ours => "block",
        }
    }
}

/// Measures both, or `only` one.
pub fn run(rounds: u32, only: Option<Peer>) -> Result<()> {
    if only != Some(Peer::Linux) {
        image::build_named(&["block".to_owned()])?;
    }
    let runner = Runner::prepare()?;
    let additions = additions(&runner, rounds)?;
    if let Some(peer) = only {
        report::show(&measure(&runner, &additions, peer, rounds)?);
        return Ok(());
    }
    eprintln!("bench: both machines at once; neither's time depends on the other");
    let (linux, ours) = thread::scope(|scope| {
        let linux = scope.spawn(|| measure(&runner, &additions, Peer::Linux, rounds));
        let ours = scope.spawn(|| measure(&runner, &additions, Peer::Ours, rounds));
        (linux.join(), ours.join())
    });
    let measured =
        |joined: thread::Result<Result<Run>>| joined.map_err(|_| anyhow!("a measuring thread panicked"))?;
    let (linux, ours) = (measured(linux)?, measured(ours)?);
    let built = runner.built(&Peer::Ours.scenario(), "block.img");
    let facts = report::Facts {
        image_bytes: fs::metadata(&built)
            .with_context(|| built.display().to_string())?
            .len(),
        qemu: crate::process::output(runner.tools().qemu().arg("--version"))?
            .split_whitespace()
            .nth(3)
            .context("QEMU says its version")?
            .to_owned(),
        rounds,
    };
    let text = report::compare(&linux, &ours, &facts)?;
    println!("{text}");
    let path = image::workspace().join("tests/bench/RESULTS.md");
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn additions(runner: &Runner, rounds: u32) -> Result<Additions> {
    let bench = image::workspace().join("tests/bench");
    let read = |file: &str| fs::read(bench.join(file)).with_context(|| format!("tests/bench/{file}"));
    let mut dom0 = python::files(runner.sources())?;
    dom0.push(("measure.py".to_owned(), read("dom0/measure.py")?));
    let numbers: Vec<String> = (1..=rounds).map(|round| round.to_string()).collect();
    let guest = vec![
        ("jobs/bench".to_owned(), read("guest/bench")?),
        (
            "jobs/rounds".to_owned(),
            format!("rounds=\"{}\"\n", numbers.join(" ")).into_bytes(),
        ),
    ];
    Ok(Additions {
        script: Some(bench.join("dom0/block.sh")),
        dom0,
        guest,
    })
}

fn measure(runner: &Runner, additions: &Additions, peer: Peer, rounds: u32) -> Result<Run> {
    let scenario = peer.scenario();
    let outcome: Outcome = runner.run_with(&scenario, additions)?;
    outcome.print();
    if outcome.failed() > 0 {
        bail!("{} could not be measured", scenario.name);
    }
    Run::read(&outcome.values, peer.domain(), &JOBS, rounds).context(scenario.name)
}
